//! The sentences of an answer: what a rule means here, and what happens next.
//!
//! Input: a judgement, what is known of the source, settings. Output: texts. I/O: none.

use std::time::Duration;

use jiff::{Timestamp, Unit};

use super::{
    answer::{AskedFor, Owed, Owes, Rule, Verdict},
    deferral::Deferral,
    facts::{Flags, Scope, SourceFacts},
    judge::Judgement,
};
use crate::{
    admit::{self, Candidate},
    decide::{
        Strategy,
        pause::{Resume, resume},
    },
    model::{HeldBack, Replacement, Restart, Workload, pause::Paused},
};

/// A time in whole seconds, as the API prints it.
pub(super) fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// What the rule means for the source.
pub(super) fn because(judgement: &Judgement, facts: &SourceFacts, flags: &Flags) -> String {
    let by = judgement.asked_for_by.as_ref();
    let by = by.map(AskedFor::to_string).unwrap_or_default();
    let of_kind = flags.keys.of(facts.source.kind);
    if judgement.verdict == Verdict::Unknown {
        return format!(
            "it depends on annotations of the source, which are unknown here: {} keeps it from restarting anything, and {} \
             lets workloads that search find it",
            flags.keys.ignore, flags.keys.match_
        );
    }
    match judgement.rule {
        Rule::Listed | Rule::Excluded => format!("the {by} names it"),
        Rule::Searched => format!("the {by} is \"true\", and the source has {}", flags.keys.match_),
        Rule::Auto => format!("the {by} is true, and the pods use it"),
        Rule::AutoReloadAll => format!("the {by} is set, and the pods use it"),
        Rule::Ignored => format!("the {by} is \"true\""),
        Rule::Off if by.is_empty() => {
            "nothing asks for it, and --auto-reload-all does not count for a finished Job".to_owned()
        }
        Rule::Off => format!("the {by} has a value that is not true"),
        Rule::Unmatched => format!(
            "the {by} is \"true\", but the source does not have {}: \"true\"",
            flags.keys.match_
        ),
        Rule::NotOptedIn => format!(
            "no annotation asks for it: neither {} nor {}",
            flags.keys.auto, of_kind.reload
        ),
        Rule::NotUsed => format!("the {by} covers what the pods use, and they do not use it"),
        Rule::NoContainer => "the workload has no pod template with a container".to_owned(),
        Rule::Suspended => "the CronJob is suspended".to_owned(),
        Rule::NamespaceNotSelected => "the controller does not watch the namespace".to_owned(),
        Rule::KindNotWatched => format!(
            "the controller does not watch sources of kind {}",
            facts.source.kind
        ),
    }
}

/// What happens next; where nothing does, what to do about it.
pub(super) fn next(
    judgement: &Judgement,
    workload: &Workload,
    facts: &SourceFacts,
    flags: &Flags,
    scope: &Scope,
    now: Timestamp,
) -> String {
    match (&facts.owes, judgement.verdict) {
        (Owes::Restart(owed), Verdict::Refused) => format!(
            "What is owed since {} ends without a restart: {}",
            owed.since.map_or_else(|| "an unknown time".to_owned(), time),
            remedy(judgement.rule, facts, flags)
        ),
        (Owes::Restart(owed), _) => owed_next(owed, now),
        (_, Verdict::Refused) => remedy(judgement.rule, facts, flags),
        (_, Verdict::Unknown) => "Ask the controller, or look at the source's annotations".to_owned(),
        (_, Verdict::Restarts) => changed_next(workload, facts, flags, scope, now),
    }
}

/// What a restart for the next change of the source would wait for.
fn deferral(workload: &Workload, facts: &SourceFacts, scope: &Scope, now: Timestamp) -> Option<Deferral> {
    let candidate = Candidate {
        workload,
        sources: &[facts.changed()],
        namespace: scope.policy.as_deref(),
        // How soon after the last restart the next change comes is not known.
        last: None,
        unmoved_for: Duration::ZERO,
    };
    admit::alone(candidate, &scope.windows, &scope.limits, now)
        .wait()
        .as_ref()
        .map(Deferral::from)
}

fn until(deferred: &Deferral) -> String {
    deferred
        .until
        .map_or_else(String::new, |until| format!(" until {}", time(until)))
}

fn owed_next(owed: &Owed, now: Timestamp) -> String {
    if let Some(deferred) = &owed.deferred {
        return format!(
            "The restart waits{}: {}. All changes until then are one restart",
            until(deferred),
            deferred.message
        );
    }
    let at = owed.next_try.filter(|at| *at > now);
    let when = at.map_or_else(|| "at once".to_owned(), |at| format!("at {}", time(at)));
    match (owed.attempts, &owed.last_error) {
        (Some(attempts), Some(error)) if attempts > 0 => format!(
            "The restart is tried again {when}, and at once if the workload changes; {attempts} {} failed, the last with: \
             {error}",
            if attempts == 1 {
                "attempt"
            } else {
                "attempts in a row"
            }
        ),
        (Some(attempts), None) if attempts > 0 => {
            format!("The restart is tried again {when}, and at once if the workload changes")
        }
        (Some(_), _) => format!("The restart is written {when}"),
        (None, _) => {
            "The leader restarts it; this replica does not lead and sees it settled by the marker".to_owned()
        }
    }
}

fn changed_next(
    workload: &Workload,
    facts: &SourceFacts,
    flags: &Flags,
    scope: &Scope,
    now: Timestamp,
) -> String {
    let mut restart = match resume(workload, now) {
        Resume::At(end) => format!(
            "writes the marker at once, and the pods are replaced when the pause ends at {}",
            time(end)
        ),
        Resume::Never | Resume::Now => "restarts it".to_owned(),
    };
    if let Some(deferred) = deferral(workload, facts, scope, now) {
        restart = format!(
            "is noted, and the restart waits{}: {}",
            until(&deferred),
            deferred.message
        );
    }
    match facts.exists {
        Some(false) if flags.reload_on_create => format!("Its creation {restart}"),
        Some(false) => format!(
            "Its creation restarts nothing, because --reload-on-create is not set; the next change of its content {restart}"
        ),
        Some(true) | None if flags.reload_on_delete => {
            format!("The next change of its content, or its deletion, {restart}")
        }
        Some(true) | None => format!("The next change of its content {restart}"),
    }
}

/// Why nothing happens, and what would change that.
fn remedy(rule: Rule, facts: &SourceFacts, flags: &Flags) -> String {
    let keys = &flags.keys;
    let of_kind = keys.of(facts.source.kind);
    let name = &facts.source.name;
    match rule {
        Rule::Listed | Rule::Searched | Rule::Auto | Rule::AutoReloadAll => "Nothing".to_owned(),
        Rule::Ignored => format!(
            "Nothing: to let it restart workloads, remove {} from the source",
            keys.ignore
        ),
        Rule::Excluded => format!(
            "Nothing: to have restarts, remove its name from {} of the workload",
            of_kind.exclude
        ),
        Rule::Unmatched => format!(
            "Nothing: to have restarts, set {}: \"true\" on the source",
            keys.match_
        ),
        Rule::Off | Rule::NotOptedIn => format!(
            "Nothing: to have restarts, set {}: \"true\" or {}: \"{name}\" on the workload",
            keys.auto, of_kind.reload
        ),
        Rule::NotUsed => format!(
            "Nothing: to have restarts although no pod uses it, set {}: \"{name}\" on the workload",
            of_kind.reload
        ),
        Rule::NoContainer => {
            "Nothing: check the workload's pod template, or --workload-kind for a custom kind".to_owned()
        }
        Rule::Suspended => {
            "Nothing while spec.suspend is true, unless the controller has --reload-suspended-cronjobs"
                .to_owned()
        }
        Rule::NamespaceNotSelected => {
            "Nothing: see the controller's --namespaces, --namespace-selector and --namespaces-to-ignore"
                .to_owned()
        }
        Rule::KindNotWatched => {
            "Nothing: see the controller's --resources-to-ignore and --enable-csi-integration".to_owned()
        }
    }
}

/// What a restart is for the workload.
pub(super) fn restart(workload: &Workload, strategy: Strategy) -> String {
    let how = match workload.restart {
        Restart::At { .. } => return "Sets spec.restartAt, and Argo Rollouts replaces the pods".to_owned(),
        Restart::NewJob { .. } => return "Creates a Job of the CronJob, which stays as it is".to_owned(),
        Restart::Recreate => return "Deletes the Job and creates it again".to_owned(),
        Restart::Template => match strategy {
            Strategy::EnvVars => "Writes the digest into a variable of a container",
            Strategy::Annotations => "Writes the source into an annotation of the pod template",
        },
    };
    let then = match workload.replacement {
        Replacement::All | Replacement::Unknown => "the workload's controller replaces the pods",
        Replacement::Partly(HeldBack::OnDelete) => {
            "pods keep running until they are deleted, because spec.updateStrategy.type is OnDelete"
        }
        Replacement::Partly(HeldBack::Partition) => {
            "pods below the ordinal spec.updateStrategy.rollingUpdate.partition keep running"
        }
        Replacement::Partly(HeldBack::Paused) => "pods keep running while spec.paused is true",
        Replacement::Partly(HeldBack::NoTrigger) => {
            "pods keep running until `oc rollout latest`, because spec.triggers has no ConfigChange"
        }
    };
    format!("{how}, and {then}")
}

/// What the workload's pause means; `None` where there is none.
pub(super) fn pause(workload: &Workload, now: Timestamp) -> Option<String> {
    let pause = workload.pause.as_deref()?;
    match (pause.paused, resume(workload, now)) {
        (Paused::ByReloader { since: Some(since) }, Resume::At(end)) => Some(format!(
            "Reloader paused it at {} after a change and resumes it at {}: one rollout for all changes in between",
            time(since),
            time(end)
        )),
        (Paused::ByReloader { .. }, _) => Some("Reloader paused it, and resumes it now".to_owned()),
        (Paused::ByOthers, _) => {
            Some("spec.paused is true, set by another client: Reloader does not resume it".to_owned())
        }
        (Paused::No, _) => {
            let length = pause.length()?;
            Some(format!(
                "A change pauses it for {} s, so that all changes in that time are one rollout",
                length.as_secs()
            ))
        }
    }
}
