//! Deliveries, their parts and the attempts.

use crate::domain::exchange::{Outgoing, UnixMs};
use crate::domain::id::{
    AccountId, AttemptId, ConnectionId, DeliveryId, InboxId, MessageId, TicketNumber,
};
use crate::domain::message::MessageState;
use crate::store::lease::{Kind, Lease};
use crate::store::sql::{Columns, built, json, list, query, to_json, word};
use crate::store::{Store, StoreError, Tx, Wake};
use sqlx::any::AnyRow;

/// A delivery that was claimed.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The right to work on it.
    pub lease: Lease,
    /// Through which connection.
    pub connection: ConnectionId,
    /// Of which inbox.
    pub inbox: InboxId,
    /// Of which ticket.
    pub ticket: TicketNumber,
    /// Which message.
    pub message: MessageId,
    /// Its parts are stored.
    pub composed: bool,
}

/// One piece of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    /// Counted from 1.
    pub number: i64,
    /// What is sent.
    pub content: Outgoing,
    /// The same over all tries.
    pub idempotency_key: String,
    /// How far it is.
    pub state: MessageState,
    /// The provider's id.
    pub external_id: Option<String>,
    /// Why it is where it is.
    pub reason: Option<String>,
}

/// One try of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Of which part.
    pub part: i64,
    /// Counted from 1.
    pub number: i64,
    /// When the request was about to leave.
    pub started_at: UnixMs,
    /// When the answer was there; `None` for one that never came to an end.
    pub finished_at: Option<UnixMs>,
    /// `sent`, `retry`, `permanent`, `unauthorized` or `ambiguous`.
    pub outcome: Option<String>,
    /// Why, for people.
    pub detail: Option<String>,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// Of which ticket.
    pub ticket: TicketNumber,
    /// Which message.
    pub message: MessageId,
    /// `pending`, `working`, `sent`, `failed` or `ambiguous`.
    pub state: String,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// When it is worked next.
    pub run_at: UnixMs,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it ended.
    pub finished_at: Option<UnixMs>,
}

fn part(row: &AnyRow) -> Result<PartRow, StoreError> {
    let number = row.int("number")?;
    Ok(PartRow {
        number,
        content: json("part", "content", number, &row.text("content")?)?,
        idempotency_key: row.text("idempotency_key")?,
        state: word("part", "state", number, &row.text("state")?, MessageState::parse)?,
        external_id: row.maybe_text("external_id")?,
        reason: row.maybe_text("reason")?,
    })
}

fn delivery(row: &AnyRow) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: DeliveryId(row.int("id")?),
        ticket: TicketNumber(row.int("ticket")?),
        message: MessageId(row.int("message_id")?),
        state: row.text("state")?,
        reason: row.maybe_text("reason")?,
        run_at: UnixMs(row.int("run_at")?),
        created_at: UnixMs(row.int("created_at")?),
        finished_at: row.maybe_int("finished_at")?.map(UnixMs),
    })
}

const PARTS: &str = "SELECT number, content, idempotency_key, state, external_id, reason FROM part \
    WHERE account_id = $1 AND delivery_id = $2 ORDER BY number LIMIT 1000";

const DELIVERIES: &str = "SELECT id, ticket, message_id, state, reason, run_at, created_at, \
    finished_at FROM delivery";

impl Store {
    /// Claims deliveries that can be worked now: the first of each ticket, whose connection is on
    /// and not paused.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn claim_deliveries(
        &self,
        claim: String,
        now: UnixMs,
        until: UnixMs,
        limit: i64,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let rows = self
            .write(move |tx| {
                Box::pin(async move {
                    let lock = tx.dialect.skip_locked("d");
                    let text = format!(
                        "UPDATE delivery SET state = 'working', claim_id = $1, lease_until = $2, \
                         attempts = attempts + 1 WHERE state = 'pending' AND id IN (SELECT d.id \
                         FROM delivery d JOIN (SELECT MIN(id) AS id FROM delivery \
                         WHERE state IN ('pending', 'working') GROUP BY account_id, ticket) head \
                         ON head.id = d.id JOIN connection c ON c.id = d.connection_id \
                         WHERE d.state = 'pending' AND d.run_at <= $3 AND c.enabled = 1 \
                         AND c.paused_reason IS NULL ORDER BY d.run_at, d.id LIMIT $4{lock}) \
                         RETURNING id, account_id, connection_id, inbox_id, ticket, message_id, \
                         composed, attempts, claim_id"
                    );
                    Ok::<_, StoreError>(
                        built(text)
                            .bind(claim)
                            .bind(until.0)
                            .bind(now.0)
                            .bind(limit)
                            .fetch_all(tx.connection())
                            .await?,
                    )
                })
            })
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ClaimedDelivery {
                    lease: Lease {
                        kind: Kind::Delivery,
                        account: AccountId(row.int("account_id")?),
                        id: row.int("id")?,
                        claim: row.maybe_text("claim_id")?.unwrap_or_default(),
                        attempts: row.int("attempts")?,
                    },
                    connection: ConnectionId(row.int("connection_id")?),
                    inbox: InboxId(row.int("inbox_id")?),
                    ticket: TicketNumber(row.int("ticket")?),
                    message: MessageId(row.int("message_id")?),
                    composed: row.flag("composed")?,
                })
            })
            .collect()
    }

    /// The parts of a delivery.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parts(
        &self,
        account: AccountId,
        id: DeliveryId,
    ) -> Result<Vec<PartRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(PARTS).bind(account.0).bind(id.0).fetch_all(&mut *reader).await?;
        rows.iter().map(part).collect()
    }

    /// The attempts of a delivery, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn attempts(
        &self,
        account: AccountId,
        id: DeliveryId,
    ) -> Result<Vec<AttemptRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT part, number, started_at, finished_at, outcome, detail FROM attempt \
             WHERE account_id = $1 AND delivery_id = $2 ORDER BY part, number LIMIT 1000",
        )
        .bind(account.0)
        .bind(id.0)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AttemptRow {
                    part: row.int("part")?,
                    number: row.int("number")?,
                    started_at: UnixMs(row.int("started_at")?),
                    finished_at: row.maybe_int("finished_at")?.map(UnixMs),
                    outcome: row.maybe_text("outcome")?,
                    detail: row.maybe_text("detail")?,
                })
            })
            .collect()
    }

    /// Deliveries, newest first, below the id `before`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn deliveries(
        &self,
        account: AccountId,
        state: Option<String>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = built(format!(
            "{DELIVERIES} WHERE account_id = $1 AND id < $2 AND ($3 = '' OR state = $3) \
             ORDER BY id DESC LIMIT $4"
        ))
        .bind(account.0)
        .bind(before)
        .bind(state.unwrap_or_default())
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter().map(delivery).collect()
    }

    /// One delivery.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn delivery(
        &self,
        account: AccountId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let mut reader = self.reader().await?;
        let row = built(format!("{DELIVERIES} WHERE account_id = $1 AND id = $2"))
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(&mut *reader)
            .await?;
        row.as_ref().map(delivery).transpose()
    }
}

impl Tx {
    /// The obligation to hand a message to its provider, with the commit that stores the message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_delivery(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        ticket: TicketNumber,
        message: MessageId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO delivery (account_id, connection_id, inbox_id, ticket, message_id, state, \
             run_at, created_at) SELECT $1, connection_id, id, $2, $3, 'pending', $4, $4 \
             FROM inbox WHERE account_id = $1 AND id = $5",
        )
        .bind(account.0)
        .bind(ticket.0)
        .bind(message.0)
        .bind(now.0)
        .bind(inbox.0)
        .execute(self.connection())
        .await?;
        self.wake(Wake::Delivery);
        Ok(())
    }

    /// Stores the parts of a delivery before the first is sent.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_parts(
        &mut self,
        account: AccountId,
        id: i64,
        parts: &[(Outgoing, String)],
    ) -> Result<(), StoreError> {
        for (at, (content, key)) in parts.iter().enumerate() {
            query(
                "INSERT INTO part (account_id, delivery_id, number, content, idempotency_key, \
                 state) VALUES ($1, $2, $3, $4, $5, 'pending') ON CONFLICT DO NOTHING",
            )
            .bind(account.0)
            .bind(id)
            .bind(i64::try_from(at + 1).unwrap_or(i64::MAX))
            .bind(to_json(content)?)
            .bind(key.clone())
            .execute(self.connection())
            .await?;
        }
        query("UPDATE delivery SET composed = 1 WHERE account_id = $1 AND id = $2")
            .bind(account.0)
            .bind(id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The parts of a delivery.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parts(&mut self, account: AccountId, id: i64) -> Result<Vec<PartRow>, StoreError> {
        let rows = query(PARTS).bind(account.0).bind(id).fetch_all(self.connection()).await?;
        rows.iter().map(part).collect()
    }

    /// Writes down that a part is about to be sent. Answers the attempt, its number, and whether an
    /// earlier one never came to an end.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn start_attempt(
        &mut self,
        account: AccountId,
        delivery: i64,
        part: i64,
        now: UnixMs,
    ) -> Result<(AttemptId, i64), StoreError> {
        let row = query(
            "INSERT INTO attempt (account_id, delivery_id, part, number, started_at) \
             SELECT $1, $2, $3, COUNT(*) + 1, $4 FROM attempt \
             WHERE account_id = $1 AND delivery_id = $2 AND part = $3 RETURNING id, number",
        )
        .bind(account.0)
        .bind(delivery)
        .bind(part)
        .bind(now.0)
        .fetch_one(self.connection())
        .await?;
        Ok((AttemptId(row.int("id")?), row.int("number")?))
    }

    /// Writes down how an attempt ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn finish_attempt(
        &mut self,
        account: AccountId,
        attempt: AttemptId,
        outcome: &'static str,
        detail: Option<String>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE attempt SET finished_at = $1, outcome = $2, detail = $3 \
             WHERE account_id = $4 AND id = $5",
        )
        .bind(now.0)
        .bind(outcome)
        .bind(detail)
        .bind(account.0)
        .bind(attempt.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends attempts of a part that never came to an end: the request may have left. Answers how
    /// many there were.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_lost_attempts(
        &mut self,
        account: AccountId,
        delivery: i64,
        part: i64,
        detail: &str,
        now: UnixMs,
    ) -> Result<u64, StoreError> {
        let done = query(
            "UPDATE attempt SET finished_at = $1, outcome = 'ambiguous', detail = $2 \
             WHERE account_id = $3 AND delivery_id = $4 AND part = $5 AND finished_at IS NULL",
        )
        .bind(now.0)
        .bind(detail.to_owned())
        .bind(account.0)
        .bind(delivery)
        .bind(part)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    /// Stores how far a part is.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn save_part(
        &mut self,
        account: AccountId,
        delivery: i64,
        part: i64,
        state: MessageState,
        external_id: Option<String>,
        reason: Option<String>,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE part SET state = $1, external_id = COALESCE($2, external_id), reason = $3 \
             WHERE account_id = $4 AND delivery_id = $5 AND number = $6",
        )
        .bind(state.as_str())
        .bind(external_id)
        .bind(reason)
        .bind(account.0)
        .bind(delivery)
        .bind(part)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The message of a part that the provider calls so, in an inbox.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn message_of_part(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        external_id: &str,
    ) -> Result<Option<(MessageId, i64, i64)>, StoreError> {
        let row = query(
            "SELECT d.message_id, d.id, p.number FROM part p JOIN delivery d \
             ON d.account_id = p.account_id AND d.id = p.delivery_id \
             WHERE p.account_id = $1 AND d.inbox_id = $2 AND p.external_id = $3 LIMIT 1",
        )
        .bind(account.0)
        .bind(inbox.0)
        .bind(external_id.to_owned())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Ok((MessageId(row.int("message_id")?), row.int("id")?, row.int("number")?)))
            .transpose()
    }

    /// Puts a delivery that ended badly back to work; its parts that are not sent start again.
    /// `None` when there is none that could be. Answers the message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn retry_delivery(
        &mut self,
        account: AccountId,
        id: DeliveryId,
        now: UnixMs,
    ) -> Result<Option<MessageId>, StoreError> {
        let row = query(
            "UPDATE delivery SET state = 'pending', run_at = $1, attempts = 0, reason = NULL, \
             finished_at = NULL WHERE account_id = $2 AND id = $3 \
             AND state IN ('pending', 'failed', 'ambiguous') RETURNING message_id",
        )
        .bind(now.0)
        .bind(account.0)
        .bind(id.0)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let states = ["pending", "failed", "ambiguous"];
        built(format!(
            "UPDATE part SET state = 'pending', reason = NULL WHERE account_id = $1 \
             AND delivery_id = $2 AND state IN ({})",
            list(3, states.len())
        ))
        .bind(account.0)
        .bind(id.0)
        .bind(states[0])
        .bind(states[1])
        .bind(states[2])
        .execute(self.connection())
        .await?;
        self.wake(Wake::Delivery);
        Ok(Some(MessageId(row.int("message_id")?)))
    }
}
