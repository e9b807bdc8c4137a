//! Attachment content that the host keeps.

use crate::backend::blobs as host;
use crate::words::Failure;

pub use crate::bindings::host::tidegate::plugin::blobs::{Error, Info};

/// Size in bytes, content type and name.
///
/// # Errors
/// There is no such blob, or blobs are not granted.
pub fn stat(id: &str) -> Result<Info, Error> {
    host::stat(id)
}

/// Up to `len` bytes from `offset` on; fewer at the end.
///
/// # Errors
/// As [`stat`], or `len` is over the host's limit.
pub fn read(id: &str, offset: u64, len: u32) -> Result<Vec<u8>, Error> {
    host::read(id, offset, len)
}

/// Keeps bytes and returns the blob's id.
///
/// # Errors
/// Not granted, or over the limit.
pub fn create(name: &str, content_type: &str, bytes: &[u8]) -> Result<String, Error> {
    host::create(name, content_type, bytes)
}

impl From<Error> for Failure {
    /// None of these goes away by itself.
    fn from(error: Error) -> Self {
        Self::permanent(match error {
            Error::NotFound => "blobs: not found",
            Error::NotGranted => "blobs: not granted",
            Error::TooLarge => "blobs: too large",
        })
    }
}
