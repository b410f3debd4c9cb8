//! Which namespaces are watched.
//!
//! Input: `--namespaces` and `KUBERNETES_NAMESPACE`. Output: [`Scope`]. I/O: none.

use std::{collections::BTreeSet, fmt};

use super::error::ConfigError;
use crate::args::CsvList;

/// Which namespaces are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, with one watch per kind.
    All,
    /// These, without repetition, in the order given; never empty.
    Namespaces(Vec<String>),
}

impl Scope {
    /// `--namespaces` wins over `KUBERNETES_NAMESPACE`; an empty element means all namespaces, as in upstream, where it
    /// becomes the API's name for all of them.
    pub(super) fn parse(flag: &[CsvList], variable: Option<&String>) -> Result<Self, ConfigError> {
        let mut namespaces: Vec<String> = flag.iter().flat_map(|CsvList(items)| items).cloned().collect();
        if namespaces.is_empty() {
            namespaces.extend(variable.cloned());
        }
        if namespaces.is_empty() || namespaces.iter().any(String::is_empty) {
            return Ok(Self::All);
        }
        if let Some(bad) = namespaces.iter().find(|namespace| !is_dns_label(namespace)) {
            return Err(ConfigError::Namespace(bad.clone()));
        }
        let mut seen = BTreeSet::new();
        namespaces.retain(|namespace| seen.insert(namespace.clone()));
        Ok(Self::Namespaces(namespaces))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Namespaces(names) => f.write_str(&names.join(",")),
        }
    }
}

/// What the API server demands of a namespace's name:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>.
pub(super) fn is_dns_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
