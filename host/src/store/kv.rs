//! Scratch memory of plugins: reconstructible, in bytes, under a quota that the caller keeps.

use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ConnectionId, InboxId};
use crate::store::dialect::Dialect;
use crate::store::sql::{Columns, query};
use crate::store::{Store, StoreError, Tx};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Most entries that are remembered.
const CACHED_KEYS: usize = 20_000;
/// Largest value that is remembered, in bytes.
const CACHED_BYTES: usize = 4 << 10;

/// What was read lately. Only with SQLite, where every write goes through this process; it is
/// always what the database holds.
pub(super) struct KvCache {
    enabled: bool,
    /// Counts writes, so that a value that was read before one is not remembered after it.
    writes: AtomicU64,
    entries: Mutex<HashMap<KvScope, HashMap<String, Known>>>,
}

/// A value and when it expires, or that there is none.
type Known = Option<(Vec<u8>, Option<UnixMs>)>;

impl KvCache {
    pub(super) fn new(dialect: Dialect) -> Self {
        let enabled = dialect == Dialect::Sqlite;
        Self { enabled, writes: AtomicU64::new(0), entries: Mutex::default() }
    }

    fn get(&self, scope: KvScope, key: &str, now: UnixMs) -> Option<Option<Vec<u8>>> {
        let entries = self.entries.lock().ok()?;
        let known = entries.get(&scope)?.get(key)?.as_ref();
        let valid = known.filter(|(_, expires_at)| expires_at.is_none_or(|at| at > now));
        Some(valid.map(|(value, _)| value.clone()))
    }

    fn remember(&self, scope: KvScope, key: String, known: Known, writes: u64) {
        let large = known.as_ref().is_some_and(|(value, _)| value.len() > CACHED_BYTES);
        let Ok(mut entries) = self.entries.lock() else { return };
        if !self.enabled || large || self.writes.load(Ordering::Acquire) != writes {
            return;
        }
        if entries.values().map(HashMap::len).sum::<usize>() >= CACHED_KEYS {
            entries.clear();
        }
        entries.entry(scope).or_default().insert(key, known);
    }

    /// Forgets keys that were written. Before anybody learns that they were.
    pub(super) fn forget(&self, keys: &[(KvScope, String)]) {
        if keys.is_empty() || !self.enabled {
            return;
        }
        let Ok(mut entries) = self.entries.lock() else { return };
        self.writes.fetch_add(1, Ordering::Release);
        for (scope, key) in keys {
            if let Some(entries) = entries.get_mut(scope) {
                entries.remove(key);
            }
        }
    }
}

impl Store {
    /// The value of a key as far as it is known without asking the database.
    pub fn kv_known(&self, scope: KvScope, key: &str, now: UnixMs) -> Option<Option<Vec<u8>>> {
        self.inner.kv.get(scope, key, now)
    }

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
        if let Some(known) = self.kv_known(scope, key, now) {
            return Ok(known);
        }
        let writes = self.inner.kv.writes.load(Ordering::Acquire);
        let (account, name) = scope.parts();
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT value, expires_at FROM kv WHERE account_id = $1 AND scope = $2 AND key = $3 \
             AND (expires_at IS NULL OR expires_at > $4)",
        )
        .bind(account)
        .bind(name)
        .bind(key.to_owned())
        .bind(now.0)
        .fetch_optional(&mut *reader)
        .await?;
        let known = match row {
            None => None,
            Some(row) => Some((row.bytes("value")?, row.maybe_int("expires_at")?.map(UnixMs))),
        };
        self.inner.kv.remember(scope, key.to_owned(), known.clone(), writes);
        Ok(known.map(|(value, _)| value))
    }

    /// How many bytes of keys and values that have not expired the scope holds.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn kv_used(&self, scope: KvScope, now: UnixMs) -> Result<u64, StoreError> {
        let (account, scope) = scope.parts();
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT CAST(COALESCE(SUM(LENGTH(key) + LENGTH(value)), 0) AS BIGINT) AS used FROM kv \
             WHERE account_id = $1 AND scope = $2 AND (expires_at IS NULL OR expires_at > $3)",
        )
        .bind(account)
        .bind(scope)
        .bind(now.0)
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
        self.kv.push((scope, key.clone()));
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
        self.kv.push((scope, key.clone()));
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
