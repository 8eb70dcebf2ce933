//! Which hosts need not prove who they are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// A host, or a range of addresses, that is trusted without a certificate and without TLS.
///
/// Loopback addresses and `localhost` are trusted so in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsecureHost(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// A name or address; at every port when there is none.
    Host { host: String, port: Option<u16> },
    /// The addresses that share their first `bits` bits with `address`. Names are not looked up for this.
    Range { address: IpAddr, bits: u32 },
}

/// Why a text names no insecure host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host, nor `host:port`, nor a range of addresses such as `10.0.0.0/8`")]
pub struct ParseInsecureHostError(String);

impl FromStr for InsecureHost {
    type Err = ParseInsecureHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseInsecureHostError(text.to_owned());
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| error())?;
            let bits: u32 = bits.parse().map_err(|_| error())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return if bits <= most { Ok(Self(Rule::Range { address, bits })) } else { Err(error()) };
        }
        // An IPv6 address needs its brackets in an address, but people write it without.
        let bracketed = if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
        // `Url` drops the port that its scheme has anyway; this one has none.
        let url: Url = format!("layer://{bracketed}").parse().map_err(|_| error())?;
        let bare = matches!(url.path(), "") && url.query().is_none() && url.fragment().is_none();
        match url.host_str() {
            Some(host) if bare && !host.is_empty() && url.username().is_empty() && url.password().is_none() => {
                Ok(Self(Rule::Host { host: host.to_ascii_lowercase(), port: url.port() }))
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for InsecureHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Host { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Rule::Host { host, port: None } => f.write_str(host),
            Rule::Range { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

impl InsecureHost {
    /// Whether this rule is about the host of `url`.
    pub(crate) fn covers(&self, url: &Url) -> bool {
        match &self.0 {
            Rule::Host { host, port } => {
                url.host_str().is_some_and(|name| name.eq_ignore_ascii_case(host))
                    && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            Rule::Range { address, bits } => ip(url).is_some_and(|ip| match (ip, address) {
                (IpAddr::V4(ip), IpAddr::V4(address)) => {
                    shares(32, *bits, ip.to_bits().into(), address.to_bits().into())
                }
                (IpAddr::V6(ip), IpAddr::V6(address)) => shares(128, *bits, ip.to_bits(), address.to_bits()),
                _ => false,
            }),
        }
    }
}

/// Whether the first `bits` of `width` bits are the same.
fn shares(width: u32, bits: u32, a: u128, b: u128) -> bool {
    (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
}

/// The address in `url`, when its host is one.
fn ip(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether `url` is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match ip(url) {
        Some(ip) => ip.to_canonical().is_loopback(),
        None => url.host_str() == Some("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn rules_cover_hosts_ports_and_ranges() {
        for (rule, address, covered) in [
            ("r.example", "https://r.example/", true),
            ("R.Example", "https://r.example:5000/", true),
            ("r.example", "https://x.r.example/", false),
            ("r.example:5000", "https://r.example:5000/", true),
            ("r.example:5000", "https://r.example/", false),
            ("r.example:443", "https://r.example/", true),
            ("r.example:80", "http://r.example/", true),
            ("10.0.0.0/8", "https://10.200.3.4:5000/", true),
            ("10.0.0.0/8", "https://11.0.0.1/", false),
            ("10.1.2.3/8", "https://10.0.0.1/", true),
            ("0.0.0.0/0", "https://203.0.113.7/", true),
            ("0.0.0.0/0", "https://[2001:db8::1]/", false),
            ("10.1.2.3/32", "https://10.1.2.3/", true),
            ("10.1.2.3/32", "https://10.1.2.4/", false),
            ("2001:db8::/32", "https://[2001:db8:1::9]/", true),
            ("2001:db8::/32", "https://[2001:db9::9]/", false),
            ("::/0", "https://[2001:db9::9]/", true),
            ("10.0.0.0/8", "https://ten.example/", false),
            ("[2001:db8::1]:5000", "https://[2001:db8::1]:5000/", true),
            ("2001:db8::1", "https://[2001:db8::1]:5000/", true),
        ] {
            assert_eq!(rule.parse::<InsecureHost>().unwrap().covers(&url(address)), covered, "{rule} {address}");
        }
    }

    #[test]
    fn refuses_what_is_no_rule() {
        for text in
            ["", "10.0.0.0/33", "::/129", "10.0.0/8", "r.example/8", "http://r.example", "u@r.example", "r:x", "r?x"]
        {
            assert!(text.parse::<InsecureHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_is_printed_as_it_is_written() {
        for text in ["r.example", "r.example:5000", "10.0.0.0/8", "2001:db8::/32", "[2001:db8::1]:5000"] {
            assert_eq!(text.parse::<InsecureHost>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for (address, loopback) in [
            ("http://localhost:5000/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9:1/", true),
            ("http://[::1]:5000/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://0x7f.1/", true),
            ("http://localhost.example/", false),
            ("http://128.0.0.1/", false),
            ("http://[::2]/", false),
        ] {
            assert_eq!(is_loopback(&url(address)), loopback, "{address}");
        }
    }
}
