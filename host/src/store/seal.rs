//! Secrets at rest: XChaCha20-Poly1305, with table, column and row as associated data, so that a
//! row that was changed or moved does not open.

use crate::clock;
use crate::store::StoreError;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use std::io::{Read, Write};
use std::path::Path;

/// The first byte of a sealed value: how it is sealed.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// The key's file inside the data directory.
pub const KEY_FILE: &str = "secret.key";

/// Seals and opens secrets with the host's key.
pub struct Seal {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal([REDACTED])")
    }
}

impl Seal {
    /// Takes the key from the data directory; makes one on the first start.
    ///
    /// # Errors
    /// The file cannot be read or written, or does not hold a key.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(KEY_FILE);
        let fail = |detail: String| StoreError::File { path: path.display().to_string(), detail };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(mut file) => {
                let key: [u8; KEY_BYTES] =
                    clock::random().map_err(|error| fail(error.to_string()))?;
                file.write_all(hex::encode(key).as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(|error| fail(error.to_string()))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error.to_string())),
        }
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| fail(error.to_string()))?;
        let key = hex::decode(text.trim())
            .ok()
            .filter(|key| key.len() == KEY_BYTES)
            .ok_or_else(|| fail(format!("expected {KEY_BYTES} bytes in hexadecimal")))?;
        let key = Key::try_from(key.as_slice()).map_err(|error| fail(error.to_string()))?;
        Ok(Self { cipher: XChaCha20Poly1305::new(&key) })
    }

    /// Seals a text for one place: a table, a column and a row.
    ///
    /// # Errors
    /// No random bytes, or a text that is too long to seal.
    pub fn seal(&self, place: &str, text: &str) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; NONCE_BYTES] =
            clock::random().map_err(|error| StoreError::Database(error.to_string()))?;
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: text.as_bytes(), aad: place.as_bytes() })
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`StoreError::Sealed`]: changed, moved, or sealed with another key.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Result<String, StoreError> {
        let refused = || StoreError::Sealed(place.to_owned());
        let (format, rest) = sealed.split_first().ok_or_else(refused)?;
        if *format != FORMAT || rest.len() < NONCE_BYTES {
            return Err(refused());
        }
        let (nonce, text) = rest.split_at(NONCE_BYTES);
        let nonce = XNonce::try_from(nonce).map_err(|_| refused())?;
        let text = self
            .cipher
            .decrypt(&nonce, Payload { msg: text, aad: place.as_bytes() })
            .map_err(|_| refused())?;
        String::from_utf8(text).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::Seal;

    #[test]
    fn a_secret_opens_only_in_its_own_place_and_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let mut sealed = seal.seal("secret.sealed.1.token", "xoxb").unwrap();
        let again = Seal::open(dir.path()).unwrap();
        assert_eq!(again.open_sealed("secret.sealed.1.token", &sealed).unwrap(), "xoxb");
        assert!(again.open_sealed("secret.sealed.2.token", &sealed).is_err());
        sealed[30] ^= 1;
        assert!(again.open_sealed("secret.sealed.1.token", &sealed).is_err());
        assert!(again.open_sealed("secret.sealed.1.token", &[]).is_err());
    }
}
