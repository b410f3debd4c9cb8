//! What is said of rollouts after a restart.
//!
//! Input: outcomes. Output: lines, Events. I/O: hands them over.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{Reporter, named};
use crate::{
    admit::{Rules, Tally},
    model::{Source, SourceKey, Workload, WorkloadKey, WorkloadKind},
    patch::events::{Notice, Severity, Subject},
};

impl Reporter {
    /// The rollout of the workload was given up that began with its restart for these sources.
    pub(in crate::worker) fn rollout_failed(&self, workload: &Workload, sources: &BTreeSet<SourceKey>) {
        let Some(first) = sources.first() else { return };
        let WorkloadKey {
            namespace,
            kind,
            name,
        } = &workload.key;
        let message = failed_text(&workload.key, sources);
        tracing::warn!(%namespace, %kind, %name, "{message}");
        self.recorder.record(Notice {
            about: Subject::Workload(workload.key.clone()),
            uid: workload.uid.clone(),
            related: Some(first.clone()),
            once: Some(once(workload, sources)),
            source: first.kind,
            severity: Severity::Warning,
            reason: "RolloutFailed",
            message,
        });
    }

    /// The first workload was restarted for that change of a source that has a limit.
    pub(in crate::worker) fn rollout_started(
        &self,
        source: &Source,
        version: u64,
        rules: &Rules,
        tally: &Tally,
    ) {
        self.of_source(
            source,
            version,
            "RolloutStarted",
            started_text(&source.key, rules, tally),
        );
    }

    /// All workloads that it concerns have been restarted, and none failed.
    pub(in crate::worker) fn rollout_complete(&self, source: &Source, version: u64, tally: &Tally) {
        self.of_source(
            source,
            version,
            "RolloutComplete",
            complete_text(&source.key, tally),
        );
    }

    /// Says of a source how far the restarts for that change of it are, once.
    fn of_source(&self, source: &Source, version: u64, reason: &'static str, message: String) {
        let SourceKey {
            namespace,
            kind,
            name,
        } = &source.key;
        tracing::info!(%namespace, %kind, %name, "{message}");
        self.recorder.record(Notice {
            about: Subject::Source(source.key.clone()),
            uid: source.uid.to_string().into(),
            related: None,
            once: Some(format!("{reason} {version}").into()),
            source: *kind,
            severity: Severity::Normal,
            reason,
            message,
        });
    }
}

fn started_text(source: &SourceKey, rules: &Rules, tally: &Tally) -> String {
    let mut text = format!(
        "Restarts for {} '{}' in namespace '{}' have begun: {} workloads use it",
        source.kind, source.name, source.namespace, tally.concerned
    );
    // Writing to a String cannot fail.
    if let Some(canary) = rules.canary {
        let _ = write!(text, ", {} first", canary.at_least_one(tally.concerned));
    }
    if let Some(most) = rules.max_concurrent {
        let _ = write!(text, ", {} at a time", most.at_least_one(tally.concerned));
    }
    text
}

fn complete_text(source: &SourceKey, tally: &Tally) -> String {
    format!(
        "Restarts for {} '{}' in namespace '{}' are complete: {} workloads use it, none failed",
        source.kind, source.name, source.namespace, tally.concerned
    )
}

/// A rollout that was given up ended well after all.
pub(in crate::worker) fn log_recovered(key: &WorkloadKey) {
    let WorkloadKey {
        namespace,
        kind,
        name,
    } = key;
    tracing::info!(
        %namespace, %kind, %name,
        "The rollout of {kind} '{name}' in namespace '{namespace}' that had failed is complete"
    );
}

fn failed_text(key: &WorkloadKey, sources: &BTreeSet<SourceKey>) -> String {
    let WorkloadKey {
        namespace,
        kind,
        name,
    } = key;
    let sources: Vec<&SourceKey> = sources.iter().collect();
    format!(
        "The rollout of {kind} '{name}' in namespace '{namespace}' after its restart for changes in {} failed: {}. Pods of the \
         earlier template may run on; correct the change, and it restarts again",
        named(&sources),
        reason(*kind),
    )
}

/// What in its status says so.
const fn reason(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Rollout => "its phase is Degraded",
        WorkloadKind::DeploymentConfig => "ProgressDeadlineExceeded or RolloutCancelled",
        WorkloadKind::Custom(_) => "its condition Stalled is True",
        _ => "ProgressDeadlineExceeded",
    }
}

/// What the Event is said of, once: this spec, and these sources.
fn once(workload: &Workload, sources: &BTreeSet<SourceKey>) -> Box<str> {
    let mut text = workload.generation.to_string();
    for source in sources {
        // Writing to a String cannot fail.
        let _ = write!(text, " {source}");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        SourceKind,
        limits::{Limits, Share},
    };

    #[test]
    fn the_text_names_the_sources_and_the_reason() {
        let sources = ["app", "db"].map(|name| SourceKey::new(SourceKind::ConfigMap, "team", name));
        let sources = BTreeSet::from(sources);
        for (kind, reason) in [
            (WorkloadKind::Deployment, "failed: ProgressDeadlineExceeded."),
            (WorkloadKind::Rollout, "failed: its phase is Degraded."),
        ] {
            let text = failed_text(&WorkloadKey::new(kind, "team", "web"), &sources);
            assert!(text.contains(reason), "{text}");
            assert!(
                text.contains("'app' of type 'CONFIGMAP', 'db' of type 'CONFIGMAP'"),
                "{text}"
            );
            assert!(
                text.contains(&format!("{kind} 'web' in namespace 'team'")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_begin_says_how_many_go_first() {
        let source = SourceKey::new(SourceKind::Secret, "shop", "db");
        let limits = Limits {
            canary: Some(Share::Percent(1)),
            max_concurrent: Some(Share::Count(5)),
            ..Limits::default()
        };
        let tally = Tally {
            concerned: 40,
            ..Tally::default()
        };
        assert_eq!(
            started_text(
                &source,
                &Rules::of(Some(&limits), None, &Limits::default()),
                &tally
            ),
            "Restarts for Secret 'db' in namespace 'shop' have begun: 40 workloads use it, 1 first, 5 at a time"
        );
        assert_eq!(
            complete_text(&source, &tally),
            "Restarts for Secret 'db' in namespace 'shop' are complete: 40 workloads use it, none failed"
        );
    }
}
