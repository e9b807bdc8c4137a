//! Intakes: what arrived, masked of secrets; replay.

use super::{Answer, OrNotFound};
use crate::domain::id::{AccountId, ConnectionId, IntakeId};
use crate::flow::operate;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::At;
use crate::http::page::{Asked, Kind};
use crate::http::problem::{Code, Problem};
use crate::view::List;
use crate::view::intake::{IntakeView, Mask};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Which intakes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    state: Option<Place>,
    connection: Option<ConnectionId>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Pending,
    Working,
    Held,
    Done,
    Dead,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Working => "working",
            Self::Held => "held",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

/// What strikes out the secrets of a connection. They are taken from what requests are served
/// with, and leave this function only as what is struck out.
async fn mask(edge: &Edge, account: AccountId, id: ConnectionId) -> Result<Mask, Problem> {
    let names = edge.flow.store.secret_names(account, id).await?;
    let current = edge.flow.registry.current();
    let Some(connection) = current.connection(id) else { return Ok(Mask::default()) };
    let secrets = &connection.allowance.secrets;
    let values = names.iter().flat_map(|name| secrets.values(name));
    Ok(Mask::new(values.map(|value| value.expose().to_owned()).collect()))
}

async fn find(edge: &Edge, caller: &Caller, id: IntakeId) -> Result<IntakeView, Problem> {
    let row = edge.flow.store.intake(caller.account(), id).await?.or_not_found("intake")?;
    let mask = mask(edge, row.account, row.connection).await?;
    Ok(IntakeView::with_request(row, &mask))
}

/// `GET /intakes`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, filter }: Asked<Filter>,
) -> Answer<List<IntakeView>> {
    let before = page.position(Kind::Intakes)?.unwrap_or(i64::MAX);
    let state = filter.state.map(|state| state.as_str().to_owned());
    let account = caller.account();
    let rows =
        edge.flow.store.intakes(account, state, filter.connection, before, page.rows()).await?;
    let mut masks = BTreeMap::new();
    for row in &rows {
        if let Entry::Vacant(place) = masks.entry(row.connection) {
            place.insert(mask(&edge, account, row.connection).await?);
        }
    }
    let none = Mask::default();
    Ok(Json(page.list(
        Kind::Intakes,
        rows,
        |row| row.id,
        |row| {
            let mask = masks.get(&row.connection).unwrap_or(&none);
            IntakeView::new(row, mask)
        },
    )))
}

/// `GET /intakes/{id}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<IntakeId>,
) -> Answer<IntakeView> {
    Ok(Json(find(&edge, &caller, id).await?))
}

/// `POST /intakes/{id}/replay`
pub(in crate::http) async fn replay(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<IntakeId>,
) -> Result<Response, Problem> {
    let replayed = operate::replay_intake(&edge.flow, caller.account(), id).await?;
    let intake = find(&edge, &caller, id).await?;
    if !replayed {
        let detail = "expected an intake that is pending, done or dead: this one is being worked, or held until it can be verified";
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok((StatusCode::ACCEPTED, Json(intake)).into_response())
}
