//! What is said of rollouts after a restart.
//!
//! Input: outcomes. Output: lines, Events. I/O: hands them over.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{Reporter, named};
use crate::{
    model::{SourceKey, Workload, WorkloadKey, WorkloadKind},
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
    use crate::model::SourceKind;

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
}
