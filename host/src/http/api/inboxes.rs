//! Inboxes.

use super::{Answer, OrNotFound};
use crate::domain::id::{ConnectionId, InboxId};
use crate::flow::operate;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::{self, At, given};
use crate::http::page::{Asked, Kind, NoFilter};
use crate::http::problem::Problem;
use crate::plugin::Snapshot;
use crate::store::inbox::InboxRow;
use crate::view::List;
use crate::view::inbox::InboxView;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A new inbox.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBody {
    channel: String,
    connection_id: ConnectionId,
    name: String,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

/// What to change; a setting that is null is taken away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    settings: Option<BTreeMap<String, Option<Value>>>,
}

fn shown(row: InboxRow, current: &Snapshot) -> InboxView {
    let connection = current.connection(row.connection);
    let integration = connection.map(|connection| connection.integration.clone());
    InboxView::new(row, integration)
}

async fn find(edge: &Edge, caller: &Caller, id: InboxId) -> Result<InboxView, Problem> {
    let row = edge.flow.store.inbox(caller.account(), id).await?;
    Ok(shown(row.or_not_found("inbox")?, &edge.flow.registry.current()))
}

/// `GET /inboxes`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<InboxView>> {
    let after = page.position(Kind::Inboxes)?.unwrap_or(0);
    let rows = edge.flow.store.inboxes(caller.account(), after, page.rows()).await?;
    let current = edge.flow.registry.current();
    Ok(Json(page.list(Kind::Inboxes, rows, |row| row.id, |row| shown(row, &current))))
}

/// `POST /inboxes`
pub(in crate::http) async fn create(
    State(edge): State<Edge>,
    caller: Caller,
    body::Json(body): body::Json<NewBody>,
) -> Result<Response, Problem> {
    let NewBody { channel, connection_id, name, settings } = body;
    let account = caller.account();
    edge.flow.store.connection(account, connection_id).await?.or_not_found("connection")?;
    let id =
        operate::create_inbox(&edge.flow, account, connection_id, channel, name, settings).await?;
    Ok(super::created(format!("/api/v1/inboxes/{id}"), find(&edge, &caller, id).await?))
}

/// `GET /inboxes/{id}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<InboxId>,
) -> Answer<InboxView> {
    Ok(Json(find(&edge, &caller, id).await?))
}

/// `PATCH /inboxes/{id}`
pub(in crate::http) async fn update(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<InboxId>,
    body::Json(body): body::Json<PatchBody>,
) -> Answer<InboxView> {
    operate::update_inbox(&edge.flow, caller.account(), id, body.name, body.settings).await?;
    Ok(Json(find(&edge, &caller, id).await?))
}
