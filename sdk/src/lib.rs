//! x
mod backend;
pub mod bindings;
pub mod blobs;
pub mod channel;
pub mod choices;
#[doc(hidden)]
pub mod export;
pub mod http;
mod identity;
pub mod integration;
pub mod json;
pub mod kv;
mod lifecycle;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod native;
pub mod schedule;
pub mod secrets;
pub mod settings;
pub mod verify;
mod words;

pub use channel::Channel;
pub use choices::Choices;
pub use identity::{Identify, Identity};
pub use integration::{Integration, Verdict};
pub use lifecycle::Lifecycle;
pub use schedule::Schedule;
pub use verify::{Refused, Verified};
pub use words::{
    Attachment, AttachmentSource, Attempt, CapabilityRequest, Content, ContentKind,
    DeliveryChanged, DeliveryState, Envelope, Failure, HttpRequest, InboundEvent, Json,
    MessageEdited, MessageReceived, Outgoing, Party, ProviderEvent, Reaction, ReadUntil, Receipt,
    Recipient, Reply, Retry, Role, SettingsSection, Thread, Typing, UnixMs,
};
