//! THE SANDBOX (wasmtime): components, what they say of themselves, and calls of them.
//!
//! One engine serves all. A component is compiled when it is installed; every call gets a fresh
//! instance on a thread of the guests' own, with a deadline, limits and nothing but what its
//! connection was granted. Versions of the plugin interface end at [`wit`]: everything outside
//! speaks the domain's words.

mod cache;
mod component;
mod definition;
mod engine;
mod error;
mod guest;
mod inspect;
mod output;
mod registry;
mod state;
pub mod wit;

pub use component::Release;
pub use definition::{SettingError, missing, secrets_of, settings_with_defaults};
pub use engine::{Limits, Sandbox, SandboxConfig, SandboxError, try_engine};
pub use error::CallError;
pub use guest::{Called, Ingested};
pub use inspect::{Inspection, Refusal, inspect};
pub use registry::{Connection, Inbox, Registry, Snapshot};

#[cfg(test)]
mod tests;
