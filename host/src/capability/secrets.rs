//! `secrets`: a secret is a name; its bytes never enter the sandbox. Granted per name, and bound to
//! the hosts that it may be sent to.
//!
//! Answers in integration calls only. An empty or missing secret is `not-set`: nothing verifies
//! against it. While a secret rotates it has several values: all verify, the newest signs.

mod keys;

use super::context::CallContext;
use super::grant::ScopeError;
use super::host_pattern::HostPattern;
use super::settings::Settings;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tidegate_domain::id::ConnectionId;
use url::Url;
use zeroize::Zeroizing;

/// The longest name, in bytes.
const NAME_BYTES: usize = 64;

/// The text of a secret. Wiped when dropped; shows nothing when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a secret over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Handed to nobody but the code that seals, sends or computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secrets of a connection by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    values: Arc<BTreeMap<String, Vec<SecretText>>>,
}

impl Secrets {
    /// Secrets by name, each with its valid values, the newest first.
    pub fn new(values: impl IntoIterator<Item = (String, Vec<SecretText>)>) -> Self {
        Self { values: Arc::new(values.into_iter().collect()) }
    }

    /// The values of one name, the newest first.
    pub fn values(&self, name: &str) -> &[SecretText] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the name has a value that is not empty.
    pub fn is_set(&self, name: &str) -> bool {
        self.values(name).iter().any(|value| !value.expose().is_empty())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SecretText> {
        self.values.values().flatten()
    }
}

/// A secret that a provider's answer replaced, to be stored with the call's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretWrite {
    /// Whose secret.
    pub connection: ConnectionId,
    /// Its name.
    pub name: String,
    /// The new value.
    pub value: SecretText,
}

/// Use of one secret; with `sent_to`, also in requests to those hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretGrant {
    /// The secret's name.
    pub name: String,
    /// Where it may be sent; `None`: nowhere.
    pub sent_to: Option<HostPattern>,
}

impl SecretGrant {
    pub(super) fn parse(scope: &str) -> Result<Self, ScopeError> {
        let (name, host) = match scope.split_once('@') {
            Some((name, host)) => (name, Some(host)),
            None => (scope, None),
        };
        let fine = !name.is_empty()
            && name.len() <= NAME_BYTES
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fine {
            return Err(ScopeError::Secret { found: scope.chars().take(80).collect() });
        }
        let sent_to = host.map(HostPattern::parse).transpose()?;
        Ok(Self { name: name.to_owned(), sent_to })
    }

    /// Whether the secret may be part of a request to `url`.
    pub(super) fn reaches(&self, name: &str, url: &Url, settings: &Settings) -> bool {
        self.name == name && self.sent_to.as_ref().is_some_and(|hosts| hosts.matches(url, settings))
    }
}

impl fmt::Display for SecretGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sent_to {
            None => f.write_str(&self.name),
            Some(hosts) => write!(f, "{}@{hosts}", self.name),
        }
    }
}

/// A hash function of a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// For providers that still use it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the stored text becomes key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Raw,
    /// Hexadecimal, either case.
    Hex,
    /// Base64, with or without padding.
    Base64,
    /// URL-safe base64, with or without padding.
    Base64Url,
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA P-256 with SHA-256; the signature is r and s, 32 bytes each.
    Es256,
}

/// What the guest is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No grant for this name, or a call that has no secrets.
    NotGranted,
    /// The operator has not entered it.
    NotSet,
    /// It is not what the operation needs. Never holds a piece of the secret.
    Unusable(&'static str),
}

/// A MAC of `data` under the newest value.
///
/// # Errors
/// Denied, not set, or not decodable.
pub fn mac(
    context: &CallContext,
    name: &str,
    hash: Hash,
    decode: Encoding,
    data: &[u8],
) -> Result<Vec<u8>, Denied> {
    let newest = granted(context, name)?.next().ok_or(Denied::NotSet)?;
    Ok(keys::mac_key(newest, hash, decode)?.sign(data))
}

/// Whether `mac` is the MAC of `data` under one of the values. Constant time.
///
/// # Errors
/// Denied, not set, or not decodable.
pub fn verify_mac(
    context: &CallContext,
    name: &str,
    hash: Hash,
    decode: Encoding,
    data: &[u8],
    mac: &[u8],
) -> Result<bool, Denied> {
    let mut genuine = Err(Denied::NotSet);
    for value in granted(context, name)? {
        let verified = keys::mac_key(value, hash, decode)?.verifies(data, mac);
        genuine = Ok(verified | genuine.unwrap_or(false));
    }
    genuine
}

/// Whether `candidate` is one of the values. Constant time but for lengths.
///
/// # Errors
/// Denied or not set.
pub fn matches(context: &CallContext, name: &str, candidate: &str) -> Result<bool, Denied> {
    let mut same = Err(Denied::NotSet);
    for value in granted(context, name)? {
        let equal = bool::from(value.expose().as_bytes().ct_eq(candidate.as_bytes()));
        same = Ok(equal | same.unwrap_or(false));
    }
    same
}

/// A signature of `data` by the newest value, a private key as PEM (PKCS#8).
///
/// # Errors
/// Denied, not set, or not such a key.
pub fn sign(
    context: &CallContext,
    name: &str,
    algorithm: Algorithm,
    data: &[u8],
) -> Result<Vec<u8>, Denied> {
    let newest = granted(context, name)?.next().ok_or(Denied::NotSet)?;
    keys::sign(newest, algorithm, data)
}

pub use keys::{verify_ecdsa_p256, verify_ed25519};

/// The values of a name that the running export may use, the newest first.
fn granted<'a>(
    context: &'a CallContext,
    name: &'a str,
) -> Result<impl Iterator<Item = &'a SecretText>, Denied> {
    let integration = context.export.side() == super::Side::Integration;
    let grants = context.grants().filter(|_| integration).ok_or(Denied::NotGranted)?;
    if !grants.secrets.iter().any(|grant| grant.name == name) {
        return Err(Denied::NotGranted);
    }
    Ok(context.secret_values(name))
}
