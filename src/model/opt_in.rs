//! Which sources a workload opts into: its reload annotations, parsed once.
//!
//! Input: annotations of a workload and of its pod template. Output: [`OptIn`], which answers [`Verdict`] for a
//! source. I/O: none.

use std::{fmt, sync::Arc};

use super::{Source, SourceKind, go_values::parse_go_bool};

mod list;
mod ruling;

pub use super::go_regex::Subject;
pub use list::{BadItem, BadPatternReason, NameList, SharedLists, items};
pub use ruling::{Place, Refusal, Ruling, Verdict};

/// The annotation on the pod template that holds the annotations strategy's marker. Not configurable.
pub const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";

/// On a Job that is the copy of another one which is being deleted and created: the Job to create, as JSON. Such a Job
/// is not a workload. Not configurable.
pub const RECREATES: &str = "reloader.stakater.com/recreates";

/// On a Rollout: what a restart is. Not configurable.
pub const ROLLOUT_STRATEGY: &str = "reloader.stakater.com/rollout-strategy";

/// The annotations that no flag renames: those above.
pub const FIXED_KEYS: [&str; 2] = [LAST_RELOADED_FROM, ROLLOUT_STRATEGY];

/// The names of the annotations, which flags can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    /// On a workload: every source its pods use restarts it. A Go boolean.
    pub auto: String,
    /// For ConfigMaps only.
    pub configmap: KindKeys,
    /// For Secrets only.
    pub secret: KindKeys,
    /// For SecretProviderClasses only.
    pub class: KindKeys,
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

/// The names of the annotations on a workload for one kind of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindKeys {
    /// As [`AnnotationKeys::auto`].
    pub auto: String,
    /// A comma list of name patterns.
    pub reload: String,
    /// A comma list of excluded names.
    pub exclude: String,
}

impl KindKeys {
    /// `kind`: upstream spells it in the plural where names are excluded.
    fn of(kind: &str, kinds: &str) -> Self {
        Self {
            auto: format!("{kind}.reloader.stakater.com/auto"),
            reload: format!("{kind}.reloader.stakater.com/reload"),
            exclude: format!("{kinds}.exclude.reloader.stakater.com/reload"),
        }
    }
}

impl Default for AnnotationKeys {
    fn default() -> Self {
        let key = |text: &str| text.to_owned();
        Self {
            auto: key("reloader.stakater.com/auto"),
            configmap: KindKeys::of("configmap", "configmaps"),
            secret: KindKeys::of("secret", "secrets"),
            class: KindKeys::of("secretproviderclass", "secretproviderclasses"),
            search: key("reloader.stakater.com/search"),
            match_: key("reloader.stakater.com/match"),
            ignore: key("reloader.stakater.com/ignore"),
            pause_period: key("deployment.reloader.stakater.com/pause-period"),
            paused_at: key("deployment.reloader.stakater.com/paused-at"),
        }
    }
}

impl AnnotationKeys {
    /// All of them, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let of_kinds = SourceKind::ALL.into_iter().flat_map(|kind| {
            let keys = self.of(kind);
            [&keys.auto, &keys.reload, &keys.exclude]
        });
        let others = [
            &self.auto,
            &self.search,
            &self.match_,
            &self.ignore,
            &self.pause_period,
            &self.paused_at,
        ];
        of_kinds.chain(others).map(String::as_str)
    }

    /// Those for that kind of source.
    pub const fn of(&self, kind: SourceKind) -> &KindKeys {
        match kind {
            SourceKind::ConfigMap => &self.configmap,
            SourceKind::Secret => &self.secret,
            SourceKind::SecretProviderClass => &self.class,
        }
    }
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
    /// Exact names.
    excluded: Option<Arc<NameList>>,
    listed: Option<Arc<NameList>>,
    search: bool,
    auto: Auto,
    /// The annotation that decided about `auto`, the first of the two that say what it is.
    auto_key: AutoKey,
    /// All but the exclusions are the pod template's. False where there are none.
    of_template: bool,
}

/// An automatic opt-in annotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AutoKey {
    /// Neither has a value.
    #[default]
    Neither,
    /// [`AnnotationKeys::auto`].
    General,
    /// [`KindKeys::auto`].
    OfKind,
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
    excluded: None,
    listed: None,
    search: false,
    auto: Auto::Unset,
    auto_key: AutoKey::Neither,
    of_template: false,
};

impl OptIn {
    /// Parses the annotations of a workload and of its pod template, each given as a look-up by key.
    ///
    /// Patterns that do not compile are skipped and reported by [`Self::bad_items`].
    pub fn parse<'a>(
        keys: &AnnotationKeys,
        workload: impl Fn(&str) -> Option<&'a str>,
        template: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        Self::parse_shared(&SharedLists::default(), keys, workload, template)
    }

    /// The same, with lists that other workloads have as well.
    pub fn parse_shared<'a>(
        lists: &SharedLists,
        keys: &AnnotationKeys,
        workload: impl Fn(&str) -> Option<&'a str>,
        template: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let rule = |kind| Rule::parse(lists, keys, kind, &workload, &template);
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
        self.map(|rule| Rule {
            auto: match rule.auto {
                Auto::Unset => Auto::Off,
                said => said,
            },
            ..rule.clone()
        })
    }

    /// Without the lists for which there is no room. Where that is one of exclusions, no source of that kind restarts the
    /// workload: one that it excludes might.
    #[must_use]
    pub fn within(self, has_room: impl Fn(&Arc<NameList>) -> bool) -> Self {
        if self.lists().all(&has_room) {
            return self;
        }
        let has_room = |list: &Option<Arc<NameList>>| list.as_ref().is_none_or(&has_room);
        let refused = || Some(NameList::refused());
        self.map(|rule| match (has_room(&rule.excluded), has_room(&rule.listed)) {
            (true, true) => rule.clone(),
            (true, false) => Rule {
                listed: refused(),
                ..rule.clone()
            },
            (false, _) => Rule {
                listed: refused(),
                auto: Auto::Off,
                ..Rule::default()
            },
        })
    }

    fn map(self, change: impl Fn(&Rule) -> Rule) -> Self {
        Self(self.0.map(|rules| {
            Arc::new(Rules {
                configmaps: change(&rules.configmaps),
                secrets: change(&rules.secrets),
                classes: change(&rules.classes),
            })
        }))
    }

    /// Whether the workload opts into nothing itself: without `--auto-reload-all` no source restarts it, and it has no
    /// invalid pattern to report.
    pub fn is_empty(&self) -> bool {
        SourceKind::ALL.into_iter().all(|kind| {
            let rule = self.rule(kind);
            rule.listed.is_none() && !rule.search && rule.auto != Auto::On
        })
    }

    /// Applies the annotations to that source, by upstream's rules in upstream's order.
    pub fn verdict(&self, source: &Source, auto_reload_all: bool) -> Verdict {
        let subject = Subject::new(&source.key.name);
        self.verdict_where(source, auto_reload_all, |list| list.matches(&subject))
    }

    /// The same where it is known which lists name the source.
    pub fn verdict_where(
        &self,
        source: &Source,
        auto_reload_all: bool,
        names: impl FnOnce(&Arc<NameList>) -> bool,
    ) -> Verdict {
        self.ruling_where(source, auto_reload_all, names).verdict()
    }

    /// As [`Self::verdict`], with the rule that decides.
    pub fn ruling(&self, source: &Source, auto_reload_all: bool) -> Ruling {
        let subject = Subject::new(&source.key.name);
        self.ruling_where(source, auto_reload_all, |list| list.matches(&subject))
    }

    fn ruling_where(
        &self,
        source: &Source,
        auto_reload_all: bool,
        names: impl FnOnce(&Arc<NameList>) -> bool,
    ) -> Ruling {
        if source.ignored {
            return Ruling::Ignored;
        }
        let (rule, name) = (self.rule(source.key.kind), &*source.key.name);
        if rule
            .excluded
            .as_ref()
            .is_some_and(|excluded| excluded.holds(name))
        {
            return Ruling::Excluded;
        }
        // An absent list is one empty item to upstream, and an empty item matches an empty name.
        if rule.listed.as_ref().map_or(name.is_empty(), names) {
            return Ruling::Listed;
        }
        match rule.auto {
            _ if rule.search && source.matched => Ruling::Searched,
            Auto::On => Ruling::Auto,
            Auto::Unset if auto_reload_all => Ruling::ByFlag,
            Auto::Unset | Auto::Off if rule.search => Ruling::Unmatched,
            Auto::Off => Ruling::Off,
            Auto::Unset => Ruling::NotAsked,
        }
    }

    /// The annotation behind a ruling about a source of that kind, and where it is; `None` where it is no annotation, or
    /// none of the workload's.
    pub fn annotation<'a>(
        &self,
        keys: &'a AnnotationKeys,
        kind: SourceKind,
        ruling: Ruling,
    ) -> Option<(&'a str, Place)> {
        let (rule, of_kind) = (self.rule(kind), keys.of(kind));
        let place = if rule.of_template {
            Place::Template
        } else {
            Place::Workload
        };
        Some(match ruling {
            Ruling::Ignored => (&keys.ignore, Place::Source),
            Ruling::Excluded => (&of_kind.exclude, Place::Workload),
            Ruling::Listed => (&of_kind.reload, place),
            Ruling::Searched | Ruling::Unmatched => (&keys.search, place),
            Ruling::Auto | Ruling::Off => match rule.auto_key {
                AutoKey::Neither => return None,
                AutoKey::General => (&keys.auto, place),
                AutoKey::OfKind => (&of_kind.auto, place),
            },
            Ruling::ByFlag | Ruling::NotAsked => return None,
        })
    }

    /// The items of all lists that were skipped, the first 16 of each, and which kind of source they list.
    pub fn bad_items(&self) -> impl Iterator<Item = (SourceKind, &BadItem)> {
        let lists = SourceKind::ALL.into_iter().map(|kind| (kind, self.listed(kind)));
        lists.flat_map(|(kind, list)| {
            let items = list.into_iter().flat_map(|list| list.bad_items());
            items.map(move |item| (kind, item))
        })
    }

    /// The list of sources of that kind that restart the workload.
    pub fn listed(&self, kind: SourceKind) -> Option<&Arc<NameList>> {
        self.rule(kind).listed.as_ref()
    }

    /// Every list, those of exclusions too.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<NameList>> {
        let rules = SourceKind::ALL.into_iter().map(|kind| self.rule(kind));
        rules.flat_map(|rule| rule.excluded.iter().chain(&rule.listed))
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
        lists: &SharedLists,
        keys: &AnnotationKeys,
        kind: SourceKind,
        workload: &impl Fn(&str) -> Option<&'a str>,
        template: &impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let of_kind = keys.of(kind);
        let relevant = [&*of_kind.reload, &keys.auto, &of_kind.auto, &keys.search];
        // The workload's own annotations win as a set: any of the four, even `false`, hides all of the template's.
        let own = relevant.iter().any(|key| workload(key).is_some());
        let values = relevant.map(|key| if own { workload(key) } else { template(key) }.unwrap_or_default());
        let [reload, auto, typed_auto, search] = values;

        let excluded = workload(&of_kind.exclude).unwrap_or_default();
        let is_true = |text: &str| parse_go_bool(text) == Some(true);
        let (auto, auto_key) = match [auto, typed_auto] {
            ["", ""] => (Auto::Unset, AutoKey::Neither),
            [auto, _] if is_true(auto) => (Auto::On, AutoKey::General),
            [_, of_kind] if is_true(of_kind) => (Auto::On, AutoKey::OfKind),
            ["", _] => (Auto::Off, AutoKey::OfKind),
            _ => (Auto::Off, AutoKey::General),
        };
        let listed = lists.get(reload, NameList::parse);
        let search = search == "true";
        Self {
            of_template: !own && (listed.is_some() || search || auto != Auto::Unset),
            excluded: lists.get(excluded, NameList::of_names),
            listed,
            search,
            auto,
            auto_key,
        }
    }

    fn is_auto(&self, auto_reload_all: bool) -> bool {
        match self.auto {
            Auto::On => true,
            Auto::Off => false,
            Auto::Unset => auto_reload_all,
        }
    }
}

#[cfg(test)]
mod tests;
