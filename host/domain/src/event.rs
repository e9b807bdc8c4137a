//! Events: committed facts. They follow from comparing the state before with the state after, so
//! that no command can forget one.

use crate::command::Actor;
use crate::contact::Contact;
use crate::decide::{Change, Changed};
use crate::exchange::UnixMs;
use crate::id::AccountId;
use crate::message::{Message, ReactionMark};
use crate::ticket::Ticket;

/// What happened. The words are the wire names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A ticket was opened.
    TicketCreated,
    /// A ticket changed; the more specific events come with it.
    TicketUpdated,
    /// Its status changed.
    TicketStatusChanged,
    /// Its priority changed.
    TicketPriorityChanged,
    /// Its assignee changed.
    TicketAssigned,
    /// Its tags changed.
    TicketTagUpdated,
    /// A message was added.
    CommentAdded,
    /// A message's content or state changed.
    CommentUpdated,
    /// A message was deleted.
    CommentDeleted,
    /// A reaction was added.
    ReactionAdded,
    /// A reaction was taken back.
    ReactionRemoved,
    /// A contact was seen for the first time.
    ContactCreated,
    /// A contact's details changed.
    ContactUpdated,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::TicketCreated,
        Self::TicketUpdated,
        Self::TicketStatusChanged,
        Self::TicketPriorityChanged,
        Self::TicketAssigned,
        Self::TicketTagUpdated,
        Self::CommentAdded,
        Self::CommentUpdated,
        Self::CommentDeleted,
        Self::ReactionAdded,
        Self::ReactionRemoved,
        Self::ContactCreated,
        Self::ContactUpdated,
    ];

    /// The event type on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TicketCreated => "ticket:created",
            Self::TicketUpdated => "ticket:updated",
            Self::TicketStatusChanged => "ticket:status:changed",
            Self::TicketPriorityChanged => "ticket:priority:changed",
            Self::TicketAssigned => "ticket:assigned",
            Self::TicketTagUpdated => "ticket:tag:updated",
            Self::CommentAdded => "ticket:comment:added",
            Self::CommentUpdated => "ticket:comment:updated",
            Self::CommentDeleted => "ticket:comment:deleted",
            Self::ReactionAdded => "ticket:comment:reaction:added",
            Self::ReactionRemoved => "ticket:comment:reaction:removed",
            Self::ContactCreated => "contact:created",
            Self::ContactUpdated => "contact:updated",
        }
    }
}

/// A fact on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub account: AccountId,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: UnixMs,
    /// Who asked for it.
    pub actor: Actor,
    /// About what.
    pub subject: Subject,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A ticket, as it is and as it was.
    Ticket {
        /// As it is.
        ticket: Box<Ticket>,
        /// As it was, for changes.
        previous: Option<Box<Ticket>>,
    },
    /// A message of a ticket.
    Comment {
        /// The ticket.
        ticket: Box<Ticket>,
        /// The message as it is.
        message: Box<Message>,
        /// The message as it was, for changes.
        previous: Option<Box<Message>>,
        /// The reaction, for reactions.
        reaction: Option<ReactionMark>,
    },
    /// A contact.
    Contact {
        /// As it is.
        contact: Contact,
        /// As it was, for changes.
        previous: Option<Contact>,
    },
}

/// The events of a change, in the order in which they happened.
pub fn events_of(account: AccountId, at: UnixMs, actor: &Actor, change: &Change) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |kind, subject| {
        events.push(Event { account, kind, at, actor: actor.clone(), subject });
    };
    if let Some(Changed { before, after }) = &change.contact {
        let kind =
            if before.is_none() { EventKind::ContactCreated } else { EventKind::ContactUpdated };
        push(kind, Subject::Contact { contact: after.clone(), previous: before.clone() });
    }
    if let Some(changed) = &change.ticket {
        for kind in ticket_kinds(changed) {
            push(
                kind,
                Subject::Ticket {
                    ticket: Box::new(changed.after.clone()),
                    previous: changed.before.clone().map(Box::new),
                },
            );
        }
        if let Some(message) = &change.message {
            for (kind, reaction) in comment_kinds(message) {
                push(
                    kind,
                    Subject::Comment {
                        ticket: Box::new(changed.after.clone()),
                        message: Box::new(message.after.clone()),
                        previous: message.before.clone().map(Box::new),
                        reaction,
                    },
                );
            }
        }
    }
    events
}

/// What of a ticket people set, and whose change is therefore news. A new message moves preview,
/// thread and times as well; that is told by the comment's own event.
fn ticket_kinds(Changed { before, after }: &Changed<Ticket>) -> Vec<EventKind> {
    let Some(before) = before else {
        return vec![EventKind::TicketCreated];
    };
    let mut kinds = Vec::new();
    if before.status.id != after.status.id {
        kinds.push(EventKind::TicketStatusChanged);
    }
    if before.priority != after.priority {
        kinds.push(EventKind::TicketPriorityChanged);
    }
    if before.assignee.as_ref().map(|user| user.id) != after.assignee.as_ref().map(|user| user.id) {
        kinds.push(EventKind::TicketAssigned);
    }
    if before.tags != after.tags {
        kinds.push(EventKind::TicketTagUpdated);
    }
    if !kinds.is_empty() || before.subject != after.subject || before.fields != after.fields {
        kinds.insert(0, EventKind::TicketUpdated);
    }
    kinds
}

fn comment_kinds(
    Changed { before, after }: &Changed<Message>,
) -> Vec<(EventKind, Option<ReactionMark>)> {
    let Some(before) = before else {
        return vec![(EventKind::CommentAdded, None)];
    };
    if before.deleted_at.is_none() && after.deleted_at.is_some() {
        return vec![(EventKind::CommentDeleted, None)];
    }
    let added = after.reactions.iter().filter(|mark| !before.reactions.contains(mark));
    let removed = before.reactions.iter().filter(|mark| !after.reactions.contains(mark));
    let mut kinds: Vec<_> = added
        .map(|mark| (EventKind::ReactionAdded, Some(mark.clone())))
        .chain(removed.map(|mark| (EventKind::ReactionRemoved, Some(mark.clone()))))
        .collect();
    let body = before.body != after.body;
    let state = before.state != after.state || before.state_detail != after.state_detail;
    if body || state || before.external_id != after.external_id {
        kinds.push((EventKind::CommentUpdated, None));
    }
    kinds
}
