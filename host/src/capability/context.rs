//! What one guest call has: for whom it runs, what it may use, and what it leaves behind.

use super::grant::Grants;
use super::log::Journal;
use super::memory::{KvOwner, KvScope, KvWrite, Memory, MemoryError};
use super::secrets::{SecretText, SecretWrite, Secrets};
use super::settings::Settings;
use super::{Export, Fault, HostLimits, Side};
use crate::outgoing;
use std::sync::Arc;
use tidegate_domain::exchange::UnixMs;
use tidegate_domain::id::{AccountId, ConnectionId, InboxId};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// What a connection lets guests use. Immutable: a change makes a new one.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The connection.
    pub connection: ConnectionId,
    /// The connection's settings, defaults filled in.
    pub settings: Settings,
    /// The connection's secrets by name.
    pub secrets: Secrets,
    /// What the operator granted.
    pub grants: Grants,
}

/// The inbox that a channel call is for.
#[derive(Clone, Debug)]
pub struct InboxView {
    /// The inbox.
    pub id: InboxId,
    /// Its settings, defaults filled in.
    pub settings: Settings,
}

/// What the host brings to every call.
pub struct Services {
    /// The store.
    pub memory: Arc<dyn Memory>,
    /// The outgoing HTTP client.
    pub client: outgoing::Client,
    /// The host's own threads: input and output happen there, not on a guest's.
    pub host: Handle,
    /// How much a guest may ask for in one call.
    pub limits: HostLimits,
}

/// Names a plugin in logs and errors: `publisher/name`.
pub type PluginName = Arc<str>;

/// One guest call, as the capabilities see it.
pub struct CallContext {
    pub(crate) plugin: PluginName,
    pub(super) export: Export,
    pub(super) services: Arc<Services>,
    pub(super) allowance: Option<Arc<Allowance>>,
    pub(super) inbox: Option<Arc<InboxView>>,
    /// In `verify` the only now is the request's arrival.
    pub(crate) received_at: Option<UnixMs>,
    pub(crate) journal: Journal,
    pub(super) kv: Vec<KvWrite>,
    pub(super) captured: Vec<SecretWrite>,
    pub(super) host_calls: u32,
    pub(super) http_requests: u32,
    pub(super) blob_bytes: u64,
    /// What a scope had in use when the call first wrote to it.
    pub(super) kv_used: Option<(KvScope, u64)>,
}

/// What a call leaves behind, for the caller to commit with its outcome.
#[derive(Debug, Default)]
pub struct Leavings {
    /// kv writes in order.
    pub kv: Vec<KvWrite>,
    /// Secrets captured from responses.
    pub secrets: Vec<SecretWrite>,
    /// Log lines.
    pub logs: Vec<super::log::LogLine>,
}

impl CallContext {
    /// A call with nothing granted.
    pub fn bare(plugin: PluginName, export: Export, services: Arc<Services>) -> Self {
        let journal = Journal::new(&services.limits);
        Self {
            plugin,
            export,
            services,
            allowance: None,
            inbox: None,
            received_at: None,
            journal,
            kv: Vec::new(),
            captured: Vec::new(),
            host_calls: 0,
            http_requests: 0,
            blob_bytes: 0,
            kv_used: None,
        }
    }

    /// The same call under a connection's allowance.
    pub fn with_allowance(mut self, allowance: Arc<Allowance>) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// The same call for an inbox.
    pub fn with_inbox(mut self, inbox: Arc<InboxView>) -> Self {
        self.inbox = Some(inbox);
        self
    }

    /// The same call at a stated time.
    pub fn received_at(mut self, at: UnixMs) -> Self {
        self.received_at = Some(at);
        self
    }

    /// The export that is running.
    pub fn export(&self) -> Export {
        self.export
    }

    /// Goes on with the next export in the same instance.
    pub fn enter(&mut self, export: Export) {
        self.export = export;
    }

    /// Counts a call of a host function.
    ///
    /// # Errors
    /// The guest has used up its host calls.
    pub fn charge(&mut self) -> Result<(), Fault> {
        self.host_calls += 1;
        let limit = self.services.limits.host_calls;
        if self.host_calls > limit { Err(Fault::HostCalls { limit }) } else { Ok(()) }
    }

    /// A mark to come back to with [`CallContext::forget_since`].
    pub fn mark(&self) -> Mark {
        Mark { kv: self.kv.len() }
    }

    /// Takes back the kv writes since `mark`: what fails leaves nothing. Captured secrets stay,
    /// because the provider has already replaced the old ones.
    pub fn forget_since(&mut self, mark: Mark) {
        self.kv.truncate(mark.kv);
    }

    /// What the call leaves behind.
    pub fn finish(self) -> Leavings {
        Leavings { kv: self.kv, secrets: self.captured, logs: self.journal.finish() }
    }

    /// Has the store do something on the host's own threads; given up when the call is.
    pub(super) async fn on_host<T, F, Fut>(&self, ask: F) -> Result<T, Fault>
    where
        F: FnOnce(Arc<dyn Memory>) -> Fut,
        Fut: Future<Output = Result<T, MemoryError>> + Send + 'static,
        T: Send + 'static,
    {
        let asked = ask(Arc::clone(&self.services.memory));
        let task = AbortOnDropHandle::new(self.services.host.spawn(asked));
        Ok(task.await.map_err(|_| Fault::Stopping)??)
    }

    /// The memory that the running export sees, if it has one.
    pub(super) fn kv_scope(&self) -> Option<KvScope> {
        let account = self.allowance.as_ref()?.account;
        let owner = match self.export.side() {
            Side::Neither => return None,
            Side::Channel => KvOwner::Inbox(self.inbox.as_ref()?.id),
            Side::Integration => KvOwner::Connection(self.allowance.as_ref()?.connection),
        };
        Some(KvScope { account, owner })
    }

    /// The grants of the running export: none in a description.
    pub(super) fn grants(&self) -> Option<&Grants> {
        match self.export.side() {
            Side::Neither => None,
            Side::Channel | Side::Integration => self.allowance.as_ref().map(|a| &a.grants),
        }
    }

    /// The values of a secret, newest first: those captured in this call, then the stored ones.
    pub(super) fn secret_values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a SecretText> {
        let captured = self.captured.iter().rev().filter(move |write| write.name == name);
        let stored =
            self.allowance.iter().flat_map(move |allowance| allowance.secrets.values(name));
        captured.map(|write| &write.value).chain(stored).filter(|value| !value.expose().is_empty())
    }
}

/// A moment in a call. See [`CallContext::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    kv: usize,
}
