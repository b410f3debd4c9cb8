use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::model::{SourceKind, WorkloadKind};

const SHORT: Duration = Duration::from_millis(20);

/// Metrics after everything that can happen has happened once.
fn touched() -> Metrics {
    let metrics = Metrics::new(MetricsOptions {
        count_by_namespace: true,
        lease_name: Some("stakater-reloader-lock".to_owned()),
    });
    metrics.event_received(EventType::Add, SourceKind::ConfigMap);
    metrics.event_processed(SourceKind::ConfigMap, EventResult::Success);
    metrics.workload_queued();
    metrics.workload_taken(SHORT);
    metrics.workload_done(ReconcileResult::Success, SHORT);
    metrics.workload_requeued();
    metrics.workloads_scanned(WorkloadKind::Deployment, 3);
    metrics.change_skipped("no_data_change");
    metrics.source_flapped(SourceKind::Secret);
    metrics.failed("handler_error");
    metrics.reload_succeeded(WorkloadKind::Deployment, "shop", SHORT, SHORT * 2);
    metrics.reload_failed(WorkloadKind::DaemonSet, "shop", SHORT);
    metrics.rollout_ended(WorkloadKind::Deployment, RolloutResult::Fresh, SHORT);
    metrics.write_fenced();
    metrics.notified("alert", NotificationResult::Success);
    metrics.watch_restarted("Secret", "expired");
    metrics.leadership_gained();
    metrics.lease_slow_path_taken();
    metrics.took_over(SHORT);
    metrics.request_finished("200".to_owned(), "PATCH", "api:6443", SHORT);
    metrics.read_snapshots_from(|| Snapshot {
        queued: 4,
        queued_low_priority: 3,
        pending_reloads: 9,
        oldest_pending: SHORT,
        deferred: vec![("window", 2)],
        rollouts_in_progress: 8,
        stale_workloads: vec![("failed", 1)],
        staleness: vec![("failed", Duration::from_mins(1))],
        lost_log_lines: 5,
        left_out_of_ledger: 6,
        lease_transitions: 3,
        longest_running: Duration::from_secs(2),
        unfinished_work: Duration::from_secs(5),
        opted_in: vec![("Deployment", 2)],
        misconfigured_workloads: vec![("unknown-key", 1)],
        misconfigured_sources: vec![("is-label", 1)],
        tracked_objects: vec![("ConfigMap", 100), ("Deployment", 7)],
        watch_synced: vec![("ConfigMap", true), ("Deployment", false)],
    });
    metrics
}

/// Every series as `name{label,…} type`, sorted; histograms once, without their suffixes and `le`.
fn series(exposition: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut family = ("", "");
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').unwrap();
        } else if !line.starts_with('#') {
            let (series, _value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let name = if family.1 == "histogram" { family.0 } else { name };
            let labels = labels
                .split("\",")
                .filter_map(|pair| pair.split_once('='))
                .map(|(label, _)| label);
            let labels: Vec<&str> = labels.filter(|label| *label != "le").collect();
            found.insert(format!("{name}{{{}}} {}", labels.join(","), family.1));
        }
    }
    found
}

fn value_of(metrics: &Metrics, series: &str) -> Option<String> {
    let text = metrics.encode().unwrap();
    text.lines()
        .find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

/// Dashboards and alerts read these names and labels: upstream's, controller-runtime's, client-go's, then ours.
#[test]
fn names_and_labels_are_pinned() {
    let expected = [
        // Stakater Reloader v1.4
        "reloader_action_latency_seconds{workload_kind} histogram",
        "reloader_action_total{workload_kind,result} counter",
        "reloader_errors_total{type} counter",
        "reloader_events_processed_total{event_type,resource_type,result} counter",
        "reloader_events_received_total{event_type,resource_type} counter",
        "reloader_reconcile_duration_seconds{result} histogram",
        "reloader_reconcile_total{result} counter",
        "reloader_reload_executed_total_by_namespace{success,namespace} counter",
        "reloader_reload_executed_total{success} counter",
        "reloader_retries_total{} counter",
        "reloader_skipped_total{reason} counter",
        "reloader_workloads_matched_total{kind} counter",
        "reloader_workloads_scanned_total{kind} counter",
        "reloader_workqueue_adds_total{} counter",
        "reloader_workqueue_depth{} gauge",
        "reloader_workqueue_latency_seconds{} histogram",
        "rest_client_request_duration_seconds{verb,host} histogram",
        "rest_client_requests_total{code,method,host} counter",
        "process_cpu_seconds_total{} counter",
        "process_open_fds{} gauge",
        "process_resident_memory_bytes{} gauge",
        "process_virtual_memory_bytes{} gauge",
        "process_max_fds{} gauge",
        "process_start_time_seconds{} gauge",
        // controller-runtime and client-go
        "leader_election_master_status{name} gauge",
        "leader_election_slowpath_total{name} counter",
        "workqueue_adds_total{name,controller} counter",
        "workqueue_depth{name,controller,priority} gauge",
        "workqueue_longest_running_processor_seconds{name,controller} gauge",
        "workqueue_queue_duration_seconds{name,controller} histogram",
        "workqueue_retries_total{name,controller} counter",
        "workqueue_unfinished_work_seconds{name,controller} gauge",
        "workqueue_work_duration_seconds{name,controller} histogram",
        // ours
        "reloader_build_info{version,commit} gauge",
        "reloader_fenced_writes_total{} counter",
        "reloader_ledger_sources_left_out{} gauge",
        "reloader_lease_transitions_total{} counter",
        "reloader_log_lines_dropped_total{} counter",
        "reloader_misconfigured_sources{reason} gauge",
        "reloader_misconfigured_workloads{reason} gauge",
        "reloader_opted_in_workloads{kind} gauge",
        "reloader_takeover_seconds{} gauge",
        "reloader_notifications_total{channel,result} counter",
        "reloader_flapping_sources_total{resource_type} counter",
        "reloader_deferred_reloads{reason} gauge",
        "reloader_oldest_pending_reload_seconds{} gauge",
        "reloader_pending_reloads{} gauge",
        "reloader_reload_latency_seconds{} histogram",
        "reloader_rollout_duration_seconds{workload_kind,result} histogram",
        "reloader_rollouts_in_progress{} gauge",
        "reloader_stale_workloads{reason} gauge",
        "reloader_staleness_seconds{reason} gauge",
        "reloader_tracked_objects{kind} gauge",
        "reloader_watch_restarts_total{kind,reason} counter",
        "reloader_watch_synced{kind} gauge",
    ];
    let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
    let actual = series(&touched().encode().unwrap());
    let difference: Vec<&String> = actual.symmetric_difference(&expected).collect();
    assert!(difference.is_empty(), "{difference:#?}");
}

#[test]
fn every_metric_is_explained_once() {
    let text = touched().encode().unwrap();
    let families = |prefix: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let (helped, typed) = (families("# HELP "), families("# TYPE "));
    assert_eq!(helped, typed);
    assert_eq!(typed.iter().collect::<BTreeSet<_>>().len(), typed.len());
    let explained = |line: &str| {
        line.splitn(4, ' ')
            .nth(3)
            .is_some_and(|help| help.len() > 10 && help.ends_with('.'))
    };
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        assert!(explained(line) && !line.ends_with(".."), "{line}");
    }
}

#[test]
fn both_outcomes_of_a_reload_exist_before_the_first_one() {
    let metrics = Metrics::new(MetricsOptions::default());
    assert_eq!(
        value_of(&metrics, "reloader_reload_executed_total{success=\"true\"}").as_deref(),
        Some("0")
    );
    assert_eq!(
        value_of(&metrics, "reloader_reload_executed_total{success=\"false\"}").as_deref(),
        Some("0")
    );
}

#[test]
fn a_reload_counts_everywhere_it_should() {
    let metrics = touched();
    for (series, value) in [
        ("reloader_reload_executed_total{success=\"true\"}", "1"),
        ("reloader_reload_executed_total{success=\"false\"}", "1"),
        (
            "reloader_reload_executed_total_by_namespace{success=\"true\",namespace=\"shop\"}",
            "1",
        ),
        (
            "reloader_reload_executed_total_by_namespace{success=\"false\",namespace=\"shop\"}",
            "1",
        ),
        (
            "reloader_action_total{workload_kind=\"Deployment\",result=\"success\"}",
            "1",
        ),
        (
            "reloader_action_total{workload_kind=\"DaemonSet\",result=\"error\"}",
            "1",
        ),
        (
            "reloader_action_latency_seconds_count{workload_kind=\"Deployment\"}",
            "1",
        ),
        ("reloader_workloads_matched_total{kind=\"Deployment\"}", "1"),
        ("reloader_reload_latency_seconds_bucket{le=\"0.025\"}", "0"),
        ("reloader_reload_latency_seconds_bucket{le=\"0.05\"}", "1"),
        ("reloader_workqueue_depth", "7"),
        (
            "workqueue_depth{name=\"reloader\",controller=\"reloader\",priority=\"0\"}",
            "4",
        ),
        (
            "workqueue_depth{name=\"reloader\",controller=\"reloader\",priority=\"-100\"}",
            "3",
        ),
        ("reloader_rollouts_in_progress", "8"),
        ("reloader_stale_workloads{reason=\"failed\"}", "1"),
        ("reloader_staleness_seconds{reason=\"failed\"}", "60.0"),
        ("reloader_watch_synced{kind=\"ConfigMap\"}", "1"),
        ("reloader_watch_synced{kind=\"Deployment\"}", "0"),
        (
            "leader_election_master_status{name=\"stakater-reloader-lock\"}",
            "1",
        ),
    ] {
        assert_eq!(value_of(&metrics, series).as_deref(), Some(value), "{series}");
    }
    assert_eq!(
        value_of(&metrics, "reloader_workloads_matched_total{kind=\"DaemonSet\"}"),
        None
    );
}

#[test]
fn leadership_follows_what_happened() {
    let metrics = touched();
    metrics.leadership_lost();
    let status = value_of(
        &metrics,
        "leader_election_master_status{name=\"stakater-reloader-lock\"}",
    );
    assert_eq!(status.as_deref(), Some("0"));
}

#[test]
fn what_was_not_asked_for_is_not_exposed() {
    let metrics = Metrics::new(MetricsOptions::default());
    metrics.reload_succeeded(WorkloadKind::Deployment, "shop", SHORT, SHORT);
    metrics.leadership_gained();
    let text = metrics.encode().unwrap();
    assert!(!text.contains("by_namespace") && !text.contains("shop") && !text.contains("leader_election"));
}

#[test]
fn the_process_is_measured() {
    let metrics = Metrics::new(MetricsOptions::default());
    let number = |series: &str| value_of(&metrics, series).unwrap().parse::<f64>().unwrap();
    assert!(number("process_resident_memory_bytes") > 100_000.0);
    assert!(number("process_virtual_memory_bytes") > number("process_resident_memory_bytes"));
    assert!(number("process_max_fds") >= number("process_open_fds") && number("process_open_fds") >= 3.0);
    assert!(number("process_cpu_seconds_total") > 0.0);
    // After 2020-01-01.
    assert!(number("process_start_time_seconds") > 1_577_836_800.0);
}

/// Upstream's bounds, which recorded queries with `le="…"` depend on.
#[test]
fn bucket_bounds_are_upstreams() {
    let text = touched().encode().unwrap();
    let bounds = |family: &str| -> Vec<String> {
        let prefix = format!("{family}_bucket{{");
        let lines = text.lines().filter(|line| line.starts_with(&prefix));
        let bounds = lines.map(|line| {
            line.split("le=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        });
        bounds.collect()
    };
    let joined = |family: &str| {
        let mut bounds = bounds(family);
        bounds.dedup();
        bounds.join(" ")
    };
    assert_eq!(
        joined("reloader_reconcile_duration_seconds"),
        "0.001 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf"
    );
    assert_eq!(
        bounds("reloader_action_latency_seconds")[..12].join(" "),
        "0.01 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 +Inf"
    );
    assert_eq!(
        joined("reloader_workqueue_latency_seconds"),
        "0.001 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 +Inf"
    );
    assert_eq!(
        joined("rest_client_request_duration_seconds"),
        "0.001 0.01 0.05 0.1 0.5 1 5 10 30 +Inf"
    );
}
