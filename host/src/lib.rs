//! Tidegate: a conversation server whose every channel and provider is a sandboxed WebAssembly
//! component.
//!
//! The story of one message is told by the [`flow`]; everything else serves it.

pub use tidegate_domain as domain;

pub mod app;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod config;
pub mod flow;
pub mod http;
pub mod outgoing;
pub mod plugin;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod view;
pub mod worker;
