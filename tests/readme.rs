//! What docs/flags.md and docs/metrics.md say, compared with the program itself; and the links of every page.
//!
//! The two tables are written by [`flag_table`] and [`metric_table`]. When a test fails, it prints the table to paste.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever goes wrong here is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use clap::{Arg, CommandFactory};
use http::{Method, Request, Response};
use reloader::{
    args::{Args, Environment},
    metrics::{
        EventResult, EventType, Metrics, MetricsOptions, NotificationResult, ReconcileResult, Snapshot,
        rest_client::RestClientLayer,
    },
    model::{SourceKind, WorkloadKind},
};
use tower::{Layer, ServiceExt, service_fn};

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
    metrics.write_fenced();
    metrics.notified("alert", NotificationResult::Success);
    metrics.watch_restarted("Secret", "watch");
    metrics.leadership_gained();
    metrics.lease_slow_path_taken();
    metrics.read_snapshots_from(|| Snapshot {
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

/// The picture of README.md is that of docs/architecture.md.
#[test]
fn both_pages_show_the_same_picture() {
    let picture = |page: &'static str| {
        let (_, after) = page.split_once("```text\n").unwrap();
        after.split_once("```").unwrap().0
    };
    let [readme, architecture] = [
        include_str!("../README.md"),
        include_str!("../docs/architecture.md"),
    ];
    assert_eq!(picture(readme), picture(architecture));
}

/// Relative links point to files that exist.
#[test]
fn links_lead_to_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![];
    let folders = ["", "docs", "docs/adr", "charts/reloader"];
    for folder in folders.map(|folder| root.join(folder)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            pages.extend(
                path.extension()
                    .is_some_and(|extension| extension == "md")
                    .then_some(path),
            );
        }
    }
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|after| after.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            assert!(
                page.parent().unwrap().join(file).exists(),
                "{}: {target}",
                page.display()
            );
        }
    }
}
