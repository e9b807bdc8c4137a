//! `kv`: scratch memory of a connection or an inbox, reconstructible. Granted in bytes.
//!
//! Reads see the writes of the same call. Writes are buffered and leave with the call's outcome;
//! nothing is written here.

use super::Fault;
use super::context::CallContext;
use super::grant::{ScopeError, parse_bytes};
use super::memory::{KvChange, KvScope, KvWrite};
use crate::clock;

/// The most bytes that can be granted.
const GRANT_BYTES: u64 = 64 << 20;

/// Scratch memory of this many bytes, keys and values together, for the connection and for each of
/// its inboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KvGrant {
    /// Bytes.
    pub bytes: u64,
}

impl KvGrant {
    pub(super) fn parse(scope: &str) -> Result<Self, ScopeError> {
        Ok(Self { bytes: parse_bytes("kv", scope, GRANT_BYTES)? })
    }
}

/// What the guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No grant, or no connection to remember for.
    NotGranted,
    /// The key or the value is too long.
    TooLarge,
    /// The grant is used up, or the call has written too often.
    Quota,
    /// This export does not write.
    ReadOnly,
}

/// The value of a key.
///
/// # Errors
/// The host's memory did not answer.
pub async fn get(
    context: &CallContext,
    key: String,
) -> Result<Result<Option<Vec<u8>>, Denied>, Fault> {
    let (scope, _) = match granted(context) {
        Ok(granted) => granted,
        Err(denied) => return Ok(Err(denied)),
    };
    if key.len() > context.services.limits.kv_key_bytes {
        return Ok(Err(Denied::TooLarge));
    }
    if let Some(write) = context.kv.iter().rev().find(|w| w.scope == scope && w.key == key) {
        return Ok(Ok(match &write.change {
            KvChange::Set { value, .. } => Some(value.clone()),
            KvChange::Delete => None,
        }));
    }
    let now = context.received_at.unwrap_or_else(clock::now);
    if let Some(known) = context.services.memory.kv_known(scope, &key, now) {
        return Ok(Ok(known));
    }
    context.on_host(move |memory| async move { memory.kv_get(scope, key, now).await }).await.map(Ok)
}

/// Gives a key a value, for `ttl_ms` if given.
///
/// # Errors
/// The host's memory did not answer.
pub async fn set(
    context: &mut CallContext,
    key: String,
    value: Vec<u8>,
    ttl_ms: Option<u64>,
) -> Result<Result<(), Denied>, Fault> {
    let (scope, grant) = match writable(context, &key) {
        Ok(granted) => granted,
        Err(denied) => return Ok(Err(denied)),
    };
    if value.len() > context.services.limits.kv_value_bytes {
        return Ok(Err(Denied::TooLarge));
    }
    let now = clock::now();
    let stored = match context.kv_used {
        Some((of, used)) if of == scope => used,
        Some(_) | None => {
            let used = context
                .on_host(move |memory| async move { memory.kv_used(scope, now).await })
                .await?;
            context.kv_used = Some((scope, used));
            used
        }
    };
    // Counted as if no write replaced another: a bound, not an account.
    let pending: usize = context.kv.iter().filter(|w| w.scope == scope).map(write_bytes).sum();
    let wanted = (pending + key.len() + value.len()) as u64;
    if stored.saturating_add(wanted) > grant.bytes {
        return Ok(Err(Denied::Quota));
    }
    let ttl_ms = ttl_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let expires_at = ttl_ms.map(|ms| now.plus_ms(ms));
    context.kv.push(KvWrite { scope, key, change: KvChange::Set { value, expires_at } });
    Ok(Ok(()))
}

/// Takes a key away.
pub fn delete(context: &mut CallContext, key: String) -> Result<(), Denied> {
    let (scope, _) = writable(context, &key)?;
    context.kv.push(KvWrite { scope, key, change: KvChange::Delete });
    Ok(())
}

fn granted(context: &CallContext) -> Result<(KvScope, KvGrant), Denied> {
    let grant = context.grants().and_then(|grants| grants.kv).ok_or(Denied::NotGranted)?;
    Ok((context.kv_scope().ok_or(Denied::NotGranted)?, grant))
}

fn writable(context: &CallContext, key: &str) -> Result<(KvScope, KvGrant), Denied> {
    let granted = granted(context)?;
    if !context.export.may_write() {
        return Err(Denied::ReadOnly);
    }
    let limits = &context.services.limits;
    if key.is_empty() || key.len() > limits.kv_key_bytes || key.contains('\0') {
        return Err(Denied::TooLarge);
    }
    if context.kv.len() >= limits.kv_writes {
        return Err(Denied::Quota);
    }
    Ok(granted)
}

fn write_bytes(write: &KvWrite) -> usize {
    match &write.change {
        KvChange::Set { value, .. } => write.key.len() + value.len(),
        KvChange::Delete => 0,
    }
}
