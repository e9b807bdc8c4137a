//! Who asks: a bearer token, kept as a hash, belongs to one user of one account.

use super::Edge;
use super::problem::{Code, Problem};
use crate::domain::command::Actor;
use crate::domain::id::AccountId;
use crate::domain::user::Role;
use crate::store::account::Principal;
use crate::token;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

/// Longest token that is looked up, in bytes.
const TOKEN_BYTES: usize = 256;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody; a provider proves itself to its plugin.
    Anyone,
    /// Every user.
    User,
    /// Administrators of the account.
    Administrator,
    /// Users who may administer the host.
    Operator,
}

/// The user who asks, and the account inside which everything of the request happens.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Principal);

impl Caller {
    pub(super) const fn account(&self) -> AccountId {
        self.0.account.id
    }

    pub(super) fn actor(&self) -> Actor {
        let user = &self.0.user;
        Actor::User { id: user.id, name: user.name.clone(), email: user.email.clone() }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthorized)
    }
}

/// Lets a request through to a route when its caller may use it.
pub(super) async fn guard(
    State((edge, who)): State<(Edge, Who)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if who != Who::Anyone {
        let caller = caller(&edge, request.headers()).await?;
        let user = &caller.0.user;
        let may = match who {
            Who::Anyone | Who::User => true,
            Who::Administrator => user.role == Role::Administrator,
            Who::Operator => user.operator,
        };
        if !may {
            let detail = match who {
                Who::Anyone | Who::User | Who::Administrator => "expected an administrator's token",
                Who::Operator => "expected the token of an operator of this host",
            };
            return Err(Problem::new(Code::Forbidden, detail));
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

async fn caller(edge: &Edge, headers: &HeaderMap) -> Result<Caller, Problem> {
    let token = bearer(headers).ok_or_else(unauthorized)?;
    let principal = edge.flow.store.principal(&token::hash(token)).await?;
    principal.map(Caller).ok_or_else(unauthorized)
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let fine = scheme.eq_ignore_ascii_case("bearer")
        && token.starts_with(token::PREFIX)
        && token.len() <= TOKEN_BYTES;
    fine.then_some(token)
}

fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "expected the header Authorization: Bearer tg_…")
}

#[cfg(test)]
mod tests {
    use super::bearer;
    use http::HeaderMap;

    #[test]
    fn only_one_bearer_token_of_ours_counts() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer tg_x"]).as_deref(), Some("tg_x"));
        assert_eq!(of(&["bearer  tg_x "]).as_deref(), Some("tg_x"));
        let long = format!("Bearer tg_{}", "x".repeat(300));
        for wrong in [
            &[][..],
            &["tg_x"],
            &["Basic tg_x"],
            &["Bearer x"],
            &["Bearer tg_x", "Bearer tg_x"],
            &[&long],
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
