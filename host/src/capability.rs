//! What the host does for a guest: one file per host interface, each with its grant, its limits and
//! its denial.
//!
//! | interface | granted by | where it answers |
//! |---|---|---|
//! | [`log`] | nothing | everywhere |
//! | [`settings`] | nothing | everywhere except `describe`; a channel call sees the inbox's, an integration call the connection's |
//! | [`secrets`] | `secret`, per name | integration calls |
//! | [`http`] | `http`, per host | integration calls except `describe` and `verify` |
//! | [`kv`] | `kv`, bytes | everywhere except `describe`; read-only in `verify` and `render-cards` |
//! | [`blobs`] | `blobs`, bytes | everywhere except `describe`; nothing is created in `verify` and `render-cards` |
//!
//! Nothing here knows a version of the plugin interface or the WebAssembly runtime: the sandbox
//! (`plugin`) translates. Denial is an answer to the guest; a [`Fault`] ends the call.

pub mod blobs;
pub mod context;
pub mod grant;
pub mod host_pattern;
pub mod http;
pub mod kv;
pub mod log;
pub mod memory;
pub mod secrets;
pub mod settings;

use std::fmt;

/// The guest function that is running. It decides what the host does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Export {
    /// `identity.describe`
    IdentityDescribe,
    /// `channel.describe`
    ChannelDescribe,
    /// `channel.render-cards`
    RenderCards,
    /// `channel.inbound`
    Inbound,
    /// `channel.outbound`
    Outbound,
    /// `channel.delivery-event`
    DeliveryEvent,
    /// `integration.describe`
    IntegrationDescribe,
    /// `integration.verify`
    Verify,
    /// `integration.parse`
    Parse,
    /// `integration.send`
    Send,
    /// `integration.fetch`
    Fetch,
    /// `integration.check`
    Check,
    /// `lifecycle.connect`
    Connect,
    /// `lifecycle.disconnect`
    Disconnect,
    /// `schedule.tick`
    Tick,
    /// `choices.choices`
    Choices,
}

/// For whom an export speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A description: no connection, nothing granted.
    Neither,
    /// The channel: an inbox's settings and memory, no network, no secrets.
    Channel,
    /// The integration: the connection's settings, memory and secrets.
    Integration,
}

impl Export {
    /// For whom it speaks.
    pub const fn side(self) -> Side {
        match self {
            Self::IdentityDescribe | Self::ChannelDescribe | Self::IntegrationDescribe => {
                Side::Neither
            }
            Self::RenderCards | Self::Inbound | Self::Outbound | Self::DeliveryEvent => {
                Side::Channel
            }
            Self::Verify
            | Self::Parse
            | Self::Send
            | Self::Fetch
            | Self::Check
            | Self::Connect
            | Self::Disconnect
            | Self::Tick
            | Self::Choices => Side::Integration,
        }
    }

    /// Whether the call may use the network at all.
    pub const fn has_network(self) -> bool {
        matches!(self.side(), Side::Integration) && !matches!(self, Self::Verify)
    }

    /// Whether the call may leave something behind: kv writes, blobs.
    pub const fn may_write(self) -> bool {
        !matches!(self.side(), Side::Neither) && !matches!(self, Self::Verify | Self::RenderCards)
    }

    /// The name in the plugin interface, such as `integration.verify`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdentityDescribe => "identity.describe",
            Self::ChannelDescribe => "channel.describe",
            Self::RenderCards => "channel.render-cards",
            Self::Inbound => "channel.inbound",
            Self::Outbound => "channel.outbound",
            Self::DeliveryEvent => "channel.delivery-event",
            Self::IntegrationDescribe => "integration.describe",
            Self::Verify => "integration.verify",
            Self::Parse => "integration.parse",
            Self::Send => "integration.send",
            Self::Fetch => "integration.fetch",
            Self::Check => "integration.check",
            Self::Connect => "lifecycle.connect",
            Self::Disconnect => "lifecycle.disconnect",
            Self::Tick => "schedule.tick",
            Self::Choices => "choices.choices",
        }
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a guest may ask of the host in one call.
#[derive(Clone, Debug)]
pub struct HostLimits {
    /// Calls of host functions; one more ends the call.
    pub host_calls: u32,
    /// Log lines kept; later ones are counted and dropped.
    pub log_lines: usize,
    /// Bytes of log text kept, over all lines.
    pub log_bytes: usize,
    /// Bytes of one log line, its fields included.
    pub log_line_bytes: usize,
    /// kv writes; one more is `quota`.
    pub kv_writes: usize,
    /// Bytes of a kv key.
    pub kv_key_bytes: usize,
    /// Bytes of a kv value.
    pub kv_value_bytes: usize,
    /// HTTP requests; one more is `denied`.
    pub http_requests: u32,
    /// Bytes of a request body, blobs included.
    pub http_request_bytes: u64,
    /// Bytes of a response body that is handed to the guest.
    pub http_response_bytes: u64,
    /// Milliseconds of one HTTP request, when the guest names none; also the most it may name.
    pub http_timeout_ms: u64,
    /// Bytes of one `blobs.read`.
    pub blob_read_bytes: u32,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            host_calls: 10_000,
            log_lines: 100,
            log_bytes: 64 << 10,
            log_line_bytes: 4 << 10,
            kv_writes: 256,
            kv_key_bytes: 256,
            kv_value_bytes: 64 << 10,
            http_requests: 16,
            http_request_bytes: 32 << 20,
            http_response_bytes: 4 << 20,
            http_timeout_ms: 20_000,
            blob_read_bytes: 1 << 20,
        }
    }
}

/// The host cannot go on with this call. Unlike a denial the guest never sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest asks the host too often.
    #[error("more than {limit} calls of host functions")]
    HostCalls {
        /// The limit.
        limit: u32,
    },
    /// The host's memory did not answer.
    #[error("the host's memory: {0}")]
    Memory(#[from] memory::MemoryError),
    /// A task of the host ended without an answer; the server is stopping.
    #[error("the host is stopping")]
    Stopping,
}
