//! What a component says of itself: who made it, what channel and integration it provides.

use crate::exchange::{Attachment, Typing, UnixMs};
use crate::exchange::{Content, DeliveryChanged, Party, Reaction, ReadUntil, Recipient, Thread};
use serde::{Deserialize, Serialize};

/// Who made a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The publisher's name.
    pub publisher: String,
    /// The plugin's name, unique inside the publisher.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// SPDX expression.
    pub license: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
}

/// One request for a capability, shown to the operator as a sentence before it is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityRequest {
    /// Which capability.
    pub capability: Capability,
    /// A host pattern, a secret's name with `@host`, or bytes; by capability.
    pub scope: String,
    /// Why, for the operator.
    pub reason: String,
}

/// The capabilities that need a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Outgoing HTTP to hosts.
    Http,
    /// Use of a secret by name.
    Secret,
    /// Scratch memory, in bytes.
    Kv,
    /// Attachment content, in bytes.
    Blobs,
}

/// One section of settings: a JSON Schema with its place on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsSection {
    /// Unique inside the definition.
    pub id: String,
    /// Heading.
    pub label: String,
    /// A sentence below the heading.
    pub description: String,
    /// Lower comes first.
    pub order: u32,
    /// JSON Schema 2020-12 as text.
    pub schema: String,
}

/// An integration: an external provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationDefinition {
    /// Unique on a host.
    pub key: String,
    /// Shown to people.
    pub label: String,
    /// Whole words that a channel may require.
    pub provides: Vec<String>,
    /// What the operator sets.
    pub settings: Vec<SettingsSection>,
    /// What it asks for.
    pub requests: Vec<CapabilityRequest>,
    /// The provider honours the idempotency key of an attempt.
    pub idempotent_send: bool,
    /// Keep a request that cannot be verified now, instead of answering 503.
    pub hold_unverified: bool,
    /// Largest request that the provider sends, in bytes.
    pub max_request_bytes: u32,
}

/// When a field rule applies. Nothing set means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// When the ticket is created.
    pub on_create: bool,
    /// When it is changed.
    pub on_update: bool,
    /// When a message is sent.
    pub on_send: bool,
    /// At every moment.
    pub always: bool,
}

/// What a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldGroup {
    /// The ticket.
    Ticket,
    /// The contact.
    Contact,
}

/// What values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A date, `YYYY-MM-DD`.
    Date,
    /// True or false.
    Boolean,
    /// One of the options.
    Select,
    /// Some of the options.
    Multiselect,
    /// A URL.
    Url,
    /// Any JSON.
    Json,
}

/// Who sets a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldSource {
    /// The integration.
    Integration,
    /// The operator's people.
    Operator,
    /// The host.
    System,
}

/// What applies to one field of a channel's tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldPolicy {
    /// The field's key.
    pub key: String,
    /// Shown to people.
    pub label: String,
    /// Ticket or contact.
    pub group: FieldGroup,
    /// What values it takes.
    pub field_type: FieldType,
    /// For select and multiselect.
    pub options: Vec<String>,
    /// When it must have a value.
    pub required: Moments,
    /// When it is shown.
    pub visible: Moments,
    /// When it cannot be changed.
    pub locked: Moments,
    /// Who sets it.
    pub source: FieldSource,
    /// Lower comes first on the card; `None` keeps it off the card.
    pub card_priority: Option<u8>,
}

/// What a channel can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Answer a conversation.
    pub reply: bool,
    /// Begin a conversation.
    pub start: bool,
    /// Change a sent message.
    pub edit: bool,
    /// Delete a sent message.
    pub delete: bool,
    /// React to a message.
    pub react: bool,
    /// Show that somebody is typing.
    pub typing: bool,
    /// Mark as read.
    pub read: bool,
    /// Send a template.
    pub template: bool,
    /// Send copies.
    pub cc: bool,
}

/// What happens when a customer answers a resolved ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReopenRule {
    /// The ticket is opened again.
    Reopen,
    /// A new ticket is opened.
    NewTicket,
    /// The message is added, the status stays.
    Keep,
}

/// How conversations of a channel work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behavior {
    /// What it can do.
    pub abilities: Abilities,
    /// What the contact's address is called.
    pub contact_address_label: String,
    /// Hours after the last incoming message in which a reply is still allowed.
    pub reply_window_hours: Option<u32>,
    /// What an answer to a resolved ticket does.
    pub reply_to_resolved: ReopenRule,
    /// Kinds of content it carries.
    pub content_kinds: Vec<String>,
    /// Longest text, in characters.
    pub max_text_chars: u32,
    /// Most files beside a message.
    pub max_attachments: u32,
    /// Largest file, in bytes.
    pub max_attachment_bytes: u64,
}

/// A channel: how conversations of one kind work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelDefinition {
    /// Unique on a host.
    pub key: String,
    /// Shown to people.
    pub label: String,
    /// How conversations work.
    pub behavior: Behavior,
    /// Rules of fields.
    pub fields: Vec<FieldPolicy>,
    /// Settings of an inbox.
    pub sections: Vec<SettingsSection>,
    /// What the bound integration must provide.
    pub requires: Vec<String>,
    /// Event types that `outbound` wants.
    pub events: Vec<String>,
}

impl ChannelDefinition {
    /// What the channel requires and the integration does not provide, as whole words.
    pub fn missing_from(&self, integration: &IntegrationDefinition) -> Vec<String> {
        self.requires.iter().filter(|need| !integration.provides.contains(need)).cloned().collect()
    }
}

/// What a card may know of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketView {
    /// The ticket's number.
    pub id: String,
    /// `conversation` or `task`.
    pub kind: String,
    /// Subject.
    pub subject: String,
    /// Beginning of the last message.
    pub preview: String,
    /// Where the ticket came from: `manual`, `api` or the channel's key.
    pub origin: String,
    /// Name of the status.
    pub status: String,
    /// Priority.
    pub priority: Option<String>,
    /// The contact.
    pub contact: Option<Party>,
    /// The contact's address in this inbox.
    pub contact_address: Option<String>,
    /// Field values as JSON text.
    pub fields: Vec<(String, String)>,
    /// When the last message was written.
    pub last_message_at: Option<UnixMs>,
}

/// Colour of a badge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Plain.
    Neutral,
    /// With an outline.
    Outline,
    /// Blue.
    Info,
    /// Green.
    Success,
    /// Yellow.
    Warning,
    /// Red.
    Danger,
    /// A tone that the host does not know; shown as neutral.
    Other(String),
}

/// A short word on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Badge {
    /// The word.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
}

/// A labelled value on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chip {
    /// The field that it shows, if one.
    pub field: Option<String>,
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
}

/// How a ticket looks on the board. Data, never markup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Badges.
    pub badges: Vec<Badge>,
    /// What is wrong.
    pub warnings: Vec<Badge>,
    /// Labelled values.
    pub chips: Vec<Chip>,
    /// A line of text.
    pub preview: Option<String>,
}

/// What a channel's change is about, in the provider's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A thread.
    Thread(Thread),
    /// A message's external id.
    Message(String),
    /// A contact's address.
    Contact(String),
}

/// Accept the message of the event; a `Some` overrides what arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// The contact's address.
    pub address: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// Content.
    pub body: Option<Content>,
    /// Thread.
    pub thread: Option<Thread>,
    /// Field values as JSON text.
    pub fields: Vec<(String, String)>,
}

/// What a channel asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take the message in.
    Accept(Acceptance),
    /// Send an automatic answer.
    Send(Content),
    /// Add a private note.
    Note(String),
    /// Change a message.
    Edit(Content),
    /// Delete a message.
    Delete,
    /// React.
    React(Reaction),
    /// Typing.
    Typing(Typing),
    /// Read.
    Read(ReadUntil),
    /// A sent message came further.
    Delivery(DeliveryChanged),
    /// A contact's details.
    Contact(Party),
    /// A field's key and its value as JSON text.
    SetField(String, String),
    /// A tag.
    AddTag(String),
    /// A tag.
    RemoveTag(String),
    /// A status's name or category.
    SetStatus(String),
    /// A priority.
    SetPriority(String),
    /// A user's e-mail address.
    Assign(String),
    /// A team.
    Transfer(String),
    /// A type and JSON text.
    Other(String, String),
}

/// One change and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelCommand {
    /// What it is about.
    pub on: Target,
    /// What to do.
    pub change: Change,
}

/// What a reply goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The ticket.
    pub ticket: TicketView,
    /// The contact's id in the inbox.
    pub source_id: String,
    /// The thread of the last incoming message.
    pub thread: Thread,
}

/// A message to hand to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// The message's id.
    pub id: String,
    /// Who wrote it.
    pub author: Party,
    /// To whom.
    pub recipients: Vec<Recipient>,
    /// Subject.
    pub subject: Option<String>,
    /// Content.
    pub body: Content,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// What a channel turns into parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundAction {
    /// A message.
    Message(OutboundMessage),
    /// A message's external id and its new content.
    Edited(String, Content),
    /// A message's external id.
    Deleted(String),
    /// A reaction.
    Reaction(Reaction),
    /// Typing started or stopped.
    Typing(bool),
    /// Read up to this external id.
    Read(String),
    /// A committed event: its type and its wire JSON.
    Event(String, String),
}

/// What the host stamps on a try of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptStamp {
    /// The same on every try of one part.
    pub idempotency_key: String,
    /// 1 for the first try.
    pub number: u32,
    /// An earlier try may have arrived.
    pub may_have_arrived: bool,
}

/// An entry of a list that only the provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What a setting or a message names it by.
    pub id: String,
    /// Shown to people.
    pub label: String,
    /// JSON text.
    pub extra: Option<String>,
}

/// A page of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoicePage {
    /// Its entries.
    pub items: Vec<Choice>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}
