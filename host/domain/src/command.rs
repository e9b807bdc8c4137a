//! What plugins, programs and people ask for. Every surface asks in these words; `decide` answers.

use crate::exchange::{Attachment, Content, Party, Reaction, Thread, UnixMs};
use crate::id::{InboxId, MessageId, TicketNumber, UserId};
use crate::message::MessageState;
use crate::status::Category;
use crate::ticket::Priority;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, with name and e-mail address for the log.
    User {
        /// Its id.
        id: UserId,
        /// Shown to people.
        name: String,
        /// E-mail address.
        email: String,
    },
    /// A plugin, as `publisher/name`, on behalf of an inbox.
    Plugin {
        /// `publisher/name`.
        name: String,
    },
    /// The host.
    System,
}

/// A message that arrived, as the channel accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Where it arrived.
    pub inbox: InboxId,
    /// The provider's id: a second message with the same id changes nothing.
    pub external_id: String,
    /// Who wrote it.
    pub sender: Party,
    /// Where it stands among others.
    pub thread: Thread,
    /// Subject, where the provider has one.
    pub subject: Option<String>,
    /// The content.
    pub body: Content,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// When the sender sent it.
    pub sent_at: Option<UnixMs>,
    /// Values of the ticket's fields, by key.
    pub fields: BTreeMap<String, Value>,
}

/// Which message a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKey {
    /// The host's id.
    Id(MessageId),
    /// The provider's id, inside an inbox.
    External(InboxId, String),
}

/// Which ticket a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketKey {
    /// Its number.
    Number(TicketNumber),
    /// The last conversation of this thread in an inbox.
    Thread(InboxId, Thread),
    /// The ticket of a message, by the provider's id, in an inbox.
    Message(InboxId, String),
    /// The last conversation of the contact with this address in an inbox.
    Contact(InboxId, String),
}

/// A status as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusKey {
    /// By id.
    Id(i64),
    /// The default status of a category.
    Category(Category),
    /// By name, or by a category's word.
    Word(String),
}

/// What to change on a ticket; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketPatch {
    /// Its heading.
    pub subject: Option<String>,
    /// Where it stands.
    pub status: Option<StatusKey>,
    /// How urgent it is; `Some(None)` takes it away.
    pub priority: Option<Option<Priority>>,
    /// Who works it; `Some(None)` takes it away.
    pub assignee: Option<Option<AssigneeKey>>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// Tags to add.
    pub add_tags: Vec<String>,
    /// Tags to take away.
    pub remove_tags: Vec<String>,
    /// Values of fields by key; null takes one away.
    pub fields: BTreeMap<String, Value>,
}

/// A user as a command names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssigneeKey {
    /// By id.
    Id(UserId),
    /// By e-mail address.
    Email(String),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A message arrived.
    Receive(Receive),
    /// Open a ticket without a thread.
    CreateTask {
        /// Its heading.
        subject: String,
        /// What is to be done.
        body: Option<String>,
        /// How urgent it is.
        priority: Option<Priority>,
        /// Tags.
        tags: Vec<String>,
        /// Who works it.
        assignee: Option<AssigneeKey>,
    },
    /// Change a ticket.
    UpdateTicket {
        /// Which.
        ticket: TicketKey,
        /// How.
        patch: TicketPatch,
    },
    /// Answer a conversation.
    Reply {
        /// Which.
        ticket: TicketKey,
        /// With what.
        body: Content,
    },
    /// Write a note beside a ticket's messages.
    Note {
        /// Which.
        ticket: TicketKey,
        /// The note.
        text: String,
    },
    /// A message's content changed.
    EditMessage {
        /// Which.
        message: MessageKey,
        /// The new content.
        body: Content,
    },
    /// A message was deleted.
    DeleteMessage {
        /// Which.
        message: MessageKey,
    },
    /// A reaction was added or taken back.
    React {
        /// Where.
        inbox: InboxId,
        /// Which.
        reaction: Reaction,
    },
    /// A contact's details changed.
    UpdateContact {
        /// Where its address counts.
        inbox: InboxId,
        /// The details.
        party: Party,
    },
    /// A sent message came further, or did not.
    RecordState {
        /// Which.
        message: MessageKey,
        /// How far it is.
        state: MessageState,
        /// Why, for people.
        detail: Option<String>,
        /// The provider's id, when it is news.
        external_id: Option<String>,
        /// The thread that the send opened.
        thread_key: Option<String>,
        /// An operator decided or the host settled an ambiguous try: the order of states does not
        /// hold.
        settles: bool,
    },
}

impl Command {
    /// The command's name in errors and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Receive(_) => "receive",
            Self::CreateTask { .. } => "create-task",
            Self::UpdateTicket { .. } => "update-ticket",
            Self::Reply { .. } => "reply",
            Self::Note { .. } => "note",
            Self::EditMessage { .. } => "edit-message",
            Self::DeleteMessage { .. } => "delete-message",
            Self::React { .. } => "react",
            Self::UpdateContact { .. } => "update-contact",
            Self::RecordState { .. } => "record-state",
        }
    }
}
