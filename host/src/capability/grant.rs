//! Grants: what an operator allowed one connection, with bounds.
//!
//! A grant is read from the same text that a component asks with, so what was asked, what was
//! granted and what is enforced cannot differ.

use super::blobs::BlobsGrant;
use super::host_pattern::{HostPattern, NotAPattern};
use super::http::HttpGrant;
use super::kv::KvGrant;
use super::secrets::SecretGrant;
use std::fmt;
use tidegate_domain::plugin::{Capability, CapabilityRequest};

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Outgoing HTTP.
    Http(HttpGrant),
    /// Use of a secret.
    Secret(SecretGrant),
    /// Scratch memory.
    Kv(KvGrant),
    /// Attachment content.
    Blobs(BlobsGrant),
}

/// A scope that its capability does not understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not a host pattern.
    #[error("scope of http: {0}")]
    Host(#[from] NotAPattern),
    /// Not a secret's name, alone or with a host pattern.
    #[error("scope of secret: expected a name, or name@host, found {found:?}")]
    Secret {
        /// What was found, cut to a readable length.
        found: String,
    },
    /// Not a number of bytes within the capability's limit.
    #[error("scope of {capability}: expected a number of bytes from 1 to {limit}, found {found:?}")]
    Bytes {
        /// `kv` or `blobs`.
        capability: &'static str,
        /// The most that can be granted.
        limit: u64,
        /// What was found, cut to a readable length.
        found: String,
    },
}

impl Grant {
    /// Reads the scope of a request.
    ///
    /// # Errors
    /// The scope is not one of this capability.
    pub fn parse(capability: Capability, scope: &str) -> Result<Self, ScopeError> {
        Ok(match capability {
            Capability::Http => Self::Http(HttpGrant { hosts: HostPattern::parse(scope)? }),
            Capability::Secret => Self::Secret(SecretGrant::parse(scope)?),
            Capability::Kv => Self::Kv(KvGrant::parse(scope)?),
            Capability::Blobs => Self::Blobs(BlobsGrant::parse(scope)?),
        })
    }

    /// Which capability it opens.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Http(_) => Capability::Http,
            Self::Secret(_) => Capability::Secret,
            Self::Kv(_) => Capability::Kv,
            Self::Blobs(_) => Capability::Blobs,
        }
    }

    /// The scope as text, in its normal form.
    pub fn scope(&self) -> String {
        match self {
            Self::Http(grant) => grant.hosts.to_string(),
            Self::Secret(grant) => grant.to_string(),
            Self::Kv(grant) => grant.bytes.to_string(),
            Self::Blobs(grant) => grant.bytes.to_string(),
        }
    }

    /// One sentence for the operator.
    pub fn sentence(&self) -> String {
        match self {
            Self::Http(grant) => match &grant.hosts {
                HostPattern::Exact { .. } => format!("Call {} over HTTPS.", grant.hosts),
                HostPattern::Below { suffix } => {
                    format!("Call every host below {suffix} over HTTPS.")
                }
                HostPattern::Setting { name } => {
                    format!("Call the host of the URL in the setting \"{name}\".")
                }
            },
            Self::Secret(grant) => match &grant.sent_to {
                None => format!(
                    "Use the secret \"{}\" to check and sign; it is sent nowhere.",
                    grant.name
                ),
                Some(HostPattern::Setting { name }) => format!(
                    "Use the secret \"{}\", also in requests to the host of the URL in the setting \"{name}\".",
                    grant.name
                ),
                Some(HostPattern::Below { suffix }) => format!(
                    "Use the secret \"{}\", also in requests to hosts below {suffix}.",
                    grant.name
                ),
                Some(hosts @ HostPattern::Exact { .. }) => {
                    format!("Use the secret \"{}\", also in requests to {hosts}.", grant.name)
                }
            },
            Self::Kv(grant) => format!("Remember up to {} between calls.", Bytes(grant.bytes)),
            Self::Blobs(grant) => {
                format!(
                    "Read attachments, and keep new ones of up to {} per call.",
                    Bytes(grant.bytes)
                )
            }
        }
    }
}

/// A number of bytes for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => {
                write!(f, "{} MiB", bytes >> 20)
            }
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => {
                write!(f, "{} KiB", bytes >> 10)
            }
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// All grants of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Hosts that may be called.
    pub http: Vec<HttpGrant>,
    /// Secrets that may be used.
    pub secrets: Vec<SecretGrant>,
    /// Scratch memory of each scope; none means denied.
    pub kv: Option<KvGrant>,
    /// Attachment content; none means denied.
    pub blobs: Option<BlobsGrant>,
}

impl Grants {
    /// Everything that a component asks for.
    ///
    /// # Errors
    /// A scope is not one of its capability.
    pub fn requested(requests: &[CapabilityRequest]) -> Result<Self, ScopeError> {
        let grants: Result<Vec<Grant>, ScopeError> = requests
            .iter()
            .map(|request| Grant::parse(request.capability, &request.scope))
            .collect();
        Ok(grants?.into_iter().collect())
    }

    /// Whether this grant is covered, word for word.
    pub fn covers(&self, grant: &Grant) -> bool {
        match grant {
            Grant::Http(grant) => self.http.contains(grant),
            Grant::Secret(grant) => self.secrets.contains(grant),
            Grant::Kv(grant) => self.kv.is_some_and(|mine| mine.bytes >= grant.bytes),
            Grant::Blobs(grant) => self.blobs.is_some_and(|mine| mine.bytes >= grant.bytes),
        }
    }
}

/// Of several `kv` or `blobs` grants the largest counts.
impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut all = Self::default();
        for grant in grants {
            match grant {
                Grant::Http(grant) => all.http.push(grant),
                Grant::Secret(grant) => all.secrets.push(grant),
                Grant::Kv(grant) => all.kv = all.kv.max(Some(grant)),
                Grant::Blobs(grant) => all.blobs = all.blobs.max(Some(grant)),
            }
        }
        all
    }
}

/// Reads a number of bytes from 1 to `limit`.
pub(super) fn parse_bytes(
    capability: &'static str,
    scope: &str,
    limit: u64,
) -> Result<u64, ScopeError> {
    let bytes = scope.parse().ok().filter(|bytes| (1..=limit).contains(bytes));
    bytes.ok_or_else(|| ScopeError::Bytes {
        capability,
        limit,
        found: scope.chars().take(80).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grant_reads_back_and_has_a_sentence() {
        let cases = [
            (Capability::Http, "slack.com", "Call slack.com over HTTPS."),
            (Capability::Http, "*.slack.com", "Call every host below slack.com over HTTPS."),
            (Capability::Http, "{api_url}", "Call the host of the URL in the setting \"api_url\"."),
            (
                Capability::Secret,
                "signing_secret",
                "Use the secret \"signing_secret\" to check and sign; it is sent nowhere.",
            ),
            (
                Capability::Secret,
                "bot_token@slack.com",
                "Use the secret \"bot_token\", also in requests to slack.com.",
            ),
            (Capability::Kv, "65536", "Remember up to 64 KiB between calls."),
            (
                Capability::Blobs,
                "26214400",
                "Read attachments, and keep new ones of up to 25 MiB per call.",
            ),
        ];
        for (capability, scope, sentence) in cases {
            let grant = Grant::parse(capability, scope).unwrap();
            assert_eq!(grant.scope(), scope);
            assert_eq!(grant.sentence(), sentence);
            assert_eq!(grant.capability(), capability);
        }
    }

    #[test]
    fn a_scope_that_means_nothing_is_refused() {
        let cases = [
            (Capability::Http, "*"),
            (Capability::Secret, ""),
            (Capability::Secret, "@slack.com"),
            (Capability::Secret, "a b"),
            (Capability::Secret, "token@*"),
            (Capability::Kv, "0"),
            (Capability::Kv, "-1"),
            (Capability::Kv, "1e3"),
            (Capability::Kv, "99999999999999"),
            (Capability::Blobs, "many"),
        ];
        for (capability, scope) in cases {
            assert!(Grant::parse(capability, scope).is_err(), "{capability:?} {scope}");
        }
    }
}
