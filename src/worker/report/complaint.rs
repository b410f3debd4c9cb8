//! What is wrong with a workload's annotations.
//!
//! Input: a workload. Output: [`Complaint`]s. I/O: none.

use crate::model::{
    AnnotationKeys, SourceKind, Workload, WorkloadKey, WorkloadKind,
    opt_in::{BadItem, BadPatternReason},
    pause::Pause,
};

/// A mistake in a workload's annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The kind of source it is about.
    pub(super) source: SourceKind,
    /// What is wrong, and where.
    pub(super) message: String,
    /// How it is logged.
    pub(super) severity: Severity,
    /// It is the first about its annotation. Only that becomes an Event: a list of a hundred bad items is one mistake.
    pub(super) is_first: bool,
}

/// How a mistake is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// As upstream does.
    Error,
    /// The workload is restarted all the same.
    Warning,
}

/// Every mistake: list items that are no valid patterns, then a bad pause period under that annotation's key.
pub(super) fn complaints(workload: &Workload, keys: &AnnotationKeys) -> Vec<Complaint> {
    let key = &workload.key;
    let mut list = None;
    let bad_items = workload.opt_in.bad_items().map(|(source, bad)| Complaint {
        source,
        message: bad_item(key, &keys.of(source).reload, bad),
        severity: Severity::Error,
        is_first: list.replace(source) != Some(source),
    });
    let bad_pause = workload
        .pause
        .as_deref()
        .and_then(|pause| bad_pause(key, pause, &keys.pause_period))
        .map(|message| Complaint {
            source: SourceKind::ConfigMap,
            message,
            severity: Severity::Warning,
            is_first: true,
        });
    bad_items.chain(bad_pause).collect()
}

fn bad_item(key: &WorkloadKey, annotation: &str, BadItem { item, error }: &BadItem) -> String {
    let what = match error {
        BadPatternReason::Pattern(_) | BadPatternReason::TooMany => {
            format!("invalid regex \"{item}\" in reload annotation \"{annotation}\"")
        }
        BadPatternReason::TooCostly => format!("\"{item}\" in reload annotation \"{annotation}\""),
        BadPatternReason::NamespaceFull => format!("all of reload annotation \"{annotation}\""),
    };
    format!(
        "Skipping invalid reload annotation on {} '{}' in namespace '{}': {what}: {error}",
        key.kind, key.name, key.namespace,
    )
}

fn bad_pause(key: &WorkloadKey, pause: &Pause, annotation: &str) -> Option<String> {
    let WorkloadKey {
        kind,
        namespace,
        name,
    } = key;
    match pause.period.as_ref()? {
        _ if *kind != WorkloadKind::Deployment => Some(format!(
            "Annotation '{annotation}' only applicable for deployments: {kind} '{name}' in namespace '{namespace}' is \
             restarted without a pause",
        )),
        Ok(_) => None,
        Err(bad) => Some(format!(
            "Failed to parse pause interval value '{}' of annotation '{annotation}' on {kind} '{name}' in namespace \
             '{namespace}': {}. Until this is corrected, it is restarted without a pause",
            bad.text, bad.error,
        )),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::watch::workload::{Decoded, Reading, WorkloadObject};

    const PATTERNS: &str = "configmap.reloader.stakater.com/reload";
    const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    /// The complaints about a workload with these annotations.
    fn about(kind: WorkloadKind, annotations: &[(&str, &str)]) -> Vec<Complaint> {
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        let metadata = json!({ "name": "web", "namespace": "team", "uid": "u", "annotations": annotations });
        let object: WorkloadObject = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let workload = Reading::default().read(object.into_object(kind), kind).unwrap();
        complaints(&workload, &AnnotationKeys::default())
    }

    #[test]
    fn each_bad_pattern_is_named_and_the_first_becomes_an_event() {
        let complaints = about(KIND, &[(PATTERNS, "a[,fine,b["), (PERIOD, "5 minutes")]);
        let shown: Vec<_> = complaints
            .iter()
            .map(|complaint| (complaint.severity, complaint.is_first))
            .collect();
        let expected = [
            (Severity::Error, true),
            (Severity::Error, false),
            (Severity::Warning, true),
        ];
        assert_eq!(shown, expected);
        for (complaint, part) in complaints.iter().zip(["\"a[\"", "\"b[\"", "'5 minutes'"]) {
            assert!(complaint.message.contains(part), "{complaint:?}");
        }
    }

    #[rstest]
    #[case::none(KIND, "", None)]
    #[case::valid(KIND, "5m", None)]
    #[case::invalid(KIND, "5 minutes", Some("Failed to parse pause interval value '5 minutes'"))]
    #[case::another_kind(
        WorkloadKind::DaemonSet,
        "5m",
        Some("only applicable for deployments: DaemonSet 'web'")
    )]
    #[case::deployment_config(
        WorkloadKind::DeploymentConfig,
        "5m",
        Some("only applicable for deployments: DeploymentConfig 'web'")
    )]
    fn a_pause_period_has_to_be_one(
        #[case] kind: WorkloadKind,
        #[case] period: &str,
        #[case] expected: Option<&str>,
    ) {
        let annotations = [(PERIOD, period)];
        let complaints = about(kind, if period.is_empty() { &[] } else { &annotations });
        assert_eq!(complaints.len(), usize::from(expected.is_some()));
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.message.contains(expected), "{complaint:?}");
        }
    }
}
