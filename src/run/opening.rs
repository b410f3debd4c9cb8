//! What a request for a watch says.
//!
//! Input: a request's address. Output: [`Opening`]. I/O: none.

use std::time::Duration;

use http::Uri;

/// A request for a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// Which objects it shows, without selectors.
    pub(super) path: String,
    /// After which resourceVersion it begins; `None`: with a list.
    pub(super) version: Option<u64>,
    /// After how long the API server ends it.
    pub(super) timeout: Duration,
}

impl Opening {
    /// `None` for every other request.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let value = |name: &str| {
            let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        if value("watch") != Some("true") {
            return None;
        }
        let begins_with_list = value("sendInitialEvents") == Some("true");
        let version = value("resourceVersion").and_then(|version| version.parse().ok());
        let seconds = value("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        Some(Self {
            path: uri.path().to_owned(),
            version: version.filter(|_| !begins_with_list),
            timeout: Duration::from_secs(seconds.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::resumed("/api/v1/pods?&watch=true&timeoutSeconds=290&resourceVersion=7", Some((Some(7), 290)))]
    #[case::listing("/api/v1/pods?&watch=true&timeoutSeconds=290&resourceVersion=0&sendInitialEvents=true", Some((None, 290)))]
    #[case::not_a_number("/api/v1/pods?watch=true&resourceVersion=abc", Some((None, 0)))]
    #[case::a_list("/api/v1/pods?limit=50&resourceVersion=7", None)]
    #[case::no_query("/api/v1/pods", None)]
    fn a_request_is_read(#[case] uri: &str, #[case] expected: Option<(Option<u64>, u64)>) {
        let expected = expected.map(|(version, seconds)| Opening {
            path: "/api/v1/pods".to_owned(),
            version,
            timeout: Duration::from_secs(seconds),
        });
        assert_eq!(Opening::of(&uri.parse().unwrap()), expected);
    }
}
