//! Leases: what every claimed kind of row shares.
//!
//! A claim marks a row `working` under a claim id until a moment. Whoever writes the outcome names
//! the claim; when the lease has expired or the row was claimed by another, nothing is written.

use crate::domain::exchange::UnixMs;
use crate::domain::id::AccountId;
use crate::store::sql::built;
use crate::store::{Store, StoreError, Tx};

/// A kind of row that is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A raw incoming request.
    Intake,
    /// A message for its provider.
    Delivery,
    /// A file to be fetched.
    Attachment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Intake, Self::Delivery, Self::Attachment];

    /// The kind's table, which is also its name.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Delivery => "delivery",
            Self::Attachment => "attachment",
        }
    }
}

/// The right to work on one row until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is.
    pub kind: Kind,
    /// Whose.
    pub account: AccountId,
    /// Which row.
    pub id: i64,
    /// The claim that fences late writers.
    pub claim: String,
    /// How often the row was claimed, this time included.
    pub attempts: i64,
}

impl Tx {
    /// The work is over: the row gets its last state.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the lease is not held any more.
    pub async fn finish(
        &mut self,
        lease: &Lease,
        state: &'static str,
        reason: Option<String>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let text = format!(
            "UPDATE {} SET state = $1, reason = $2, finished_at = $3, claim_id = NULL, \
             lease_until = NULL WHERE account_id = $4 AND id = $5 AND claim_id = $6 \
             AND lease_until > $3",
            lease.kind.table()
        );
        let done = built(text)
            .bind(state)
            .bind(reason)
            .bind(now.0)
            .bind(lease.account.0)
            .bind(lease.id)
            .bind(lease.claim.clone())
            .execute(self.connection())
            .await?;
        held(lease, done.rows_affected())
    }

    /// The work is to be tried again, not before `run_at`.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the lease is not held any more.
    pub async fn try_again(
        &mut self,
        lease: &Lease,
        run_at: UnixMs,
        reason: String,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let text = format!(
            "UPDATE {} SET state = 'pending', reason = $1, run_at = $2, claim_id = NULL, \
             lease_until = NULL WHERE account_id = $3 AND id = $4 AND claim_id = $5 \
             AND lease_until > $6",
            lease.kind.table()
        );
        let done = built(text)
            .bind(reason)
            .bind(run_at.0)
            .bind(lease.account.0)
            .bind(lease.id)
            .bind(lease.claim.clone())
            .bind(now.0)
            .execute(self.connection())
            .await?;
        held(lease, done.rows_affected())
    }

    /// The work goes on: the lease is held, and now lasts until `until`.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the lease is not held any more.
    pub async fn hold(
        &mut self,
        lease: &Lease,
        until: UnixMs,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let text = format!(
            "UPDATE {} SET lease_until = $1 WHERE account_id = $2 AND id = $3 AND claim_id = $4 \
             AND lease_until > $5",
            lease.kind.table()
        );
        let done = built(text)
            .bind(until.0)
            .bind(lease.account.0)
            .bind(lease.id)
            .bind(lease.claim.clone())
            .bind(now.0)
            .execute(self.connection())
            .await?;
        held(lease, done.rows_affected())
    }
}

const fn held(lease: &Lease, rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.kind.table())) }
}

impl Store {
    /// Gives back every row of a kind whose lease ended before `now`. Answers how many.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn expire_leases(&self, kind: Kind, now: UnixMs) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let text = format!(
                    "UPDATE {} SET state = 'pending', claim_id = NULL, lease_until = NULL \
                     WHERE state = 'working' AND lease_until <= $1",
                    kind.table()
                );
                let done = built(text).bind(now.0).execute(tx.connection()).await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}
