//! Tickets.

use super::card::CardView;
use super::contact::ContactRefView;
use super::status::StatusRefView;
use super::time;
use super::user::AssigneeView;
use crate::domain::plugin::Card;
use crate::domain::ticket::{Priority, Ticket};
use serde::Serialize;
use std::collections::BTreeMap;

/// A ticket.
#[derive(Debug, Serialize)]
pub struct TicketView {
    number: i64,
    kind: &'static str,
    subject: String,
    /// What is to be done; only tasks have one.
    body: Option<String>,
    status: StatusRefView,
    priority: Option<&'static str>,
    tags: Vec<String>,
    assignee: Option<AssigneeView>,
    contact: Option<ContactRefView>,
    inbox_id: Option<i64>,
    channel: Option<String>,
    origin: String,
    fields: BTreeMap<String, serde_json::Value>,
    preview: String,
    created_at: String,
    updated_at: String,
    last_message_at: Option<String>,
    /// How it looks on the board; only where one ticket was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<CardView>,
}

impl From<&Ticket> for TicketView {
    fn from(ticket: &Ticket) -> Self {
        Self {
            number: ticket.number.0,
            kind: ticket.kind.as_str(),
            subject: ticket.subject.clone(),
            body: ticket.body.clone(),
            status: (&ticket.status).into(),
            priority: ticket.priority.map(Priority::as_str),
            tags: ticket.tags.clone(),
            assignee: ticket.assignee.as_ref().map(AssigneeView::from),
            contact: ticket.contact.as_ref().map(ContactRefView::from),
            inbox_id: ticket.inbox.map(|inbox| inbox.0),
            channel: ticket.channel.clone(),
            origin: ticket.origin.clone(),
            fields: ticket.fields.clone(),
            preview: ticket.preview.clone(),
            created_at: time(ticket.created_at),
            updated_at: time(ticket.updated_at),
            last_message_at: ticket.last_message_at.map(time),
            card: None,
        }
    }
}

impl TicketView {
    /// The ticket with its card.
    #[must_use]
    pub fn with_card(mut self, card: Card) -> Self {
        self.card = Some(card.into());
        self
    }
}
