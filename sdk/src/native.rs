//! A host inside the process, for `cargo test` and for measuring: outside WebAssembly the wrappers
//! call it instead of a real host.
//!
//! Every thread has its own, empty until it is filled, so tests do not see each other. It computes
//! real MACs, keeps kv and blobs in memory, answers requests from a script and remembers what was
//! asked and logged. It enforces no grants and no limits: those are tested against the real host.
//!
//! ```
//! use tidegate_sdk::{native, settings};
//!
//! native::set_setting("api_url", "https://provider.example/api");
//! assert_eq!(settings::get("api_url"), Ok(Some("https://provider.example/api".to_owned())));
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::bindings::host::tidegate::plugin::http as wit;

pub use wit::{Error as HttpError, Request as SentRequest};

#[derive(Default)]
struct Host {
    secrets: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    kv: BTreeMap<String, Vec<u8>>,
    blobs: Vec<Blob>,
    answers: VecDeque<Result<wit::Response, HttpError>>,
    sent: Vec<SentRequest>,
    log: Vec<String>,
}

struct Blob {
    name: String,
    content_type: String,
    bytes: Vec<u8>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(f)
}

/// Empties this thread's host.
pub fn reset() {
    with(|host| *host = Host::default());
}

/// Gives a secret its text.
pub fn set_secret(name: &str, value: &str) {
    with(|host| host.secrets.insert(name.to_owned(), value.to_owned()));
}

/// Gives a setting its value. A value that JSON cannot hold removes the setting.
pub fn set_setting<T: Serialize + ?Sized>(name: &str, value: &T) {
    with(|host| match serde_json::to_string(value) {
        Ok(json) => host.settings.insert(name.to_owned(), json),
        Err(_) => host.settings.remove(name),
    });
}

/// Puts bytes into kv as if an earlier call had.
pub fn set_kv(key: &str, value: &[u8]) {
    with(|host| host.kv.insert(key.to_owned(), value.to_owned()));
}

/// What kv holds. The time to live is not kept.
#[must_use]
pub fn kv_value(key: &str) -> Option<Vec<u8>> {
    with(|host| host.kv.get(key).cloned())
}

/// Keeps bytes as a blob and returns its id.
pub fn add_blob(name: &str, content_type: &str, bytes: &[u8]) -> String {
    with(|host| host.add_blob(name, content_type, bytes))
}

/// The next request is answered with this status, these headers and this body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
    let headers =
        headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let body = wit::Body::Bytes(body.into());
    with(|host| host.answers.push_back(Ok(wit::Response { status, headers, body })));
}

/// The next request fails like this. Without a script, requests fail as not sent.
pub fn answer_error(error: HttpError) {
    with(|host| host.answers.push_back(Err(error)));
}

/// The requests made so far, oldest first; calling it forgets them. Secrets are there by name.
#[must_use]
pub fn take_sent() -> Vec<SentRequest> {
    with(|host| std::mem::take(&mut host.sent))
}

/// The lines logged so far as `level message key=value …`, oldest first; calling it forgets them.
#[must_use]
pub fn take_log() -> Vec<String> {
    with(|host| std::mem::take(&mut host.log))
}

/// Parts as text: secrets and blobs as `{name}`.
#[must_use]
pub fn shown(parts: &[wit::Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            wit::Part::Text(part) => text.push_str(part),
            wit::Part::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            wit::Part::Blob(name) | wit::Part::Secret((name, _)) => {
                text.push_str(&format!("{{{name}}}"));
            }
            wit::Part::BasicAuth((user, name)) => text.push_str(&format!("{user}:{{{name}}}")),
        }
    }
    text
}

impl SentRequest {
    /// The URL; secrets as `{name}`.
    #[must_use]
    pub fn url_text(&self) -> String {
        shown(&self.url)
    }

    /// The body; secrets and blobs as `{name}`.
    #[must_use]
    pub fn body_text(&self) -> String {
        shown(&self.body)
    }

    /// The first header of this name; secrets as `{name}`.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|header| header.name == name).map(|header| shown(&header.value))
    }
}

impl Host {
    fn add_blob(&mut self, name: &str, content_type: &str, bytes: &[u8]) -> String {
        self.blobs.push(Blob {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            bytes: bytes.to_owned(),
        });
        format!("blob-{}", self.blobs.len())
    }

    fn blob(&self, id: &str) -> Option<&Blob> {
        let number: usize = id.strip_prefix("blob-")?.parse().ok()?;
        self.blobs.get(number.checked_sub(1)?)
    }
}

pub(crate) mod log {
    use crate::bindings::host::tidegate::plugin::log::Level;

    pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
        let mut line = match level {
            Level::Trace => "trace ",
            Level::Debug => "debug ",
            Level::Info => "info ",
            Level::Warn => "warn ",
            Level::Error => "error ",
        }
        .to_owned();
        line.push_str(message);
        for (key, value) in fields {
            line.push_str(&format!(" {key}={value}"));
        }
        super::with(|host| host.log.push(line));
    }
}

pub(crate) mod settings {
    pub(crate) fn get(name: &str) -> Option<String> {
        super::with(|host| host.settings.get(name).cloned())
    }
}

pub(crate) mod secrets {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use hmac::{Hmac, KeyInit, Mac};

    use crate::secrets::{Algorithm, Encoding, Error, Hash};

    /// An HMAC that has taken its data.
    enum Taken {
        Sha1(Hmac<sha1::Sha1>),
        Sha256(Hmac<sha2::Sha256>),
        Sha512(Hmac<sha2::Sha512>),
    }

    pub(crate) fn mac(
        name: &str,
        hash: Hash,
        decode: Encoding,
        data: &[u8],
    ) -> Result<Vec<u8>, Error> {
        Ok(match take(name, hash, decode, data)? {
            Taken::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Taken::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Taken::Sha512(mac) => mac.finalize().into_bytes().to_vec(),
        })
    }

    pub(crate) fn verify_mac(
        name: &str,
        hash: Hash,
        decode: Encoding,
        data: &[u8],
        mac: &[u8],
    ) -> Result<bool, Error> {
        Ok(match take(name, hash, decode, data)? {
            Taken::Sha1(taken) => taken.verify_slice(mac).is_ok(),
            Taken::Sha256(taken) => taken.verify_slice(mac).is_ok(),
            Taken::Sha512(taken) => taken.verify_slice(mac).is_ok(),
        })
    }

    pub(crate) fn matches(name: &str, candidate: &str) -> Result<bool, Error> {
        super::with(|host| match host.secrets.get(name) {
            Some(secret) => Ok(secret == candidate),
            None => Err(Error::NotSet),
        })
    }

    pub(crate) fn sign(_name: &str, _algorithm: Algorithm, _data: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::Unusable("the native host holds no private keys".to_owned()))
    }

    /// The native host knows no public-key signatures: nothing verifies.
    pub(crate) const fn verify_ed25519(_key: &[u8], _data: &[u8], _signature: &[u8]) -> bool {
        false
    }

    /// As [`verify_ed25519`].
    pub(crate) const fn verify_ecdsa_p256(_key: &[u8], _data: &[u8], _signature: &[u8]) -> bool {
        false
    }

    fn take(name: &str, hash: Hash, decode: Encoding, data: &[u8]) -> Result<Taken, Error> {
        super::with(|host| {
            let text = host.secrets.get(name).ok_or(Error::NotSet)?;
            let decoded;
            let key = match decode {
                Encoding::Raw => text.as_bytes(),
                Encoding::Hex => {
                    decoded = hex::decode(text).map_err(|_| unusable("hexadecimal"))?;
                    &decoded
                }
                Encoding::Base64 => {
                    decoded = STANDARD.decode(text).map_err(|_| unusable("base64"))?;
                    &decoded
                }
                Encoding::Base64Url => {
                    decoded = URL_SAFE_NO_PAD.decode(text).map_err(|_| unusable("base64url"))?;
                    &decoded
                }
            };
            Ok(match hash {
                Hash::Sha1 => Taken::Sha1(keyed(key, data)?),
                Hash::Sha256 => Taken::Sha256(keyed(key, data)?),
                Hash::Sha512 => Taken::Sha512(keyed(key, data)?),
            })
        })
    }

    fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<M, Error> {
        let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| unusable("a key"))?;
        mac.update(data);
        Ok(mac)
    }

    fn unusable(expected: &str) -> Error {
        Error::Unusable(format!("it is not {expected}"))
    }
}

pub(crate) mod http {
    use super::wit;

    pub(crate) fn send(request: &wit::Request) -> Result<wit::Response, wit::Error> {
        super::with(|host| {
            host.sent.push(request.clone());
            let unscripted = || Err(wit::Error::NotSent("no answer is scripted".to_owned()));
            let mut response = host.answers.pop_front().unwrap_or_else(unscripted)?;
            if let (Some(name), 200..=299) = (&request.into_blob, response.status)
                && let wit::Body::Bytes(bytes) = &response.body
            {
                response.body = wit::Body::Blob(host.add_blob(name, "", bytes));
            }
            Ok(response)
        })
    }
}

pub(crate) mod kv {
    use crate::kv::Error;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(super::kv_value(key))
    }

    pub(crate) fn set(key: &str, value: &[u8], _ttl_ms: Option<u64>) -> Result<(), Error> {
        super::set_kv(key, value);
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        super::with(|host| host.kv.remove(key));
        Ok(())
    }
}

pub(crate) mod blobs {
    use crate::blobs::{Error, Info};

    pub(crate) fn stat(id: &str) -> Result<Info, Error> {
        super::with(|host| {
            let blob = host.blob(id).ok_or(Error::NotFound)?;
            Ok(Info {
                size: blob.bytes.len() as u64,
                content_type: blob.content_type.clone(),
                name: blob.name.clone(),
            })
        })
    }

    pub(crate) fn read(id: &str, offset: u64, len: u32) -> Result<Vec<u8>, Error> {
        super::with(|host| {
            let blob = host.blob(id).ok_or(Error::NotFound)?;
            let bytes = blob.bytes.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
            Ok(bytes.take(len as usize).copied().collect())
        })
    }

    pub(crate) fn create(name: &str, content_type: &str, bytes: &[u8]) -> Result<String, Error> {
        Ok(super::add_blob(name, content_type, bytes))
    }
}
