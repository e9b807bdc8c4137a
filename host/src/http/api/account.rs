//! Who asks, and what belongs to the whole account: users and statuses.

use super::Answer;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::page::{Asked, Kind, NoFilter};
use crate::view::List;
use crate::view::status::StatusView;
use crate::view::user::{PrincipalView, UserView};
use axum::Json;
use axum::extract::State;

/// `GET /whoami`
pub(in crate::http) async fn whoami(Caller(principal): Caller) -> Json<PrincipalView> {
    Json(principal.into())
}

/// `GET /users`
pub(in crate::http) async fn users(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<UserView>> {
    let after = page.position(Kind::Users)?.unwrap_or(0);
    let rows = edge.flow.store.users(caller.account(), after, page.rows()).await?;
    Ok(Json(page.list(Kind::Users, rows, |user| user.id, UserView::from)))
}

/// `GET /statuses`
pub(in crate::http) async fn statuses(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<StatusView>> {
    let after: Option<usize> = page.position(Kind::Statuses)?;
    let all = edge.flow.store.statuses(caller.account()).await?;
    let rows = all.into_iter().enumerate().skip(after.map_or(0, |after| after + 1)).collect();
    Ok(Json(page.list(Kind::Statuses, rows, |(at, _)| *at, |(_, status)| status.into())))
}
