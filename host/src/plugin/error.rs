//! Why a call of a guest did not come to an answer.

use super::wit::v0_1::convert::Unusable;
use crate::capability::{Export, Fault, log};
use wasmtime::{PoolConcurrencyLimitError, Trap};

/// Longest detail of an error, in bytes.
const DETAIL_BYTES: usize = 400;

/// The guest ran longer than its export may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest has used up its time")]
pub(super) struct OutOfTime;

/// Why a call of a guest did not come to an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No active release provides what is called.
    #[error("no active plugin serves {0}")]
    NoRelease(String),
    /// The component does not export it.
    #[error("{plugin} does not export {export}")]
    NotExported {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
    },
    /// The guest trapped.
    #[error("{plugin} trapped in {export}: {detail}")]
    Trap {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// The trap.
        detail: String,
    },
    /// The guest used up its time.
    #[error("{plugin} ran out of time in {export} after {limit_ms} ms")]
    Deadline {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// Its limit.
        limit_ms: u64,
    },
    /// The guest asked for more memory than it may have.
    #[error("{plugin} ran out of memory in {export}: {detail}")]
    Memory {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// What it asked for.
        detail: String,
    },
    /// The guest handed over more than the host takes.
    #[error("{plugin} returned too much from {export}")]
    TooMuch {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
    },
    /// The guest returned something that cannot be used.
    #[error("{plugin} returned something unusable from {export}: {detail}")]
    Unusable {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// What was expected and what was found.
        detail: String,
    },
    /// Too many calls are under way.
    #[error("{plugin} is busy: no room for {export} within {waited_ms} ms")]
    Busy {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// How long it waited.
        waited_ms: u64,
    },
    /// The host could not go on.
    #[error("the host could not carry out {export} of {plugin}: {detail}")]
    Host {
        /// `publisher/name`.
        plugin: String,
        /// What was called.
        export: &'static str,
        /// Why.
        detail: String,
    },
}

impl CallError {
    /// Whether the guest is to blame.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Trap { .. }
            | Self::Deadline { .. }
            | Self::Memory { .. }
            | Self::TooMuch { .. }
            | Self::Unusable { .. } => true,
            Self::NoRelease(_)
            | Self::NotExported { .. }
            | Self::Busy { .. }
            | Self::Host { .. } => false,
        }
    }

    /// Whether there was no room for the call.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    pub(super) fn unusable(plugin: &str, export: Export, unusable: &Unusable) -> Self {
        let detail = log::escape(&unusable.to_string(), DETAIL_BYTES);
        Self::Unusable { plugin: plugin.to_owned(), export: export.name(), detail }
    }

    /// What an error of the runtime means; `said` is what the guest wrote before it.
    pub(super) fn of(
        plugin: &str,
        export: Export,
        limit_ms: u64,
        error: &wasmtime::Error,
        said: &str,
    ) -> Self {
        let (plugin, export) = (plugin.to_owned(), export.name());
        if error.downcast_ref::<OutOfTime>().is_some() {
            return Self::Deadline { plugin, export, limit_ms };
        }
        match error.downcast_ref::<Fault>() {
            None => {}
            Some(fault @ Fault::HostCalls { .. }) => {
                return Self::Trap { plugin, export, detail: fault.to_string() };
            }
            Some(fault @ (Fault::Memory(_) | Fault::Stopping)) => {
                return Self::Host { plugin, export, detail: fault.to_string() };
            }
        }
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Self::Host {
                plugin,
                export,
                detail: "no room for another instance".to_owned(),
            };
        }
        // The causes without the backtrace, whose names the guest chooses.
        let told: Vec<String> = error.chain().map(ToString::to_string).collect();
        let detail = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => told.last().cloned().unwrap_or_default(),
        };
        let detail = log::escape(&detail, DETAIL_BYTES);
        let any = |words: &str| told.iter().any(|cause| cause.contains(words));
        if any("forcing trap when growing") || any("memory minimum size") {
            return Self::Memory { plugin, export, detail };
        }
        if any("fuel allocated for hostcalls has been exhausted") {
            return Self::TooMuch { plugin, export };
        }
        let detail = match said {
            "" => detail,
            said => log::escape(&format!("{detail}; it wrote: {said}"), DETAIL_BYTES),
        };
        Self::Trap { plugin, export, detail }
    }
}
