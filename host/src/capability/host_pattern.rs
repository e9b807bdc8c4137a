//! Patterns of hosts: what an `http` grant opens and what a secret may be sent to.

use super::settings::Settings;
use std::fmt;
use url::Url;

/// The longest pattern, in bytes: a DNS name has at most 253, a port six more.
const PATTERN_BYTES: usize = 260;

/// Which hosts. Written `api.example.com`, `api.example.com:8443`, `*.example.com` (every host
/// below it, not itself) or `{setting}` (the host, port and scheme of the URL in that setting).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host on this port, by HTTPS.
    Exact {
        /// Lower case, as a URL parser writes it.
        host: String,
        /// The port; 443 unless written.
        port: u16,
    },
    /// Every host below this one, by HTTPS on port 443.
    Below {
        /// Lower case, without the leading `*.`.
        suffix: String,
    },
    /// The host, port and scheme of the URL that this setting holds.
    Setting {
        /// The setting's name.
        name: String,
    },
}

/// A pattern that is none, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host, host:port, *.suffix or {{setting}}, found {found:?}")]
pub struct NotAPattern {
    /// What was found, cut to a readable length.
    pub found: String,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text is none of the four forms, or longer than 260 bytes.
    pub fn parse(text: &str) -> Result<Self, NotAPattern> {
        Self::read(text).ok_or_else(|| NotAPattern { found: text.chars().take(80).collect() })
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > PATTERN_BYTES {
            return None;
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let fine =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return fine.then(|| Self::Setting { name: name.to_owned() });
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let (host, port) = host_and_port(suffix)?;
            // A whole top-level domain is not a bound.
            return (port == 443 && host == suffix && host.contains('.') && !is_address(&host))
                .then_some(Self::Below { suffix: host });
        }
        let (host, port) = host_and_port(text)?;
        Some(Self::Exact { host, port })
    }

    /// Whether a request to `url` is meant. `{setting}` looks into `settings`; an unset setting or
    /// one that holds no URL matches nothing.
    pub fn matches(&self, url: &Url, settings: &Settings) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        match self {
            Self::Exact { host: allowed, port: allowed_port } => {
                url.scheme() == "https" && host == allowed && port == *allowed_port
            }
            Self::Below { suffix } => {
                url.scheme() == "https"
                    && port == 443
                    && host
                        .strip_suffix(suffix.as_str())
                        .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
            }
            Self::Setting { name } => settings.url(name).is_some_and(|allowed| {
                url.scheme() == allowed.scheme()
                    && Some(host) == allowed.host_str()
                    && Some(port) == allowed.port_or_known_default()
            }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { host, port: 443 } => f.write_str(host),
            Self::Exact { host, port } => write!(f, "{host}:{port}"),
            Self::Below { suffix } => write!(f, "*.{suffix}"),
            Self::Setting { name } => write!(f, "{{{name}}}"),
        }
    }
}

/// A host and port as a URL parser writes them; refused when the text holds anything else.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    if text.is_empty() || text.contains(['/', '?', '#', '@', '\\', '*', ' ', '%']) {
        return None;
    }
    let url = Url::parse(&format!("https://{text}/")).ok()?;
    let host = url.host_str()?;
    (url.path() == "/" && !host.ends_with('.'))
        .then(|| (host.to_owned(), url.port().unwrap_or(443)))
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        Settings::from_values([("api_url", json!("http://127.0.0.1:9/api")), ("n", json!(1))])
    }

    #[test]
    fn a_pattern_opens_exactly_what_it_says() {
        let cases = [
            ("slack.com", "https://slack.com/api", true),
            ("slack.com", "http://slack.com/api", false),
            ("slack.com", "https://slack.com:8443/", false),
            ("slack.com", "https://files.slack.com/", false),
            ("slack.com", "https://slack.com.evil.example/", false),
            ("SLACK.com", "https://slack.COM/", true),
            ("slack.com:8443", "https://slack.com:8443/", true),
            ("slack.com:8443", "https://slack.com/", false),
            ("*.slack.com", "https://files.slack.com/", true),
            ("*.slack.com", "https://a.b.slack.com/", true),
            ("*.slack.com", "https://slack.com/", false),
            ("*.slack.com", "https://evilslack.com/", false),
            ("*.slack.com", "https://files.slack.com:444/", false),
            ("{api_url}", "http://127.0.0.1:9/x", true),
            ("{api_url}", "http://127.0.0.1:10/x", false),
            ("{api_url}", "https://127.0.0.1:9/x", false),
            ("{n}", "https://1/", false),
            ("{unset}", "https://slack.com/", false),
        ];
        for (pattern, url, expected) in cases {
            let pattern = HostPattern::parse(pattern).unwrap();
            let url = Url::parse(url).unwrap();
            assert_eq!(pattern.matches(&url, &settings()), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "a/b",
            "a@b",
            "https://a",
            "a b",
            "{}",
            "{a b}",
            "*.1.2.3.4",
            "a..",
            "a:99999",
            "*.a.example:8443",
            "a*b",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
        assert!(HostPattern::parse(&"a".repeat(261)).is_err());
    }
}
