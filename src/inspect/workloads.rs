//! The answer about one workload.
//!
//! Input: a workload's key. Output: [`Explanation`]. I/O: reads the clock.

use jiff::Timestamp;
use tokio::task::yield_now;

use super::about::{Inspector, time};
use crate::{
    explain::{self, Asked, Deferral, Explanation, Finding, Owed, Owes, SourceFacts, Verdict},
    index::{Pending, SourceStanding, Standing},
    model::{Content, SourceKind, SourceRef, Workload, WorkloadKey, opt_in::Subject},
};

/// What matching names against the patterns of one workload may cost for one answer, in steps of about a nanosecond.
const MAX_STEPS: usize = 50_000_000;
/// Sources that patterns may add to an answer.
const MAX_MATCHED: usize = 500;
/// Steps after which other tasks may run.
const SLICE: usize = 1_000_000;

impl Inspector {
    /// Explains the workload; `None`: it is not known.
    pub(super) async fn explain(&self, key: &WorkloadKey) -> Option<Explanation> {
        let index = self.context().index();
        let workload = index.workload(key)?;
        let mut notes = Vec::new();
        let mut sources = explain::candidates(&workload);
        sources.truncate(MAX_MATCHED);
        if !self.add_matched(&workload, &mut sources).await {
            notes.push("Its patterns may match more sources than are shown here".to_owned());
        }
        if workload.template.containers.is_empty() && workload.opt_in.is_empty() {
            notes.push(
                "The controller keeps no pod template of a workload that opts into nothing: what its pods use is not known \
                 here"
                    .to_owned(),
            );
        }
        let standing = index.standing(key, sources)?;
        let now = Timestamp::now();
        let scope = self.scope(&key.namespace);
        let work = self.work(key, index.pending(key).as_ref(), now);
        let workload = &standing.workload;
        let facts = standing.sources.iter().map(|source| {
            let mut facts = self.facts(source);
            facts.owes = owes(source, &work, now);
            facts.settled = match &source.debt {
                Some(debt) => debt.running,
                None => facts.content.filter(|_| {
                    explain::judge(workload, &facts, self.flags(), &scope).verdict == Verdict::Restarts
                }),
            };
            facts
        });
        Some(explain::explain(Asked {
            workload,
            uses: &explain::uses_of(&workload.template),
            sources: facts.collect(),
            flags: self.flags(),
            scope: &scope,
            findings: self.findings(&standing),
            notes,
            replica: Some(self.replica()),
            now,
        }))
    }

    /// What is known of a source, without what a workload owes for it.
    pub(super) fn facts(&self, standing: &SourceStanding) -> SourceFacts {
        let SourceStanding {
            reference,
            source,
            content,
            debt: _,
        } = standing;
        let exists = match content {
            Some(Content::Present(_)) => Some(true),
            Some(Content::Absent) if self.has_source_selector() => None,
            Some(Content::Absent) => Some(false),
            None => None,
        };
        // Of what does not exist nothing is annotated.
        let annotated = |value: Option<bool>| match exists {
            Some(false) => Some(false),
            _ => value,
        };
        let source = source.as_ref();
        SourceFacts {
            exists,
            ignored: annotated(source.map(|source| source.ignored)),
            matched: annotated(source.map(|source| source.matched)),
            content: content.filter(|_| exists.is_some()),
            policy: source
                .filter(|_| exists == Some(true))
                .and_then(|source| source.policy.clone()),
            changed_at: source.and_then(|source| source.modified_at).map(Timestamp::from),
            ..SourceFacts::unknown(reference.clone())
        }
    }

    /// What is known of the workload's restart beside the sources that it is for; much of it by the leader alone.
    pub(super) fn work(&self, key: &WorkloadKey, pending: Option<&Pending>, now: Timestamp) -> Owed {
        let wait = pending.and_then(|pending| self.context().gate().admission(pending).wait());
        let deferred = wait.as_ref().map(Deferral::from);
        if !self.leads() {
            return Owed {
                deferred,
                ..Owed::default()
            };
        }
        let standing = self.context().queue().standing(key);
        let due = standing.and_then(|standing| standing.due);
        Owed {
            since: None,
            attempts: Some(standing.map_or(0, |standing| standing.failures)),
            last_error: self.context().last_failure(key),
            next_try: due.map(|due| time(due, now)).filter(|at| *at > now),
            deferred,
        }
    }

    fn findings(&self, standing: &Standing) -> Vec<Finding> {
        let (sentences, others) = self.context().findings(&standing.workload.key);
        let sentences = sentences.iter().map(Finding::from);
        let others = others.into_iter().map(|reason| Finding {
            reason: reason.to_owned(),
            key: String::new(),
            message: "see the Events InvalidAnnotation of the object, or `reloader lint` of its manifest"
                .to_owned(),
            suggestion: None,
        });
        sentences.chain(others).collect()
    }

    /// Adds the sources that the workload's patterns match. Returns whether these are all.
    async fn add_matched(&self, workload: &Workload, sources: &mut Vec<SourceRef>) -> bool {
        let has_patterns = |kind: &SourceKind| {
            let list = workload.opt_in.listed(*kind);
            list.is_some_and(|list| list.has_patterns())
        };
        let kinds: Vec<SourceKind> = SourceKind::ALL.into_iter().filter(has_patterns).collect();
        if kinds.is_empty() {
            return true;
        }
        let (mut steps, mut slice, mut matched) = (0, 0, 0);
        for source in self.context().index().sources_in(&workload.key.namespace) {
            if !kinds.contains(&source.kind) {
                continue;
            }
            let Some(list) = workload.opt_in.listed(source.kind) else {
                continue;
            };
            steps += list.steps();
            slice += list.steps();
            if steps > MAX_STEPS || matched == MAX_MATCHED {
                return false;
            }
            if slice > SLICE {
                slice = 0;
                yield_now().await;
            }
            if list.matches(&Subject::new(&source.name)) {
                matched += 1;
                sources.push(source);
            }
        }
        true
    }
}

fn owes(source: &SourceStanding, work: &Owed, now: Timestamp) -> Owes {
    match source.debt {
        Some(debt) if debt.is_due => Owes::Restart(Owed {
            since: Some(time(debt.since, now)),
            ..work.clone()
        }),
        _ => Owes::Nothing,
    }
}
