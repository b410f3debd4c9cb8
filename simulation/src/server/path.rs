//! What a request asks for.
//!
//! Input: a request's URI. Output: [`Target`]. I/O: none.

use std::collections::BTreeMap;

use http::Uri;

use super::kind::{KINDS, Kind};

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: &'static Kind,
    /// `None`: of all namespaces, or of the cluster.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// Empty for the object itself.
    pub(super) subresource: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Target {
    /// `None`: nothing is served there.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        let kind = KINDS
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == *plural)?;
        let (name, subresource) = match rest {
            [] => (None, ""),
            [name] => (Some(*name), ""),
            [name, subresource] => (Some(*name), *subresource),
            _ => return None,
        };
        Some(Self {
            kind,
            namespace,
            name: name.map(str::to_owned),
            subresource: subresource.to_owned(),
            parameters: parameters(uri),
        })
    }

    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub(super) fn is_watch(&self) -> bool {
        matches!(self.parameter("watch"), "true" | "1")
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.parameter("dryRun") == "All"
    }
}

fn parameters(uri: &Uri) -> BTreeMap<String, String> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}
