//! Decides the next write to one workload, from its state and what it owes.
//!
//! Input: a [`Workload`], the sources it may owe a restart for ([`Owed`]), [`Options`]. Output: [`Decision`].
//! I/O: none; the same input always gives the same output.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use crate::model::{
    Container, Content, Digest, LastReloadedFrom, Owed, Proof, Restart, SourceKey, SourceKind, UnixSeconds,
    Verdict, Workload, env_name, opt_in::Refusal,
};

mod container;
mod decision;
mod marker;
mod options;
pub mod pause;
mod write;

pub use decision::{Decision, Mark, PauseChange, Plan, Settlement, SkipReason, SourceOutcome};
pub use options::{Options, ParseStrategyError, Strategy};
pub use write::{Write, unique_name};

/// Decides the next write to one workload.
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
        (_, Strategy::Annotations) => mark_annotation(workload, &wanted),
    };

    let mut marks: Vec<&Wanted<'_>> = Vec::new();
    for (wanted, outcome) in wanted.iter().zip(&outcomes) {
        if let (Ok(wanted), SourceOutcome::Marked) = (wanted, outcome) {
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
        .filter(|(_, outcome)| !matches!(outcome, SourceOutcome::Skipped(_)));
    let mut write = Write::of(workload, restarting.map(|(owed, _)| owed));
    let repeats = |wanted: &&Wanted<'_>| wanted.container.repeats_variables;
    if write == Write::Strategic && options.strategy == Strategy::EnvVars && marks.iter().any(repeats) {
        // The API server's merge would put variables of one name beside each other.
        write = Write::Live(workload.key.clone());
    }
    Decision::Patch(Plan {
        workload: workload.key.clone(),
        uid: workload.uid.clone(),
        resource_version: NonZeroU64::new(workload.resource_version),
        write,
        strategy: options.strategy,
        marks: marks
            .into_iter()
            .map(|wanted| wanted.plan(options.strategy))
            .collect(),
        pause: None,
        settled: owed
            .iter()
            .zip(outcomes)
            .map(|(owed, outcome)| owed.settle(outcome))
            .collect(),
    })
}

/// What a variable shows: nothing where there is none, no digest where its value is none.
type Shown = Option<Option<Digest>>;

/// An owed source that the workload opted into, and where its marker goes.
struct Wanted<'a> {
    owed: &'a Owed,
    /// The container's place among the regular ones.
    position: usize,
    container: &'a Container,
    env_name: String,
    /// The workload's annotation, whichever source it names.
    marker: &'a LastReloadedFrom<'a>,
}

impl Wanted<'_> {
    /// What the plan writes.
    fn plan(&self, strategy: Strategy) -> Mark {
        let has_exact =
            self.owed.look_alike || self.owed.may_bring_back || self.marker.is_exact(&self.owed.source.key);
        self.mark(has_exact || self.looks_marked(strategy))
    }

    /// Later changes compare greater.
    fn recency(&self) -> (u64, &SourceKey) {
        (self.owed.order, &self.owed.source.key)
    }

    /// Orders the sources that share a variable: one that exists before one that is gone, then the latest.
    fn claim(&self) -> (bool, (u64, &SourceKey)) {
        (self.owed.content != Content::Absent, self.recency())
    }

    /// Whether the container already shows that the workload was restarted for this, as far as a marker proves it.
    ///
    /// Whether it has no variable for a source that is gone; for a SecretProviderClass, whether the first of all containers
    /// with the variable shows the digest. Of two variables of one name the first counts. All of it is upstream's.
    fn is_marked(&self, workload: &Workload) -> bool {
        let Content::Present(digest) = self.owed.content else {
            return self.shown(self.container).is_none();
        };
        let is_shown = |shown: Shown| shown.flatten().is_some_and(|shown| shown.prints_like(&digest));
        let mut containers = workload.template.containers.iter();
        let anywhere = self.owed.source.key.kind == SourceKind::SecretProviderClass;
        let is_shown = is_shown(self.shown(self.container))
            || anywhere && is_shown(containers.find_map(|container| self.shown(container)));
        is_shown && self.is_proven(workload)
    }

    /// What the variable shows.
    fn shown(&self, container: &Container) -> Shown {
        let mut variables = container.markers.iter();
        let (_, value) = variables.find(|(name, _)| **name == *self.env_name)?;
        Some(value.parse().ok())
    }

    /// Whether a marker that shows the content proves that the workload was restarted for it.
    fn is_proven(&self, workload: &Workload) -> bool {
        let is_exact = || match self.owed.content {
            Content::Present(digest) if self.owed.look_alike => {
                self.marker.shows_exactly(&self.owed.source.key, digest)
            }
            Content::Present(_) | Content::Absent => true,
        };
        match self.owed.proof {
            // The very write that this decision would ask for: it was sent before.
            Proof::Nothing => self.marker.is(&self.mark(true).annotation_value()),
            Proof::Restart | Proof::Unrecorded => {
                let source_written = self.owed.source.modified_at;
                let is_newer = source_written.is_none() || workload.template.written_at >= source_written;
                is_newer && is_exact()
            }
            Proof::Change => is_exact(),
        }
    }

    /// Whether the marker shows the content already, which proves nothing: it has to become another text all the same.
    fn looks_marked(&self, strategy: Strategy) -> bool {
        match (strategy, self.owed.content) {
            (Strategy::Annotations, content) => self.marker.shows(&self.owed.source.key, content),
            (Strategy::EnvVars, Content::Present(digest)) => {
                let shown = self.shown(self.container).flatten();
                shown.is_some_and(|shown| shown.prints_like(&digest))
            }
            (Strategy::EnvVars, Content::Absent) => false,
        }
    }

    /// `exact`: the annotation shows it as well, whatever the strategy.
    fn mark(&self, exact: bool) -> Mark {
        Mark {
            source: self.owed.source.key.clone(),
            content: self.owed.content,
            container: Arc::clone(&self.container.name),
            env_name: self.env_name.clone(),
            observed_at: self.owed.seen_at,
            exact,
        }
    }
}

impl Owed {
    fn settle(&self, outcome: SourceOutcome) -> Settlement {
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
        Strategy::Annotations => marker.is_of(key.kind, &key.name),
    };
    if matches!(owed.proof, Proof::Change | Proof::Unrecorded) && !has_marker() {
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
/// `a-b`) only one is written; if each were compared with it, they would overwrite each other without end.
fn mark_variables(workload: &Workload, wanted: &[Result<Wanted<'_>, SkipReason>]) -> Vec<SourceOutcome> {
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
            (true, _) => SourceOutcome::Skipped(SkipReason::AlreadyMarked),
            (false, true) => SourceOutcome::Marked,
            (false, false) => SourceOutcome::Superseded,
        }
    };
    outcomes(wanted, outcome)
}

/// One annotation for all sources: it shows the latest that it does not show yet.
fn mark_annotation(workload: &Workload, wanted: &[Result<Wanted<'_>, SkipReason>]) -> Vec<SourceOutcome> {
    let is_marked = |wanted: &Wanted<'_>| {
        let (key, content) = (&wanted.owed.source.key, wanted.owed.content);
        wanted.marker.shows(key, content) && wanted.is_proven(workload)
    };
    let latest = wanted
        .iter()
        .flatten()
        .filter(|wanted| !is_marked(wanted))
        .map(Wanted::recency)
        .max();
    let outcome = |wanted: &Wanted<'_>| {
        if is_marked(wanted) {
            SourceOutcome::Skipped(SkipReason::AlreadyMarked)
        } else if Some(wanted.recency()) == latest {
            SourceOutcome::Marked
        } else {
            SourceOutcome::Superseded
        }
    };
    outcomes(wanted, outcome)
}

/// One time for all sources: pods that were restarted after a source was last written have its content, whatever client
/// asked for the restart. A restart that is scheduled for the future counts too.
fn mark_restart(
    last: Option<UnixSeconds>,
    strategy: Strategy,
    wanted: &[Result<Wanted<'_>, SkipReason>],
) -> Vec<SourceOutcome> {
    let outcome = |wanted: &Wanted<'_>| {
        // There is never a variable to remove.
        let nothing_to_remove = strategy == Strategy::EnvVars && wanted.owed.content == Content::Absent;
        if nothing_to_remove || last.is_some_and(|last| last >= wanted.owed.restarted_at()) {
            SourceOutcome::Skipped(SkipReason::AlreadyMarked)
        } else {
            SourceOutcome::Marked
        }
    };
    outcomes(wanted, outcome)
}

/// The outcome of each source: skipped for its reason if it is not wanted, else what `outcome` gives.
fn outcomes<'a>(
    wanted: &[Result<Wanted<'a>, SkipReason>],
    outcome: impl Fn(&Wanted<'a>) -> SourceOutcome,
) -> Vec<SourceOutcome> {
    let decided = wanted.iter().map(|wanted| match wanted {
        Ok(wanted) => outcome(wanted),
        Err(reason) => SourceOutcome::Skipped(*reason),
    });
    decided.collect()
}

/// The reason of the source that got furthest: an unchanged marker is more specific than a missing opt-in.
fn most_telling(outcomes: &[SourceOutcome]) -> SkipReason {
    let reasons = outcomes.iter().filter_map(|outcome| match outcome {
        SourceOutcome::Skipped(reason) => Some(*reason),
        SourceOutcome::Marked | SourceOutcome::Superseded => None,
    });
    reasons.max().unwrap_or(SkipReason::NothingOwed)
}

#[cfg(test)]
mod tests;
