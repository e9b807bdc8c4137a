//! Users, and who holds the token of a request.

use crate::domain::user::{User, UserRef};
use crate::store::account::Principal;
use serde::Serialize;

/// A user of the account.
#[derive(Debug, Serialize)]
pub struct UserView {
    id: i64,
    name: String,
    email: String,
    role: &'static str,
    operator: bool,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            name: user.name,
            email: user.email,
            role: user.role.as_str(),
            operator: user.operator,
        }
    }
}

/// As much of a user as a ticket shows.
#[derive(Debug, Serialize)]
pub struct AssigneeView {
    id: i64,
    name: String,
}

impl From<&UserRef> for AssigneeView {
    fn from(user: &UserRef) -> Self {
        Self { id: user.id.0, name: user.name.clone() }
    }
}

/// Who asks.
#[derive(Debug, Serialize)]
pub struct PrincipalView {
    account: AccountView,
    user: UserView,
    token: TokenView,
}

#[derive(Debug, Serialize)]
struct AccountView {
    id: i64,
    name: String,
}

#[derive(Debug, Serialize)]
struct TokenView {
    id: i64,
    label: String,
}

impl From<Principal> for PrincipalView {
    fn from(principal: Principal) -> Self {
        let Principal { account, user, token, label } = principal;
        Self {
            account: AccountView { id: account.id.0, name: account.name },
            user: user.into(),
            token: TokenView { id: token.0, label },
        }
    }
}
