//! URLs that may carry credentials, and therefore are shown by scheme and host only.
//!
//! Input: text. Output: [`Endpoint`]. I/O: none.

use std::fmt;

use reqwest::Url;

/// Why a text is not an endpoint. Never quotes it: chat systems put their credentials into the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is not a URL.
    #[error("it is not a URL ({0})")]
    NotAUrl(String),
    /// Its scheme is not one of these.
    #[error("its scheme is not one of {0}")]
    Scheme(&'static str),
}

impl EndpointError {
    /// A static label for metrics and tests.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NotAUrl(_) => "not_a_url",
            Self::Scheme(_) => "scheme",
        }
    }
}

/// The URL to post to, or its proxy. `Debug` and `Display` show scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// An `http` or `https` URL; spaces around it are ignored.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        Self::with_schemes(text, &["http", "https"], "http, https")
    }

    /// A proxy's URL; without a scheme it is `http`, as in Go.
    pub fn parse_proxy(text: &str) -> Result<Self, EndpointError> {
        let schemes = ["http", "https", "socks5", "socks5h"];
        let text = text.trim();
        if text.contains("://") {
            Self::with_schemes(text, &schemes, "http, https, socks5, socks5h")
        } else {
            Self::parse(&format!("http://{text}"))
        }
    }

    fn with_schemes(text: &str, schemes: &[&str], named: &'static str) -> Result<Self, EndpointError> {
        let url = Url::parse(text.trim()).map_err(|error| EndpointError::NotAUrl(error.to_string()))?;
        if !schemes.contains(&url.scheme()) {
            return Err(EndpointError::Scheme(named));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(EndpointError::NotAUrl("empty host".to_owned()));
        }
        Ok(Self(url))
    }

    /// The whole URL, credentials included: for the HTTP client only.
    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "https://user:pass@hooks.example.com/services/T0/B0/token?key=1",
        "https://hooks.example.com"
    )]
    #[case(" http://[::1]:8080/x \n", "http://[::1]:8080")]
    fn only_scheme_and_host_are_shown(#[case] text: &str, #[case] shown: &str) {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!(endpoint.to_string(), shown);
        assert_eq!(format!("{endpoint:?}"), format!("Endpoint({shown})"));
    }

    #[rstest]
    #[case("", "not_a_url")]
    #[case("hooks.example.com/secret", "not_a_url")]
    #[case("ftp://hooks.example.com/secret", "scheme")]
    #[case("http:///", "not_a_url")]
    #[case("https://exa mple/secret", "not_a_url")]
    fn what_cannot_be_posted_to_is_refused_without_being_quoted(#[case] text: &str, #[case] category: &str) {
        let error = Endpoint::parse(text).unwrap_err();
        assert_eq!(error.category(), category);
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[rstest]
    #[case("proxy:3128", "http://proxy:3128")]
    #[case("http://user:pass@proxy:3128", "http://proxy:3128")]
    #[case("socks5://proxy:1080", "socks5://proxy:1080")]
    fn a_proxy_may_lack_a_scheme(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(Endpoint::parse_proxy(text).unwrap().to_string(), shown);
    }

    #[test]
    fn a_proxy_of_an_unknown_kind_is_refused() {
        assert_eq!(
            Endpoint::parse_proxy("ftp://proxy").unwrap_err().category(),
            "scheme"
        );
    }
}
