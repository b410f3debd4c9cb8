//! What is wrong with a workload's annotations together.
//!
//! Input: its annotations and those of its pod template, what its pods use. Output: [`Finding`]s. I/O: none.

use std::collections::HashSet;

use super::{
    finding::{Finding, MAX_FINDINGS, MAX_LOOKED_AT, Mistake, Place, cut},
    object::Pairs,
};
use crate::model::{
    AnnotationKeys, OptIn, SourceKind, SourceRef, WorkloadKind,
    go_values::parse_go_bool,
    is_dns_subdomain,
    opt_in::{BadPatternReason, items},
};

/// What a workload says, as text.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadText<'a> {
    /// `None`: it is not known whether the kind is one of Reloader's.
    pub kind: Option<WorkloadKind>,
    /// `metadata.annotations`.
    pub own: &'a Pairs,
    /// `metadata.annotations` of its pod template.
    pub template: &'a Pairs,
    /// `metadata.labels`; empty where they are not known.
    pub labels: &'a Pairs,
    /// The same annotations, parsed.
    pub opt_in: &'a OptIn,
    /// What its pods use.
    pub references: &'a [SourceRef],
    /// `references` is all that they use: the pod template is its own, and was found.
    pub has_template: bool,
}

impl WorkloadText<'_> {
    /// The annotations that count for that kind of source: the workload's own win as a set.
    fn effective(&self, keys: &AnnotationKeys, kind: SourceKind) -> (Place, &Pairs) {
        let is_own = relevant(keys, kind).iter().any(|key| self.own.contains_key(*key));
        if is_own {
            (Place::Metadata, self.own)
        } else {
            (Place::Template, self.template)
        }
    }
}

/// The annotations that opt in to sources of that kind.
fn relevant(keys: &AnnotationKeys, kind: SourceKind) -> [&str; 4] {
    let of_kind = keys.of(kind);
    [&keys.auto, &of_kind.auto, &of_kind.reload, &keys.search]
}

pub(super) fn together(keys: &AnnotationKeys, text: &WorkloadText<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for kind in SourceKind::ALL {
        found.extend(bad_patterns(keys, text, kind));
        found.extend(listed_and_excluded(keys, text, kind));
        found.extend(hides_template(keys, text, kind));
    }
    found.extend(auto_with_search(keys, text));
    found.extend(uses_nothing(keys, text));
    found.dedup();
    found
}

fn bad_patterns(keys: &AnnotationKeys, text: &WorkloadText<'_>, kind: SourceKind) -> Vec<Finding> {
    let (place, _) = text.effective(keys, kind);
    let bad = text.opt_in.bad_items().filter(|(listed, _)| *listed == kind);
    bad.map(|(_, bad)| {
        let mistake = Mistake::BadPattern {
            item: cut(&bad.item),
            error: bad.error,
        };
        Finding::new(place, &keys.of(kind).reload, mistake)
    })
    .collect()
}

fn listed_and_excluded(keys: &AnnotationKeys, text: &WorkloadText<'_>, kind: SourceKind) -> Option<Finding> {
    let of_kind = keys.of(kind);
    let (place, effective) = text.effective(keys, kind);
    let (listed, excluded) = (effective.get(&of_kind.reload)?, text.own.get(&of_kind.exclude)?);
    let excluded: HashSet<&str> = items(excluded).take(MAX_LOOKED_AT).collect();
    let both = items(listed)
        .take(MAX_LOOKED_AT)
        .find(|item| excluded.contains(item))?;
    let mistake = Mistake::ListedAndExcluded { item: cut(both) };
    Some(Finding::new(place, &of_kind.reload, mistake))
}

/// Its own annotations win as a set: one of them that opts into nothing takes away what the template's would.
fn hides_template(keys: &AnnotationKeys, text: &WorkloadText<'_>, kind: SourceKind) -> Option<Finding> {
    let opts_in = |pairs: &Pairs, key: &str| {
        let value = pairs.get(key).map_or("", String::as_str);
        if key == keys.search {
            value == "true"
        } else if key == keys.of(kind).reload {
            items(value).next().is_some()
        } else {
            parse_go_bool(value) == Some(true)
        }
    };
    let keys_of_kind = relevant(keys, kind);
    let own = keys_of_kind.iter().find(|key| text.own.contains_key(**key))?;
    let hidden = keys_of_kind.iter().find(|key| opts_in(text.template, key))?;
    // A workload that says no may mean it.
    let says_no = |key: &&&str| {
        **key != keys.search
            && text
                .own
                .get(**key)
                .is_some_and(|value| parse_go_bool(value) == Some(false))
    };
    let is_meant = keys_of_kind
        .iter()
        .any(|key| opts_in(text.own, key) || says_no(&key));
    (!is_meant).then(|| {
        Finding::new(
            Place::Metadata,
            own,
            Mistake::HidesTemplate { hidden: cut(hidden) },
        )
    })
}

fn auto_with_search(keys: &AnnotationKeys, text: &WorkloadText<'_>) -> Option<Finding> {
    let pairs = if text.own.contains_key(&keys.search) {
        (Place::Metadata, text.own)
    } else {
        text.effective(keys, SourceKind::ConfigMap)
    };
    let (place, pairs) = pairs;
    let is_on = |key: &str| {
        pairs
            .get(key)
            .is_some_and(|value| parse_go_bool(value) == Some(true))
    };
    let searches = pairs.get(&keys.search).is_some_and(|value| value == "true");
    (searches && is_on(&keys.auto)).then(|| Finding::new(place, &keys.search, Mistake::AutoWithSearch))
}

/// Opted in by use alone, and the pods use nothing of that kind.
fn uses_nothing(keys: &AnnotationKeys, text: &WorkloadText<'_>) -> Option<Finding> {
    if !text.has_template
        || SourceKind::ALL
            .into_iter()
            .any(|kind| text.opt_in.listed(kind).is_some())
    {
        return None;
    }
    let mut wanted = SourceKind::ALL
        .into_iter()
        .filter(|kind| text.opt_in.wants_references(*kind, false));
    let first = wanted.next()?;
    let rest = wanted.next();
    let is_wanted = |reference: &SourceRef| text.opt_in.wants_references(reference.kind, false);
    if text.references.iter().any(is_wanted) {
        return None;
    }
    let (place, pairs) = text.effective(keys, first);
    let key = relevant(keys, first).into_iter().find(|key| {
        pairs
            .get(*key)
            .is_some_and(|value| parse_go_bool(value) == Some(true))
    })?;
    let kinds = match (first, rest) {
        (_, Some(_)) => "sources",
        (SourceKind::ConfigMap, None) => "ConfigMaps",
        (SourceKind::Secret, None) => "Secrets",
        (SourceKind::SecretProviderClass, None) => "SecretProviderClasses",
    };
    Some(Finding::new(place, key, Mistake::UsesNothing { kinds }))
}

/// The lists that do not count, because their namespace has too many: only the index can tell.
pub fn refused_lists<'a>(keys: &'a AnnotationKeys, opt_in: &'a OptIn) -> impl Iterator<Item = Finding> + 'a {
    let is_refused = |error| error == BadPatternReason::NamespaceFull;
    let refused = opt_in.bad_items().filter(move |(_, bad)| is_refused(bad.error));
    refused.map(|(kind, bad)| {
        let mistake = Mistake::BadPattern {
            item: cut(&bad.item),
            error: bad.error,
        };
        Finding::new(Place::Metadata, &keys.of(kind).reload, mistake)
    })
}

/// The names that the workload lists and no object has. Patterns name nothing for certain.
pub fn missing_sources<'a>(
    keys: &'a AnnotationKeys,
    opt_in: &'a OptIn,
    exists: impl Fn(SourceKind, &str) -> bool + 'a,
) -> impl Iterator<Item = Finding> + 'a {
    let listed = SourceKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, opt_in.listed(kind)?)));
    listed.flat_map(move |(kind, list)| {
        let missing: Vec<Finding> = list
            .names()
            // A boolean is a mistake of its own.
            .filter(|name| {
                is_dns_subdomain(name) && !matches!(*name, "true" | "false") && !exists(kind, name)
            })
            .take(MAX_FINDINGS)
            .map(|name| {
                let name = cut(name);
                Finding::new(
                    Place::Metadata,
                    &keys.of(kind).reload,
                    Mistake::MissingSource { kind, name },
                )
            })
            .collect();
        missing
    })
}

/// Adds listed names that no object has. What is a mistake by itself names nothing: its annotation is left out.
pub fn add_missing(found: &mut Vec<Finding>, missing: impl Iterator<Item = Finding>) {
    let known = found.len();
    for finding in missing {
        if !found[..known].iter().any(|other| other.key == finding.key) {
            found.push(finding);
        }
    }
}
