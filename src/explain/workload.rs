//! The answer about one workload.
//!
//! Input: [`Asked`]. Output: [`Explanation`]. I/O: none; `now` is a field.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    answer::{Explanation, Finding, SourceAnswer, VERSION},
    facts::{Flags, Scope, SourceFacts},
    judge::judge,
    marker::{held, markers},
    names::{ObjectName, SourceName},
    next,
    status::Replica,
    usage::Uses,
};
use crate::model::{SourceKind, SourceRef, Workload, opt_in::Subject};

/// Sources in one answer. A list may hold tens of thousands of names.
const MAX_SOURCES: usize = 500;
/// Names of one list that are looked at: an annotation can have tens of thousands.
const MAX_LISTED: usize = 2000;

/// What an explanation is made of.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// Where its pods use which source: [`super::uses_of`], or more exactly [`super::uses_of_pod_spec`].
    pub uses: &'a Uses,
    /// What is known of sources. Each gets an answer, and so do [`candidates`] of which nothing is given.
    pub sources: Vec<SourceFacts>,
    /// The controller's settings.
    pub flags: &'a Flags,
    /// What is watched.
    pub scope: &'a Scope,
    /// Mistakes in annotations.
    pub findings: Vec<Finding>,
    /// What else matters, one sentence each.
    pub notes: Vec<String>,
    /// The replica that answers; `None` where the answer is made of objects alone.
    pub replica: Option<Replica>,
    /// The present time.
    pub now: Timestamp,
}

/// The sources that the workload's pods use or that it lists by their exact names, ordered. Patterns name more: see
/// [`lists`].
pub fn candidates(workload: &Workload) -> Vec<SourceRef> {
    let used = workload.template.references().cloned();
    let listed = SourceKind::ALL.into_iter().flat_map(|kind| {
        let names = workload
            .opt_in
            .listed(kind)
            .into_iter()
            .flat_map(|list| list.names());
        names.take(MAX_LISTED).map(move |name| SourceRef::new(kind, name))
    });
    let mut candidates: Vec<SourceRef> = used.chain(listed).collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

/// Whether a list or a pattern of the workload names the source.
pub fn lists(workload: &Workload, source: &SourceRef) -> bool {
    let list = workload.opt_in.listed(source.kind);
    list.is_some_and(|list| list.matches(&Subject::new(&source.name)))
}

/// Explains what each source means for the workload.
pub fn explain(asked: Asked<'_>) -> Explanation {
    let Asked {
        workload,
        uses,
        sources,
        flags,
        scope,
        findings,
        mut notes,
        replica,
        now,
    } = asked;
    let mut facts: BTreeMap<SourceRef, SourceFacts> = candidates(workload)
        .into_iter()
        .chain(uses.keys().cloned())
        .map(|source| (source.clone(), SourceFacts::unknown(source)))
        .collect();
    facts.extend(sources.into_iter().map(|facts| (facts.source.clone(), facts)));
    let all = flags.options.auto_reload_all;
    let opted_in = SourceKind::ALL
        .into_iter()
        .any(|kind| workload.opt_in.listed(kind).is_some() || workload.opt_in.wants_references(kind, all));
    if !opted_in {
        notes.push(format!(
            "It opts into nothing: set {}: \"true\" on it to have it restarted for every source that its pods use",
            flags.keys.auto
        ));
    }
    notes.extend(next::pause(workload, now));
    notes.extend(scope.notes.iter().cloned());
    Explanation {
        version: VERSION.to_owned(),
        workload: ObjectName::from(&workload.key),
        uid: workload.uid.to_string(),
        replica,
        opted_in,
        restart: next::restart(workload, flags.options.strategy),
        sources_left_off: facts.len().saturating_sub(MAX_SOURCES),
        sources: facts
            .values()
            .take(MAX_SOURCES)
            .map(|facts| answer(workload, uses, facts, flags, scope, now))
            .collect(),
        findings,
        notes,
    }
}

fn answer(
    workload: &Workload,
    uses: &Uses,
    facts: &SourceFacts,
    flags: &Flags,
    scope: &Scope,
    now: Timestamp,
) -> SourceAnswer {
    let judgement = judge(workload, facts, flags, scope);
    let markers = markers(workload, &facts.source, facts.content);
    SourceAnswer {
        source: SourceName::from(&facts.source),
        exists: facts.exists,
        used_by: uses.get(&facts.source).cloned().unwrap_or_default(),
        verdict: judgement.verdict,
        rule: judgement.rule,
        because: next::because(&judgement, facts, flags),
        now: facts
            .content
            .map(|content| held(content, facts.source.kind, &markers)),
        settled: facts
            .settled
            .map(|content| held(content, facts.source.kind, &markers)),
        changed_at: facts.changed_at,
        changed_by: facts.changed_by.clone(),
        owes: facts.owes.clone(),
        next: next::next(&judgement, workload, facts, flags, scope, now),
        in_template: markers,
        asked_for_by: judgement.asked_for_by,
    }
}
