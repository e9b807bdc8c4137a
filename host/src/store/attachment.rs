//! Attachments: files beside messages, fetched from their provider when they are remote.

use crate::domain::exchange::{AttachmentSource, UnixMs};
use crate::domain::id::{AccountId, ConnectionId, InboxId, MessageId};
use crate::domain::message::MessageAttachment;
use crate::store::lease::{Kind, Lease};
use crate::store::sql::{Columns, built, list, query};
use crate::store::{Store, StoreError, Tx, Wake};
use std::collections::BTreeMap;

/// A file as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentRow {
    /// Its id.
    pub id: i64,
    /// File name.
    pub name: String,
    /// Media type as the provider states it.
    pub content_type: String,
    /// Size in bytes, when known.
    pub byte_size: Option<i64>,
    /// `pending`, `working`, `stored` or `dead`.
    pub state: String,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// Digest of the content, once it is stored.
    pub blob: Option<String>,
}

/// A file that was claimed to be fetched.
#[derive(Clone, Debug)]
pub struct ClaimedAttachment {
    /// The right to work on it.
    pub lease: Lease,
    /// Through which connection.
    pub connection: ConnectionId,
    /// The integration's reference.
    pub remote: String,
}

impl Store {
    /// The files of messages, by message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn attachments(
        &self,
        account: AccountId,
        messages: &[MessageId],
    ) -> Result<BTreeMap<MessageId, Vec<AttachmentRow>>, StoreError> {
        let mut found: BTreeMap<MessageId, Vec<AttachmentRow>> = BTreeMap::new();
        if messages.is_empty() {
            return Ok(found);
        }
        let mut statement = built(format!(
            "SELECT id, message_id, name, content_type, byte_size, state, reason, blob \
             FROM attachment WHERE account_id = $1 AND message_id IN ({}) ORDER BY id",
            list(2, messages.len())
        ))
        .bind(account.0);
        for message in messages {
            statement = statement.bind(message.0);
        }
        let mut reader = self.reader().await?;
        for row in statement.fetch_all(&mut *reader).await? {
            found.entry(MessageId(row.int("message_id")?)).or_default().push(AttachmentRow {
                id: row.int("id")?,
                name: row.text("name")?,
                content_type: row.text("content_type")?,
                byte_size: row.maybe_int("byte_size")?,
                state: row.text("state")?,
                reason: row.maybe_text("reason")?,
                blob: row.maybe_text("blob")?,
            });
        }
        Ok(found)
    }

    /// Claims files that can be fetched now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn claim_attachments(
        &self,
        claim: String,
        now: UnixMs,
        until: UnixMs,
        limit: i64,
    ) -> Result<Vec<ClaimedAttachment>, StoreError> {
        let rows = self
            .write(move |tx| {
                Box::pin(async move {
                    let lock = tx.dialect.skip_locked("f");
                    let text = format!(
                        "UPDATE attachment SET state = 'working', claim_id = $1, \
                         lease_until = $2, attempts = attempts + 1 WHERE state = 'pending' \
                         AND id IN (SELECT f.id FROM attachment f WHERE f.state = 'pending' \
                         AND f.run_at <= $3 ORDER BY f.run_at, f.id LIMIT $4{lock}) \
                         RETURNING id, account_id, connection_id, remote, attempts, claim_id"
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
                Ok(ClaimedAttachment {
                    lease: Lease {
                        kind: Kind::Attachment,
                        account: AccountId(row.int("account_id")?),
                        id: row.int("id")?,
                        claim: row.maybe_text("claim_id")?.unwrap_or_default(),
                        attempts: row.int("attempts")?,
                    },
                    connection: ConnectionId(row.int("connection_id")?),
                    remote: row.maybe_text("remote")?.unwrap_or_default(),
                })
            })
            .collect()
    }
}

impl Tx {
    /// The files of a new message; remote ones are fetched later.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_attachments(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        message: MessageId,
        files: &[MessageAttachment],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        for file in files {
            let (remote, blob, state) = match &file.source {
                AttachmentSource::Remote(remote) => (Some(remote.clone()), None, "pending"),
                AttachmentSource::Blob(blob) => (None, Some(blob.clone()), "stored"),
            };
            query(
                "INSERT INTO attachment (account_id, connection_id, message_id, name, \
                 content_type, byte_size, remote, blob, state, run_at) \
                 SELECT $1, connection_id, $2, $3, $4, $5, $6, $7, $8, $9 \
                 FROM inbox WHERE account_id = $1 AND id = $10",
            )
            .bind(account.0)
            .bind(message.0)
            .bind(file.name.clone())
            .bind(file.content_type.clone())
            .bind(file.byte_size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)))
            .bind(remote)
            .bind(blob)
            .bind(state)
            .bind(now.0)
            .bind(inbox.0)
            .execute(self.connection())
            .await?;
            self.wake(Wake::Attachment);
        }
        Ok(())
    }

    /// A file's content is here.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn store_attachment(
        &mut self,
        account: AccountId,
        id: i64,
        blob: &str,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE attachment SET blob = $1, byte_size = (SELECT size FROM blob \
             WHERE account_id = $2 AND digest = $1) WHERE account_id = $2 AND id = $3",
        )
        .bind(blob.to_owned())
        .bind(account.0)
        .bind(id)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
