//! The annotations that exist, and the nearest to one that does not.
//!
//! Input: the configured keys. Output: what each is for; for an unknown key the known one that may be meant. I/O: none.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{finding::MAX_LOOKED_AT, object::Holder};
use crate::model::{
    AnnotationKeys, SourceKind, SourceRef, WorkloadKind,
    go_values::parse_go_bool,
    limits::{self, Share},
    opt_in::{LAST_RELOADED_FROM, RECREATES, ROLLOUT_STRATEGY, items},
    policy::{REQUESTED_AT, RESTART_WINDOW, SUSPEND},
};

/// The domain of Reloader's own annotations, and the end of those for one kind.
const DOMAIN: &str = "reloader.stakater.com";

/// What Reloader writes on objects of its own and on copies of Jobs begins so.
const OWN: [&str; 3] = [
    "reloader.stakater.com/ledger",
    "reloader.stakater.com/meta-info",
    RECREATES,
];

/// How many edits a domain may be from a known one to count as a typing error of it.
const MAX_DOMAIN_EDITS: usize = 4;

/// The largest distance at which a known key is suggested.
const MAX_DISTANCE: usize = 16;

/// What a value that does not fit the suggested key counts.
const MISFIT: usize = 6;

/// What a word that tells the kind of object counts where the user has not written it: it is what is forgotten.
const MISSING_KIND: usize = 3;

/// The words that tell a kind of object, without the plural's ending.
const KINDS: [&str; 4] = ["configmap", "secret", "secretproviderclass", "deployment"];

/// An annotation that exists.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) key: String,
    pub(super) belongs: Belongs,
    pub(super) form: Form,
    /// The kind of source that it is about.
    pub(super) source: Option<SourceKind>,
}

/// Where an annotation has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    /// On a workload, or on its pod template.
    WorkloadOrTemplate,
    Workload,
    Deployment,
    Rollout,
    Source,
    WorkloadOrSource,
    /// On a workload, a source or a Namespace.
    Anything,
    WorkloadOrNamespace,
    SourceOrNamespace,
    /// Reloader writes it.
    Reloader,
}

/// What the value of an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A Go boolean.
    Boolean,
    /// Exactly `true`.
    True,
    /// Names and patterns.
    Patterns,
    /// Exact names.
    Names,
    /// A Go duration.
    Period,
    /// How a Rollout is restarted.
    Strategy,
    /// A Go boolean, true if it is none.
    Suspension,
    /// When restarts may begin.
    Windows,
    /// An RFC 3339 time.
    Time,
    /// A number of workloads, or a percentage of them.
    Share,
    /// The same, where none is no limit but a mistake.
    Limit,
    /// A Go duration, without which a default holds.
    Duration,
    /// The same, where zero is a mistake.
    Timeout,
    /// An integer.
    Integer,
    /// Whatever Reloader writes.
    Own,
}

/// Every annotation that exists, and their domains.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    known: Vec<Known>,
    /// The default names of those that have another name here: another Reloader of the cluster may go by them.
    of_others: HashSet<String>,
    domains: HashSet<String>,
    /// Some are configured that do not look like Reloader's.
    has_others: bool,
}

impl Catalogue {
    pub(super) fn new(keys: &AnnotationKeys) -> Self {
        let mut known = Vec::new();
        let mut add = |key: &str, belongs, form, source| {
            // No annotation has it: the feature is turned off.
            if key.is_empty() {
                return;
            }
            known.push(Known {
                key: key.to_owned(),
                belongs,
                form,
                source,
            });
        };
        let (either, own) = (Belongs::WorkloadOrTemplate, Belongs::Workload);
        add(&keys.auto, either, Form::Boolean, None);
        for kind in SourceKind::ALL {
            let of_kind = keys.of(kind);
            add(&of_kind.auto, either, Form::Boolean, Some(kind));
            add(&of_kind.reload, either, Form::Patterns, Some(kind));
            add(&of_kind.exclude, own, Form::Names, Some(kind));
        }
        add(&keys.search, either, Form::True, None);
        add(&keys.match_, Belongs::Source, Form::True, None);
        add(&keys.ignore, Belongs::Source, Form::True, None);
        add(&keys.pause_period, Belongs::Deployment, Form::Period, None);
        add(ROLLOUT_STRATEGY, Belongs::Rollout, Form::Strategy, None);
        add(SUSPEND, Belongs::Anything, Form::Suspension, None);
        add(RESTART_WINDOW, Belongs::WorkloadOrNamespace, Form::Windows, None);
        add(REQUESTED_AT, Belongs::WorkloadOrSource, Form::Time, None);
        let shared = Belongs::SourceOrNamespace;
        add(limits::MAX_CONCURRENT, shared, Form::Limit, None);
        add(limits::CANARY, shared, Form::Share, None);
        add(limits::BAKE_TIME, shared, Form::Duration, None);
        add(limits::MAX_FAILURES, shared, Form::Share, None);
        add(limits::ROLLOUT_TIMEOUT, shared, Form::Timeout, None);
        add(
            limits::MIN_INTERVAL,
            Belongs::WorkloadOrNamespace,
            Form::Duration,
            None,
        );
        add(limits::WAVE, own, Form::Integer, None);
        for key in [&*keys.paused_at, LAST_RELOADED_FROM] {
            add(key, Belongs::Reloader, Form::Own, None);
        }
        let domains = known.iter().map(|known| domain(&known.key).to_owned()).collect();
        let is_known = |key: &str| known.iter().any(|known| known.key == key);
        let defaults = AnnotationKeys::default();
        let of_others = defaults
            .all()
            .filter(|key| !is_known(key))
            .map(str::to_owned)
            .collect();
        let has_others = known.iter().any(|known| !may_be_meant(&known.key));
        Self {
            known,
            of_others,
            domains,
            has_others,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.key == key)
    }

    /// Whether a key may be meant for Reloader, told cheaply: on most clusters most keys are not.
    pub(super) fn may_be_meant(&self, key: &str) -> bool {
        may_be_meant(key) || self.has_others && self.get(key).is_some()
    }

    /// Whether a key is meant for Reloader: it is one of its own, under its domain, or under one that looks like a typing
    /// error of that.
    pub(super) fn is_meant(&self, key: &str) -> bool {
        if OWN.iter().any(|own| key.starts_with(own)) || self.of_others.contains(key) {
            return false;
        }
        if self.get(key).is_some() {
            return true;
        }
        // Most keys of a cluster end here: what follows takes up to microseconds.
        if !may_be_meant(key) {
            return false;
        }
        let domain = domain(key);
        let is_under = domain
            .strip_suffix(DOMAIN)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is_under {
            return true;
        }
        let nearest = self
            .domains
            .iter()
            .filter(|known| known.len().abs_diff(domain.len()) <= MAX_DOMAIN_EDITS)
            .map(|known| strsim::osa_distance(known, domain))
            .min();
        nearest.is_some_and(|edits| edits > 0 && edits <= MAX_DOMAIN_EDITS)
    }

    /// The known key that may be meant by an unknown one with that value.
    pub(super) fn nearest(
        &self,
        key: &str,
        value: &str,
        holder: Holder,
        references: &[SourceRef],
    ) -> Option<&str> {
        let candidates = self.known.iter().filter(|known| known.belongs.on(holder));
        let named: HashSet<&str> = items(value).take(MAX_LOOKED_AT).collect();
        let references = references.iter().take(MAX_LOOKED_AT);
        let used: HashSet<SourceKind> = references
            .filter(|reference| named.contains(&*reference.name))
            .map(|reference| reference.kind)
            .collect();
        let rated = candidates.filter(|known| known.form != Form::Own).map(|known| {
            let misfit = if known.form.fits(value) { 0 } else { MISFIT };
            let uses_it = known.source.is_some_and(|kind| used.contains(&kind));
            let distance = distance(key, &known.key) + misfit;
            // Of two that are as near, that whose source the pods use.
            ((distance, !uses_it), &*known.key)
        });
        let ((distance, _), nearest) = rated.min_by_key(|(rank, _)| *rank)?;
        (distance <= MAX_DISTANCE).then_some(nearest)
    }
}

/// Whether a key that nobody has configured may be meant for Reloader.
pub fn may_be_meant(key: &str) -> bool {
    key.contains("reload") || key.contains("stak")
}

impl Belongs {
    pub(super) fn on(self, holder: Holder) -> bool {
        match (self, holder) {
            (Self::Reloader, _)
            | (_, Holder::Operator)
            | (Self::WorkloadOrTemplate, Holder::Workload(_) | Holder::Template(_))
            | (Self::Workload, Holder::Workload(_))
            | (Self::Source, Holder::Source(_))
            | (
                Self::WorkloadOrSource | Self::Anything,
                Holder::Workload(_) | Holder::Source(SourceKind::ConfigMap | SourceKind::Secret),
            )
            | (Self::WorkloadOrNamespace, Holder::Workload(_) | Holder::Namespace)
            | (
                Self::SourceOrNamespace,
                Holder::Source(SourceKind::ConfigMap | SourceKind::Secret) | Holder::Namespace,
            )
            | (Self::Anything, Holder::Namespace) => true,
            (Self::Deployment, Holder::Workload(kind)) => kind == Some(WorkloadKind::Deployment),
            (Self::Rollout, Holder::Workload(kind)) => kind == Some(WorkloadKind::Rollout),
            _ => false,
        }
    }

    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::WorkloadOrTemplate => "a workload or its pod template",
            Self::Workload => "the workload itself",
            Self::Deployment => "a Deployment itself",
            Self::Rollout => "an Argo Rollout itself",
            Self::Source => "a ConfigMap, Secret or SecretProviderClass",
            Self::WorkloadOrSource => "a workload itself, a ConfigMap or a Secret",
            Self::Anything => "a workload itself, a ConfigMap, a Secret or a Namespace",
            Self::WorkloadOrNamespace => "a workload itself or a Namespace",
            Self::SourceOrNamespace => "a ConfigMap, a Secret or a Namespace",
            Self::Reloader => "what Reloader has written",
        }
    }
}

impl Form {
    /// Whether the value may be meant for it, as far as its look tells.
    fn fits(self, value: &str) -> bool {
        let looks_boolean = value.is_empty() || parse_go_bool(&value.trim().to_ascii_lowercase()).is_some();
        let looks_like_period =
            value.starts_with(|first: char| first.is_ascii_digit()) && value.ends_with(['s', 'm', 'h']);
        match self {
            Self::Boolean | Self::True | Self::Suspension => looks_boolean,
            Self::Patterns | Self::Names => !looks_boolean && !looks_like_period,
            Self::Period | Self::Duration | Self::Timeout => looks_like_period,
            Self::Strategy => matches!(value, "restart" | "rollout"),
            Self::Windows => value == "manual" || value.contains("duration"),
            Self::Time => value.parse::<Timestamp>().is_ok(),
            Self::Share | Self::Limit => value.parse::<Share>().is_ok(),
            Self::Integer => value.parse::<i32>().is_ok(),
            Self::Own => false,
        }
    }
}

/// What stands before the slash.
fn domain(key: &str) -> &str {
    key.split_once('/').map_or(key, |(domain, _)| domain)
}

/// How far one key is from another: by words, since users put the right words in the wrong order, leave out one, or write
/// one of a plural. What the user wrote and the known key lacks counts by its length; what only the known key has, half.
fn distance(written: &str, known: &str) -> usize {
    let mut left: Vec<&str> = words(known);
    let mut sum = 0;
    for word in words(written) {
        let edits = |other: &str| strsim::osa_distance(word, other);
        let nearest = left.iter().enumerate().min_by_key(|(_, other)| edits(other));
        match nearest.map(|(at, other)| (at, edits(other), other.len())) {
            Some((at, edits, length)) if edits <= length.max(3) / 3 => {
                sum += edits;
                left.swap_remove(at);
            }
            _ => sum += word.len(),
        }
    }
    let is_kind = |word: &str| KINDS.iter().any(|kind| word.starts_with(kind));
    let missing = left.into_iter().map(|word| {
        if is_kind(word) {
            MISSING_KIND
        } else {
            word.len() / 2
        }
    });
    sum + missing.sum::<usize>()
}

/// The words of a key, without the last of its domain: `.io` is a common slip for `.com`.
fn words(key: &str) -> Vec<&str> {
    let (domain, name) = key.split_once('/').unwrap_or((key, ""));
    let domain = domain.rsplit_once('.').map_or(domain, |(rest, _)| rest);
    let parts = domain.split('.').chain(name.split(['.', '-', '_']));
    parts.filter(|word| !word.is_empty()).collect()
}
