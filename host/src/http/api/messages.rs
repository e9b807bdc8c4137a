//! Messages of a ticket: replies and notes.

use super::{Answer, OrNotFound};
use crate::domain::command::{Command, TicketKey};
use crate::domain::exchange::Content;
use crate::domain::id::TicketNumber;
use crate::domain::message::Message;
use crate::flow::compose;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::{self, At};
use crate::http::page::{Asked, Kind, NoFilter};
use crate::http::problem::Problem;
use crate::view::List;
use crate::view::message::MessageView;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

/// A reply, or a note when it is private.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewBody {
    body: String,
    #[serde(default)]
    private: bool,
}

/// `GET /tickets/{number}/messages`, oldest first
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    caller: Caller,
    At(number): At<TicketNumber>,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<MessageView>> {
    let after = page.position(Kind::Messages)?.unwrap_or(0);
    let (store, account) = (&edge.flow.store, caller.account());
    store.ticket(account, number).await?.or_not_found("ticket")?;
    let rows: Vec<Message> = store.messages(account, number, after, page.rows()).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut files = store.attachments(account, &ids).await?;
    let show = |row: Message| {
        MessageView::from(&row).with_attachments(files.remove(&row.id).unwrap_or_default())
    };
    Ok(Json(page.list(Kind::Messages, rows, |row| row.id, show)))
}

/// `POST /tickets/{number}/messages`
pub(in crate::http) async fn create(
    State(edge): State<Edge>,
    caller: Caller,
    At(number): At<TicketNumber>,
    body::Json(body): body::Json<NewBody>,
) -> Result<Response, Problem> {
    let ticket = TicketKey::Number(number);
    let command = if body.private {
        Command::Note { ticket, text: body.body }
    } else {
        Command::Reply { ticket, body: Content::text(body.body) }
    };
    let change = compose::compose(&edge.flow, caller.account(), caller.actor(), command).await?;
    let message = change.message.or_not_found("message")?.after;
    let path = format!("/api/v1/tickets/{number}/messages");
    Ok(super::created(path, MessageView::from(&message).with_attachments(Vec::new())))
}
