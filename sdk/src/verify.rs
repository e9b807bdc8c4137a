//! Is a request genuine? Helpers that fail closed: whatever is missing, doubled, malformed, late or
//! not configured ends in [`Refused`], and the [`Verified`] that a
//! [`Verdict`](crate::Verdict) needs comes from nowhere else.
//!
//! Slack's scheme, the timestamp's window included, is one expression:
//!
//! ```
//! # use tidegate_sdk::{HttpRequest, verify};
//! # fn genuine(request: &HttpRequest) -> Result<(), verify::Refused> {
//! let genuine = verify::hmac_sha256(request, "signing_secret")
//!     .text("v0:")
//!     .timestamp("x-slack-request-timestamp")
//!     .text(":")
//!     .body()
//!     .hex_in("x-slack-signature", "v0=")?;
//! # let _ = genuine; Ok(()) }
//! ```
//!
//! The bytes that the provider signed are MACed as they arrived; the secret stays with the host.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::secrets::{self, Encoding, Hash};
use crate::words::HttpRequest;

/// How far a signed timestamp may be from the arrival of its request, before or after: five
/// minutes, in milliseconds.
pub const WINDOW_MS: u64 = 5 * 60 * 1000;

/// Why a request is not genuine. Shown to operators, never to the caller; it repeats nothing of
/// what the caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(Cow<'static, str>);

impl Refused {
    /// A reason in a few words.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_reason(self) -> String {
        self.0.into_owned()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Proof that a request is genuine. Only the checks of this module make one.
#[derive(Debug)]
#[must_use]
pub struct Verified<'a>(&'a HttpRequest);

impl<'a> Verified<'a> {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &'a HttpRequest {
        self.0
    }

    /// The body, if it is JSON of this shape. A genuine body that is not belongs among the dead
    /// letters: accept it, and let `parse` say what is wrong.
    #[must_use]
    pub fn json<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_slice(&self.0.body).ok()
    }
}

/// Begins a check by HMAC-SHA256 under a secret: add what the provider signs, in its order, then
/// name where the signature is.
pub fn hmac_sha256<'a>(request: &'a HttpRequest, secret: &'a str) -> HmacSha256<'a> {
    // 64: the longest text around the body that a known provider signs.
    let signed = Vec::with_capacity(request.body.len().saturating_add(64));
    HmacSha256 { request, secret, signed, fault: None }
}

/// A check by HMAC-SHA256 that is being put together. The secret's text is the key as it stands.
#[derive(Debug)]
#[must_use]
pub struct HmacSha256<'a> {
    request: &'a HttpRequest,
    secret: &'a str,
    signed: Vec<u8>,
    fault: Option<Refused>,
}

impl<'a> HmacSha256<'a> {
    /// Fixed text.
    pub fn text(mut self, text: &str) -> Self {
        self.signed.extend_from_slice(text.as_bytes());
        self
    }

    /// The value of a header that holds the Unix time in seconds. It must be there once, be digits,
    /// and lie within [`WINDOW_MS`] of [`HttpRequest::received_at`], in both directions.
    pub fn timestamp(mut self, header: &str) -> Self {
        match timestamp(self.request, header) {
            Ok(text) => self.signed.extend_from_slice(text.as_bytes()),
            Err(refused) => self.fault = self.fault.or(Some(refused)),
        }
        self
    }

    /// The body, byte for byte.
    pub fn body(mut self) -> Self {
        self.signed.extend_from_slice(&self.request.body);
        self
    }

    /// The signature is in this header, once, as `prefix` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order written; the secret not being set or granted
    /// among them.
    pub fn hex_in(self, header: &str, prefix: &str) -> Result<Verified<'a>, Refused> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let value = only(self.request, header)?;
        let Some(mac) = value.strip_prefix(prefix).and_then(sha256_from_hex) else {
            return Err(Refused::new(format!(
                "{header} is not \"{prefix}\" and 64 hexadecimal digits"
            )));
        };
        match secrets::verify_mac(self.secret, Hash::Sha256, Encoding::Raw, &self.signed, &mac) {
            Ok(true) => Ok(Verified(self.request)),
            Ok(false) => Err(Refused::new("the signature does not match")),
            Err(error) => Err(Refused::new(secrets::explain(self.secret, &error))),
        }
    }
}

/// The value of a header that must be there exactly once.
fn only<'a>(request: &'a HttpRequest, name: &str) -> Result<&'a str, Refused> {
    let mut values = request.headers.iter().filter(|(key, _)| key == name);
    let Some((_, value)) = values.next() else {
        return Err(Refused::new(format!("{name} is missing")));
    };
    if values.next().is_some() {
        return Err(Refused::new(format!("{name} is there more than once")));
    }
    Ok(value)
}

/// The text of a timestamp header, once it is known to be digits and within the window.
fn timestamp<'a>(request: &'a HttpRequest, header: &str) -> Result<&'a str, Refused> {
    let text = only(request, header)?;
    // Twelve digits of seconds last for 30,000 years; `parse` alone would take a sign.
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = digits.then(|| text.parse::<u64>().ok()).flatten() else {
        return Err(Refused::new(format!("{header} is not a time in seconds")));
    };
    if seconds.saturating_mul(1000).abs_diff(request.received_at) > WINDOW_MS {
        return Err(Refused::new(format!("{header} is more than five minutes away")));
    }
    Ok(text)
}

fn sha256_from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
