//! What guests remember, as the capabilities see it: the seam to the store.

mod of_store;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tidegate_domain::exchange::UnixMs;
use tidegate_domain::id::{AccountId, ConnectionId, InboxId};

/// Whose scratch memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvScope {
    /// The account.
    pub account: AccountId,
    /// The connection or inbox inside it.
    pub owner: KvOwner,
}

/// A connection or an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvOwner {
    /// Memory of integration calls.
    Connection(ConnectionId),
    /// Memory of channel calls.
    Inbox(InboxId),
}

/// One write of a call, to be committed with its outcome, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvWrite {
    /// Where.
    pub scope: KvScope,
    /// The key, at most [`kv_key_bytes`](super::HostLimits::kv_key_bytes) long.
    pub key: String,
    /// What.
    pub change: KvChange,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvChange {
    /// It has this value, until `expires_at` if one is given.
    Set {
        /// The value.
        value: Vec<u8>,
        /// From then on it is gone.
        expires_at: Option<UnixMs>,
    },
    /// It is gone.
    Delete,
}

/// What the store says of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Content-addressed: the same bytes have the same id.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// Media type as it was stated.
    pub content_type: String,
    /// File name as it was stated.
    pub name: String,
}

/// The name and type of a blob to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobLabel {
    /// File name.
    pub name: String,
    /// Media type.
    pub content_type: String,
}

/// The bytes of a blob to be made. An error from the stream ends the write and nothing is kept.
pub type BlobBytes = BoxStream<'static, Result<Bytes, BlobSourceError>>;

/// The source of a blob's bytes ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobSourceError {
    /// More bytes than allowed.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The source broke off.
    #[error("{0}")]
    Broken(String),
}

/// The store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The source of a blob's bytes ended early; nothing was kept.
    #[error("the blob's bytes: {0}")]
    Source(#[from] BlobSourceError),
    /// The store failed, and how.
    #[error("{0}")]
    Store(String),
}

/// What the capabilities need of the store. Called on the host's own threads, never on a guest's.
pub trait Memory: Send + Sync + 'static {
    /// The value of a key as far as it is known without waiting; `None` when it has to be asked
    /// for with [`Memory::kv_get`].
    fn kv_known(&self, scope: KvScope, key: &str, now: UnixMs) -> Option<Option<Vec<u8>>> {
        let _ = (scope, key, now);
        None
    }

    /// The value of a key that has not expired at `now`.
    fn kv_get(
        &self,
        scope: KvScope,
        key: String,
        now: UnixMs,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>>;

    /// Bytes of all keys and values of the scope that have not expired at `now`.
    fn kv_used(&self, scope: KvScope, now: UnixMs) -> BoxFuture<'_, Result<u64, MemoryError>>;

    /// What a blob of the account is; `None` when it has none of this id.
    fn blob_stat(
        &self,
        account: AccountId,
        id: String,
    ) -> BoxFuture<'_, Result<Option<BlobInfo>, MemoryError>>;

    /// At most `len` bytes of a blob from `offset` on; empty behind its end, `None` when the account
    /// has none of this id.
    fn blob_read(
        &self,
        account: AccountId,
        id: String,
        offset: u64,
        len: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>>;

    /// Keeps the bytes as a blob of the account, durable when it answers.
    fn blob_write(
        &self,
        account: AccountId,
        label: BlobLabel,
        bytes: BlobBytes,
    ) -> BoxFuture<'_, Result<BlobInfo, MemoryError>>;
}

/// No memory at all: for a component that is only asked what it is.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

impl NoMemory {
    fn refuse<T: Send + 'static>() -> BoxFuture<'static, Result<T, MemoryError>> {
        Box::pin(async { Err(MemoryError::Store("there is no store here".to_owned())) })
    }
}

impl Memory for NoMemory {
    fn kv_get(
        &self,
        _: KvScope,
        _: String,
        _: UnixMs,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        Self::refuse()
    }

    fn kv_used(&self, _: KvScope, _: UnixMs) -> BoxFuture<'_, Result<u64, MemoryError>> {
        Self::refuse()
    }

    fn blob_stat(
        &self,
        _: AccountId,
        _: String,
    ) -> BoxFuture<'_, Result<Option<BlobInfo>, MemoryError>> {
        Self::refuse()
    }

    fn blob_read(
        &self,
        _: AccountId,
        _: String,
        _: u64,
        _: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, MemoryError>> {
        Self::refuse()
    }

    fn blob_write(
        &self,
        _: AccountId,
        _: BlobLabel,
        _: BlobBytes,
    ) -> BoxFuture<'_, Result<BlobInfo, MemoryError>> {
        Self::refuse()
    }
}
