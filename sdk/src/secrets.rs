//! Secrets by name. Their bytes never enter the sandbox: the host computes with them, or puts them
//! into a request that [`http`](crate::http) describes.

use crate::backend::secrets as host;

pub use crate::bindings::host::tidegate::plugin::secrets::{Algorithm, Encoding, Error, Hash};

/// The HMAC of `data` under a secret; `decode` says how the stored text becomes key bytes.
///
/// # Errors
/// The secret is not granted, not set, or not in that encoding.
pub fn mac(name: &str, hash: Hash, decode: Encoding, data: &[u8]) -> Result<Vec<u8>, Error> {
    host::mac(name, hash, decode, data)
}

/// Is `mac` the HMAC of `data`? In constant time; while a secret rotates, the old and the new one
/// both verify. For webhooks, [`verify`](crate::verify) is the safer form.
///
/// # Errors
/// As [`mac`].
pub fn verify_mac(
    name: &str,
    hash: Hash,
    decode: Encoding,
    data: &[u8],
    mac: &[u8],
) -> Result<bool, Error> {
    host::verify_mac(name, hash, decode, data, mac)
}

/// Is `candidate` the secret itself? In constant time.
///
/// # Errors
/// The secret is not granted or not set.
pub fn matches(name: &str, candidate: &str) -> Result<bool, Error> {
    host::matches(name, candidate)
}

/// A signature of `data` under a private key (PEM).
///
/// # Errors
/// The secret is not granted, not set, or not a key of that algorithm.
pub fn sign(name: &str, algorithm: Algorithm, data: &[u8]) -> Result<Vec<u8>, Error> {
    host::sign(name, algorithm, data)
}

/// An Ed25519 signature under a public key of 32 bytes.
#[must_use]
pub fn verify_ed25519(public_key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    host::verify_ed25519(public_key, data, signature)
}

/// An ECDSA P-256 signature over SHA-256.
#[must_use]
pub fn verify_ecdsa_p256(public_key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    host::verify_ecdsa_p256(public_key, data, signature)
}

/// What is wrong with a secret, as a sentence for the operator.
#[must_use]
pub fn explain(name: &str, error: &Error) -> String {
    match error {
        Error::NotGranted => format!("the secret \"{name}\" is not granted"),
        Error::NotSet => format!("the secret \"{name}\" is not set"),
        Error::Unusable(why) => format!("the secret \"{name}\" is unusable: {why}"),
    }
}
