//! Decides what one workload's next write is, from what it is and what it owes.
//!
//! Input: a [`Workload`], the sources it may owe a restart for ([`Owed`]), [`Options`]. Output: [`Decision`].
//! I/O: none; the same input always gives the same output.

use std::{collections::BTreeMap, num::NonZeroU64, str::FromStr, sync::Arc};

use crate::model::{
    Container, Content, Digest, Owed, Restart, SourceKey, SourceKind, UnixSeconds, Verdict, Workload,
    WorkloadKey, opt_in::Refusal,
};
use marker::LastReloadedFrom;

mod container;
mod env_name;
mod marker;
pub mod pause;
mod write;

pub use env_name::env_name;
pub use write::{Write, unique_name};

/// Where a restart leaves its marker in the pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One environment variable for each source, its value the source's digest.
    #[default]
    EnvVars,
    /// One annotation, which names the source that was last to cause a restart.
    Annotations,
}

/// The text is no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reload-strategy must be one of: env-vars, annotations")]
pub struct ParseStrategyError;

impl Strategy {
    /// The strategy as the flag spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnvVars => "env-vars",
            Self::Annotations => "annotations",
        }
    }
}

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "env-vars" => Ok(Self::EnvVars),
            "annotations" => Ok(Self::Annotations),
            _ => Err(ParseStrategyError),
        }
    }
}

/// The settings that change decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--reload-strategy`.
    pub strategy: Strategy,
    /// `--auto-reload-all`: a workload whose annotations say nothing is restarted for every source its pods use.
    pub auto_reload_all: bool,
    /// `--reload-suspended-cronjobs`: a suspended CronJob runs like any other.
    pub reload_suspended: bool,
}

/// What to do about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is to be written; all that was owed is settled.
    Skip(SkipReason),
    /// One write restarts the workload once and settles all that was owed.
    Patch(Plan),
}

/// Why a source leads to no write, by how far the decision got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// No source is owed.
    NothingOwed,
    /// The workload does not ask to be restarted for the source.
    NotOptedIn,
    /// The source carries the ignore annotation.
    Ignored,
    /// The workload excludes the source by name.
    Excluded,
    /// The workload is a CronJob that somebody has suspended.
    Suspended,
    /// It is not known whether the source has changed, and no marker of it shows that it has.
    Unmarked,
    /// The workload asks for it, but no container uses the source, or there is no container.
    NoContainer,
    /// The marker in the pod template already shows the source's digest; or the source is gone and has no variable.
    AlreadyMarked,
}

impl SkipReason {
    /// The reason as a metric label. Upstream has one label for a missing container and an unchanged marker.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingOwed => "nothing_owed",
            Self::Ignored => "ignored",
            Self::Excluded => "excluded",
            Self::NotOptedIn => "not_opted_in",
            Self::Suspended => "suspended",
            Self::NoContainer | Self::Unmarked | Self::AlreadyMarked => "strategy_not_updated",
        }
    }

    /// Whether the workload asked for the source, so that upstream would count the skip.
    pub const fn is_opted_in(self) -> bool {
        matches!(
            self,
            Self::Suspended | Self::NoContainer | Self::Unmarked | Self::AlreadyMarked
        )
    }
}

/// One write to one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The workload.
    pub workload: WorkloadKey,
    /// `metadata.uid` of the workload: an object of the same name that is another one is left alone.
    pub uid: Box<str>,
    /// How it is written.
    pub write: Write,
    /// The workload's resourceVersion that the plan rests on: on any other the API server refuses the patch. `None`: to
    /// be written whatever the workload has become.
    pub resource_version: Option<NonZeroU64>,
    /// Where the markers go.
    pub strategy: Strategy,
    /// The markers to write, at least one; exactly one for [`Strategy::Annotations`]. Ordered by container, then name.
    /// None where the write only resumes a Deployment.
    pub marks: Vec<Mark>,
    /// What the write does to a pause of the workload; it depends on the time, so [`decide`] leaves it open.
    pub pause: Option<pause::Change>,
    /// What every owed source came to, in the order given.
    pub settled: Vec<Settlement>,
}

impl Plan {
    /// The annotation to write, if any: with [`Strategy::EnvVars`] only for what no variable can show. There is room for
    /// one source, and the last change gets it.
    pub fn annotation(&self) -> Option<String> {
        let shown = |mark: &&Mark| self.strategy == Strategy::Annotations || mark.exact;
        let mark = self
            .marks
            .iter()
            .filter(shown)
            .max_by_key(|mark| mark.observed_at)?;
        Some(mark.annotation_value())
    }
}

/// The marker of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The source.
    pub source: SourceKey,
    /// What the marker shows: its digest, or that it is gone. For the latter [`Strategy::EnvVars`] removes the variable.
    pub content: Content,
    /// The container that carries the marker, or that the annotation names.
    pub container: Arc<str>,
    /// The variable's name; only [`Strategy::EnvVars`] writes it.
    pub env_name: String,
    /// When the change was first seen; only the annotation shows it.
    pub observed_at: UnixSeconds,
    /// The digest as it prints does not tell this content from another: the annotation shows it exactly, whatever the
    /// strategy.
    pub exact: bool,
}

/// What one owed source came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The source.
    pub source: SourceKey,
    /// The content that is settled.
    pub content: Content,
    /// How it is settled.
    pub outcome: Outcome,
}

/// How an owed source is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan writes its marker.
    Marked,
    /// The plan restarts the workload, but a later change takes the place of its marker, or its way to restart has none.
    Superseded,
    /// It leads to no write.
    Skipped(SkipReason),
}

/// Decides what one workload's next write is.
///
/// All owed sources are decided together, so several changes cause one restart. Applying the marks and deciding again
/// gives [`Decision::Skip`], but for [`Strategy::Annotations`] with several sources: its marker holds only the last.
pub fn decide(workload: &Workload, owed: &[Owed], options: &Options) -> Decision {
    let text = workload.template.last_reloaded_from.as_deref();
    let marker = LastReloadedFrom::read(text.unwrap_or_default());
    let wanted: Vec<Result<Wanted<'_>, SkipReason>> = owed
        .iter()
        .map(|owed| want(workload, owed, &marker, *options))
        .collect();
    let outcomes = match (workload.restart, options.strategy) {
        (Restart::At { last }, strategy) => mark_restart(last, strategy, &wanted),
        (_, Strategy::EnvVars) => mark_variables(workload, &wanted),
        (_, Strategy::Annotations) => mark_annotation(&wanted),
    };

    let mut marks: Vec<&Wanted<'_>> = Vec::new();
    for (wanted, outcome) in wanted.iter().zip(&outcomes) {
        if let (Ok(wanted), Outcome::Marked) = (wanted, outcome) {
            marks.push(wanted);
        }
    }
    if marks.is_empty() {
        return Decision::Skip(most_telling(&outcomes));
    }
    marks.sort_unstable_by_key(|wanted| (wanted.position, &wanted.env_name));
    let restarting = owed
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !matches!(outcome, Outcome::Skipped(_)));
    Decision::Patch(Plan {
        workload: workload.key.clone(),
        uid: workload.uid.clone(),
        resource_version: NonZeroU64::new(workload.resource_version),
        write: Write::of(workload, restarting.map(|(owed, _)| owed)),
        strategy: options.strategy,
        marks: marks.into_iter().map(Wanted::mark).collect(),
        pause: None,
        settled: owed
            .iter()
            .zip(outcomes)
            .map(|(owed, outcome)| owed.settle(outcome))
            .collect(),
    })
}

/// An owed source that the workload asks for, and where its marker goes.
struct Wanted<'a> {
    owed: &'a Owed,
    /// The container's place among the regular ones.
    position: usize,
    container: &'a Container,
    env_name: String,
    /// The workload's annotation, whatever it is about.
    marker: &'a LastReloadedFrom<'a>,
}

impl Wanted<'_> {
    /// Later changes compare greater.
    fn recency(&self) -> (u64, &SourceKey) {
        (self.owed.order, &self.owed.source.key)
    }

    /// Who gets a variable that several share: a source that exists before one that is gone, then the latest.
    fn claim(&self) -> (bool, (u64, &SourceKey)) {
        (self.owed.content != Content::Absent, self.recency())
    }

    /// Whether the container already shows the digest, or has no variable for a source that is gone; for a
    /// SecretProviderClass, whether the first of all containers with the variable does. Of two variables of one name
    /// the first counts. All of it is upstream's.
    fn is_marked(&self, workload: &Workload) -> bool {
        let shown = |container: &Container| {
            let mut variables = container.markers.iter();
            let (_, value) = variables.find(|(name, _)| **name == *self.env_name)?;
            Some(value.parse::<Digest>().ok())
        };
        let Content::Present(digest) = self.owed.content else {
            return shown(self.container).is_none();
        };
        let is_shown =
            |shown: Option<Option<Digest>>| shown.flatten().is_some_and(|shown| shown.prints_like(&digest));
        let in_any = || is_shown(workload.template.containers.iter().find_map(shown));
        let anywhere = self.owed.source.key.kind == SourceKind::SecretProviderClass;
        (is_shown(shown(self.container)) || anywhere && in_any())
            && (!self.owed.look_alike || self.marker.shows_exactly(&self.owed.source.key, digest))
    }

    fn mark(&self) -> Mark {
        Mark {
            source: self.owed.source.key.clone(),
            content: self.owed.content,
            container: Arc::clone(&self.container.name),
            env_name: self.env_name.clone(),
            observed_at: self.owed.seen_at,
            exact: self.owed.look_alike || self.marker.is_exact(&self.owed.source.key),
        }
    }
}

impl Owed {
    fn settle(&self, outcome: Outcome) -> Settlement {
        Settlement {
            source: self.source.key.clone(),
            content: self.content,
            outcome,
        }
    }
}

/// Whether and where the workload wants a marker of the source.
fn want<'a>(
    workload: &'a Workload,
    owed: &'a Owed,
    marker: &'a LastReloadedFrom<'a>,
    options: Options,
) -> Result<Wanted<'a>, SkipReason> {
    let named = match workload.opt_in.verdict(&owed.source, options.auto_reload_all) {
        Verdict::Named => true,
        Verdict::Auto => false,
        Verdict::No(Refusal::Ignored) => return Err(SkipReason::Ignored),
        Verdict::No(Refusal::Excluded) => return Err(SkipReason::Excluded),
        Verdict::No(Refusal::NotOptedIn) => return Err(SkipReason::NotOptedIn),
    };
    let key = &owed.source.key;
    let position = container::choose(&workload.template, &key.reference(), named);
    let place = position.and_then(|position| Some((position, workload.template.containers.get(position)?)));
    let (position, container) = place.ok_or(SkipReason::NoContainer)?;
    if workload.restart == (Restart::NewJob { suspended: true }) && !options.reload_suspended {
        return Err(SkipReason::Suspended);
    }
    let env_name = env_name(key.kind, &key.name);
    let has_marker = || match options.strategy {
        Strategy::EnvVars => container.markers.iter().any(|(name, _)| **name == *env_name),
        Strategy::Annotations => marker.is_of(key),
    };
    if owed.only_if_marked && !has_marker() {
        return Err(SkipReason::Unmarked);
    }
    Ok(Wanted {
        owed,
        position,
        container,
        env_name,
        marker,
    })
}

/// One variable for each source, removed when the source is gone. Of several sources that share a variable (`a.b` and
/// `a-b`) one gets it; were each compared with it, they would overwrite each other for ever.
fn mark_variables(workload: &Workload, wanted: &[Result<Wanted<'_>, SkipReason>]) -> Vec<Outcome> {
    let mut latest: BTreeMap<(usize, &str), &Wanted<'_>> = BTreeMap::new();
    for wanted in wanted.iter().flatten() {
        let holder = latest
            .entry((wanted.position, &wanted.env_name))
            .or_insert(wanted);
        if wanted.claim() > holder.claim() {
            *holder = wanted;
        }
    }
    let outcome = |wanted: &Wanted<'_>| {
        let holder = latest.get(&(wanted.position, wanted.env_name.as_str()));
        let is_holder = holder.is_some_and(|holder| holder.claim() == wanted.claim());
        match (holder.is_some_and(|holder| holder.is_marked(workload)), is_holder) {
            (true, _) => Outcome::Skipped(SkipReason::AlreadyMarked),
            (false, true) => Outcome::Marked,
            (false, false) => Outcome::Superseded,
        }
    };
    outcomes(wanted, outcome)
}

/// One annotation for all sources: the latest that it does not show yet gets it.
fn mark_annotation(wanted: &[Result<Wanted<'_>, SkipReason>]) -> Vec<Outcome> {
    let is_marked = |wanted: &Wanted<'_>| {
        let (marker, key) = (wanted.marker, &wanted.owed.source.key);
        match wanted.owed.content {
            Content::Present(digest) if wanted.owed.look_alike => marker.shows_exactly(key, digest),
            content => marker.shows(key, content),
        }
    };
    let latest = wanted
        .iter()
        .flatten()
        .filter(|wanted| !is_marked(wanted))
        .map(Wanted::recency)
        .max();
    let outcome = |wanted: &Wanted<'_>| {
        if is_marked(wanted) {
            Outcome::Skipped(SkipReason::AlreadyMarked)
        } else if Some(wanted.recency()) == latest {
            Outcome::Marked
        } else {
            Outcome::Superseded
        }
    };
    outcomes(wanted, outcome)
}

/// One time for all sources: pods that were restarted after a source was last written have its content, whoever asked
/// for it. A restart that somebody has put off into the future counts too.
fn mark_restart(
    last: Option<UnixSeconds>,
    strategy: Strategy,
    wanted: &[Result<Wanted<'_>, SkipReason>],
) -> Vec<Outcome> {
    let outcome = |wanted: &Wanted<'_>| {
        // There never is a variable to remove.
        let nothing_to_remove = strategy == Strategy::EnvVars && wanted.owed.content == Content::Absent;
        if nothing_to_remove || last.is_some_and(|last| last >= wanted.owed.restarted_at()) {
            Outcome::Skipped(SkipReason::AlreadyMarked)
        } else {
            Outcome::Marked
        }
    };
    outcomes(wanted, outcome)
}

/// What each source comes to: what is not wanted is skipped for its reason, the rest as `outcome` says.
fn outcomes<'a>(
    wanted: &[Result<Wanted<'a>, SkipReason>],
    outcome: impl Fn(&Wanted<'a>) -> Outcome,
) -> Vec<Outcome> {
    let decided = wanted.iter().map(|wanted| match wanted {
        Ok(wanted) => outcome(wanted),
        Err(reason) => Outcome::Skipped(*reason),
    });
    decided.collect()
}

/// The reason that got furthest: an unchanged marker says more than a workload that asked for nothing.
fn most_telling(outcomes: &[Outcome]) -> SkipReason {
    let reasons = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Skipped(reason) => Some(*reason),
        Outcome::Marked | Outcome::Superseded => None,
    });
    reasons.max().unwrap_or(SkipReason::NothingOwed)
}

#[cfg(test)]
mod tests;
