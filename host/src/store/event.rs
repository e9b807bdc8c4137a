//! The log: events under the numbers of their account.

use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, EventNumber};
use crate::store::sql::{Columns, built, query, values};
use crate::store::{Store, StoreError, Tx};
use std::collections::BTreeMap;

/// An event on its way into the log, already in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEvent {
    /// Whose.
    pub account: AccountId,
    /// Unique for ever.
    pub id: String,
    /// Its type on the wire.
    pub kind: &'static str,
    /// When it happened.
    pub at: UnixMs,
    /// Wire JSON of the actor.
    pub actor: String,
    /// Wire JSON of the payload.
    pub payload: String,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Whose.
    pub account: AccountId,
    /// Its position, without gaps, in the order of commits.
    pub number: EventNumber,
    /// Unique for ever.
    pub id: String,
    /// Its type on the wire.
    pub kind: String,
    /// When it happened.
    pub at: UnixMs,
    /// Wire JSON of the actor.
    pub actor: String,
    /// Wire JSON of the payload.
    pub payload: String,
}

/// Most events of one insert.
const EVENTS_PER_INSERT: usize = 64;

impl Tx {
    /// Puts an event into the log when the transaction commits.
    pub fn emit(&mut self, event: PendingEvent) {
        self.events.push(event);
    }
}

/// Numbers the transaction's events and stores them. The last statements before a commit: the
/// account's row is locked from here on, so that the order of numbers is the order of commits.
pub(super) async fn append(tx: &mut Tx) -> Result<(), StoreError> {
    let mut by_account: BTreeMap<AccountId, Vec<PendingEvent>> = BTreeMap::new();
    for event in &tx.events {
        by_account.entry(event.account).or_default().push(event.clone());
    }
    for (account, events) in by_account {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let row = query(
            "UPDATE account SET last_event = last_event + $1 WHERE id = $2 RETURNING last_event",
        )
        .bind(count)
        .bind(account.0)
        .fetch_one(tx.connection())
        .await?;
        let mut number = row.int("last_event")? - count;
        for chunk in events.chunks(EVENTS_PER_INSERT) {
            let text = format!(
                "INSERT INTO event (account_id, number, id, type, at, actor, payload) VALUES {}",
                values(chunk.len(), 7)
            );
            let mut insert = built(text);
            for event in chunk {
                number += 1;
                insert = insert
                    .bind(account.0)
                    .bind(number)
                    .bind(event.id.clone())
                    .bind(event.kind)
                    .bind(event.at.0)
                    .bind(event.actor.clone())
                    .bind(event.payload.clone());
            }
            insert.execute(tx.connection()).await?;
        }
    }
    Ok(())
}

impl Store {
    /// At most `limit` events after `after`, in order.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn events_after(
        &self,
        account: AccountId,
        after: EventNumber,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT number, id, type, at, actor, payload FROM event \
             WHERE account_id = $1 AND number > $2 ORDER BY number LIMIT $3",
        )
        .bind(account.0)
        .bind(after.0)
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StoredEvent {
                    account,
                    number: EventNumber(row.int("number")?),
                    id: row.text("id")?,
                    kind: row.text("type")?,
                    at: UnixMs(row.int("at")?),
                    actor: row.text("actor")?,
                    payload: row.text("payload")?,
                })
            })
            .collect()
    }

    /// The number of the account's last event; 0 before the first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn last_event(&self, account: AccountId) -> Result<EventNumber, StoreError> {
        let mut reader = self.reader().await?;
        let row = query("SELECT last_event FROM account WHERE id = $1")
            .bind(account.0)
            .fetch_one(&mut *reader)
            .await?;
        Ok(EventNumber(row.int("last_event")?))
    }
}
