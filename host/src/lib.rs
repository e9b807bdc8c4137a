//! Tidegate: a conversation server whose every channel and provider is a sandboxed WebAssembly
//! component.
//!
//! The story of one message is told by the [`flow`]; everything else serves it.

pub use tidegate_domain as domain;

pub mod clock;
pub mod http;
pub mod store;
pub mod view;
