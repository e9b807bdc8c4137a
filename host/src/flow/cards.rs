//! How a ticket looks on the board: its channel says; a channel that fails gives the plain card
//! with a warning.

use super::Flow;
use crate::domain::exchange::Party;
use crate::domain::plugin::{Badge, Card, TicketView, Tone};
use crate::domain::ticket::Ticket;

/// What a channel may know of a ticket.
pub fn view_of(ticket: &Ticket) -> TicketView {
    TicketView {
        id: ticket.number.to_string(),
        kind: ticket.kind.as_str().to_owned(),
        subject: ticket.subject.clone(),
        preview: ticket.preview.clone(),
        origin: ticket.origin.clone(),
        status: ticket.status.name.clone(),
        priority: ticket.priority.map(|priority| priority.as_str().to_owned()),
        contact: ticket.contact.as_ref().map(|contact| Party {
            address: contact.address.clone(),
            name: Some(contact.name.clone()),
            email: contact.email.clone(),
            ..Party::default()
        }),
        contact_address: ticket.contact.as_ref().map(|contact| contact.address.clone()),
        fields: ticket.fields.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
        last_message_at: ticket.last_message_at,
    }
}

/// A card without a channel.
fn plain(ticket: &Ticket) -> Card {
    Card { preview: Some(ticket.preview.clone()), ..Card::default() }
}

/// The ticket's card.
pub async fn card_of(flow: &Flow, ticket: &Ticket) -> Card {
    let snapshot = flow.registry.current();
    let Some(inbox) = ticket.inbox.and_then(|inbox| snapshot.inbox(inbox)) else {
        return plain(ticket);
    };
    let Some(connection) = snapshot.connection(inbox.connection) else { return plain(ticket) };
    let views = vec![view_of(ticket)];
    let warning = match flow.sandbox.render_cards(connection, inbox, views).await {
        Ok(called) => match called.value.into_iter().next() {
            Some(card) => return card,
            None => "the channel rendered no card".to_owned(),
        },
        Err(error) => {
            tracing::warn!(ticket = ticket.number.0, %error, "card not rendered");
            "the channel could not render this card".to_owned()
        }
    };
    Card { warnings: vec![Badge { label: warning, tone: Tone::Warning }], ..plain(ticket) }
}
