//! Tickets: the units of work on the board.

use crate::contact::ContactRef;
use crate::exchange::{Thread, UnixMs};
use crate::id::{InboxId, StatusId, TicketNumber};
use crate::status::Category;
use crate::user::UserRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketKind {
    /// It has a thread of messages with a contact.
    Conversation,
    /// It has none.
    Task,
}

impl TicketKind {
    /// The kind's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Task => "task",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Conversation, Self::Task].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How urgent a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Now.
    Urgent,
    /// Soon.
    High,
    /// As usual.
    Medium,
    /// Whenever.
    Low,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::High, Self::Medium, Self::Low];

    /// The priority's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// The priority of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }
}

/// A ticket's status with what rules need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRef {
    /// Its id.
    pub id: StatusId,
    /// Shown to people.
    pub name: String,
    /// What it means to rules.
    pub category: Category,
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Counted per account; 0 until it is stored.
    pub number: TicketNumber,
    /// What it is.
    pub kind: TicketKind,
    /// Its heading.
    pub subject: String,
    /// What is to be done; only tasks have one.
    pub body: Option<String>,
    /// Where it stands.
    pub status: StatusRef,
    /// How urgent it is; `None` is "none".
    pub priority: Option<Priority>,
    /// Sorted, without doubles.
    pub tags: Vec<String>,
    /// Who works it.
    pub assignee: Option<UserRef>,
    /// Whom it is about; every conversation has one.
    pub contact: Option<ContactRef>,
    /// Where it arrived; every conversation has one.
    pub inbox: Option<InboxId>,
    /// The channel's key; every conversation has one.
    pub channel: Option<String>,
    /// Where it came from: `api`, or the channel's key.
    pub origin: String,
    /// The thread of the last incoming message. Its key names the conversation.
    pub thread: Thread,
    /// Values of fields by key, as JSON.
    pub fields: BTreeMap<String, Value>,
    /// Beginning of the last message, on one line.
    pub preview: String,
    /// Grows with every change.
    pub version: i64,
    /// When it was opened.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
    /// When the last message was written by either side; notes do not count.
    pub last_message_at: Option<UnixMs>,
    /// When the contact last wrote: where the reply window starts.
    pub last_incoming_at: Option<UnixMs>,
}

/// The tags as a ticket keeps them: trimmed, sorted, without doubles and empty ones.
pub fn tidy_tags(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let set: std::collections::BTreeSet<String> =
        tags.into_iter().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect();
    set.into_iter().collect()
}

/// The first words of a text on one line, at most `limits::PREVIEW_CHARS` characters.
pub fn preview_of(text: &str) -> String {
    let mut preview = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        let room = crate::limits::PREVIEW_CHARS - chars;
        let need = word.chars().count() + usize::from(chars > 0);
        if need > room {
            if chars == 0 {
                preview.extend(word.chars().take(room.saturating_sub(1)));
            }
            preview.push('…');
            return preview;
        }
        if chars > 0 {
            preview.push(' ');
        }
        preview.push_str(word);
        chars += need;
    }
    preview
}
