//! Alerts, runbooks and dashboard, held to each other and to the metrics that exist.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::helm::{read, read_yaml};

/// The metrics of README.md, which another test holds to the program. Of histograms, the series as well.
fn known_metrics() -> BTreeSet<String> {
    let readme = read("README.md");
    let (_, table) = readme.split_once("<!-- metrics -->").unwrap();
    let (table, _) = table.split_once("<!-- /metrics -->").unwrap();
    let mut metrics = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (name, kind) = (cells.next().unwrap().trim_matches('`'), cells.next().unwrap());
        metrics.insert(name.to_owned());
        if kind == "histogram" {
            for suffix in ["bucket", "sum", "count"] {
                metrics.insert(format!("{name}_{suffix}"));
            }
        }
    }
    assert!(metrics.len() > 30);
    metrics
}

/// The words of an expression that are followed by `{`: here, every metric has a selector.
fn metrics_of(expression: &str) -> Vec<&str> {
    let ends = expression.match_indices('{').map(|(end, _)| &expression[..end]);
    ends.map(|before| {
        let start = before
            .rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .map_or(0, |index| index + 1);
        &before[start..]
    })
    .collect()
}

fn assert_known(expression: &str, known: &BTreeSet<String>) {
    let metrics = metrics_of(expression);
    assert!(!metrics.is_empty(), "no metric with a selector in {expression}");
    for metric in metrics {
        assert!(known.contains(metric), "{metric} does not exist: {expression}");
    }
}

fn alerts() -> Vec<Value> {
    read_yaml("charts/reloader/files/alerts.yaml")["rules"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn alerts_ask_for_metrics_that_exist() {
    let known = known_metrics();
    for alert in alerts() {
        assert_known(alert["expr"].as_str().unwrap(), &known);
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].is_string(), "{alert}: no {text}");
        }
        assert!(
            alert["for"].is_string() && alert["labels"]["severity"].is_string(),
            "{alert}"
        );
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: BTreeSet<String> = alerts()
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap().to_owned())
        .collect();
    let runbooks = read("docs/runbooks.md");
    let sections: BTreeSet<String> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect();
    assert_eq!(alerts, sections);
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("charts/reloader/files/dashboard.json")).unwrap();
    let known = known_metrics();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(expressions.len() >= 10, "{expressions:?}");
    for expression in expressions {
        assert_known(expression, &known);
    }
}
