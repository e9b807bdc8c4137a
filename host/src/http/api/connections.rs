//! Connections with their settings, secrets and grants.

use super::{Answer, OrNotFound};
use crate::domain::id::ConnectionId;
use crate::domain::plugin::Capability;
use crate::flow::operate::{self, ConnectionPatch, GrantsAsked};
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::{self, At, given};
use crate::http::page::{Asked, Kind, NoFilter};
use crate::http::problem::Problem;
use crate::plugin::missing;
use crate::store::connection::{ConnectionRow, NewConnection};
use crate::view::List;
use crate::view::connection::{ConnectionView, Shown};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::de::{Error, IntoDeserializer, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `"requested"`, or a list of grants.
#[derive(Debug)]
struct Grants(GrantsAsked);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    capability: Capability,
    scope: String,
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "\"requested\" or a list of {\"capability\", \"scope\"}";
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "requested" => Ok(Self(GrantsAsked::Requested)),
            Value::String(word) => Err(Error::invalid_value(Unexpected::Str(&word), &EXPECTED)),
            list @ Value::Array(_) => {
                let rows = Vec::<GrantBody>::deserialize(list.into_deserializer())
                    .map_err(Error::custom)?;
                let rows = rows.into_iter().map(|grant| (grant.capability, grant.scope));
                Ok(Self(GrantsAsked::Listed(rows.collect())))
            }
            Value::Null => Err(Error::invalid_type(Unexpected::Unit, &EXPECTED)),
            Value::Bool(found) => Err(Error::invalid_type(Unexpected::Bool(found), &EXPECTED)),
            Value::Number(_) => Err(Error::invalid_type(Unexpected::Other("number"), &EXPECTED)),
            Value::Object(_) => Err(Error::invalid_type(Unexpected::Map, &EXPECTED)),
        }
    }
}

/// A new connection. Nothing is granted that is not asked for here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBody {
    integration: String,
    label: String,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    grants: Option<Grants>,
}

/// What to change; a setting that is null is taken away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    label: Option<String>,
    #[serde(default, deserialize_with = "given")]
    settings: Option<BTreeMap<String, Option<Value>>>,
    #[serde(default, deserialize_with = "given")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    grants: Option<Grants>,
}

/// A secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SecretBody {
    value: String,
}

/// What the integration says of its settings and secrets.
#[derive(Debug, Serialize)]
pub(in crate::http) struct CheckView {
    ok: bool,
    detail: String,
}

async fn shown(edge: &Edge, row: ConnectionRow) -> Result<ConnectionView, Problem> {
    let store = &edge.flow.store;
    let secrets = store.secret_names(row.account, row.id).await?;
    let grants = store.grants(row.account, row.id).await?;
    let current = edge.flow.registry.current();
    let release = current.integration(&row.integration);
    let integration = release.and_then(|release| release.integration.as_ref());
    let missing = integration.map_or_else(Vec::new, |integration| {
        missing(integration, &row.settings, &secrets, &grants)
    });
    let shown = Shown { row, secrets, grants, missing };
    Ok(ConnectionView::new(shown, integration, &edge.flow.tuning.public_url))
}

async fn find(edge: &Edge, caller: &Caller, id: ConnectionId) -> Result<ConnectionView, Problem> {
    let row = edge.flow.store.connection(caller.account(), id).await?;
    shown(edge, row.or_not_found("connection")?).await
}

/// `GET /connections`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<ConnectionView>> {
    let after = page.position(Kind::Connections)?.unwrap_or(0);
    let rows = edge.flow.store.connections(caller.account(), after, page.rows()).await?;
    let List { data: rows, next_cursor } =
        page.list(Kind::Connections, rows, |row| row.id, |row| row);
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        data.push(shown(&edge, row).await?);
    }
    Ok(Json(List { data, next_cursor }))
}

/// `POST /connections`
pub(in crate::http) async fn create(
    State(edge): State<Edge>,
    caller: Caller,
    body::Json(body): body::Json<NewBody>,
) -> Result<Response, Problem> {
    let new = NewConnection {
        account: caller.account(),
        integration: body.integration,
        label: body.label,
        settings: body.settings,
    };
    let grants = body.grants.map_or(GrantsAsked::Listed(Vec::new()), |grants| grants.0);
    let id = operate::create_connection(&edge.flow, new, body.secrets, grants).await?;
    Ok(super::created(format!("/api/v1/connections/{id}"), find(&edge, &caller, id).await?))
}

/// `GET /connections/{id}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<ConnectionId>,
) -> Answer<ConnectionView> {
    Ok(Json(find(&edge, &caller, id).await?))
}

/// `PATCH /connections/{id}`
pub(in crate::http) async fn update(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<ConnectionId>,
    body::Json(body): body::Json<PatchBody>,
) -> Answer<ConnectionView> {
    let patch = ConnectionPatch {
        label: body.label,
        settings: body.settings,
        enabled: body.enabled,
        grants: body.grants.map(|grants| grants.0),
    };
    operate::update_connection(&edge.flow, caller.account(), id, patch).await?;
    Ok(Json(find(&edge, &caller, id).await?))
}

/// `PUT /connections/{id}/secrets/{name}`
pub(in crate::http) async fn set_secret(
    State(edge): State<Edge>,
    caller: Caller,
    At((id, name)): At<(ConnectionId, String)>,
    body::Json(body): body::Json<SecretBody>,
) -> Result<StatusCode, Problem> {
    operate::set_secret(&edge.flow, caller.account(), id, name, body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /connections/{id}/secrets/{name}`
pub(in crate::http) async fn delete_secret(
    State(edge): State<Edge>,
    caller: Caller,
    At((id, name)): At<(ConnectionId, String)>,
) -> Result<StatusCode, Problem> {
    operate::delete_secret(&edge.flow, caller.account(), id, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /connections/{id}/check`
pub(in crate::http) async fn check(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<ConnectionId>,
) -> Answer<CheckView> {
    let answer = operate::check_connection(&edge.flow, caller.account(), id).await?;
    let ok = answer.is_ok();
    Ok(Json(CheckView { ok, detail: answer.unwrap_or_else(|detail| detail) }))
}
