//! Where the replica answers questions: an address of this machine alone.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use super::ListenAddress;

/// Where a replica answers questions about what it does; none: nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectAddress(pub Option<SocketAddr>);

/// A text that is no loopback address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 127.0.0.1:port, [::1]:port or localhost:port, or nothing to turn it off; no other address is accepted, \
     because the answers name objects and need no login"
)]
pub struct InspectAddressError;

impl FromStr for InspectAddress {
    type Err = InspectAddressError;

    fn from_str(text: &str) -> Result<Self, InspectAddressError> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let ListenAddress { host, port } = text.parse().map_err(|_| InspectAddressError)?;
        let address: IpAddr = match host.as_deref() {
            Some(name) if name.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            Some(host) => host.parse().map_err(|_| InspectAddressError)?,
            None => return Err(InspectAddressError),
        };
        if !address.is_loopback() {
            return Err(InspectAddressError);
        }
        Ok(Self(Some(SocketAddr::new(address, port))))
    }
}

impl fmt::Display for InspectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:9092", Some("127.0.0.1:9092"))]
    #[case("127.1.2.3:0", Some("127.1.2.3:0"))]
    #[case("LocalHost:80", Some("127.0.0.1:80"))]
    #[case("[::1]:9092", Some("[::1]:9092"))]
    #[case("", None)]
    fn loopback_addresses_are_accepted(#[case] text: &str, #[case] expected: Option<&str>) {
        let InspectAddress(address) = text.parse().unwrap();
        assert_eq!(address, expected.map(|text| text.parse().unwrap()));
    }

    #[rstest]
    #[case(":9092")]
    #[case("0.0.0.0:9092")]
    #[case("[::]:9092")]
    #[case("10.0.0.1:9092")]
    #[case("example.com:9092")]
    #[case("127.0.0.1")]
    #[case("9092")]
    #[case("off")]
    fn others_are_not(#[case] text: &str) {
        assert_eq!(text.parse::<InspectAddress>(), Err(InspectAddressError));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_loopback_address(text in r"[0-9a-fLlocalhost:.\[\]]{0,24}") {
            if let Ok(InspectAddress(Some(address))) = text.parse() {
                prop_assert!(address.ip().is_loopback(), "{text}");
            }
        }
    }
}
