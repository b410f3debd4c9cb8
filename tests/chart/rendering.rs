//! What the chart renders to, under Helm 4 and Helm 3, and what it refuses.

use rstest::rstest;
use testbed::binaries::Component;

use crate::helm::{chart, in_repository, profiles, read, render, render_chart, run, text};

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

/// `helm upgrade --reuse-values` renders this chart with the values of the release's former chart, and none of its own.
#[test]
fn the_values_of_stakater_reloaders_chart_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("reloader");
    copy_folder(&chart(), &copy);
    let upstream = read("charts/reloader/ci/upstream-defaults-values.yaml");
    std::fs::write(copy.join("values.yaml"), upstream).unwrap();
    let profile = in_repository("charts/reloader/ci/upstream-defaults-values.yaml");
    let given = render(Component::Helm, &["--values", profile.to_str().unwrap()]);
    assert!(given.len() > 5, "{given:?}");
    assert_eq!(render_chart(Component::Helm, &copy, &[]), given);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
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
        let output = run(helm, &["template", chart().to_str().unwrap(), "--set", set]);
        let text = text(&output);
        assert!(!output.status.success(), "{set} was accepted");
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
}
