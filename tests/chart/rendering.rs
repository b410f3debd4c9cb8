//! What the chart renders to, under Helm 4 and Helm 3, and what it refuses.

use rstest::rstest;
use testbed::binaries::Component;

use crate::helm::{chart, profiles, render, run, text};

#[test]
fn the_charts_own_tests_pass() {
    let output = run(Component::HelmUnittest, &["--strict", chart().to_str().unwrap()]);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let tests = text.lines().find_map(|line| line.strip_prefix("Tests:")).unwrap();
    let passed: usize = tests.split_whitespace().next().unwrap().parse().unwrap();
    assert!(passed > 60, "{text}");
}

#[rstest]
#[case::four(Component::Helm)]
#[case::three(Component::Helm3)]
fn every_profile_passes_the_strict_lint(#[case] helm: Component) {
    for profile in profiles() {
        let output = run(
            helm,
            &[
                "lint",
                "--strict",
                chart().to_str().unwrap(),
                "--values",
                &profile,
            ],
        );
        assert!(output.status.success(), "{profile}: {}", text(&output));
    }
}

#[test]
fn both_helms_render_the_same() {
    for profile in profiles() {
        let values = ["--values", &profile];
        assert_eq!(
            render(Component::Helm, &values),
            render(Component::Helm3, &values),
            "{profile}"
        );
    }
}

/// What `null` and an empty list take away is a map's content, never what templates stand on.
#[rstest]
#[case::everything("reloader: null")]
#[case::everything_as_a_list("reloader: []")]
#[case::deployment("reloader: {deployment: null}")]
#[case::variables("reloader: {deployment: {env: null}}")]
#[case::image("image: null")]
#[case::leader_election("leaderElection: null")]
#[case::accounts("{rbac: null, serviceAccount: null}")]
#[case::optional(
    "{service: null, serviceMonitor: null, podMonitor: null, prometheusRule: null, grafanaDashboard: null}"
)]
#[case::policies("{podDisruptionBudget: null, networkPolicy: null, flowSchema: null, global: null}")]
#[case::users_own(
    "{commonLabels: null, commonAnnotations: null, podLabels: null, podAnnotations: null, nodeSelector: null}"
)]
#[case::groups(
    "{rbac: [], serviceAccount: [], leaderElection: [], commonLabels: [], flowSchema: [], grafanaDashboard: []}"
)]
#[case::lists(
    "reloader: {matchLabels: [], custom_annotations: [], service: [], serviceMonitor: [], rbac: [], netpol: [], \
     deployment: {labels: [], annotations: [], pod: [], resources: [], nodeSelector: [], affinity: [], \
     env: {open: [], secret: [], field: [], existing: []}}}"
)]
#[case::switches(
    "{replicaCount: null, containerPort: null, reloader: {watchGlobally: null, logLevel: null}}"
)]
fn a_map_that_is_null_or_a_list_is_empty(#[case] values: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.yaml");
    std::fs::write(&path, values).unwrap();
    let given = render(Component::Helm, &["--values", path.to_str().unwrap()]);
    assert_eq!(given, render(Component::Helm, &[]), "{values}");
}

#[rstest]
#[case::misspelt("reloader.autoReloadAl=true", &["autoReloadAl"])]
#[case::misplaced("autoReloadAll=true", &["autoReloadAll"])]
#[case::text_for_a_number("replicaCount=three", &["replicaCount", "integer"])]
#[case::strategy("reloader.reloadStrategy=patch", &["reloadStrategy", "env-vars"])]
#[case::level("reloader.logLevel=loud", &["logLevel"])]
#[case::duration("reloader.coalesceWindow=2 seconds", &["coalesceWindow"])]
#[case::kind("reloader.workloadKinds[0]=CloneSet", &["workloadKinds"])]
#[case::pull_policy("image.pullPolicy=Sometimes", &["pullPolicy", "IfNotPresent"])]
#[case::digest("image.digest=latest", &["digest"])]
#[case::payload("reloader.webhookPayload=all", &["webhookPayload", "details"])]
#[case::upstream_ip_family("reloader.service.ipFamilies[0]=IPv5", &["ipFamilies", "IPv4"])]
#[case::annotation_key("reloader.custom_annotations.confgmap=x", &["confgmap"])]
fn a_value_that_cannot_work_is_named(#[case] set: &str, #[case] words: &[&str]) {
    for helm in [Component::Helm, Component::Helm3] {
        // What Helm takes a cluster for without asking is far older than the chart allows.
        let chart = chart();
        let output = run(
            helm,
            &[
                "template",
                chart.to_str().unwrap(),
                "--kube-version=1.36",
                "--set",
                set,
            ],
        );
        let text = text(&output);
        assert!(!output.status.success(), "{set} was accepted");
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
}
