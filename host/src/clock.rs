//! The only call to now() and to the operating system's random source.

use crate::domain::exchange::UnixMs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The operating system gave no random bytes: nothing that needs a secret can go on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoEntropy(getrandom::Error);

/// Random bytes fit for keys and tokens.
///
/// # Errors
/// The operating system has none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoEntropy)?;
    Ok(bytes)
}

/// A random number from 0 to 1, for jitter.
pub fn jitter() -> f64 {
    random_bytes::<4>()
        .map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// A new id that sorts by time: for events and claims.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
