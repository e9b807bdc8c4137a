//! EDGE IN: requests over HTTP. The only place that knows axum.
//!
//! [`router`] holds every route in one table; [`webhooks`] takes what providers send; [`api`] is
//! the host API, one file per noun. Handlers parse, call the flow or read the memory, and show; they
//! decide nothing and begin no transaction.

mod api;
mod auth;
mod body;
mod health;
mod page;
mod problem;
pub mod router;
pub mod server;
mod webhooks;

pub use router::router;

use crate::flow::Flow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_util::sync::CancellationToken;

/// What the edge needs of the host. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    /// The story.
    pub flow: Flow,
    /// The host is about to stop: it is not ready any more.
    pub draining: Arc<AtomicBool>,
    /// Ends what would otherwise never end.
    pub shutdown: CancellationToken,
}
