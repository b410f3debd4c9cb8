//! What a request's path addresses.

use super::kind::{KINDS, Kind};

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The kinds of a group and version, `apps/v1`.
    Discovery(String),
    /// Objects of a kind, or one of them.
    Objects(Address),
    /// No such path.
    Unknown,
}

/// The objects that a path addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: &'static Kind,
    /// Empty: all namespaces, or the kind lies in none.
    pub(super) namespace: String,
    /// Empty: all objects.
    pub(super) name: String,
    /// Empty: the object itself.
    pub(super) subresource: String,
}

/// Reads a path.
///
/// # Panics
/// The model knows no such path.
pub(super) fn parse(path: &str) -> Target {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts[..] {
        ["api", version, ref rest @ ..] => ("", version, rest),
        ["apis", group, version, ref rest @ ..] => (group, version, rest),
        _ => unknown(path),
    };
    if rest.is_empty() {
        let api_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        return Target::Discovery(api_version);
    }
    let (namespace, rest) = match *rest {
        ["namespaces", namespace, ref rest @ ..]
            if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") =>
        {
            (namespace, rest)
        }
        _ => ("", rest),
    };
    let (plural, name, subresource) = match *rest {
        [plural] => (plural, "", ""),
        [plural, name] => (plural, name, ""),
        [plural, name, subresource] => (plural, name, subresource),
        _ => unknown(path),
    };
    let is_it = |kind: &&Kind| kind.group == group && kind.version == version && kind.plural == plural;
    match KINDS.iter().find(is_it) {
        Some(kind) => Target::Objects(Address {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        }),
        None => Target::Unknown,
    }
}

#[expect(
    clippy::panic,
    reason = "what the model does not know must not pass for an answer"
)]
fn unknown(path: &str) -> ! {
    panic!("the model knows no path {path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_addresses_objects() {
        for (path, expected) in [
            ("/api/v1/configmaps", ("configmaps", "", "", "")),
            ("/api/v1/namespaces/a/secrets/b", ("secrets", "a", "b", "")),
            ("/api/v1/namespaces/a", ("namespaces", "", "a", "")),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/status",
                ("deployments", "a", "b", "status"),
            ),
        ] {
            let Target::Objects(found) = parse(path) else {
                unreachable!("{path}");
            };
            let found = (
                found.kind.plural,
                &*found.namespace,
                &*found.name,
                &*found.subresource,
            );
            assert_eq!(found, expected);
        }
        assert_eq!(parse("/apis/apps/v1"), Target::Discovery("apps/v1".to_owned()));
        assert_eq!(parse("/apis/apps/v2/deployments"), Target::Unknown);
    }
}
