//! `blobs`: attachment content, kept past the sandbox. Granted in bytes.
//!
//! A blob is content-addressed and belongs to an account: the id of the same bytes is the same, and
//! a blob that nothing refers to is swept away later. So a call that fails leaves nothing that
//! matters, and `create` answers at once.

use super::Fault;
use super::context::CallContext;
use super::grant::{ScopeError, parse_bytes};
use super::memory::{BlobInfo, BlobLabel};
use bytes::Bytes;
use futures_util::StreamExt;
use tidegate_domain::id::AccountId;

/// The most bytes that can be granted.
const GRANT_BYTES: u64 = 256 << 20;
/// The longest id, in bytes; a longer one names nothing.
const ID_BYTES: usize = 128;
/// The longest file name and media type, in bytes; what is longer is cut.
pub(super) const LABEL_BYTES: usize = 255;

/// Reading attachments of the account, and making new ones of this many bytes in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobsGrant {
    /// Bytes.
    pub bytes: u64,
}

impl BlobsGrant {
    pub(super) fn parse(scope: &str) -> Result<Self, ScopeError> {
        Ok(Self { bytes: parse_bytes("blobs", scope, GRANT_BYTES)? })
    }
}

/// What the guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The account has no such blob.
    NotFound,
    /// No grant, or this export makes none.
    NotGranted,
    /// More bytes than granted.
    TooLarge,
}

/// Size, type and name of a blob.
///
/// # Errors
/// The host's memory did not answer.
pub async fn stat(context: &CallContext, id: String) -> Result<Result<BlobInfo, Denied>, Fault> {
    let Some((account, _)) = granted(context) else { return Ok(Err(Denied::NotGranted)) };
    if id.len() > ID_BYTES {
        return Ok(Err(Denied::NotFound));
    }
    let found =
        context.on_host(move |memory| async move { memory.blob_stat(account, id).await }).await?;
    Ok(found.ok_or(Denied::NotFound))
}

/// A piece of a blob; empty behind its end.
///
/// # Errors
/// The host's memory did not answer.
pub async fn read(
    context: &CallContext,
    id: String,
    offset: u64,
    len: u32,
) -> Result<Result<Vec<u8>, Denied>, Fault> {
    let Some((account, _)) = granted(context) else { return Ok(Err(Denied::NotGranted)) };
    if id.len() > ID_BYTES {
        return Ok(Err(Denied::NotFound));
    }
    if len > context.services.limits.blob_read_bytes {
        return Ok(Err(Denied::TooLarge));
    }
    let found = context
        .on_host(move |memory| async move { memory.blob_read(account, id, offset, len).await })
        .await?;
    Ok(found.ok_or(Denied::NotFound))
}

/// Keeps bytes as a blob and says its id.
///
/// # Errors
/// The host's memory did not answer.
pub async fn create(
    context: &mut CallContext,
    name: &str,
    content_type: &str,
    bytes: Vec<u8>,
) -> Result<Result<String, Denied>, Fault> {
    let Some((account, left)) = creatable(context) else { return Ok(Err(Denied::NotGranted)) };
    let size = bytes.len() as u64;
    if size > left {
        return Ok(Err(Denied::TooLarge));
    }
    let label = label(name, content_type);
    let bytes = futures_util::stream::iter([Ok(Bytes::from(bytes))]).boxed();
    let info = context
        .on_host(move |memory| async move { memory.blob_write(account, label, bytes).await })
        .await?;
    context.blob_bytes += size;
    Ok(Ok(info.id))
}

/// The account whose blobs the call may read, and how many bytes it is granted.
pub(super) fn granted(context: &CallContext) -> Option<(AccountId, u64)> {
    let grant = context.grants()?.blobs?;
    Some((context.allowance.as_ref()?.account, grant.bytes))
}

/// The account that the call may make blobs for, and how many bytes are left.
pub(super) fn creatable(context: &CallContext) -> Option<(AccountId, u64)> {
    let (account, bytes) = granted(context)?;
    context.export.may_write().then(|| (account, bytes.saturating_sub(context.blob_bytes)))
}

/// A name and a type made safe to store and show.
pub(super) fn label(name: &str, content_type: &str) -> BlobLabel {
    let name = super::log::escape(name.rsplit(['/', '\\']).next().unwrap_or(name), LABEL_BYTES);
    let content_type = match content_type {
        "" => "application/octet-stream".to_owned(),
        given => super::log::escape(given, LABEL_BYTES),
    };
    BlobLabel { name, content_type }
}
