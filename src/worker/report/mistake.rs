//! The wording of mistakes in annotations.
//!
//! Input: findings. Output: lines of the log, texts of Events. I/O: none.
//!
//! Of what upstream reports as well, the line is upstream's; an Event has the finding's own sentence.

use super::super::mistakes::LeftOut;
use crate::{
    diagnose::{Finding, Mistake},
    model::{AnnotationKeys, ObjectKey, SourceKind, WorkloadKey, WorkloadKind, opt_in::BadPatternReason},
};

/// How a mistake is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// As upstream does.
    Error,
    /// Whatever else is right has its effect.
    Warning,
}

/// What is logged of one finding.
pub(super) fn line(about: &ObjectKey, keys: &AnnotationKeys, finding: &Finding) -> (Severity, String) {
    let (kind, name, namespace) = (about.kind(), about.name(), about.namespace());
    let key = &*finding.key;
    match &finding.mistake {
        Mistake::BadPattern { item, error } => {
            let what = match error {
                BadPatternReason::Pattern(_) | BadPatternReason::TooMany => {
                    format!("invalid regex \"{item}\" in reload annotation \"{key}\"")
                }
                BadPatternReason::TooCostly => format!("\"{item}\" in reload annotation \"{key}\""),
                BadPatternReason::NamespaceFull => format!("all of reload annotation \"{key}\""),
            };
            let text = format!(
                "Skipping invalid reload annotation on {kind} '{name}' in namespace '{namespace}': {what}: {error}"
            );
            (Severity::Error, text)
        }
        Mistake::BadPeriod { value, error } => {
            let text = format!(
                "Failed to parse pause interval value '{value}' of annotation '{key}' on {kind} '{name}' in namespace \
                 '{namespace}': {error}. Until this is corrected, it is restarted without a pause"
            );
            (Severity::Warning, text)
        }
        Mistake::WrongObject { .. } if key == keys.pause_period && is_no_deployment(about) => {
            let text = format!(
                "Annotation '{key}' only applicable for deployments: {kind} '{name}' in namespace '{namespace}' is \
                 restarted without a pause"
            );
            (Severity::Warning, text)
        }
        _ => {
            let text = format!("{kind} '{name}' in namespace '{namespace}': {finding}");
            (Severity::Warning, text)
        }
    }
}

const fn is_no_deployment(about: &ObjectKey) -> bool {
    matches!(about, ObjectKey::Workload(WorkloadKey { kind, .. }) if !matches!(kind, WorkloadKind::Deployment))
}

/// The text of the Event about findings that are alike.
pub(super) fn event(first: &Finding, further: usize) -> String {
    let more = match further {
        0 => String::new(),
        1 => "; the annotation has another mistake like it".to_owned(),
        further => format!("; the annotation has {further} further mistakes like it"),
    };
    format!(
        "{first}{more} ({}: see \"Troubleshooting\" in Reloader's documentation)",
        first.mistake.reason()
    )
}

/// The kind of source that the annotation is about; ConfigMaps where it is about any.
pub(super) fn source_of(about: &ObjectKey, keys: &AnnotationKeys, finding: &Finding) -> SourceKind {
    if let ObjectKey::Source(key) = about {
        return key.kind;
    }
    let is_about = |kind: &SourceKind| {
        let of_kind = keys.of(*kind);
        [&of_kind.auto, &of_kind.reload, &of_kind.exclude]
            .into_iter()
            .any(|key| **key == *finding.key)
    };
    let found = SourceKind::ALL.into_iter().find(is_about);
    found.unwrap_or(SourceKind::ConfigMap)
}

/// What is logged where too many objects have mistakes.
pub(super) fn left_out(left_out: &LeftOut) -> String {
    let objects = left_out.objects;
    let (whose, place) = match &left_out.namespace {
        Some(namespace) => (format!(" in namespace '{namespace}'"), "this namespace"),
        None => (String::new(), "the cluster"),
    };
    format!(
        "{objects} more objects{whose} have mistakes in their annotations: {place} had its Events about such for this hour. \
         The metric reloader_misconfigured_workloads counts all of them"
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        diagnose::{Checker, Pairs, WorkloadText},
        model::OptIn,
    };

    const PATTERNS: &str = "configmap.reloader.stakater.com/reload";
    const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    fn web(kind: WorkloadKind) -> ObjectKey {
        ObjectKey::Workload(WorkloadKey::new(kind, "team", "web"))
    }

    /// What is logged of a workload with these annotations.
    fn lines(kind: WorkloadKind, annotations: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let keys = AnnotationKeys::default();
        let own: Pairs = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let none = Pairs::new();
        let opt_in = OptIn::parse(&keys, |key| own.get(key).map(String::as_str), |_| None);
        let findings = Checker::default().workload(&WorkloadText {
            kind: Some(kind),
            own: &own,
            template: &none,
            labels: &none,
            opt_in: &opt_in,
            references: &[],
            has_template: true,
        });
        let about = web(kind);
        findings
            .iter()
            .map(|finding| line(&about, &keys, finding))
            .collect()
    }

    #[test]
    fn each_bad_pattern_is_named() {
        let lines = lines(KIND, &[(PATTERNS, "a[,fine,b["), (PERIOD, "5 minutes")]);
        for (severity, part) in [
            (Severity::Error, "invalid regex \"a[\" in reload annotation"),
            (Severity::Error, "invalid regex \"b[\" in reload annotation"),
            (
                Severity::Warning,
                "Failed to parse pause interval value '5 minutes'",
            ),
        ] {
            let is_it = |(other, text): &&(Severity, String)| *other == severity && text.contains(part);
            assert_eq!(lines.iter().filter(is_it).count(), 1, "{part}: {lines:?}");
        }
        assert_eq!(lines.len(), 3);
    }

    #[rstest]
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
        let lines = lines(kind, &[(PERIOD, period)]);
        assert_eq!(lines.len(), usize::from(expected.is_some()), "{lines:?}");
        for ((severity, text), expected) in lines.iter().zip(expected) {
            assert!(
                *severity == Severity::Warning && text.contains(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn an_event_says_what_to_do_and_how_many_there_are() {
        let pairs = Pairs::from([("reloader.stakater.com/serach".to_owned(), "true".to_owned())]);
        let findings = Checker::default().other(&pairs, &Pairs::new());
        let text = event(&findings[0], 2);
        assert!(
            text.contains("2 further") && text.contains("unknown-key"),
            "{text}"
        );
        let keys = AnnotationKeys::default();
        let (_, text) = line(&web(KIND), &keys, &findings[0]);
        assert!(
            text.starts_with("Deployment 'web' in namespace 'team': annotation "),
            "{text}"
        );
        assert_eq!(source_of(&web(KIND), &keys, &findings[0]), SourceKind::ConfigMap);
    }
}
