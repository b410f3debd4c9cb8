//! What a workload was restarted for, in the words that `kubectl rollout history` shows.
//!
//! Input: a [`Plan`]. Output: a text. I/O: none.
//!
//! Kinds and names, never content.

use std::fmt::Write;

use crate::{decide::Plan, model::WorkloadKind};

/// The annotation that controllers copy into each revision
/// ([reference](https://kubernetes.io/docs/reference/labels-annotations-taints/#change-cause)).
pub(super) const ANNOTATION: &str = "kubernetes.io/change-cause";

/// The longest list of names, in bytes; of further sources, only the number.
const LONGEST: usize = 512;

/// The text; `None` where the write restarts nothing, or the kind has no history of revisions.
pub(super) fn of(plan: &Plan) -> Option<String> {
    let has_history = matches!(
        plan.workload.kind,
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet
    );
    let count = plan.restarted_for().count();
    if !has_history || count == 0 {
        return None;
    }
    let mut text = "Reloader: changed ".to_owned();
    for (number, source) in plan.restarted_for().enumerate() {
        if number > 0 && text.len() + source.name.len() > LONGEST {
            // Writing to a String cannot fail.
            let _ = write!(text, " and {} more", count - number);
            break;
        }
        let comma = if number > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{} {}", source.kind, source.name);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{Settlement, SkipReason, SourceOutcome, Strategy},
        model::{Content, SourceKey, SourceKind, WorkloadKey},
        patch::body::tests::plan,
    };

    fn restart(kind: WorkloadKind, sources: &[(SourceKind, &str, SourceOutcome)]) -> Plan {
        let settled = sources.iter().map(|(kind, name, outcome)| Settlement {
            source: SourceKey::new(*kind, "team", *name),
            content: Content::Absent,
            outcome: *outcome,
        });
        Plan {
            workload: WorkloadKey::new(kind, "team", "web"),
            settled: settled.collect(),
            ..plan(Strategy::EnvVars, &[("main", "app")])
        }
    }

    #[test]
    fn the_sources_that_restart_it_are_named() {
        let sources = [
            (SourceKind::ConfigMap, "app", SourceOutcome::Marked),
            (SourceKind::Secret, "token", SourceOutcome::Superseded),
            (
                SourceKind::Secret,
                "left-out",
                SourceOutcome::Skipped(SkipReason::Ignored),
            ),
        ];
        let text = of(&restart(WorkloadKind::StatefulSet, &sources));
        assert_eq!(
            text.as_deref(),
            Some("Reloader: changed ConfigMap app, Secret token")
        );
        assert_eq!(of(&restart(WorkloadKind::Rollout, &sources)), None);
        assert_eq!(of(&restart(WorkloadKind::Deployment, &sources[2..])), None);
    }

    #[test]
    fn the_text_is_bounded() {
        let names: Vec<String> = (0..100).map(|number| format!("settings-{number:0>60}")).collect();
        let sources: Vec<_> = names
            .iter()
            .map(|name| (SourceKind::ConfigMap, name.as_str(), SourceOutcome::Marked))
            .collect();
        let text = of(&restart(WorkloadKind::Deployment, &sources)).unwrap();
        assert!(text.len() < LONGEST + 40 && text.ends_with(" more"), "{text}");
    }
}
