//! Scratch memory of plugins: reconstructible, in bytes, under a quota that the caller keeps.

use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ConnectionId, InboxId};
use crate::store::sql::{Columns, query};
use crate::store::{Store, StoreError, Tx};

/// Whose memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KvScope {
    /// An integration's, in one connection.
    Connection(AccountId, ConnectionId),
    /// A channel's, in one inbox.
    Inbox(AccountId, InboxId),
}

impl KvScope {
    fn parts(self) -> (i64, String) {
        match self {
            Self::Connection(account, id) => (account.0, format!("c{id}")),
            Self::Inbox(account, id) => (account.0, format!("i{id}")),
        }
    }
}

impl Store {
    /// The value of a key that has not expired.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_get(
        &self,
        scope: KvScope,
        key: &str,
        now: UnixMs,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (account, scope) = scope.parts();
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT value FROM kv WHERE account_id = $1 AND scope = $2 AND key = $3 \
             AND (expires_at IS NULL OR expires_at > $4)",
        )
        .bind(account)
        .bind(scope)
        .bind(key.to_owned())
        .bind(now.0)
        .fetch_optional(&mut *reader)
        .await?;
        row.map(|row| row.bytes("value")).transpose()
    }

    /// How many bytes of keys and values the scope holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_used(&self, scope: KvScope) -> Result<u64, StoreError> {
        let (account, scope) = scope.parts();
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT CAST(COALESCE(SUM(LENGTH(key) + LENGTH(value)), 0) AS BIGINT) AS used FROM kv \
             WHERE account_id = $1 AND scope = $2",
        )
        .bind(account)
        .bind(scope)
        .fetch_one(&mut *reader)
        .await?;
        Ok(u64::try_from(row.int("used")?).unwrap_or(0))
    }

    /// Forgets what has expired, at most `limit` keys. Answers how many.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_expire(&self, now: UnixMs) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let done =
                    query("DELETE FROM kv WHERE expires_at IS NOT NULL AND expires_at <= $1")
                        .bind(now.0)
                        .execute(tx.connection())
                        .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}

impl Tx {
    /// Sets a key.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_set(
        &mut self,
        scope: KvScope,
        key: String,
        value: Vec<u8>,
        expires_at: Option<UnixMs>,
    ) -> Result<(), StoreError> {
        let (account, scope) = scope.parts();
        query(
            "INSERT INTO kv (account_id, scope, key, value, expires_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (account_id, scope, key) DO UPDATE SET value = excluded.value, \
             expires_at = excluded.expires_at",
        )
        .bind(account)
        .bind(scope)
        .bind(key)
        .bind(value)
        .bind(expires_at.map(|at| at.0))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_delete(&mut self, scope: KvScope, key: String) -> Result<(), StoreError> {
        let (account, scope) = scope.parts();
        query("DELETE FROM kv WHERE account_id = $1 AND scope = $2 AND key = $3")
            .bind(account)
            .bind(scope)
            .bind(key)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
