//! Alerts, runbooks and dashboard, compared with each other and with the metrics that exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::helm::{read, read_yaml};

/// The metrics of docs/metrics.md, which another test compares with the program, with the labels they have once they are
/// scraped. Of histograms, the series.
fn known_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/metrics.md");
    let (_, table) = page.split_once("<!-- metrics -->").unwrap();
    let (table, _) = table.split_once("<!-- /metrics -->").unwrap();
    let mut metrics = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
        let (name, kind) = (cells[0].trim_matches('`'), cells[1]);
        let mut labels: BTreeSet<String> = words(cells[2]).into_iter().map(str::to_owned).collect();
        labels.extend(["namespace", "pod"].map(str::to_owned));
        if kind == "histogram" {
            for suffix in ["sum", "count"] {
                metrics.insert(format!("{name}_{suffix}"), labels.clone());
            }
            labels.insert("le".to_owned());
            metrics.insert(format!("{name}_bucket"), labels);
        } else {
            metrics.insert(name.to_owned(), labels);
        }
    }
    assert!(metrics.len() > 30);
    metrics
}

/// The words of a text: names of metrics and labels, functions, keywords.
fn words(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect()
}

/// The metrics of an expression, each with the names of the labels that select its series. Here every metric has a
/// selector, and no selector a value with a comma in it.
fn selectors(expression: &str) -> Vec<(&str, Vec<&str>)> {
    let starts = expression.match_indices('{').map(|(start, _)| start);
    starts
        .map(|start| {
            let (before, after) = (&expression[..start], &expression[start + 1..]);
            let (inside, _) = after.split_once('}').unwrap();
            let metric = before
                .rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .next()
                .unwrap();
            let labels = inside
                .split(',')
                .filter_map(|matcher| matcher.split_once(['=', '!']))
                .map(|(label, _)| label.trim());
            (metric, labels.collect())
        })
        .collect()
}

/// The labels that an expression groups by (`by`) or joins on (`on`); none where it does neither.
fn groups<'a>(expression: &'a str, keyword: &str) -> Vec<&'a str> {
    let lists = expression.split(keyword).skip(1);
    lists
        .flat_map(|after| words(after.split_once(')').unwrap().0))
        .collect()
}

/// What is asked for exists: metrics, the labels that select and group them, and those that `shown` names.
fn assert_known(expression: &str, shown: &[&str], known: &BTreeMap<String, BTreeSet<String>>) {
    let selectors = selectors(expression);
    assert!(!selectors.is_empty(), "no metric with a selector in {expression}");
    let mut labels = BTreeSet::new();
    for (metric, selecting) in &selectors {
        let Some(existing) = known.get(*metric) else {
            panic!("{metric} does not exist: {expression}");
        };
        for label in selecting {
            assert!(
                existing.contains(*label),
                "{metric} has no label {label}: {expression}"
            );
        }
        labels.extend(existing.iter().map(String::as_str));
    }
    let prefixes = [
        "reloader_",
        "leader_election_",
        "workqueue_",
        "rest_client_",
        "process_",
    ];
    let named = words(expression)
        .into_iter()
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)));
    assert_eq!(
        named.count(),
        selectors.len(),
        "a metric without selector: {expression}"
    );

    let by = groups(expression, " by (");
    for label in by.iter().chain(&groups(expression, " on (")) {
        assert!(labels.contains(label), "nothing has label {label}: {expression}");
    }
    let left: BTreeSet<&str> = if by.is_empty() {
        labels
    } else {
        by.into_iter().collect()
    };
    for label in shown {
        assert!(left.contains(label), "label {label} is not left: {expression}");
    }
}

/// The words that follow `before` in a text, as in `{{ $labels.kind }}`.
fn shown<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before)
        .skip(1)
        .filter_map(|after| words(after).first().copied())
        .collect()
}

fn alerts() -> Vec<Value> {
    read_yaml("charts/reloader/files/alerts.yaml")["rules"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn alerts_ask_for_what_exists() {
    let known = known_metrics();
    for alert in alerts() {
        let mut labels = vec![];
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str();
            labels.extend(shown(text.unwrap_or_else(|| panic!("{alert}")), "$labels."));
        }
        assert_known(alert["expr"].as_str().unwrap(), &labels, &known);
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

fn dashboard() -> Value {
    serde_json::from_str(&read("charts/reloader/files/dashboard.json")).unwrap()
}

/// The targets of all panels.
fn targets(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .collect()
}

/// What the dashboard asks Prometheus for, with Grafana's variables.
pub fn dashboard_expressions() -> Vec<String> {
    let dashboard = dashboard();
    let expressions = targets(&dashboard)
        .into_iter()
        .map(|target| target["expr"].as_str().unwrap().to_owned());
    expressions.collect()
}

#[test]
fn the_dashboard_shows_what_exists() {
    let (dashboard, known) = (dashboard(), known_metrics());
    let targets = targets(&dashboard);
    assert!(targets.len() >= 10, "{targets:?}");
    for target in targets {
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        assert_known(target["expr"].as_str().unwrap(), &shown(legend, "{{"), &known);
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        // `label_values(metric, label)`; the source of data asks for none.
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        let words = words(query);
        let (metric, label) = (words[1], words[words.len() - 1]);
        assert!(known[metric].contains(label), "{query}");
    }
}

/// A check that finds nothing wrong with anything would not be one.
#[test]
fn unknown_metrics_are_detected() {
    let known = known_metrics();
    for (expression, label) in [
        ("sum(reloader_no_such_metric{pod=\"a\"})", None),
        ("sum(reloader_pending_reloads{colour=\"a\"})", None),
        ("sum by (colour) (reloader_pending_reloads{pod=\"a\"})", None),
        (
            "reloader_pending_reloads{pod=\"a\"} or reloader_pending_reloads",
            None,
        ),
        ("sum by (pod) (reloader_watch_synced{pod=\"a\"})", Some("kind")),
    ] {
        let labels: Vec<&str> = label.into_iter().collect();
        let checked = std::panic::catch_unwind(|| assert_known(expression, &labels, &known));
        assert!(checked.is_err(), "{expression}");
    }
}
