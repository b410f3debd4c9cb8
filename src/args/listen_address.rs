//! `host:port` as Go's `net.Listen` reads it.

use std::{fmt, str::FromStr};

/// Where a server listens: a port, on one host or on every address of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A host name or an IP address without brackets; none: every address, IPv4 and IPv6.
    pub host: Option<String>,
    /// The TCP port; 0 lets the system choose.
    pub port: u16,
}

/// A text that is not a listen address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected :port, host:port or [ipv6]:port, with a port from 0 to 65535")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let is_ipv6 = bracketed.is_some();
        if host.contains(['[', ']', ' ', '/']) || (host.contains(':') && !is_ipv6) {
            return Err(ListenAddressError);
        }
        // `u16::from_str` would accept a sign.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ListenAddressError);
        }
        Ok(Self {
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: port.parse().map_err(|_| ListenAddressError)?,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(":9090", None, 9090)]
    #[case("127.0.0.1:0", Some("127.0.0.1"), 0)]
    #[case("localhost:65535", Some("localhost"), 65535)]
    #[case("[::]:9090", Some("::"), 9090)]
    #[case("[fe80::1]:80", Some("fe80::1"), 80)]
    fn accepts_gos_notation(#[case] text: &str, #[case] host: Option<&str>, #[case] port: u16) {
        let address: ListenAddress = text.parse().unwrap();
        assert_eq!((address.host.as_deref(), address.port), (host, port));
        assert_eq!(address.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("9090")]
    #[case(":")]
    #[case(":65536")]
    #[case(":+80")]
    #[case(":-1")]
    #[case(":http")]
    #[case("::1:80")]
    #[case("[::1]")]
    #[case("[::1:80")]
    #[case("a b:80")]
    #[case("http://host:80")]
    fn rejects_the_rest(#[case] text: &str) {
        assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError));
    }
}
