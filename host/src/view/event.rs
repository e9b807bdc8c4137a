//! Events: their envelope, and the form in which they are stored.

use super::contact::ContactView;
use super::message::{MessageView, ReactionView};
use super::ticket::TicketView;
use super::time;
use crate::clock;
use crate::domain::command::Actor;
use crate::domain::event::{Event, Subject};
use crate::store::StoreError;
use crate::store::event::{PendingEvent, StoredEvent};
use serde::Serialize;
use serde_json::Value;

/// An event as subscribers see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    event_id: String,
    event_type: String,
    timestamp: String,
    org_id: String,
    actor: Value,
    payload: Value,
    metadata: Metadata,
}

#[derive(Debug, Serialize)]
struct Metadata {
    /// Its position in the account's log.
    number: i64,
}

impl TryFrom<StoredEvent> for EventView {
    type Error = StoreError;

    fn try_from(event: StoredEvent) -> Result<Self, StoreError> {
        let read = |column: &'static str, text: &str| {
            serde_json::from_str(text)
                .map_err(|error| StoreError::corrupt("event", column, event.number, error))
        };
        Ok(Self {
            actor: read("actor", &event.actor)?,
            payload: read("payload", &event.payload)?,
            event_id: event.id,
            event_type: event.kind,
            timestamp: time(event.at),
            org_id: event.account.to_string(),
            metadata: Metadata { number: event.number.0 },
        })
    }
}

#[derive(Debug, Serialize)]
struct ActorView<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Option<String>,
    email: Option<&'a str>,
}

impl<'a> From<&'a Actor> for ActorView<'a> {
    fn from(actor: &'a Actor) -> Self {
        match actor {
            Actor::User { id, email, .. } => {
                Self { kind: "USER", id: Some(id.to_string()), email: Some(email) }
            }
            Actor::Plugin { name } => Self { kind: "PLUGIN", id: Some(name.clone()), email: None },
            Actor::System => Self { kind: "SYSTEM", id: None, email: None },
        }
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<TicketView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_ticket: Option<TicketView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<MessageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_comment: Option<MessageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction: Option<ReactionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<ContactView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_contact: Option<ContactView>,
}

impl From<&Subject> for Payload {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Ticket { ticket, previous } => Self {
                ticket: Some((&**ticket).into()),
                previous_ticket: previous.as_deref().map(TicketView::from),
                ..Self::default()
            },
            Subject::Comment { ticket, message, previous, reaction } => Self {
                ticket: Some((&**ticket).into()),
                comment: Some((&**message).into()),
                previous_comment: previous.as_deref().map(MessageView::from),
                reaction: reaction.as_ref().map(ReactionView::from),
                ..Self::default()
            },
            Subject::Contact { contact, previous } => Self {
                contact: Some(contact.into()),
                previous_contact: previous.as_ref().map(ContactView::from),
                ..Self::default()
            },
        }
    }
}

/// A domain event as it goes into the log, under a new id.
///
/// # Errors
/// It cannot be written as JSON.
pub fn pending(event: &Event) -> Result<PendingEvent, StoreError> {
    Ok(PendingEvent {
        account: event.account,
        id: format!("evt-{}", clock::new_id()),
        kind: event.kind.as_str(),
        at: event.at,
        actor: written("actor", &ActorView::from(&event.actor))?,
        payload: written("payload", &Payload::from(&event.subject))?,
    })
}

fn written(column: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::corrupt("event", column, "new", error))
}

#[cfg(test)]
mod tests {
    use super::{EventView, pending};
    use crate::domain::command::Actor;
    use crate::domain::contact::Contact;
    use crate::domain::event::{Event, EventKind, Subject};
    use crate::domain::exchange::UnixMs;
    use crate::domain::id::{AccountId, ContactId, EventNumber, UserId};
    use crate::store::event::StoredEvent;
    use serde_json::json;

    #[test]
    fn an_event_keeps_its_shape_through_the_log() {
        let contact = Contact {
            id: ContactId(7),
            name: "Ada".to_owned(),
            email: None,
            phone: None,
            avatar_url: None,
            created_at: UnixMs(0),
            updated_at: UnixMs(1),
        };
        let event = Event {
            account: AccountId(1),
            kind: EventKind::ContactCreated,
            at: UnixMs(1_500),
            actor: Actor::User {
                id: UserId(3),
                name: "Ben".to_owned(),
                email: "ben@example.com".to_owned(),
            },
            subject: Subject::Contact { contact, previous: None },
        };
        let pending = pending(&event).unwrap();
        let stored = StoredEvent {
            account: pending.account,
            number: EventNumber(17),
            id: pending.id.clone(),
            kind: pending.kind.to_owned(),
            at: pending.at,
            actor: pending.actor,
            payload: pending.payload,
        };
        let shown = serde_json::to_value(EventView::try_from(stored).unwrap()).unwrap();
        assert_eq!(
            shown,
            json!({
                "eventId": pending.id,
                "eventType": "contact:created",
                "timestamp": "1970-01-01T00:00:01.500Z",
                "orgId": "1",
                "actor": {"type": "USER", "id": "3", "email": "ben@example.com"},
                "payload": {"contact": {
                    "id": 7, "name": "Ada", "email": null, "phone": null, "avatar_url": null,
                    "created_at": "1970-01-01T00:00:00.000Z",
                    "updated_at": "1970-01-01T00:00:00.001Z",
                }},
                "metadata": {"number": 17},
            })
        );
        assert!(pending.id.starts_with("evt-"));
    }
}
