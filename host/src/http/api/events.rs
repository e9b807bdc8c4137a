//! Events: read from the log, or streamed as they are committed.

use super::Answer;
use crate::domain::id::EventNumber;
use crate::flow::publish;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::page::{Asked, Kind};
use crate::http::problem::{Code, Problem};
use crate::store::StoreError;
use crate::store::event::StoredEvent;
use crate::view::List;
use crate::view::event::EventView;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use serde::Deserialize;
use std::time::Duration;

/// How often a stream without news says that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// From which event on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct From {
    after: Option<i64>,
}

impl From {
    fn number(&self) -> Result<Option<EventNumber>, Problem> {
        match self.after {
            Some(after) if after < 0 => {
                let detail = format!("after: expected the number of an event or 0, found {after}");
                Err(Problem::new(Code::InvalidQuery, detail))
            }
            after => Ok(after.map(EventNumber)),
        }
    }
}

/// `GET /events`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    Asked { page, filter }: Asked<From>,
) -> Answer<List<EventView>> {
    let after = match page.position(Kind::Events)? {
        Some(number) => EventNumber(number),
        None => filter.number()?.unwrap_or(EventNumber(0)),
    };
    let rows = edge.flow.store.events_after(caller.account(), after, page.rows()).await?;
    let List { data, next_cursor } =
        page.list(Kind::Events, rows, |event| event.number, EventView::try_from);
    let data = data.into_iter().collect::<Result<_, StoreError>>()?;
    Ok(Json(List { data, next_cursor }))
}

/// `GET /events/stream`: after `Last-Event-ID`, else after `?after=`, else from now on.
pub(in crate::http) async fn stream(
    State(edge): State<Edge>,
    caller: Caller,
    headers: HeaderMap,
    Asked { filter, .. }: Asked<From>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Problem> {
    let account = caller.account();
    let after = match (last_seen(&headers)?, filter.number()?) {
        (Some(number), _) | (None, Some(number)) => number,
        (None, None) => edge.flow.store.last_event(account).await?,
    };
    let events = publish::subscribe(&edge.flow, account, after)
        .flat_map(|batch| stream::iter(batch.into_iter().map(sent)))
        .take_until(edge.shutdown.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

fn last_seen(headers: &HeaderMap) -> Result<Option<EventNumber>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|n: &i64| *n >= 0);
    number.map(|number| Some(EventNumber(number))).ok_or_else(|| {
        Problem::new(Code::InvalidQuery, "Last-Event-ID: expected the number of an event")
    })
}

fn sent(event: StoredEvent) -> Result<Event, axum::Error> {
    let (number, kind) = (event.number.to_string(), event.kind.clone());
    let view = EventView::try_from(event).map_err(axum::Error::new)?;
    let data = serde_json::to_string(&view).map_err(axum::Error::new)?;
    Ok(Event::default().id(number).event(kind).data(data))
}
