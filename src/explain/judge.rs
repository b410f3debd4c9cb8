//! The verdict about one source of a workload, by the controller's own decision.
//!
//! Input: a workload, what is known of the source, settings. Output: [`Judgement`]. I/O: none.

use std::sync::Arc;

use super::{
    answer::{AskedBy, AskedFor, Rule, Verdict},
    facts::{Flags, Scope, SourceFacts},
};
use crate::{
    decide::{self, Decision, SkipReason},
    model::{
        Content, Digest, Owed, Proof, Source, UnixSeconds, Workload,
        opt_in::{Place, Ruling},
    },
};

/// A moment after everything: no marker shows it.
const NEVER_MARKED: UnixSeconds = UnixSeconds(i64::MAX - 1);

/// Whether a change of a source restarts a workload, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it does.
    pub verdict: Verdict,
    /// The rule that decides; where the verdict is unknown, the one that decides if the source carries no annotation.
    pub rule: Rule,
    /// The annotation or flag behind the rule.
    pub asked_for_by: Option<AskedFor>,
    /// The container that gets the marker.
    pub container: Option<Arc<str>>,
}

/// Judges the source as a worker does when its content has changed.
pub fn judge(workload: &Workload, facts: &SourceFacts, flags: &Flags, scope: &Scope) -> Judgement {
    let refused = |rule| Judgement {
        verdict: Verdict::Refused,
        rule,
        asked_for_by: None,
        container: None,
    };
    let is_watched = |kinds: &Vec<_>| kinds.contains(&facts.source.kind);
    if !scope.kinds.as_ref().is_none_or(is_watched) {
        return refused(Rule::KindNotWatched);
    }
    if scope.selected == Some(false) {
        return refused(Rule::NamespaceNotSelected);
    }
    // What is unknown of the source may be either.
    let possible = |fact: Option<bool>| match fact {
        Some(fact) => vec![fact],
        None => vec![false, true],
    };
    let mut judgements = Vec::new();
    for ignored in possible(facts.ignored) {
        for matched in possible(facts.matched) {
            let source = source(workload, facts, ignored, matched);
            judgements.push(judge_known(workload, source, flags));
        }
    }
    let is_certain = judgements
        .windows(2)
        .all(|pair| pair[0].verdict == pair[1].verdict);
    let first = judgements.into_iter().next();
    let judgement = first.unwrap_or_else(|| refused(Rule::NotOptedIn));
    Judgement {
        verdict: if is_certain {
            judgement.verdict
        } else {
            Verdict::Unknown
        },
        ..judgement
    }
}

/// A source like that whose content is another than any marker shows.
fn source(workload: &Workload, facts: &SourceFacts, ignored: bool, matched: bool) -> Source {
    let digest = match facts.content {
        Some(Content::Present(digest)) => digest,
        Some(Content::Absent) | None => Digest::OF_NOTHING,
    };
    Source {
        key: facts.source.in_namespace(&workload.key.namespace),
        uid: "".into(),
        resource_version: 0,
        modified_at: None,
        rewritten: false,
        digest,
        ignored,
        matched,
        policy: None,
    }
}

fn judge_known(workload: &Workload, source: Source, flags: &Flags) -> Judgement {
    let kind = source.key.kind;
    let ruling = workload.opt_in.ruling(&source, flags.options.auto_reload_all);
    let annotation = workload.opt_in.annotation(&flags.keys, kind, ruling);
    let asked_for_by = match annotation {
        Some((key, place)) => Some(AskedFor {
            key: key.to_owned(),
            by: match place {
                Place::Workload => AskedBy::Workload,
                Place::Template => AskedBy::Template,
                Place::Source => AskedBy::Source,
            },
        }),
        None if ruling == Ruling::ByFlag => Some(AskedFor {
            key: "--auto-reload-all".to_owned(),
            by: AskedBy::Flag,
        }),
        None => None,
    };
    let owed = Owed {
        content: Content::Present(source.digest),
        source,
        version: 0,
        look_alike: false,
        may_bring_back: false,
        // Whatever the template shows: this is about a change.
        proof: Proof::Nothing,
        seen_at: NEVER_MARKED,
        order: 0,
    };
    let decision = decide::decide(workload, &[owed], &flags.options);
    let skipped = match &decision {
        Decision::Patch(_) | Decision::Skip(SkipReason::AlreadyMarked) => None,
        Decision::Skip(reason) => Some(*reason),
    };
    let rule = match skipped {
        Some(SkipReason::Suspended) => Rule::Suspended,
        Some(SkipReason::NoContainer) if workload.template.containers.is_empty() => Rule::NoContainer,
        Some(SkipReason::NoContainer) => Rule::NotUsed,
        // The rest is what the annotations say.
        _ => of_ruling(ruling),
    };
    Judgement {
        verdict: if skipped.is_none() {
            Verdict::Restarts
        } else {
            Verdict::Refused
        },
        rule,
        asked_for_by,
        container: match decision {
            Decision::Patch(plan) => plan.marks.into_iter().next().map(|mark| mark.container),
            Decision::Skip(_) => None,
        },
    }
}

const fn of_ruling(ruling: Ruling) -> Rule {
    match ruling {
        Ruling::Ignored => Rule::Ignored,
        Ruling::Excluded => Rule::Excluded,
        Ruling::Listed => Rule::Listed,
        Ruling::Searched => Rule::Searched,
        Ruling::Auto => Rule::Auto,
        Ruling::ByFlag => Rule::AutoReloadAll,
        Ruling::Unmatched => Rule::Unmatched,
        Ruling::Off => Rule::Off,
        Ruling::NotAsked => Rule::NotOptedIn,
    }
}
