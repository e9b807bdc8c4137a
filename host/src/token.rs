//! API tokens: what a user's requests are recognised by. Shown once, kept as a hash.

use crate::clock;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What every token begins with, so that one that leaked is recognised.
pub const PREFIX: &str = "tg_";

/// A new token.
///
/// # Errors
/// The operating system has no random bytes.
pub fn mint() -> Result<String, getrandom::Error> {
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(clock::random::<32>()?)))
}

/// What is kept of a token.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
