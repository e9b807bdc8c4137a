//! The only call to the system's clocks and to the operating system's random source.
//!
//! Everything else is handed a time or random bytes as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidegate_domain::exchange::UnixMs;

/// The wall clock, in milliseconds since 1970-01-01T00:00:00Z; 0 for a clock set before that.
pub fn now() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A monotonic moment, for measuring.
pub fn instant() -> Instant {
    Instant::now()
}

/// `N` bytes from the operating system's random source.
///
/// # Errors
/// When the operating system has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A random number from 0 to 1, for jitter.
pub fn jitter() -> f64 {
    random::<4>().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// A new id that sorts by time: for events and claims.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
