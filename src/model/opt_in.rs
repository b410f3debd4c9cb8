//! Which sources a workload opts into: its reload annotations, parsed once.
//!
//! Input: annotations of a workload and of its pod template. Output: [`OptIn`], which answers [`Verdict`] for a
//! source. I/O: none.

use std::{fmt, sync::Arc};

use super::{
    Source, SourceKind,
    go_regex::{NamePattern, PatternError},
    go_values::parse_go_bool,
};

/// The annotation on the pod template that holds the annotations strategy's marker. Not configurable.
pub const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";

/// On a Rollout: what a restart is. Not configurable.
pub const ROLLOUT_STRATEGY: &str = "reloader.stakater.com/rollout-strategy";

/// Maximum number of items in one list that need the regular expression engine. Each takes 10 to 16 KiB, and one
/// workload may carry 256 KiB of annotations: without a cap it could take hundreds of megabytes.
pub const MAX_REGEXES: usize = 32;

/// Maximum number of invalid items kept for logging, per list; the rest are skipped silently.
const MAX_BAD_PATTERNS: usize = 16;

/// Longest part of an invalid item kept for logging, in characters.
const MAX_BAD_ITEM_LENGTH: usize = 256;

/// The names of the annotations, which flags can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    /// On a workload: every source its pods use restarts it. A Go boolean.
    pub auto: String,
    /// As `auto`, for ConfigMaps only.
    pub configmap_auto: String,
    /// As `auto`, for Secrets only.
    pub secret_auto: String,
    /// On a workload: a comma list of patterns of ConfigMap names.
    pub configmap_reload: String,
    /// On a workload: a comma list of patterns of Secret names.
    pub secret_reload: String,
    /// On a workload, exactly `true`: every source its pods use that carries `match_` restarts it.
    pub search: String,
    /// On a source, exactly `true`: see `search`.
    pub match_: String,
    /// On a source, exactly `true`: it restarts nothing.
    pub ignore: String,
    /// On a Deployment, a Go duration: it stays paused that long after a change, see [`super::Pause`].
    pub pause_period: String,
    /// On a Deployment that Reloader paused, an RFC 3339 time: when it did.
    pub paused_at: String,
}

impl Default for AnnotationKeys {
    fn default() -> Self {
        let key = |text: &str| text.to_owned();
        Self {
            auto: key("reloader.stakater.com/auto"),
            configmap_auto: key("configmap.reloader.stakater.com/auto"),
            secret_auto: key("secret.reloader.stakater.com/auto"),
            configmap_reload: key("configmap.reloader.stakater.com/reload"),
            secret_reload: key("secret.reloader.stakater.com/reload"),
            search: key("reloader.stakater.com/search"),
            match_: key("reloader.stakater.com/match"),
            ignore: key("reloader.stakater.com/ignore"),
            pause_period: key("deployment.reloader.stakater.com/pause-period"),
            paused_at: key("deployment.reloader.stakater.com/paused-at"),
        }
    }
}

impl AnnotationKeys {
    /// The key of the list of name patterns for that kind of source. Not configurable for SecretProviderClasses.
    pub fn reload(&self, kind: SourceKind) -> &str {
        match kind {
            SourceKind::ConfigMap => &self.configmap_reload,
            SourceKind::Secret => &self.secret_reload,
            SourceKind::SecretProviderClass => "secretproviderclass.reloader.stakater.com/reload",
        }
    }

    /// The key of the automatic opt-in for that kind of source alone. Not configurable for SecretProviderClasses.
    pub fn typed_auto(&self, kind: SourceKind) -> &str {
        match kind {
            SourceKind::ConfigMap => &self.configmap_auto,
            SourceKind::Secret => &self.secret_auto,
            SourceKind::SecretProviderClass => "secretproviderclass.reloader.stakater.com/auto",
        }
    }

    /// The key of the list of excluded names for that kind of source. Not configurable.
    pub const fn exclude(kind: SourceKind) -> &'static str {
        match kind {
            SourceKind::ConfigMap => "configmaps.exclude.reloader.stakater.com/reload",
            SourceKind::Secret => "secrets.exclude.reloader.stakater.com/reload",
            SourceKind::SecretProviderClass => "secretproviderclasses.exclude.reloader.stakater.com/reload",
        }
    }
}

/// The result of a workload's annotations for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source does not restart the workload.
    No(Refusal),
    /// The workload names the source: its pods need not visibly use it.
    Named,
    /// The workload is restarted for the source if its pods use it.
    Auto,
}

/// Why a source does not restart a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// Nothing in the workload's annotations covers the source.
    NotOptedIn,
}

/// An item of a reload annotation that is not a pattern and is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// The kind of source that the annotation lists.
    pub kind: SourceKind,
    /// The annotation's key.
    pub key: Box<str>,
    /// The item, trimmed, and cut after 256 characters.
    pub item: Box<str>,
    /// What is wrong with it.
    pub error: BadPatternReason,
}

/// What is wrong with an item of a reload annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPatternReason {
    /// It does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// It compiles, but [`MAX_REGEXES`] items of its list are regular expressions already.
    #[error("more than 32 regular expressions in one annotation")]
    TooMany,
}

/// A workload's reload annotations, parsed. One pointer when there are none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OptIn(Option<Arc<Rules>>);

/// The rules for each kind of source.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    configmaps: Rule,
    secrets: Rule,
    classes: Rule,
}

/// The rules for one kind of source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    excluded: Vec<Box<str>>,
    patterns: Vec<NamePattern>,
    bad_patterns: Vec<BadPattern>,
    search: bool,
    auto: Auto,
}

/// The combined result of the two automatic opt-in annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Auto {
    /// Both absent or empty: `--auto-reload-all` decides.
    #[default]
    Unset,
    /// At least one has a value, and none is true; a value that is not a boolean counts as false.
    Off,
    /// At least one is true.
    On,
}

/// The rules of a kind without annotations.
static NO_RULE: Rule = Rule {
    excluded: Vec::new(),
    patterns: Vec::new(),
    bad_patterns: Vec::new(),
    search: false,
    auto: Auto::Unset,
};

impl OptIn {
    /// Parses the annotations of a workload and of its pod template, each given as a look-up by key.
    ///
    /// Patterns that do not compile are skipped and reported by [`Self::bad_patterns`].
    pub fn parse<'a>(
        keys: &AnnotationKeys,
        workload: impl Fn(&str) -> Option<&'a str>,
        template: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let rule = |kind| Rule::parse(keys, kind, &workload, &template);
        let rules = Rules {
            configmaps: rule(SourceKind::ConfigMap),
            secrets: rule(SourceKind::Secret),
            classes: rule(SourceKind::SecretProviderClass),
        };
        Self((rules != Rules::default()).then(|| Arc::new(rules)))
    }

    /// As [`Self::parse`], but without `--auto-reload-all`: only an explicit opt-in counts.
    #[must_use]
    pub fn explicit(self) -> Self {
        let explicit = |rule: &Rule| Rule {
            auto: match rule.auto {
                Auto::Unset => Auto::Off,
                said => said,
            },
            ..rule.clone()
        };
        Self(self.0.map(|rules| {
            Arc::new(Rules {
                configmaps: explicit(&rules.configmaps),
                secrets: explicit(&rules.secrets),
                classes: explicit(&rules.classes),
            })
        }))
    }

    /// Whether the workload opts into nothing itself: without `--auto-reload-all` no source restarts it, and it has no
    /// invalid pattern to report.
    pub fn is_empty(&self) -> bool {
        SourceKind::ALL.into_iter().all(|kind| {
            let rule = self.rule(kind);
            rule.patterns.is_empty() && rule.bad_patterns.is_empty() && !rule.search && rule.auto != Auto::On
        })
    }

    /// Applies the annotations to that source, by upstream's rules in upstream's order.
    pub fn verdict(&self, source: &Source, auto_reload_all: bool) -> Verdict {
        if source.ignored {
            return Verdict::No(Refusal::Ignored);
        }
        let (rule, name) = (self.rule(source.key.kind), &*source.key.name);
        if rule.excluded.iter().any(|excluded| **excluded == *name) {
            return Verdict::No(Refusal::Excluded);
        }
        if rule.names(name) {
            return Verdict::Named;
        }
        if (rule.search && source.matched) || rule.is_auto(auto_reload_all) {
            return Verdict::Auto;
        }
        Verdict::No(Refusal::NotOptedIn)
    }

    /// The items of all lists that were skipped, the first 16 of each.
    pub fn bad_patterns(&self) -> impl Iterator<Item = &BadPattern> {
        SourceKind::ALL
            .into_iter()
            .flat_map(|kind| &self.rule(kind).bad_patterns)
    }

    /// The names of sources of that kind that the workload lists by exact name.
    pub fn names(&self, kind: SourceKind) -> impl Iterator<Item = &str> {
        self.rule(kind)
            .patterns
            .iter()
            .filter_map(NamePattern::exact_name)
    }

    /// Whether the workload lists sources of that kind by a pattern that can match more than one name.
    pub fn has_patterns(&self, kind: SourceKind) -> bool {
        self.rule(kind)
            .patterns
            .iter()
            .any(|pattern| pattern.exact_name().is_none())
    }

    /// Whether a source of that kind can restart the workload merely because its pods use it.
    pub fn wants_references(&self, kind: SourceKind, auto_reload_all: bool) -> bool {
        let rule = self.rule(kind);
        rule.search || rule.is_auto(auto_reload_all)
    }

    fn rule(&self, kind: SourceKind) -> &Rule {
        match (&self.0, kind) {
            (None, _) => &NO_RULE,
            (Some(rules), SourceKind::ConfigMap) => &rules.configmaps,
            (Some(rules), SourceKind::Secret) => &rules.secrets,
            (Some(rules), SourceKind::SecretProviderClass) => &rules.classes,
        }
    }
}

impl fmt::Debug for OptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("OptIn(none)"),
            Some(rules) => fmt::Debug::fmt(rules, f),
        }
    }
}

impl Rule {
    fn parse<'a>(
        keys: &AnnotationKeys,
        kind: SourceKind,
        workload: &impl Fn(&str) -> Option<&'a str>,
        template: &impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let relevant = [keys.reload(kind), &keys.auto, keys.typed_auto(kind), &keys.search];
        // The workload's own annotations win as a set: any of the four, even `false`, hides all of the template's.
        let own = relevant.iter().any(|key| workload(key).is_some());
        let values = relevant.map(|key| if own { workload(key) } else { template(key) }.unwrap_or_default());
        let [reload, auto, typed_auto, search] = values;

        let (patterns, bad_patterns) = parse_patterns(kind, keys.reload(kind), reload);
        Self {
            excluded: workload(AnnotationKeys::exclude(kind))
                .map(parse_names)
                .unwrap_or_default(),
            patterns,
            bad_patterns,
            search: search == "true",
            auto: match [auto, typed_auto] {
                ["", ""] => Auto::Unset,
                texts if texts.into_iter().any(|text| parse_go_bool(text) == Some(true)) => Auto::On,
                _ => Auto::Off,
            },
        }
    }

    /// Whether the list of patterns matches the name. An absent list is one empty item to upstream, and an empty
    /// item matches an empty name.
    fn names(&self, name: &str) -> bool {
        (self.patterns.is_empty() && name.is_empty())
            || self.patterns.iter().any(|pattern| pattern.is_match(name))
    }

    fn is_auto(&self, auto_reload_all: bool) -> bool {
        match self.auto {
            Auto::On => true,
            Auto::Off => false,
            Auto::Unset => auto_reload_all,
        }
    }
}

/// A comma list of literal names, each trimmed.
fn parse_names(list: &str) -> Vec<Box<str>> {
    items(list).map(Box::from).collect()
}

/// A comma list of patterns, split before each is compiled, so that `a{2,3}` is split.
fn parse_patterns(kind: SourceKind, key: &str, list: &str) -> (Vec<NamePattern>, Vec<BadPattern>) {
    let (mut patterns, mut bad_patterns, mut regexes) = (Vec::new(), Vec::new(), 0);
    for item in items(list) {
        let compiled = if let Some(plain) = NamePattern::plain(item) {
            Ok(plain)
        } else if regexes == MAX_REGEXES {
            Err(BadPatternReason::TooMany)
        } else {
            // Failures count too: they can cost as much time as successes.
            regexes += 1;
            NamePattern::compile(item).map_err(BadPatternReason::from)
        };
        match compiled {
            Ok(pattern) => patterns.push(pattern),
            Err(error) if bad_patterns.len() < MAX_BAD_PATTERNS => bad_patterns.push(BadPattern {
                kind,
                key: key.into(),
                item: item.chars().take(MAX_BAD_ITEM_LENGTH).collect(),
                error,
            }),
            Err(_) => {}
        }
    }
    (patterns, bad_patterns)
}

/// The trimmed, non-empty items of a comma list. An empty item could match an empty name only, which no object has.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests;
