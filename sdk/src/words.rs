//! The words that channels, integrations and the host share, with constructors that read well.

use crate::bindings::host::tidegate::plugin::{exchange, types};

pub use exchange::{
    Attempt, DeliveryChanged, Envelope, InboundEvent, MessageEdited, MessageReceived, Outgoing,
    ProviderEvent, Reaction, ReadUntil, Receipt, Typing,
};
pub use types::{
    Attachment, AttachmentSource, CapabilityRequest, Content, ContentKind, DeliveryState, Failure,
    HttpRequest, Json, Party, Recipient, Reply, Retry, Role, SettingsSection, Thread, UnixMs,
};

impl HttpRequest {
    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    /// A body of the given content type, without further headers.
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.to_owned(), headers: Vec::new(), body: body.into() }
    }

    /// Plain text in UTF-8.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::new("text/plain; charset=utf-8", body)
    }
}

impl Content {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: ContentKind::Text, text: text.into(), html: None, extra: None }
    }
}

impl Party {
    /// Somebody of whom only the address is known.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), name: None, email: None, phone: None, avatar_url: None }
    }
}

impl Recipient {
    /// Somebody whom a message is meant for.
    #[must_use]
    pub const fn to(party: Party) -> Self {
        Self { role: Role::To, party }
    }
}

#[allow(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Thread {
    /// No thread at all.
    fn default() -> Self {
        Self { key: None, in_reply_to: None, references: Vec::new(), context: None }
    }
}

impl Thread {
    /// The provider's own thread of this name.
    pub fn of(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }
}

impl SettingsSection {
    /// A section whose `schema` is a JSON Schema 2020-12 of type object.
    #[must_use]
    pub fn new(id: &str, label: &str, description: &str, schema: &str) -> Self {
        Self {
            id: id.to_owned(),
            label: label.to_owned(),
            description: description.to_owned(),
            order: 50,
            schema: schema.to_owned(),
        }
    }
}

impl CapabilityRequest {
    /// Requests to a host: a pattern, or `{setting}` for the host of that setting's URL.
    pub fn http(host: impl Into<String>, reason: &str) -> Self {
        Self::new("http", host.into(), reason)
    }

    /// A secret that is only compared with or MACed, and never sent anywhere.
    #[must_use]
    pub fn secret(name: &str, reason: &str) -> Self {
        Self::new("secret", name.to_owned(), reason)
    }

    /// A secret that may be sent to the hosts of this pattern (or `{setting}`).
    #[must_use]
    pub fn secret_for(name: &str, host: &str, reason: &str) -> Self {
        Self::new("secret", format!("{name}@{host}"), reason)
    }

    /// Scratch memory of so many bytes.
    #[must_use]
    pub fn kv(bytes: u64, reason: &str) -> Self {
        Self::new("kv", bytes.to_string(), reason)
    }

    /// Attachments of so many bytes.
    #[must_use]
    pub fn blobs(bytes: u64, reason: &str) -> Self {
        Self::new("blobs", bytes.to_string(), reason)
    }

    fn new(capability: &str, scope: String, reason: &str) -> Self {
        Self { capability: capability.to_owned(), scope, reason: reason.to_owned() }
    }
}

impl Failure {
    /// Try again on the host's schedule.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(Retry { reason: reason.into(), after_ms: None })
    }

    /// Try again, but not before so many milliseconds have passed.
    pub fn retry_after(reason: impl Into<String>, after_ms: u32) -> Self {
        Self::Retry(Retry { reason: reason.into(), after_ms: Some(after_ms) })
    }

    /// Never try this again.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }

    /// The provider refused the credentials.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::Unauthorized(reason.into())
    }

    /// It may have arrived. Only `send` may say this.
    pub fn ambiguous(reason: impl Into<String>) -> Self {
        Self::Ambiguous(reason.into())
    }
}

impl Receipt {
    /// The provider took it. `external_id` is its name for the message, if it gave one.
    #[must_use]
    pub const fn sent(external_id: Option<String>) -> Self {
        Self { external_id, thread_key: None, state: DeliveryState::Sent, extra: None }
    }
}
