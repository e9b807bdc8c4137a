//! Which URLs may be called and which addresses may be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// What the client may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Opens `127.0.0.0/8` and `::1`, and plain HTTP to them, for tests and the demo. Nothing else.
    pub allow_loopback: bool,
}

/// Why a URL may not be called or an address not dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Only HTTPS is spoken.
    #[error("expected https, found {scheme}")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The URL has no host.
    #[error("expected a host")]
    NoHost,
    /// A user or password in the URL.
    #[error("expected no user name or password in the URL")]
    Credentials,
    /// A host that leads to a private, local or reserved network.
    #[error("{host} is a private, local or reserved address")]
    Address {
        /// The host as it was written, or the address that it resolved to.
        host: String,
    },
}

impl Policy {
    /// Whether an address may be dialled.
    pub fn permits(self, address: IpAddr) -> bool {
        if self.allow_loopback && is_loopback(address) {
            return true;
        }
        match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        }
    }
}

/// Judges a parsed URL: scheme, credentials, and the address where the host is one. Names are judged
/// again when they are resolved. The URL parser has already turned odd spellings of addresses
/// (`0x7f.1`, `2130706433`, `①②⑦.0.0.1`) into plain ones.
///
/// # Errors
/// What is forbidden about it.
pub fn check_url(url: &Url, policy: Policy) -> Result<(), Forbidden> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::Credentials);
    }
    let host = url.host().ok_or(Forbidden::NoHost)?;
    let local = match &host {
        Host::Ipv4(address) => is_loopback(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_loopback(IpAddr::V6(*address)),
        Host::Domain(name) => is_local_name(name),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local && policy.allow_loopback) {
        return Err(Forbidden::Scheme { scheme: url.scheme().to_owned() });
    }
    let permitted = match &host {
        Host::Ipv4(address) => policy.permits(IpAddr::V4(*address)),
        Host::Ipv6(address) => policy.permits(IpAddr::V6(*address)),
        Host::Domain(_) => !local || policy.allow_loopback,
    };
    if permitted { Ok(()) } else { Err(Forbidden::Address { host: host.to_string() }) }
}

pub(super) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address == Ipv6Addr::LOCALHOST,
    }
}

/// Networks of IPv4 that are not the public internet, and two addresses of cloud providers inside
/// it. 100.64/10 and 169.254/16 hold the metadata services of the others.
const CLOSED_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's wire server: a public address that answers from inside.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved, broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|(network, bits)| {
        let mask = u32::MAX << (32 - bits);
        address.to_bits() & mask == network.to_bits() & mask
    })
}

/// Exceptions inside 2000::/3. Teredo (2001::/32) is in the first.
const CLOSED_V6: [(Ipv6Addr, u32); 6] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address of its own.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// NAT64's well-known prefix: what is behind it is judged as the IPv4 address it carries.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Only global unicast (2000::/3) and NAT64 are open, less the exceptions. So mapped, compatible and
/// translated IPv4, unique-local, link-local, site-local and multicast are all closed.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if within(address, NAT64) {
        let low = u32::try_from(address.to_bits() & u128::from(u32::MAX)).unwrap_or_default();
        return is_public_v4(Ipv4Addr::from_bits(low));
    }
    let global = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    within(address, global) && !CLOSED_V6.iter().any(|network| within(address, *network))
}

fn within(address: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    let mask = u128::MAX << (128 - bits);
    address.to_bits() & mask == network.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Policy = Policy { allow_loopback: false };
    const LOOPBACK: Policy = Policy { allow_loopback: true };

    #[test]
    fn addresses_outside_the_public_internet_are_closed() {
        let closed = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.169.253",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "::5efe:a00:1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:53aa:64c::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "4000::1",
        ];
        for text in closed {
            assert!(!CLOSED.permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_open() {
        let open = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "64:ff9b::8.8.8.8",
        ];
        for text in open {
            assert!(CLOSED.permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_loopback_switch_opens_loopback_only() {
        for text in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert!(LOOPBACK.permits(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "169.254.169.254", "fd00::1"]
        {
            assert!(!LOOPBACK.permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_url_is_judged_in_every_spelling() {
        let cases = [
            ("https://slack.com/api", true, true),
            ("https://slack.com:8443/api", true, true),
            ("https://1.1.1.1/", true, true),
            ("http://slack.com/", false, false),
            ("ftp://slack.com/", false, false),
            ("file:///etc/passwd", false, false),
            ("https://user@slack.com/", false, false),
            ("https://user:pass@slack.com/", false, false),
            ("https://:pass@slack.com/", false, false),
            ("https://127.0.0.1/", false, true),
            ("http://127.0.0.1:8080/", false, true),
            ("http://[::1]:8080/", false, true),
            ("http://localhost:8080/", false, true),
            ("http://api.localhost./", false, true),
            ("https://0x7f.1/", false, true),
            ("https://2130706433/", false, true),
            ("https://017700000001/", false, true),
            ("https://0x7f000001/", false, true),
            ("https://127.1/", false, true),
            ("https://①②⑦.⓪.⓪.①/", false, true),
            ("https://127.0.0.1./", false, true),
            ("http://10.0.0.1/", false, false),
            ("https://0xa9fea9fe/", false, false),
            ("https://169.254.169.254/latest", false, false),
            ("https://[::ffff:169.254.169.254]/", false, false),
            ("https://[::ffff:7f00:1]/", false, false),
            ("https://[fd00:ec2::254]/", false, false),
            ("https://0/", false, false),
        ];
        for (text, closed, loopback) in cases {
            let url = Url::parse(text).unwrap();
            assert_eq!(check_url(&url, CLOSED).is_ok(), closed, "{text}");
            assert_eq!(check_url(&url, LOOPBACK).is_ok(), loopback, "{text} with loopback");
        }
        assert!(Url::parse("https://[fe80::1%25eth0]/").is_err());
    }
}
