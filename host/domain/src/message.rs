//! Messages: utterances in a conversation, and the notes beside them.

use crate::exchange::{Content, DeliveryState, UnixMs};
use crate::id::{ContactId, MessageId, TicketNumber, UserId};
use serde::{Deserialize, Serialize};

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the contact.
    Incoming,
    /// From the desk; private ones are notes.
    Outgoing,
}

impl Direction {
    /// The direction's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }

    /// The direction of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Incoming, Self::Outgoing].into_iter().find(|way| way.as_str() == word)
    }
}

/// How far a message, or one of its parts, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It arrived, or it is a note.
    Received,
    /// It waits to be handed to the provider.
    Pending,
    /// The provider has it and has not sent it yet.
    Queued,
    /// The provider sent it.
    Sent,
    /// It reached the recipient.
    Delivered,
    /// The recipient read it.
    Read,
    /// The recipient complained.
    Complained,
    /// It came back.
    Bounced,
    /// It will not be sent.
    Failed,
    /// The request left and no answer came: an operator decides.
    Ambiguous,
}

impl MessageState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Received,
        Self::Pending,
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Complained,
        Self::Bounced,
        Self::Failed,
        Self::Ambiguous,
    ];

    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Complained => "complained",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// How bad a part's state is for its message: a message is in the worst state of its parts.
    const fn badness(self) -> u8 {
        match self {
            Self::Received | Self::Read => 0,
            Self::Delivered => 1,
            Self::Sent => 2,
            Self::Queued => 3,
            Self::Complained => 4,
            Self::Pending => 5,
            Self::Ambiguous => 6,
            Self::Bounced => 7,
            Self::Failed => 8,
        }
    }

    /// The worst of these states; `None` without any.
    pub fn worst(states: impl IntoIterator<Item = Self>) -> Option<Self> {
        states.into_iter().max_by_key(|state| state.badness())
    }

    /// How far along a state is, for states that only move forward.
    const fn rank(self) -> u8 {
        match self {
            Self::Received => 0,
            Self::Pending => 1,
            Self::Ambiguous => 2,
            Self::Queued => 3,
            Self::Sent => 4,
            Self::Delivered => 5,
            Self::Read => 6,
            Self::Bounced | Self::Failed => 7,
            Self::Complained => 8,
        }
    }

    /// Whether news of `next` changes this state: states only move forward, `bounced` and `failed`
    /// also late, `complained` after any.
    pub const fn gives_way_to(self, next: Self) -> bool {
        next.rank() > self.rank()
    }

    /// The state that a provider's word means; `None` for words that only the provider knows.
    pub const fn from_delivery(state: &DeliveryState) -> Option<Self> {
        match state {
            DeliveryState::Queued => Some(Self::Queued),
            DeliveryState::Sent => Some(Self::Sent),
            DeliveryState::Delivered => Some(Self::Delivered),
            DeliveryState::Read => Some(Self::Read),
            DeliveryState::Bounced => Some(Self::Bounced),
            DeliveryState::Complained => Some(Self::Complained),
            DeliveryState::Failed => Some(Self::Failed),
            DeliveryState::Other(_) => None,
        }
    }
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A contact.
    Contact(ContactId),
    /// A user.
    User(UserId),
    /// A plugin, as `publisher/name`.
    Plugin(String),
    /// The host.
    System,
}

/// One person's reaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionMark {
    /// The emoji, or the provider's name of it.
    pub emoji: String,
    /// Address of the person, or empty when the provider does not say.
    pub by: String,
}

/// A file beside a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttachment {
    /// File name.
    pub name: String,
    /// Media type as the provider states it.
    pub content_type: String,
    /// Size in bytes, when known.
    pub byte_size: Option<u64>,
    /// Where the bytes are.
    pub source: crate::exchange::AttachmentSource,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id; 0 until it is stored.
    pub id: MessageId,
    /// The ticket that it belongs to.
    pub ticket: TicketNumber,
    /// Which way it went.
    pub direction: Direction,
    /// A note, never handed to a provider.
    pub private: bool,
    /// Its content.
    pub body: Content,
    /// Who wrote it.
    pub author: Author,
    /// The author's name at that time.
    pub author_name: String,
    /// The provider's id.
    pub external_id: Option<String>,
    /// How far it has come.
    pub state: MessageState,
    /// Why, for people.
    pub state_detail: Option<String>,
    /// Reactions, in the order of arrival.
    pub reactions: Vec<ReactionMark>,
    /// When the sender sent it.
    pub sent_at: Option<UnixMs>,
    /// When it was stored.
    pub created_at: UnixMs,
    /// When its content last changed.
    pub edited_at: Option<UnixMs>,
    /// When it was deleted; its content is empty then.
    pub deleted_at: Option<UnixMs>,
}
