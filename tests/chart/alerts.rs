//! The chart's alerts and the expressions of its dashboard, given to promtool: they parse, each alert fires when it should
//! and only then.

use std::collections::BTreeSet;

use serde_json::Value;
use testbed::binaries::Component;

use crate::{
    helm::{in_repository, only, read, read_yaml, render, run, text},
    observability::dashboard_expressions,
};

const TESTS: &str = "charts/reloader/tests/alerts/alerts.test.yaml";

/// The rules as Prometheus gets them from the operator.
fn rules() -> Value {
    let objects = render(
        Component::Helm,
        &[
            "--set",
            "prometheusRule.enabled=true,prometheusRule.renderMode=alwaysRender",
        ],
    );
    only(&objects, "PrometheusRule")["spec"].clone()
}

/// What `promtool test rules` prints about these rules, or about what became of them.
fn test_rules(rules: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let rules_file = folder.path().join("rules.yaml");
    let tests = folder.path().join("alerts.test.yaml");
    std::fs::write(&rules_file, rules.to_string()).unwrap();
    std::fs::copy(in_repository(TESTS), &tests).unwrap();
    for arguments in [
        ["check", "rules", rules_file.to_str().unwrap()],
        ["test", "rules", tests.to_str().unwrap()],
    ] {
        let output = run(Component::Promtool, &arguments);
        if !output.status.success() {
            return Err(text(&output));
        }
    }
    Ok(())
}

#[test]
fn each_alert_fires_when_it_should() {
    let rules = rules();
    assert_eq!(test_rules(&rules), Ok(()));

    // An alert that never fires would be noticed.
    let mut silent = rules;
    silent["groups"][0]["rules"][0]["expr"] = "vector(0) > 0".into();
    let alert = silent["groups"][0]["rules"][0]["alert"].as_str().unwrap();
    let failure = test_rules(&silent).unwrap_err();
    assert!(failure.contains(alert), "{alert}: {failure}");
}

#[test]
fn each_alert_is_tested() {
    let rules = rules();
    let alerts: BTreeSet<&str> = rules["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let tests = read_yaml(TESTS);
    let tested: BTreeSet<&str> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["promql_expr_test"].as_array().unwrap())
        .flat_map(|query| query["exp_samples"].as_array().unwrap())
        .map(|sample| sample["labels"].as_str().unwrap().split('"').nth(1).unwrap())
        .collect();
    assert_eq!(alerts, tested);
    assert!(read(TESTS).contains("alertstate=\"firing\""));
}

#[test]
fn expressions_of_the_dashboard_are_promql() {
    let parse = |expression: &str| {
        run(
            Component::Promtool,
            &["--experimental", "promql", "format", expression],
        )
    };
    assert!(!parse("sum(rate(up[5m])").status.success());
    for expression in dashboard_expressions() {
        // Grafana's variables: in a range, and in quotes.
        let output = parse(&expression.replace("$__rate_interval", "5m"));
        assert!(output.status.success(), "{expression}: {}", text(&output));
    }
}
