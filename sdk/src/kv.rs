//! Scratch memory of one connection or inbox: caches, cursors, whatever can be made again. Values
//! are JSON. Writes commit with the call's commands or not at all; in `describe`, `verify` and
//! `render_cards` there are none.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::kv as host;
use crate::words::Failure;

pub use crate::bindings::host::tidegate::plugin::kv::Error;

/// A value, or none. One of another shape (an older release wrote it) counts as none: what is here
/// can be made again.
///
/// # Errors
/// The capability is not granted.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    Ok(host::get(key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Keeps a value until it is replaced or deleted.
///
/// # Errors
/// Not granted, over its quota, or not in this call.
pub fn set<T: Serialize>(key: &str, value: &T) -> Result<(), Error> {
    host::set(key, &json(value)?, None)
}

/// Keeps a value for so many milliseconds.
///
/// # Errors
/// As [`set`].
pub fn set_for<T: Serialize>(key: &str, value: &T, ttl_ms: u64) -> Result<(), Error> {
    host::set(key, &json(value)?, Some(ttl_ms))
}

/// Forgets a value.
///
/// # Errors
/// Not granted, or not in this call.
pub fn delete(key: &str) -> Result<(), Error> {
    host::delete(key)
}

impl From<Error> for Failure {
    /// Trying again grants nothing and frees nothing.
    fn from(error: Error) -> Self {
        Self::permanent(match error {
            Error::NotGranted => "kv: not granted",
            Error::TooLarge => "kv: the key or value is too large",
            Error::Quota => "kv: the quota is used up",
            Error::ReadOnly => "kv: read-only in this call",
        })
    }
}

/// A value that JSON cannot hold (a map whose keys are no strings) is no smaller next time.
fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::TooLarge)
}
