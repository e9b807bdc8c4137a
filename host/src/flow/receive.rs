//! A raw request → the plugin's `verify` → an intake row, committed and durable → 2xx.
//!
//! A refused request leaves no row. A request that the plugin cannot judge now is kept where its
//! integration asked for that, within bounds, and judged later as of its arrival; everything else
//! is asked to come again.

use super::Flow;
use crate::clock;
use crate::domain::exchange::{HttpRequest, Reply, Verdict};
use crate::plugin::{CallError, Connection};
use crate::store::StoreError;
use crate::store::intake::NewIntake;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most requests held for one connection.
pub const HELD_ROWS: i64 = 1_000;
/// Most bytes held for one connection.
pub const HELD_BYTES: i64 = 32 << 20;
/// Most requests held for one connection from one source address.
pub const HELD_ROWS_PER_SOURCE: i64 = 50;
/// Seconds after which a request that could not be taken should come again.
const COME_AGAIN_S: u32 = 5;

/// What a provider is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Genuine and on the disk, or held.
    Accepted(Option<Reply>),
    /// Genuine, and a handshake.
    Answered(Reply),
    /// Not genuine.
    Refused,
    /// Not now.
    Unavailable {
        /// Seconds after which to come again.
        retry_after_s: u32,
    },
}

/// Takes a request for a connection.
pub async fn receive(
    flow: &Flow,
    connection: &Arc<Connection>,
    request: HttpRequest,
    source: String,
) -> Received {
    if flow.counts.backlog() >= flow.tuning.max_backlog {
        tracing::warn!(connection = connection.id.0, "webhook put off: the backlog is full");
        return Received::Unavailable { retry_after_s: COME_AGAIN_S };
    }
    match flow.sandbox.verify(connection, request.clone()).await {
        Ok(Verdict::Refused(reason)) => {
            flow.counts.refused.fetch_add(1, Ordering::Relaxed);
            tracing::info!(connection = connection.id.0, source, reason, "webhook refused");
            Received::Refused
        }
        Ok(Verdict::Answered(reply)) => {
            remember_verified(flow, connection).await;
            Received::Answered(reply)
        }
        Ok(Verdict::Accepted { reply, request_id, lane }) => {
            let owner = (connection.account, connection.id);
            let intake = NewIntake::verified(owner, request_id, lane, source, request);
            match store(flow, connection, intake).await {
                Ok(()) => {
                    remember_verified(flow, connection).await;
                    Received::Accepted(reply)
                }
                Err(unavailable) => unavailable,
            }
        }
        Err(error) => hold(flow, connection, request, source, &error).await,
    }
}

async fn store(flow: &Flow, connection: &Connection, intake: NewIntake) -> Result<(), Received> {
    match flow.store.accept_intake(intake).await {
        Ok(()) => {
            flow.counts.backlog.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => {
            tracing::error!(connection = connection.id.0, %error, "webhook not stored");
            Err(Received::Unavailable { retry_after_s: COME_AGAIN_S })
        }
    }
}

/// Rule 2: a broken plugin loses no webhook of a provider that never tries again.
async fn hold(
    flow: &Flow,
    connection: &Arc<Connection>,
    request: HttpRequest,
    source: String,
    error: &CallError,
) -> Received {
    let unavailable = Received::Unavailable { retry_after_s: COME_AGAIN_S };
    let wants = connection.hold_unverified;
    tracing::warn!(connection = connection.id.0, source, %error, wants, "webhook not verified");
    if !wants || request.method != "POST" || !connection.was_verified() {
        return unavailable;
    }
    let size = i64::try_from(request.body.len()).unwrap_or(i64::MAX);
    match flow.store.held(connection.account, connection.id, &source).await {
        Ok((rows, bytes, from_source))
            if rows < HELD_ROWS
                && bytes.saturating_add(size) <= HELD_BYTES
                && from_source < HELD_ROWS_PER_SOURCE => {}
        Ok(_) => return unavailable,
        Err(error) => {
            tracing::error!(%error, "webhook not held");
            return unavailable;
        }
    }
    let owner = (connection.account, connection.id);
    let at_fault = connection.release.as_ref().filter(|_| error.is_fault());
    let at_fault = at_fault.map(|release| release.digest.clone());
    match store(flow, connection, NewIntake::held(owner, at_fault, source, request)).await {
        Ok(()) => Received::Accepted(None),
        Err(unavailable) => unavailable,
    }
}

/// Remembers, once, that a request of the connection was genuine: from then on requests may be
/// held.
async fn remember_verified(flow: &Flow, connection: &Arc<Connection>) {
    if !connection.mark_verified() {
        return;
    }
    let (account, id) = (connection.account, connection.id);
    let result: Result<(), StoreError> = flow
        .store
        .write(move |tx| Box::pin(async move { tx.mark_verified(account, id, clock::now()).await }))
        .await;
    if let Err(error) = result {
        tracing::warn!(connection = id.0, %error, "could not remember the first genuine request");
    }
}
