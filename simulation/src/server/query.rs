//! A request's parameters.

use std::collections::HashMap;

use super::{kind::Kind, refusal::Refusal, selector::Selector};

/// The parameters of a list or a watch.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) selector: Selector,
    pub(super) watch: bool,
    /// `None`: not given, or empty.
    pub(super) version: Option<u64>,
    pub(super) version_match: Option<Match>,
    /// 0: everything at once.
    pub(super) limit: usize,
    pub(super) token: String,
    pub(super) initial_events: Option<bool>,
    pub(super) bookmarks: bool,
    /// Seconds; `None`: as long as the server likes.
    pub(super) timeout: Option<u64>,
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Exact,
    NotOlderThan,
}

/// Splits a query into names and values.
pub(super) fn parameters(query: &str) -> HashMap<String, String> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Query {
    /// Reads and checks parameters, in the order of
    /// [`ValidateListOptions`](https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/apis/meta/internalversion/validation/validation.go).
    /// `streams_lists`: the server knows `sendInitialEvents`.
    pub(super) fn parse(
        kind: &Kind,
        parameters: &HashMap<String, String>,
        streams_lists: bool,
    ) -> Result<Self, Refusal> {
        let text = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let flag = |name: &str| match text(name) {
            "" => None,
            value => Some(matches!(value, "true" | "1")),
        };
        let number = |name: &str| -> Result<Option<u64>, Refusal> {
            match text(name) {
                "" => Ok(None),
                value => value
                    .parse()
                    .map(Some)
                    .map_err(|_| Refusal::bad_request(format!("{name}: Invalid value: {value:?}"))),
            }
        };
        let version_match = match text("resourceVersionMatch") {
            "" => None,
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            other => unknown_match(other),
        };
        let mut query = Self {
            selector: Selector::parse(kind, text("labelSelector"), text("fieldSelector"))?,
            watch: flag("watch").unwrap_or(false),
            version: match text("resourceVersion") {
                "" => None,
                value => Some(version(value)?),
            },
            version_match,
            limit: number("limit")?
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(0),
            token: text("continue").to_owned(),
            initial_events: flag("sendInitialEvents"),
            bookmarks: flag("allowWatchBookmarks").unwrap_or(false),
            timeout: number("timeoutSeconds")?.filter(|seconds| *seconds > 0),
        };
        // As `SetListOptionsDefaults` there: a watch from nowhere begins with a list.
        if streams_lists
            && query.watch
            && query.initial_events.is_none()
            && query.version_match.is_none()
            && query.version.unwrap_or_default() == 0
        {
            query.initial_events = Some(true);
            query.version_match = Some(Match::NotOlderThan);
        }
        let causes = if query.watch {
            query.watch_causes(streams_lists)
        } else {
            query.list_causes()
        };
        if causes.is_empty() {
            Ok(query)
        } else {
            Err(Refusal::invalid_options(&causes))
        }
    }

    fn list_causes(&self) -> Vec<(&'static str, &'static str)> {
        let mut causes = Vec::new();
        if self.version_match.is_some() {
            if self.version.is_none() {
                causes.push((
                    MATCH,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.token.is_empty() {
                causes.push((
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if self.version_match == Some(Match::Exact) && self.version == Some(0) {
                causes.push((
                    MATCH,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.initial_events.is_some() {
            causes.push((INITIAL, "sendInitialEvents is forbidden for list"));
        }
        causes
    }

    fn watch_causes(&self, streams_lists: bool) -> Vec<(&'static str, &'static str)> {
        let mut causes = Vec::new();
        if self.initial_events.is_some() {
            if self.version_match != Some(Match::NotOlderThan) {
                causes.push((
                    MATCH,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            if !streams_lists {
                causes.push((
                    INITIAL,
                    "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                ));
            }
        }
        if self.version_match.is_some() {
            if self.initial_events.is_none() {
                causes.push((
                    MATCH,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if !self.token.is_empty() {
                causes.push((
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
        }
        causes
    }
}

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

/// A resourceVersion.
pub(super) fn version(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::bad_request(format!(
            "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

#[expect(
    clippy::panic,
    reason = "what the model does not know must not pass for an answer"
)]
fn unknown_match(other: &str) -> ! {
    panic!("the model knows no resourceVersionMatch {other}")
}
