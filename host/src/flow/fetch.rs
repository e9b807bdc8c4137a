//! Claim an attachment → the integration's `fetch` → a blob.

use super::{Flow, leavings};
use crate::clock;
use crate::domain::exchange::Failure;
use crate::store::StoreError;
use crate::store::attachment::ClaimedAttachment;
use crate::worker::Step;
use tokio::sync::Notify;

/// The step.
pub struct Fetch(pub Flow);

enum Outcome {
    Stored(String),
    Again { reason: String, after_ms: Option<u32> },
    Dead(String),
}

impl Step for Fetch {
    type Item = ClaimedAttachment;

    fn name(&self) -> &'static str {
        "fetch"
    }

    fn wake(&self) -> &Notify {
        &self.0.store.wakes().attachment
    }

    async fn claim(&self, room: usize) -> Result<Vec<ClaimedAttachment>, StoreError> {
        let now = clock::now();
        let until = now.plus_ms(self.0.tuning.lease_ms);
        let limit = i64::try_from(room).unwrap_or(1);
        self.0.store.claim_attachments(clock::new_id(), now, until, limit).await
    }

    async fn work(&self, attachment: ClaimedAttachment) {
        let snapshot = self.0.registry.current();
        let mut left = leavings::Left::default();
        let outcome = match snapshot.connection(attachment.connection) {
            None => Outcome::Again {
                reason: format!("connection {} is not there", attachment.connection),
                after_ms: None,
            },
            Some(connection) => {
                match self.0.sandbox.fetch(connection, attachment.remote.clone()).await {
                    Err(error) => Outcome::Again { reason: error.to_string(), after_ms: None },
                    Ok(called) => {
                        left = leavings::Left::from(called.left);
                        called.value.map_or_else(outcome_of, Outcome::Stored)
                    }
                }
            }
        };
        let (lease, id) = (attachment.lease, attachment.connection);
        let (store, tuning) = (self.0.store.clone(), self.0.tuning.clone());
        let result: Result<(), StoreError> = self
            .0
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let now = clock::now();
                    match outcome {
                        Outcome::Stored(blob) => {
                            tx.finish(&lease, "stored", None, now).await?;
                            tx.store_attachment(lease.account, lease.id, &blob).await?;
                        }
                        Outcome::Dead(reason) => {
                            tracing::warn!(
                                attachment = lease.id,
                                connection = id.0,
                                reason,
                                "attachment given up"
                            );
                            tx.finish(&lease, "dead", Some(reason), now).await?;
                        }
                        Outcome::Again { reason, after_ms } => {
                            let schedule = &tuning.attachment_retry;
                            match schedule.wait_ms(lease.attempts, after_ms, clock::jitter()) {
                                Some(wait) => {
                                    tx.try_again(&lease, now.plus_ms(wait), reason, now).await?;
                                }
                                None => {
                                    let tries = lease.attempts;
                                    let reason = format!("given up after {tries} tries: {reason}");
                                    tx.finish(&lease, "dead", Some(reason), now).await?;
                                }
                            }
                        }
                    }
                    left.write(tx, &store, lease.account, now).await
                })
            })
            .await;
        if let Err(error) = result {
            tracing::warn!(%error, "attachment not settled; its lease will expire");
        }
    }
}

fn outcome_of(failure: Failure) -> Outcome {
    match failure {
        Failure::Retry { reason, after_ms } => Outcome::Again { reason, after_ms },
        Failure::Permanent(reason) => Outcome::Dead(reason),
        Failure::Unauthorized(reason) => {
            Outcome::Again { reason: format!("credentials refused: {reason}"), after_ms: None }
        }
        Failure::Ambiguous(reason) => Outcome::Again { reason, after_ms: None },
        Failure::Other(kind, detail) => Outcome::Dead(format!("{kind}: {detail}")),
    }
}
