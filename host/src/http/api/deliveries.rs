//! Deliveries: what is handed to providers, and how that went.

use super::{Answer, OrNotFound};
use crate::domain::id::DeliveryId;
use crate::flow::operate;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::At;
use crate::http::page::{Asked, Kind};
use crate::http::problem::{Code, Problem};
use crate::view::List;
use crate::view::delivery::DeliveryView;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

/// Which deliveries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filter {
    state: Option<Place>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Pending,
    Working,
    Sent,
    Failed,
    Ambiguous,
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Working => "working",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Ambiguous => "ambiguous",
        }
    }
}

async fn find(edge: &Edge, caller: &Caller, id: DeliveryId) -> Result<DeliveryView, Problem> {
    let (store, account) = (&edge.flow.store, caller.account());
    let row = store.delivery(account, id).await?.or_not_found("delivery")?;
    let parts = store.parts(account, id).await?;
    let attempts = store.attempts(account, id).await?;
    Ok(DeliveryView::from(row).with_parts(parts, &attempts))
}

/// `GET /deliveries`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, filter }: Asked<Filter>,
) -> Answer<List<DeliveryView>> {
    let before = page.position(Kind::Deliveries)?.unwrap_or(i64::MAX);
    let state = filter.state.map(|state| state.as_str().to_owned());
    let rows = edge.flow.store.deliveries(caller.account(), state, before, page.rows()).await?;
    Ok(Json(page.list(Kind::Deliveries, rows, |row| row.id, DeliveryView::from)))
}

/// `GET /deliveries/{id}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<DeliveryId>,
) -> Answer<DeliveryView> {
    Ok(Json(find(&edge, &caller, id).await?))
}

/// `POST /deliveries/{id}/retry`
pub(in crate::http) async fn retry(
    State(edge): State<Edge>,
    caller: Caller,
    At(id): At<DeliveryId>,
) -> Result<Response, Problem> {
    let again = operate::retry_delivery(&edge.flow, caller.account(), id).await?;
    let delivery = find(&edge, &caller, id).await?;
    if !again {
        let detail = "expected a delivery that is pending, failed or ambiguous: this one is sent, or is being worked";
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok((StatusCode::ACCEPTED, Json(delivery)).into_response())
}
