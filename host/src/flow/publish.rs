//! Committed events → subscribers, in order, from the log.
//!
//! A subscriber names the last number it saw. Numbers are given in the order of commits, so reading
//! on from there misses nothing; the signal of a commit only says when to look.

use super::Flow;
use crate::domain::id::{AccountId, EventNumber};
use crate::store::event::StoredEvent;
use futures_util::Stream;
use std::time::Duration;

/// Most events handed on at once.
const EVENTS_PER_LOOK: i64 = 200;

/// The account's events after `after`, as they are committed, here or on another host. Ends when
/// the database does not answer; the subscriber comes back with the last number it saw.
pub fn subscribe(
    flow: &Flow,
    account: AccountId,
    after: EventNumber,
) -> impl Stream<Item = Vec<StoredEvent>> + Send + use<> {
    let store = flow.store.clone();
    let committed = store.events_committed();
    let poll = Duration::from_millis(flow.tuning.poll_ms);
    futures_util::stream::unfold(
        (store, committed, after),
        move |(store, mut committed, after)| async move {
            loop {
                committed.mark_unchanged();
                match store.events_after(account, after, EVENTS_PER_LOOK).await {
                    Err(error) => {
                        tracing::warn!(account = account.0, %error, "a subscriber was let go");
                        return None;
                    }
                    Ok(events) => {
                        if let Some(last) = events.last() {
                            let after = last.number;
                            return Some((events, (store, committed, after)));
                        }
                    }
                }
                tokio::select! {
                    changed = committed.changed() => {
                        if changed.is_err() {
                            return None;
                        }
                    }
                    () = tokio::time::sleep(poll) => {}
                }
            }
        },
    )
}
