//! Blobs: content under its SHA-256.
//!
//! With SQLite the bytes are files inside the data directory, written and synced before the row
//! that names them; with PostgreSQL they are rows of chunks, so that every host has them. Content
//! is shared; who may read it is said by the `blob` rows of an account.

use crate::domain::exchange::UnixMs;
use crate::domain::id::AccountId;
use crate::store::dialect::Dialect;
use crate::store::sql::{Columns, query};
use crate::store::{Store, StoreError, Tx};
use sha2::{Digest, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes per row with PostgreSQL.
const CHUNK_BYTES: usize = 1 << 18;

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// In bytes.
    pub size: u64,
    /// Media type.
    pub content_type: String,
    /// File name.
    pub name: String,
}

/// Where contents are.
#[derive(Clone, Debug)]
pub struct Blobs {
    dialect: Dialect,
    root: PathBuf,
}

/// The digest of a content, in hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Blobs {
    pub(super) fn new(dialect: Dialect, data_dir: &Path) -> Self {
        Self { dialect, root: data_dir.join("blobs") }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.root.join(digest.get(..2).unwrap_or("00")).join(digest)
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        StoreError::Full(path.display().to_string())
    } else {
        StoreError::File { path: path.display().to_string(), detail: error.to_string() }
    }
}

/// Writes a file so that it is complete or not there, and on the disk when this returns.
fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{}", crate::clock::new_id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| std::fs::File::open(directory)?.sync_all());
    if written.is_err() {
        // What is left of a failed write is of no use; the error is told either way.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

impl Store {
    /// Keeps a content, durably, and answers its digest. No account may read it before a row
    /// names it.
    ///
    /// # Errors
    /// The disk or the database refuses.
    pub async fn put_content(&self, bytes: Vec<u8>) -> Result<String, StoreError> {
        let digest = digest_of(&bytes);
        match self.blobs().dialect {
            Dialect::Sqlite => {
                let path = self.blobs().path(&digest);
                tokio::task::spawn_blocking(move || {
                    write_synced(&path, &bytes).map_err(|error| file_error(&path, &error))
                })
                .await
                .map_err(|error| StoreError::Database(error.to_string()))??;
            }
            Dialect::Postgres => {
                let name = digest.clone();
                self.write::<(), StoreError, _>(move |tx| {
                    Box::pin(async move {
                        for (position, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
                            query(
                                "INSERT INTO blob_chunk (digest, position, bytes) \
                                 VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                            )
                            .bind(name.clone())
                            .bind(i64::try_from(position).unwrap_or(i64::MAX))
                            .bind(chunk.to_vec())
                            .execute(tx.connection())
                            .await?;
                        }
                        Ok(())
                    })
                })
                .await?;
            }
        }
        Ok(digest)
    }

    /// A content, or a piece of it.
    ///
    /// # Errors
    /// The disk or the database refuses.
    pub async fn get_content(
        &self,
        digest: &str,
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self.blobs().dialect {
            Dialect::Sqlite => {
                let path = self.blobs().path(digest);
                tokio::task::spawn_blocking(move || read_piece(&path, offset, len))
                    .await
                    .map_err(|error| StoreError::Database(error.to_string()))?
            }
            Dialect::Postgres => self.read_chunks(digest, offset, len).await,
        }
    }

    async fn read_chunks(
        &self,
        digest: &str,
        offset: u64,
        len: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let chunk = CHUNK_BYTES as u64;
        let last = offset.saturating_add(len.saturating_sub(1)) / chunk;
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT bytes FROM blob_chunk WHERE digest = $1 AND position >= $2 AND position <= $3 \
             ORDER BY position",
        )
        .bind(digest.to_owned())
        .bind(i64::try_from(offset / chunk).unwrap_or(i64::MAX))
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .fetch_all(&mut *reader)
        .await?;
        if rows.is_empty() && offset == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for row in &rows {
            bytes.extend(row.bytes("bytes")?);
        }
        let skip = usize::try_from(offset % chunk).unwrap_or(usize::MAX).min(bytes.len());
        bytes.drain(..skip);
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(Some(bytes))
    }

    /// What an account knows of a blob.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn blob_info(
        &self,
        account: AccountId,
        digest: &str,
    ) -> Result<Option<BlobInfo>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT size, name, content_type FROM blob WHERE account_id = $1 AND digest = $2",
        )
        .bind(account.0)
        .bind(digest.to_owned())
        .fetch_optional(&mut *reader)
        .await?;
        row.map(|row| {
            Ok(BlobInfo {
                size: u64::try_from(row.int("size")?).unwrap_or(0),
                content_type: row.text("content_type")?,
                name: row.text("name")?,
            })
        })
        .transpose()
    }

    /// Keeps a blob for an account and answers its digest.
    ///
    /// # Errors
    /// The disk or the database refuses.
    pub async fn put_blob(
        &self,
        account: AccountId,
        name: String,
        content_type: String,
        bytes: Vec<u8>,
        now: UnixMs,
    ) -> Result<String, StoreError> {
        let size = bytes.len() as u64;
        let digest = self.put_content(bytes).await?;
        let info = BlobInfo { size, content_type, name };
        let named = digest.clone();
        self.write::<(), StoreError, _>(move |tx| {
            Box::pin(async move { tx.name_blob(account, &named, &info, now).await })
        })
        .await?;
        Ok(digest)
    }
}

fn read_piece(path: &Path, offset: u64, len: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(path, &error)),
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(len).read_to_end(&mut bytes))
        .map_err(|error| file_error(path, &error))?;
    Ok(Some(bytes))
}

impl Tx {
    /// Lets an account read a content that is kept.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn name_blob(
        &mut self,
        account: AccountId,
        digest: &str,
        info: &BlobInfo,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO blob (account_id, digest, size, name, content_type, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(account.0)
        .bind(digest.to_owned())
        .bind(i64::try_from(info.size).unwrap_or(i64::MAX))
        .bind(info.name.clone())
        .bind(info.content_type.clone())
        .bind(now.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
