//! What docs/flags.md and docs/metrics.md say, compared with the program itself; README.md's figures, compared with a stored
//! run; and the links of every page.
//!
//! The tables of flags and metrics are written by [`flag_table`] and [`metric_table`]. When a test fails, it prints the table to paste.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever goes wrong here is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Arg, CommandFactory};
use http::{Method, Request, Response};
use reloader::{
    args::{Args, Environment},
    metrics::{
        EventResult, EventType, Metrics, MetricsOptions, NotificationResult, ReconcileResult, RolloutResult,
        Snapshot, rest_client::RestClientLayer,
    },
    model::{SourceKind, WorkloadKind},
};
use tower::{Layer, ServiceExt, service_fn};

const README: &str = include_str!("../README.md");
const NOTIFICATIONS: &str = include_str!("../docs/notifications.md");
const FLAGS: &str = include_str!("../docs/flags.md");
const METRICS: &str = include_str!("../docs/metrics.md");

/// The lines of a page between `<!-- name -->` and `<!-- /name -->`.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, after) = page
        .split_once(&format!("<!-- {name} -->\n"))
        .unwrap_or_else(|| panic!("docs/{name}.md has no <!-- {name} -->"));
    let (inside, _) = after
        .split_once(&format!("<!-- /{name} -->"))
        .unwrap_or_else(|| panic!("docs/{name}.md has no <!-- /{name} -->"));
    inside
}

fn assert_current(page: &str, name: &str, table: &str) {
    assert!(
        section(page, name) == table,
        "docs/{name}.md is out of date; between <!-- {name} --> and <!-- /{name} --> belongs:\n\n{table}"
    );
}

/// The flags that mean something to an operator.
fn flags(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && arg.get_env().is_some())
}

/// One table for each heading of `--help`.
fn flag_table() -> String {
    let command = Args::command();
    let (mut table, mut heading) = (String::new(), None);
    for arg in flags(&command) {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            let title = heading.unwrap_or_default();
            let gap = if table.is_empty() { "" } else { "\n" };
            write!(
                table,
                "{gap}| {title} | Default | Variable | Meaning |\n|---|---|---|---|\n"
            )
            .unwrap();
        }
        let default = arg
            .get_default_values()
            .first()
            .map_or("", |value| value.to_str().unwrap());
        let default = if default.is_empty() {
            String::new()
        } else {
            format!("`{default}`")
        };
        let (flag, variable) = (arg.get_long().unwrap(), arg.get_env().unwrap().to_str().unwrap());
        let help = arg.get_help().unwrap().to_string();
        writeln!(table, "| `--{flag}` | {default} | `{variable}` | {help} |").unwrap();
    }
    table
}

#[test]
fn every_flag_is_in_the_table_and_nothing_else() {
    assert!(flags(&Args::command()).count() > 20);
    assert_current(FLAGS, "flags", &flag_table());
}

#[test]
fn every_variable_without_a_flag_is_explained() {
    let names = std::cell::RefCell::new(BTreeSet::new());
    Environment::from_lookup(|name| {
        names.borrow_mut().insert(name.to_owned());
        None
    });
    let missing: Vec<String> = names
        .into_inner()
        .into_iter()
        .filter(|name| !FLAGS.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/flags.md: {missing:?}");
}

/// Metrics after everything that can happen has happened once.
async fn touched() -> Arc<Metrics> {
    let short = Duration::from_millis(20);
    let metrics = Arc::new(Metrics::new(MetricsOptions {
        count_by_namespace: true,
        lease_name: Some("stakater-reloader-lock".to_owned()),
    }));
    metrics.event_received(EventType::Add, SourceKind::ConfigMap);
    metrics.event_processed(SourceKind::ConfigMap, EventResult::Success);
    metrics.workload_queued();
    metrics.workload_taken(short);
    metrics.workload_done(ReconcileResult::Success, short);
    metrics.workload_requeued();
    metrics.workloads_scanned(WorkloadKind::Deployment, 3);
    metrics.change_skipped("no_data_change");
    metrics.failed("conflict");
    metrics.reload_succeeded(WorkloadKind::Deployment, "shop", short, short);
    metrics.rollout_ended(WorkloadKind::Deployment, RolloutResult::Fresh, short);
    metrics.write_fenced();
    metrics.notified("alert", NotificationResult::Success);
    metrics.watch_restarted("Secret", "watch");
    metrics.leadership_gained();
    metrics.lease_slow_path_taken();
    metrics.took_over(short);
    metrics.read_snapshots_from(move || Snapshot {
        opted_in: vec![("Deployment", 2)],
        deferred: vec![("window", 1)],
        stale_workloads: vec![("failed", 1)],
        staleness: vec![("failed", short)],
        misconfigured_workloads: vec![("unknown-key", 1)],
        misconfigured_sources: vec![("is-label", 1)],
        tracked_objects: vec![("ConfigMap", 1)],
        watch_synced: vec![("ConfigMap", true)],
        ..Snapshot::default()
    });
    let server = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(())));
    let request = Request::builder()
        .method(Method::GET)
        .uri("/api")
        .body(())
        .unwrap();
    RestClientLayer::new(Arc::clone(&metrics), "api:6443")
        .layer(server)
        .oneshot(request)
        .await
        .unwrap();
    metrics
}

/// One row a metric, by name, read from the exposition.
fn metric_table(exposition: &str) -> String {
    let mut helps = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in exposition.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            helps.insert(name, help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            kinds.insert(name, kind);
        } else {
            let (series, _value) = line.rsplit_once(' ').unwrap();
            let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    name.strip_suffix(suffix)
                        .filter(|family| kinds.contains_key(family))
                })
                .unwrap_or(name);
            let names = pairs
                .split("\",")
                .filter_map(|pair| pair.split_once('='))
                .map(|(label, _)| label);
            labels.insert(family, names.filter(|label| *label != "le").collect());
        }
    }
    let mut table = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    for (name, kind) in kinds {
        let labels: Vec<String> = labels[name].iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {} |",
            labels.join(" "),
            helps[name]
        )
        .unwrap();
    }
    table
}

#[tokio::test]
async fn every_metric_is_in_the_table_and_nothing_else() {
    let metrics = touched().await;
    assert_current(METRICS, "metrics", &metric_table(&metrics.encode().unwrap()));
}

/// The reasons of Events that the program has, read from its source.
fn reasons(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            reasons(&path, into);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let production = text.split("#[cfg(test)]").next().unwrap();
        let found = production.split("reason: \"").skip(1);
        let found = found.filter_map(|after| after.split('"').next());
        let is_reason =
            |text: &&str| text.starts_with(char::is_uppercase) && text.chars().all(char::is_alphanumeric);
        into.extend(found.filter(is_reason).map(str::to_owned));
    }
}

#[test]
fn every_event_is_explained() {
    let mut found = BTreeSet::new();
    reasons(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() >= 8, "{found:?}");
    let missing: Vec<&String> = found
        .iter()
        .filter(|reason| !NOTIFICATIONS.contains(&format!("`{reason}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/notifications.md: {missing:?}");
}

/// The run that README.md quotes, and which of its figures: scenario, figure, what it says here, how a value is written.
const RUN: &str = "loadtest/runs/2026-11-30-1713";
type Written = fn(f64) -> String;
const FIGURES: [(&str, &str, &str, Written); 4] = [
    (
        "fan-out",
        "500 Deployments, last PATCH after",
        "500 Deployments use one ConfigMap: the last is patched after",
        |seconds| duration(seconds * 1000.0),
    ),
    (
        "spread",
        "change → PATCH beyond the window, p99",
        "20 changes a second: 99 % are patched within, beyond the window of 1 s here",
        duration,
    ),
    (
        "rollouts",
        "20 sources at once",
        "20 sources of one Deployment change at once: rollouts",
        |count| format!("{count:.0}"),
    ),
    (
        "scale",
        "resident, 9,100 objects of 213 MB",
        "Memory beside 9,100 objects of 213 MB",
        |mebibytes| format!("{mebibytes:.0} MiB"),
    ),
];

/// With two digits.
fn duration(milliseconds: f64) -> String {
    let (value, unit) = if milliseconds < 1000.0 {
        (milliseconds, "ms")
    } else {
        (milliseconds / 1000.0, "s")
    };
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {unit}")
}

#[test]
fn the_readme_quotes_a_stored_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = std::fs::read_to_string(root.join(RUN).join("run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let mut table = "| | Reloader | Stakater Reloader 1.4.21 |\n|---|---|---|\n".to_owned();
    for (scenario, figure, meaning, written) in FIGURES {
        let mut figures = run["figures"].as_array().unwrap().iter();
        let found = figures
            .find(|found| found["scenario"] == scenario && found["what"] == figure)
            .unwrap_or_else(|| panic!("{RUN} has no {scenario}: {figure}"));
        let [here, upstream] = ["value", "upstream"].map(|key| written(found[key].as_f64().unwrap()));
        writeln!(table, "| {meaning} | {here} | {upstream} |").unwrap();
    }
    assert!(README.contains(&format!("]({RUN}/README.md)")));
    assert!(
        section(README, "figures") == table,
        "README.md is out of date; between <!-- figures --> and <!-- /figures --> belongs:\n\n{table}"
    );
}

/// A screen and a half: the rest is in docs.
#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 150);
}

/// Pages that link to others.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![];
    let folders = [
        "",
        "docs",
        "docs/adr",
        "charts/reloader",
        "loadtest",
        "simulation",
        ".github",
    ];
    for folder in folders.map(|folder| root.join(folder)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 40, "{pages:?}");
    pages
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter.is_alphanumeric().then_some(letter),
            });
            anchors.insert(kept.collect());
        }
    }
    anchors
}

/// Relative links point to files that exist, and to headings of these.
#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|after| after.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            let leads = file.exists()
                && (anchor.is_empty() || anchors(&std::fs::read_to_string(&file).unwrap()).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
