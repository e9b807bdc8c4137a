//! What requests are served with: one immutable snapshot under a generation number.

use super::component::Release;
use crate::capability::context::{Allowance, InboxView};
use crate::domain::id::{AccountId, ConnectionId, InboxId};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// A connection with everything that its calls are served with.
#[derive(Debug)]
pub struct Connection {
    /// Whose.
    pub account: AccountId,
    /// Its id.
    pub id: ConnectionId,
    /// The integration's key.
    pub integration: String,
    /// Off: its webhooks are not taken.
    pub enabled: bool,
    /// The release that provides the integration.
    pub release: Option<Arc<Release>>,
    /// Requests that cannot be verified are held.
    pub hold_unverified: bool,
    /// Settings, secrets and grants.
    pub allowance: Arc<Allowance>,
    verified: AtomicBool,
    pub(super) permits: Arc<Semaphore>,
}

impl Connection {
    /// A connection; `hold` when its integration wants requests to be held, `verified` when a request of it was found genuine before, `calls` at the same
    /// time.
    pub fn new(
        allowance: Arc<Allowance>,
        integration: String,
        enabled: bool,
        hold_unverified: bool,
        verified: bool,
        release: Option<Arc<Release>>,
        calls: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            account: allowance.account,
            id: allowance.connection,
            integration,
            enabled,
            hold_unverified,
            release,
            allowance,
            verified: AtomicBool::new(verified),
            permits: Arc::new(Semaphore::new(calls.max(1))),
        })
    }

    /// Whether a request of it was ever found genuine.
    pub fn was_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }

    /// Remembers that a request was found genuine; true the first time.
    pub fn mark_verified(&self) -> bool {
        !self.verified.load(Ordering::Relaxed) && !self.verified.swap(true, Ordering::Relaxed)
    }
}

/// An inbox with everything that its calls are served with.
#[derive(Debug)]
pub struct Inbox {
    /// Whose.
    pub account: AccountId,
    /// Its id.
    pub id: InboxId,
    /// The connection that it is bound to.
    pub connection: ConnectionId,
    /// The channel's key.
    pub channel: String,
    /// The release that provides the channel.
    pub release: Option<Arc<Release>>,
    /// Its settings.
    pub view: Arc<InboxView>,
}

impl Inbox {
    /// An inbox.
    pub fn new(
        account: AccountId,
        id: InboxId,
        connection: ConnectionId,
        channel: String,
        release: Option<Arc<Release>>,
        view: Arc<InboxView>,
    ) -> Arc<Self> {
        Arc::new(Self { account, id, connection, channel, release, view })
    }
}

/// Everything that requests are served with.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts every change of it.
    pub generation: i64,
    releases: HashMap<String, Arc<Release>>,
    by_channel: HashMap<String, Arc<Release>>,
    by_integration: HashMap<String, Arc<Release>>,
    connections: HashMap<ConnectionId, Arc<Connection>>,
    connections_of: HashMap<String, Vec<Arc<Connection>>>,
    inboxes: HashMap<InboxId, Arc<Inbox>>,
    inbox_of: HashMap<ConnectionId, Arc<Inbox>>,
}

impl Snapshot {
    /// A snapshot.
    pub fn new(
        generation: i64,
        releases: Vec<Arc<Release>>,
        mut connections: Vec<Arc<Connection>>,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Self {
        let mut snapshot = Self { generation, ..Self::default() };
        for release in releases {
            if let Some(channel) = &release.channel {
                snapshot.by_channel.insert(channel.key.clone(), Arc::clone(&release));
            }
            if let Some(integration) = &release.integration {
                snapshot.by_integration.insert(integration.key.clone(), Arc::clone(&release));
            }
            snapshot.releases.insert(release.digest.clone(), release);
        }
        connections.sort_by_key(|connection| connection.id);
        for connection in connections {
            snapshot
                .connections_of
                .entry(connection.integration.clone())
                .or_default()
                .push(Arc::clone(&connection));
            snapshot.connections.insert(connection.id, connection);
        }
        for inbox in inboxes {
            snapshot.inbox_of.insert(inbox.connection, Arc::clone(&inbox));
            snapshot.inboxes.insert(inbox.id, inbox);
        }
        snapshot
    }

    /// The connection of this id.
    pub fn connection(&self, id: ConnectionId) -> Option<&Arc<Connection>> {
        self.connections.get(&id)
    }

    /// The connections of an integration, by id.
    pub fn connections_of(&self, integration: &str) -> &[Arc<Connection>] {
        self.connections_of.get(integration).map_or(&[], Vec::as_slice)
    }

    /// The inbox of this id.
    pub fn inbox(&self, id: InboxId) -> Option<&Arc<Inbox>> {
        self.inboxes.get(&id)
    }

    /// The inbox that is bound to a connection.
    pub fn inbox_of(&self, connection: ConnectionId) -> Option<&Arc<Inbox>> {
        self.inbox_of.get(&connection)
    }

    /// The release that provides a channel.
    pub fn channel(&self, key: &str) -> Option<&Arc<Release>> {
        self.by_channel.get(key)
    }

    /// The release that provides an integration.
    pub fn integration(&self, key: &str) -> Option<&Arc<Release>> {
        self.by_integration.get(key)
    }

    /// The release of this digest.
    pub fn release(&self, digest: &str) -> Option<&Arc<Release>> {
        self.releases.get(digest)
    }

    /// Every release.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.values()
    }
}

/// The snapshot of the moment.
#[derive(Debug)]
pub struct Registry(ArcSwap<Snapshot>);

impl Registry {
    /// A registry that begins with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot of the moment. Whoever holds it goes on with it.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts another in its place.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
