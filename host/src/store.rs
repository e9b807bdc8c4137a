//! THE MEMORY: all SQL.
//!
//! One text serves SQLite and PostgreSQL; what differs is in [`dialect`]. [`Store::write`] runs a
//! piece of work in one transaction; on SQLite the [`writer`] groups many of them into one commit.
//! Steps of the flow own the transactions, this module only carries them out. It knows no HTTP, no
//! plugin and no rule.

pub mod account;
pub mod attachment;
pub mod blob;
pub mod connection;
pub mod contact;
pub mod delivery;
pub mod dialect;
pub mod event;
pub mod inbox;
pub mod intake;
pub mod kv;
pub mod lease;
pub mod message;
pub mod plugin;
pub mod seal;
mod sql;
pub mod ticket;
mod writer;

use crate::store::blob::Blobs;
use crate::store::dialect::Dialect;
use crate::store::event::PendingEvent;
use crate::store::seal::Seal;
use crate::store::writer::{Work, Writer};
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Transaction};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Where the memory is and how it is opened.
#[derive(Clone, Debug)]
pub struct Location {
    /// `sqlite://…` or `postgres://…`.
    pub database_url: String,
    /// The host's own directory: blobs (with SQLite), keys, the lock.
    pub data_dir: PathBuf,
    /// Connections for reading; with PostgreSQL the size of the pool.
    pub connections: u32,
}

/// Why the memory did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting to be written.
    #[error("the database writer is busy: {waiting} writes are waiting")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// No space is left.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Another writer was first; the work is to be decided again.
    #[error("another write came first: {0}")]
    Conflict(&'static str),
    /// The lease of the work expired or was taken over; nothing was written.
    #[error("the lease of {0} was lost; its work was not written")]
    LeaseLost(&'static str),
    /// A row that does not mean anything.
    #[error("the row is corrupt: {table}.{column} of {row}: {found}")]
    Corrupt {
        /// Its table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        row: String,
        /// What is there.
        found: String,
    },
    /// The database refused.
    #[error("the database refused: {0}")]
    Database(String),
    /// A file could not be read or written.
    #[error("{path}: {detail}")]
    File {
        /// Which.
        path: String,
        /// Why.
        detail: String,
    },
    /// A stored secret does not open with this host's key.
    #[error(
        "{0} does not open with this host's key: it was changed, moved, or sealed with another key"
    )]
    Sealed(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        match code.as_ref() {
            // SQLITE_FULL; PostgreSQL's disk_full.
            "13" | "53100" => Self::Full(error.to_string()),
            // PostgreSQL's serialization_failure and deadlock_detected.
            "40001" | "40P01" => Self::Conflict("transaction"),
            _ if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                Self::Conflict("unique key")
            }
            _ => Self::Database(error.to_string()),
        }
    }
}

impl StoreError {
    /// A row that does not mean anything.
    pub(crate) fn corrupt(
        table: &'static str,
        column: &'static str,
        row: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Corrupt { table, column, row: row.to_string(), found: found.to_string() }
    }
}

/// What wakes the steps inside this process. Other processes on the same database look by
/// themselves, at the poll interval.
#[derive(Debug, Default)]
pub struct Wakes {
    /// An intake can be claimed.
    pub intake: Notify,
    /// A delivery can be claimed.
    pub delivery: Notify,
    /// An attachment can be fetched.
    pub attachment: Notify,
    /// What requests are served with has changed.
    pub generation: Notify,
}

/// Which of them a transaction rings after its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// [`Wakes::intake`].
    Intake,
    /// [`Wakes::delivery`].
    Delivery,
    /// [`Wakes::attachment`].
    Attachment,
    /// [`Wakes::generation`].
    Generation,
}

/// The memory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dialect: Dialect,
    readers: sqlx::Pool<Any>,
    writer: Writer,
    blobs: Blobs,
    seal: Seal,
    kv: kv::KvCache,
    wakes: Wakes,
    /// Grows whenever events were committed in this process.
    events: watch::Sender<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.inner.dialect).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the memory. The schema must be there: see [`dialect::migrate`].
    ///
    /// # Errors
    /// The database cannot be reached, or the data directory cannot be written.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let dialect = Dialect::of(&location.database_url)?;
        let seal = Seal::open(&location.data_dir)?;
        let readers = dialect::readers(dialect, location).await?;
        let blobs = Blobs::new(dialect, &location.data_dir);
        let (writer, start) = match dialect {
            Dialect::Sqlite => {
                let connection = dialect::writer_connection(location).await?;
                let (writer, start) = Writer::grouped(connection);
                (writer, Some(start))
            }
            Dialect::Postgres => (Writer::pooled(readers.clone()), None),
        };
        let store = Self {
            inner: Arc::new(Inner {
                dialect,
                readers,
                writer,
                blobs,
                seal,
                kv: kv::KvCache::new(dialect),
                wakes: Wakes::default(),
                events: watch::Sender::new(0),
            }),
        };
        if let Some(start) = start {
            start.run(Arc::downgrade(&store.inner));
        }
        Ok(store)
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// What wakes the steps.
    pub fn wakes(&self) -> &Wakes {
        &self.inner.wakes
    }

    /// Changes whenever events were committed in this process.
    pub fn events_committed(&self) -> watch::Receiver<u64> {
        self.inner.events.subscribe()
    }

    pub(crate) fn seal(&self) -> &Seal {
        &self.inner.seal
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.inner.readers.acquire().await?)
    }

    /// Runs a piece of work in one transaction: everything that it wrote is durable when this
    /// returns, or nothing is. The work goes on when the caller goes away.
    ///
    /// # Errors
    /// What the work answered, after a rollback, or why the commit failed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (work, answer) = Work::boxed(work);
        self.inner.writer.submit(&self.inner, work).await?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(E::from(StoreError::Database("the writer has stopped".to_owned()))),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut reader = self.reader().await?;
        sql::query("SELECT id FROM host").fetch_one(&mut *reader).await?;
        Ok(())
    }

    /// Lets the writer finish and closes every connection.
    pub async fn close(&self) {
        self.inner.writer.close().await;
        self.inner.readers.close().await;
    }
}

impl Inner {
    /// What follows a commit: memories of the old state are dropped, waiting steps are woken.
    fn committed(&self, tx: &Tx) {
        self.kv.forget(&tx.kv);
        self.ring(&tx.wakes, !tx.events.is_empty());
    }

    fn ring(&self, wakes: &[Wake], events: bool) {
        for wake in wakes {
            match wake {
                Wake::Intake => self.wakes.intake.notify_one(),
                Wake::Delivery => self.wakes.delivery.notify_one(),
                Wake::Attachment => self.wakes.attachment.notify_one(),
                Wake::Generation => self.wakes.generation.notify_one(),
            }
        }
        if events {
            self.events.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

enum Connection {
    Own(AnyConnection),
    Pooled(Transaction<'static, Any>),
}

/// A transaction. Events given to it are numbered by its last statement before the commit.
pub struct Tx {
    connection: Connection,
    dialect: Dialect,
    events: Vec<PendingEvent>,
    wakes: Vec<Wake>,
    /// Keys of scratch memory that were written.
    kv: Vec<(kv::KvScope, String)>,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Tx {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        match &mut self.connection {
            Connection::Own(connection) => connection,
            Connection::Pooled(transaction) => transaction,
        }
    }

    /// Rings after the commit.
    pub fn wake(&mut self, wake: Wake) {
        if !self.wakes.contains(&wake) {
            self.wakes.push(wake);
        }
    }
}
