//! What passes between integrations, channels and the host, in the host's own words.
//!
//! The shapes follow the plugin interface (`wit/`), one conversion per interface version. They are
//! also stored as JSON (parts of a delivery, threads), hence the serde derives; the wire shapes of
//! the APIs are not here.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// This moment, `ms` milliseconds later.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// A person or mailbox as the provider names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Stable address in the provider's own form.
    pub address: String,
    /// The name shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A picture of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// How a recipient is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Addressed directly.
    To,
    /// In copy.
    Cc,
    /// In blind copy.
    Bcc,
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// How the party is addressed.
    pub role: Role,
    /// Who.
    pub party: Party,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentSource {
    /// A blob that the host holds.
    Blob(String),
    /// The integration's own reference, fetched later.
    Remote(String),
}

/// A file beside a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// File name, made safe.
    pub name: String,
    /// Media type as the provider states it.
    pub content_type: String,
    /// Where the bytes are.
    pub source: AttachmentSource,
    /// Size in bytes, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_size: Option<u64>,
}

/// What kind of content a message has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// Plain text.
    #[default]
    Text,
    /// HTML with plain text beside it.
    Html,
    /// Markdown.
    Markdown,
    /// A form.
    Form,
    /// A choice.
    Options,
    /// A provider's template.
    Template,
    /// A place.
    Location,
    /// A sticker.
    Sticker,
    /// A kind that only the channel knows.
    Other(String),
}

/// The content of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What kind it is.
    #[serde(default)]
    pub kind: ContentKind,
    /// Plain text, always present.
    pub text: String,
    /// HTML beside the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// JSON text whose shape depends on the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
}

impl Content {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// Where a message stands among others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The provider's own thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// External id of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// External ids of the conversation, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// JSON text, opaque to the host, handed back with replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How far a sent message has come. Forward only: queued < sent < delivered < read; `bounced` and
/// `failed` end it, also late; `complained` may follow any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The provider has it and has not sent it yet.
    Queued,
    /// The provider sent it.
    Sent,
    /// It reached the recipient's device or mailbox.
    Delivered,
    /// The recipient read it.
    Read,
    /// It came back.
    Bounced,
    /// The recipient complained.
    Complained,
    /// It will not arrive.
    Failed,
    /// A state that only the provider knows.
    Other(String),
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageReceived {
    /// The provider's id: a second message with the same id changes nothing.
    pub external_id: String,
    /// Who wrote it.
    pub sender: Party,
    /// To whom.
    pub recipients: Vec<Recipient>,
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
    /// JSON text for the channel.
    pub extra: Option<String>,
}

/// A message's content changed at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEdited {
    /// The provider's id of the message.
    pub external_id: String,
    /// The new content.
    pub body: Content,
}

/// Somebody reacted to a message, or took it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The provider's id of the message.
    pub external_id: String,
    /// Who, when known.
    pub sender: Option<Party>,
    /// The emoji, or the provider's name of it.
    pub emoji: String,
    /// False when it was taken back.
    pub added: bool,
}

/// Somebody started or stopped typing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Who, when known.
    pub sender: Option<Party>,
    /// Where.
    pub thread: Thread,
    /// True when typing started.
    pub on: bool,
}

/// Somebody read up to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadUntil {
    /// The provider's id of the last message read.
    pub external_id: String,
    /// Where.
    pub thread: Thread,
    /// When, if known.
    pub at: Option<UnixMs>,
}

/// A sent message came further, or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryChanged {
    /// The provider's id of the message.
    pub external_id: String,
    /// How far it came.
    pub state: DeliveryState,
    /// Why, for people.
    pub detail: Option<String>,
    /// When, if known.
    pub at: Option<UnixMs>,
}

/// What an integration found in a request, for the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundEvent {
    /// A message arrived.
    Message(MessageReceived),
    /// A message was edited.
    Edited(MessageEdited),
    /// A message was deleted; its external id.
    Deleted(String),
    /// A reaction.
    Reaction(Reaction),
    /// Typing.
    Typing(Typing),
    /// Read.
    Read(ReadUntil),
    /// A contact's details changed.
    Contact(Party),
    /// A type and JSON text, for a channel that knows the integration.
    Other(String, String),
}

/// One finding of `parse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderEvent {
    /// Something for the channel.
    Inbound(InboundEvent),
    /// News of a message that was sent.
    Delivery(DeliveryChanged),
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// To whom.
    pub recipients: Vec<Recipient>,
    /// Where it belongs.
    pub thread: Thread,
    /// Subject, where the provider has one.
    pub subject: Option<String>,
    /// The content.
    pub body: Content,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// JSON text for the integration.
    pub extra: Option<String>,
}

/// One part: one call of `send`, with its own receipt, attempts and state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outgoing {
    /// A new message.
    Message(Envelope),
    /// A change of a sent message.
    Edit(MessageEdited),
    /// The deletion of a sent message; its external id.
    Delete(String),
    /// A reaction.
    Reaction(Reaction),
    /// Typing.
    Typing(Typing),
    /// Read.
    Read(ReadUntil),
    /// A type and JSON text.
    Other(String, String),
}

/// What the provider answered to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's id: later delivery events name it.
    pub external_id: Option<String>,
    /// The thread that this send opened, when it opened one.
    pub thread_key: Option<String>,
    /// How far it is.
    pub state: DeliveryState,
    /// JSON text.
    pub extra: Option<String>,
}

/// Why a call of a guest did not succeed, and what the host should do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again, not before `after_ms`.
    Retry {
        /// Why, for people.
        reason: String,
        /// Not before this many milliseconds; `None` leaves it to the host's schedule.
        after_ms: Option<u32>,
    },
    /// Never try this again.
    Permanent(String),
    /// Credentials refused.
    Unauthorized(String),
    /// Only from `send`: it may have arrived.
    Ambiguous(String),
    /// A case that only the plugin knows: its name and JSON text. Treated as permanent.
    Other(String, String),
}

/// One HTTP request exactly as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The external URL as the sender saw it.
    pub url: String,
    /// The part of the path after the connection's mount point, without the slash; else empty.
    pub path: String,
    /// Lower-case names in arrival order, repeated names repeated.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it arrived: the only "now" of a verification.
    pub received_at: UnixMs,
}

/// A body for a genuine caller; the host sets the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Media type of the body.
    pub content_type: String,
    /// A few headers, from the host's allow-list.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What `verify` says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Genuine: stored durably, then answered.
    Accepted {
        /// A body that the caller expects.
        reply: Option<Reply>,
        /// A token that must not come twice.
        request_id: Option<String>,
        /// The lane; `None`: the whole connection is one.
        lane: Option<String>,
    },
    /// Genuine, and a handshake: answered, nothing stored.
    Answered(Reply),
    /// Not genuine, and why.
    Refused(String),
}
