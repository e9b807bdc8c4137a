//! THE STORY: what happens to one message, a file for each step, in this order.
//!
//! | step | what it does |
//! |---|---|
//! | [`receive`] | a raw request → the plugin's `verify` → an intake row, durable → 2xx |
//! | [`ingest`] | claim intakes of a lane → `parse` → `inbound` → commands |
//! | [`apply`] | a command → decide → new state, events and follow-up rows, in one transaction |
//! | [`compose`] | a person or a program asks → the same commands → `apply` |
//! | [`deliver`] | claim a delivery → `outbound` → `send` → outcome → `apply` |
//! | [`fetch`] | claim an attachment → the integration's `fetch` → a blob |
//! | [`publish`] | committed events → subscribers, in order, from the log |
//! | [`sweep`] | expired leases, held requests, retention |
//!
//! Steps meet in rows, not in calls; `apply` is the only way that facts change. [`operate`] is what
//! operators change (plugins, connections, inboxes), [`snapshot`] what requests are then served
//! with, [`cards`] how a ticket looks on the board.

pub mod apply;
pub mod cards;
pub mod compose;
pub mod deliver;
pub mod fetch;
pub mod ingest;
mod leavings;
pub mod operate;
pub mod publish;
pub mod receive;
pub mod snapshot;
pub mod sweep;

use crate::domain::retry::Schedule;
use crate::plugin::{Registry, Sandbox};
use crate::store::Store;
use crate::worker::{self, Pace};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The numbers that an operator may set.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The server as the outside sees it, without a slash at the end.
    pub public_url: String,
    /// Largest webhook, in bytes, whatever an integration allows.
    pub body_limit_bytes: usize,
    /// Largest component, in bytes.
    pub component_limit_bytes: usize,
    /// Most intakes that wait before new ones are answered 503.
    pub max_backlog: i64,
    /// Waits between tries of an intake.
    pub intake_retry: Schedule,
    /// Waits between tries of a part.
    pub delivery_retry: Schedule,
    /// Waits between tries of an attachment.
    pub attachment_retry: Schedule,
    /// How long a claim lasts, in milliseconds.
    pub lease_ms: i64,
    /// How often steps look without being woken, in milliseconds.
    pub poll_ms: u64,
    /// How long finished intakes are kept, in milliseconds.
    pub keep_done_ms: i64,
    /// How long dead letters are kept, in milliseconds.
    pub keep_dead_ms: i64,
    /// Guest calls of one connection at the same time.
    pub calls_per_connection: usize,
    /// Pieces of work that a step does at the same time.
    pub at_once: usize,
}

/// Everything that the steps share. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    /// The memory.
    pub store: Store,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What requests are served with.
    pub registry: Arc<Registry>,
    /// The numbers that an operator may set.
    pub tuning: Arc<Tuning>,
    /// What has been counted.
    pub counts: Arc<Counts>,
    /// One rebuild of the snapshot at a time.
    pub(crate) rebuilding: Arc<tokio::sync::Mutex<()>>,
}

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Intakes that wait, as of the last look, and those accepted since.
    pub backlog: AtomicI64,
    /// Requests that a plugin refused.
    pub refused: AtomicU64,
}

impl Counts {
    pub(crate) fn backlog(&self) -> i64 {
        self.backlog.load(Ordering::Relaxed)
    }
}

impl Flow {
    /// Starts the steps that claim work, and the sweep. They run until `stop`.
    pub fn start(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        let pace =
            Pace { at_once: self.tuning.at_once, poll: Duration::from_millis(self.tuning.poll_ms) };
        worker::spawn(Arc::new(ingest::Ingest(self.clone())), pace.clone(), stop.clone(), tasks);
        worker::spawn(Arc::new(deliver::Deliver(self.clone())), pace.clone(), stop.clone(), tasks);
        worker::spawn(Arc::new(fetch::Fetch(self.clone())), pace, stop.clone(), tasks);
        tasks.spawn(sweep::run(self.clone(), stop.clone()));
        tasks.spawn(snapshot::follow(self.clone(), stop.clone()));
    }
}
