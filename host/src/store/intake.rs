//! Intakes: the durable rows of raw incoming requests.

use crate::domain::exchange::{HttpRequest, UnixMs};
use crate::domain::id::{AccountId, ConnectionId, IntakeId};
use crate::store::lease::{Kind, Lease};
use crate::store::sql::{Columns, built, json, query, to_json, values};
use crate::store::{Store, StoreError, Tx, Wake, blob};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// Bodies above this many bytes are blobs.
const INLINE_BODY_BYTES: usize = 64 * 1024;

/// A request to be stored.
#[derive(Clone, Debug)]
pub struct NewIntake {
    /// Whose.
    pub account: AccountId,
    /// For which connection.
    pub connection: ConnectionId,
    /// A token that must not come twice.
    pub request_id: Option<String>,
    /// Its lane; empty is the whole connection.
    pub lane: String,
    /// Waits for a plugin that can verify it.
    pub held: bool,
    /// The component that could not verify it.
    fault_release: Option<String>,
    /// Network address of the sender.
    pub source: String,
    /// The request.
    pub request: HttpRequest,
    /// Where the body is, when it is a blob.
    body_blob: Option<String>,
}

impl NewIntake {
    /// A genuine request.
    pub fn verified(
        (account, connection): (AccountId, ConnectionId),
        request_id: Option<String>,
        lane: Option<String>,
        source: String,
        request: HttpRequest,
    ) -> Self {
        let lane = lane.unwrap_or_default();
        Self {
            account,
            connection,
            request_id,
            lane,
            held: false,
            fault_release: None,
            source,
            request,
            body_blob: None,
        }
    }

    /// A request that cannot be verified now, and the digest of the component that failed at it.
    pub fn held(
        (account, connection): (AccountId, ConnectionId),
        fault_release: Option<String>,
        source: String,
        request: HttpRequest,
    ) -> Self {
        Self {
            account,
            connection,
            request_id: None,
            lane: String::new(),
            held: true,
            fault_release,
            source,
            request,
            body_blob: None,
        }
    }
}

/// An intake that was claimed.
#[derive(Clone, Debug)]
pub struct ClaimedIntake {
    /// The right to work on it.
    pub lease: Lease,
    /// For which connection.
    pub connection: ConnectionId,
    /// Its lane.
    pub lane: String,
    /// The request.
    pub request: HttpRequest,
}

/// A request that waits for a plugin that can verify it.
#[derive(Clone, Debug)]
pub struct HeldIntake {
    /// Its id.
    pub id: IntakeId,
    /// Whose.
    pub account: AccountId,
    /// For which connection.
    pub connection: ConnectionId,
    /// The request.
    pub request: HttpRequest,
    /// The component that could not verify it.
    pub fault_release: Option<String>,
}

/// An intake as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeRow {
    /// Its id.
    pub id: IntakeId,
    /// Whose.
    pub account: AccountId,
    /// For which connection.
    pub connection: ConnectionId,
    /// `pending`, `working`, `held`, `done` or `dead`.
    pub state: String,
    /// Its lane; empty is the whole connection.
    pub lane: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The request; the body only when one intake was asked for.
    pub request: HttpRequest,
    /// How often it was worked.
    pub attempts: i64,
    /// When it is worked next.
    pub run_at: UnixMs,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// Log lines of its last try, as JSON.
    pub log: Option<String>,
    /// When it was done or given up.
    pub finished_at: Option<UnixMs>,
}

fn lease(row: &AnyRow) -> Result<Lease, StoreError> {
    Ok(Lease {
        kind: Kind::Intake,
        account: AccountId(row.int("account_id")?),
        id: row.int("id")?,
        claim: row.maybe_text("claim_id")?.unwrap_or_default(),
        attempts: row.int("attempts")?,
    })
}

fn request(row: &AnyRow, body: Vec<u8>) -> Result<HttpRequest, StoreError> {
    let id = row.int("id")?;
    Ok(HttpRequest {
        method: row.text("method")?,
        url: row.text("url")?,
        path: row.text("path")?,
        headers: json("intake", "headers", id, &row.text("headers")?)?,
        body,
        received_at: UnixMs(row.int("received_at")?),
    })
}

/// Stores requests in one statement; those whose request id was there before leave no row. Answers
/// how many rows there are.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    rows: Vec<NewIntake>,
) -> Result<u64, StoreError> {
    let text = format!(
        "INSERT INTO intake (account_id, connection_id, state, lane, request_id, source, method, \
         url, path, headers, body, body_blob, body_size, received_at, run_at, verified, \
         fault_release) VALUES {} \
         ON CONFLICT DO NOTHING",
        values(rows.len(), 17)
    );
    let mut statement = built(text);
    for row in rows {
        let size = i64::try_from(row.request.body.len()).unwrap_or(i64::MAX);
        let body = row.body_blob.is_none().then_some(row.request.body);
        statement = statement
            .bind(row.account.0)
            .bind(row.connection.0)
            .bind(if row.held { "held" } else { "pending" })
            .bind(row.lane)
            .bind(row.request_id)
            .bind(row.source)
            .bind(row.request.method)
            .bind(row.request.url)
            .bind(row.request.path)
            .bind(to_json(&row.request.headers)?)
            .bind(body)
            .bind(row.body_blob)
            .bind(size)
            .bind(row.request.received_at.0)
            .bind(row.request.received_at.0)
            .bind(i64::from(!row.held))
            .bind(row.fault_release);
    }
    Ok(statement.execute(connection).await?.rows_affected())
}

impl Store {
    /// Stores a request. When this returns, it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or what else kept it from the disk.
    pub async fn accept_intake(&self, mut intake: NewIntake) -> Result<(), StoreError> {
        if intake.request.body.len() > INLINE_BODY_BYTES {
            intake.body_blob = Some(self.put_content(intake.request.body.clone()).await?);
        }
        self.inner.writer.accept(&self.inner, intake).await
    }

    /// How many intakes wait for their work.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn intake_backlog(&self) -> Result<i64, StoreError> {
        let mut reader = self.reader().await?;
        query("SELECT COUNT(*) AS n FROM intake WHERE state IN ('pending', 'working')")
            .fetch_one(&mut *reader)
            .await?
            .int("n")
    }

    /// How much is held for a connection: rows, bytes, and rows from one source.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn held(
        &self,
        account: AccountId,
        connection: ConnectionId,
        source: &str,
    ) -> Result<(i64, i64, i64), StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(body_size), 0) AS BIGINT) AS bytes, \
             COUNT(CASE WHEN source = $3 THEN 1 END) AS from_source FROM intake \
             WHERE account_id = $1 AND connection_id = $2 AND state = 'held'",
        )
        .bind(account.0)
        .bind(connection.0)
        .bind(source.to_owned())
        .fetch_one(&mut *reader)
        .await?;
        Ok((row.int("n")?, row.int("bytes")?, row.int("from_source")?))
    }

    /// Claims what can be worked now: the oldest intake of up to `lanes` lanes, and those that
    /// follow it in its lane, `total` in all. Whoever holds the head of a lane holds the lane, so
    /// its intakes are worked in order, here and on every other host.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn claim_intakes(
        &self,
        claim: String,
        now: UnixMs,
        until: UnixMs,
        lanes: i64,
        total: i64,
    ) -> Result<Vec<ClaimedIntake>, StoreError> {
        let rows = self
            .write(move |tx| {
                Box::pin(async move {
                    let mut rows = claim_heads(tx, &claim, now, until, lanes).await?;
                    if !rows.is_empty() {
                        rows.extend(claim_followers(tx, &claim, now, until, &rows, total).await?);
                    }
                    Ok::<_, StoreError>(rows)
                })
            })
            .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            claimed.push(self.claimed_intake(&row).await?);
        }
        claimed.sort_by_key(|intake| intake.lease.id);
        Ok(claimed)
    }

    async fn claimed_intake(&self, row: &AnyRow) -> Result<ClaimedIntake, StoreError> {
        let body = self.intake_body(row).await?;
        Ok(ClaimedIntake {
            lease: lease(row)?,
            connection: ConnectionId(row.int("connection_id")?),
            lane: row.text("lane")?,
            request: request(row, body)?,
        })
    }

    async fn intake_body(&self, row: &AnyRow) -> Result<Vec<u8>, StoreError> {
        if let Some(body) = row.maybe_bytes("body")? {
            return Ok(body);
        }
        let digest = row.maybe_text("body_blob")?.unwrap_or_default();
        self.get_content(&digest, 0, u64::MAX >> 1).await?.ok_or_else(|| {
            StoreError::corrupt("intake", "body_blob", row.int("id").unwrap_or_default(), digest)
        })
    }

    /// Held requests of the host, oldest first, after the id `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn held_intakes(
        &self,
        after: IntakeId,
        limit: i64,
    ) -> Result<Vec<HeldIntake>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = built(format!(
            "{ROW}, body, body_blob, fault_release FROM intake WHERE state = 'held' AND id > $1 \
             ORDER BY id LIMIT $2"
        ))
        .bind(after.0)
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        drop(reader);
        let mut held = Vec::with_capacity(rows.len());
        for row in &rows {
            let body = self.intake_body(row).await?;
            held.push(HeldIntake {
                id: IntakeId(row.int("id")?),
                account: AccountId(row.int("account_id")?),
                connection: ConnectionId(row.int("connection_id")?),
                request: request(row, body)?,
                fault_release: row.maybe_text("fault_release")?,
            });
        }
        Ok(held)
    }

    /// Intakes, newest first, below the id `before`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn intakes(
        &self,
        account: AccountId,
        state: Option<String>,
        connection: Option<ConnectionId>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<IntakeRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = built(format!(
            "{ROW} FROM intake WHERE account_id = $1 AND id < $2 AND ($3 = '' OR state = $3) \
             AND ($4 = 0 OR connection_id = $4) ORDER BY id DESC LIMIT $5"
        ))
        .bind(account.0)
        .bind(before)
        .bind(state.unwrap_or_default())
        .bind(connection.map_or(0, |connection| connection.0))
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter().map(|row| intake_row(row, Vec::new())).collect()
    }

    /// One intake with its body.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn intake(
        &self,
        account: AccountId,
        id: IntakeId,
    ) -> Result<Option<IntakeRow>, StoreError> {
        let mut reader = self.reader().await?;
        let row =
            built(format!("{ROW}, body, body_blob FROM intake WHERE account_id = $1 AND id = $2"))
                .bind(account.0)
                .bind(id.0)
                .fetch_optional(&mut *reader)
                .await?;
        drop(reader);
        let Some(row) = row else { return Ok(None) };
        let body = self.intake_body(&row).await?;
        Ok(Some(intake_row(&row, body)?))
    }

    /// Forgets intakes that were done before a moment. Answers how many.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn forget_intakes(
        &self,
        done_before: UnixMs,
        dead_before: UnixMs,
    ) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = query(
                    "DELETE FROM intake WHERE id IN (SELECT id FROM intake \
                     WHERE finished_at IS NOT NULL AND ((state = 'done' AND finished_at < $1) \
                     OR (state = 'dead' AND finished_at < $2)) ORDER BY id LIMIT 1000)",
                )
                .bind(done_before.0)
                .bind(dead_before.0)
                .execute(tx.connection())
                .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}

const ROW: &str = "SELECT id, account_id, connection_id, state, lane, request_id, method, url, \
    path, headers, received_at, attempts, run_at, reason, log, finished_at";

fn intake_row(row: &AnyRow, body: Vec<u8>) -> Result<IntakeRow, StoreError> {
    Ok(IntakeRow {
        id: IntakeId(row.int("id")?),
        account: AccountId(row.int("account_id")?),
        connection: ConnectionId(row.int("connection_id")?),
        state: row.text("state")?,
        lane: row.text("lane")?,
        request_id: row.maybe_text("request_id")?,
        request: request(row, body)?,
        attempts: row.int("attempts")?,
        run_at: UnixMs(row.int("run_at")?),
        reason: row.maybe_text("reason")?,
        log: row.maybe_text("log")?,
        finished_at: row.maybe_int("finished_at")?.map(UnixMs),
    })
}

const CLAIMED: &str = "id, account_id, connection_id, lane, method, url, path, headers, body, \
    body_blob, received_at, attempts, claim_id";

async fn claim_heads(
    tx: &mut Tx,
    claim: &str,
    now: UnixMs,
    until: UnixMs,
    lanes: i64,
) -> Result<Vec<AnyRow>, StoreError> {
    let lock = tx.dialect.skip_locked("i");
    let text = format!(
        "UPDATE intake SET state = 'working', claim_id = $1, lease_until = $2, \
         attempts = attempts + 1 WHERE state = 'pending' AND id IN (SELECT i.id FROM intake i \
         JOIN (SELECT MIN(id) AS id FROM intake WHERE state IN ('pending', 'working') \
         GROUP BY account_id, connection_id, lane) head ON head.id = i.id \
         WHERE i.state = 'pending' AND i.run_at <= $3 ORDER BY i.id LIMIT $4{lock}) \
         RETURNING {CLAIMED}"
    );
    Ok(built(text)
        .bind(claim.to_owned())
        .bind(until.0)
        .bind(now.0)
        .bind(lanes)
        .fetch_all(tx.connection())
        .await?)
}

async fn claim_followers(
    tx: &mut Tx,
    claim: &str,
    now: UnixMs,
    until: UnixMs,
    heads: &[AnyRow],
    total: i64,
) -> Result<Vec<AnyRow>, StoreError> {
    let lanes = (0..heads.len())
        .map(|n| {
            let at = 5 + n * 3;
            format!("(account_id = ${at} AND connection_id = ${} AND lane = ${})", at + 1, at + 2)
        })
        .collect::<Vec<_>>()
        .join(" OR ");
    let text = format!(
        "UPDATE intake SET state = 'working', claim_id = $1, lease_until = $2, \
         attempts = attempts + 1 WHERE id IN (SELECT id FROM intake WHERE state = 'pending' \
         AND run_at <= $3 AND ({lanes}) ORDER BY id LIMIT $4) RETURNING {CLAIMED}"
    );
    let room = total.saturating_sub(i64::try_from(heads.len()).unwrap_or(total));
    let mut statement = built(text).bind(claim.to_owned()).bind(until.0).bind(now.0).bind(room);
    for head in heads {
        statement = statement
            .bind(head.int("account_id")?)
            .bind(head.int("connection_id")?)
            .bind(head.text("lane")?);
    }
    Ok(statement.fetch_all(tx.connection()).await?)
}

impl Tx {
    /// Keeps what the guests said while they worked on an intake.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn log_intake(
        &mut self,
        account: AccountId,
        id: i64,
        log: String,
    ) -> Result<(), StoreError> {
        query("UPDATE intake SET log = $1 WHERE account_id = $2 AND id = $3")
            .bind(log)
            .bind(account.0)
            .bind(id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// A held request was found genuine: it is worked in its lane. One whose request id was there
    /// before is done.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn admit_held(
        &mut self,
        account: AccountId,
        id: IntakeId,
        request_id: Option<String>,
        lane: Option<String>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let known = match &request_id {
            None => false,
            Some(request_id) => query(
                "SELECT o.id FROM intake o JOIN intake h ON h.account_id = o.account_id \
                 AND h.connection_id = o.connection_id \
                 WHERE h.account_id = $1 AND h.id = $2 AND o.request_id = $3",
            )
            .bind(account.0)
            .bind(id.0)
            .bind(request_id.clone())
            .fetch_optional(self.connection())
            .await?
            .is_some(),
        };
        if known {
            return self
                .settle_held(account, id, "done", "its request id was there before", now)
                .await;
        }
        query(
            "UPDATE intake SET state = 'pending', verified = 1, request_id = $1, lane = $2, \
             run_at = $3, attempts = 0, reason = NULL WHERE account_id = $4 AND id = $5 AND state = 'held'",
        )
        .bind(request_id)
        .bind(lane.unwrap_or_default())
        .bind(now.0)
        .bind(account.0)
        .bind(id.0)
        .execute(self.connection())
        .await?;
        self.wake(Wake::Intake);
        Ok(())
    }

    /// A held request ends without being worked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn settle_held(
        &mut self,
        account: AccountId,
        id: IntakeId,
        state: &'static str,
        reason: &str,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE intake SET state = $1, reason = $2, finished_at = $3 \
             WHERE account_id = $4 AND id = $5 AND state = 'held'",
        )
        .bind(state)
        .bind(reason.to_owned())
        .bind(now.0)
        .bind(account.0)
        .bind(id.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Gives claimed intakes back untouched, because one before them in their lane has to be tried
    /// again.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn give_back(&mut self, leases: &[Lease]) -> Result<(), StoreError> {
        for lease in leases {
            query(
                "UPDATE intake SET state = 'pending', attempts = attempts - 1, claim_id = NULL, \
                 lease_until = NULL WHERE account_id = $1 AND id = $2 AND claim_id = $3",
            )
            .bind(lease.account.0)
            .bind(lease.id)
            .bind(lease.claim.clone())
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }

    /// Remembers which component failed at verifying a held request.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn blame_for_held(
        &mut self,
        account: AccountId,
        id: IntakeId,
        release: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE intake SET fault_release = $1, reason = $2 \
             WHERE account_id = $3 AND id = $4 AND state = 'held'",
        )
        .bind(release.to_owned())
        .bind(reason.to_owned())
        .bind(account.0)
        .bind(id.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Puts an intake that is over, or waits for its next try, back to the front of its work; one
    /// that was never verified is verified first.
    /// `false` when there is none, or it is being worked, or it is held.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn replay_intake(
        &mut self,
        account: Option<AccountId>,
        id: IntakeId,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE intake SET state = CASE WHEN verified = 1 THEN 'pending' ELSE 'held' END, \
             run_at = $1, attempts = 0, reason = NULL, finished_at = NULL WHERE ($2 = 0 OR account_id = $2) AND id = $3 \
             AND state IN ('pending', 'done', 'dead')",
        )
        .bind(now.0)
        .bind(account.map_or(0, |account| account.0))
        .bind(id.0)
        .execute(self.connection())
        .await?;
        self.wake(Wake::Intake);
        Ok(done.rows_affected() == 1)
    }
}

/// The digest of a body, for messages to people.
pub fn body_digest(body: &[u8]) -> String {
    blob::digest_of(body)
}
