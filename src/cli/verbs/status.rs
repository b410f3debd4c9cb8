//! `status`: who leads, how the replicas are doing, which workloads owe a restart.
//!
//! Input: none. Output: a [`Report`]. I/O: asks replicas and the API server; prints why no replica was asked.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    cluster::Cluster,
    controller::Controller,
    error::VerbError,
    http::AskError,
    table::{age, or_dash, structured, table, time},
};
use crate::{
    args::{Output, StatusArgs},
    cli::exit::Exit,
    explain::{OwedPage, OwedRow, Status, Totals, VERSION, Watched},
};

/// Rows that are asked for at a time, and pages at most.
const ROWS: usize = 200;
const MAX_PAGES: usize = 50;

/// Where failures are shown without a replica's answer.
const FAILURES: &str = "Which restarts fail is unknown without an answer; `kubectl get events -A --field-selector reason=ReloadFail` shows Events about them";

/// How Reloader is doing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    /// Absent: no replica leads, or that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<Leader>,
    replicas: Vec<ReplicaRow>,
    /// The namespace of the rows; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Absent: no replica was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    owed: Option<Vec<OwedRow>>,
    /// Counts of all namespaces; absent: no replica was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Totals>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Leader {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// `NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// When the Lease was renewed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<Timestamp>,
}

/// A replica; what is absent is unknown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaRow {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    leads: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    not_ready_because: Vec<String>,
    watched: Vec<Watched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn run(args: &StatusArgs) -> Result<(String, Exit), VerbError> {
    let cluster = Cluster::connect(&args.cluster).await?;
    let controller = Controller::look_for(&cluster, &args.cluster).await?;
    let namespace = (!args.all_namespaces).then(|| cluster.namespace().to_owned());
    let report = report(&controller, namespace, args.failing).await?;
    let has_failing = args.failing && report.owed.as_ref().is_some_and(|rows| !rows.is_empty());
    let exit = if has_failing { Exit::No } else { Exit::Success };
    let text = structured(args.output, &report)?;
    Ok((
        text.unwrap_or_else(|| print(&report, args.output == Output::Wide, Timestamp::now())),
        exit,
    ))
}

async fn report(
    controller: &Controller,
    namespace: Option<String>,
    failing: bool,
) -> Result<Report, VerbError> {
    let answers = controller.ask_all::<Status>("/v1/status").await;
    let answered = |(_, answer): &(String, Result<Status, AskError>)| answer.is_ok();
    let leads = |(_, answer): &(String, Result<Status, AskError>)| {
        answer.as_ref().is_ok_and(|status| status.replica.leads)
    };
    let place = answers
        .iter()
        .position(leads)
        .or_else(|| answers.iter().position(answered));
    let errors: Vec<(String, AskError)> = answers
        .iter()
        .filter_map(|(name, answer)| Some((name.clone(), answer.as_ref().err()?.clone())))
        .collect();
    if place.is_none() {
        let why = controller.why_not(&errors);
        if failing {
            return Err(VerbError::NoAnswer(format!("{why}. {FAILURES}")));
        }
        if controller.found().pods.is_empty() && controller.found().lease.is_none() {
            return Err(VerbError::NoAnswer(why));
        }
        Controller::say_without(&why);
    }
    let best = place.and_then(|place| answers.get(place)?.1.as_ref().ok());
    let owed = match place.and_then(|place| controller.lines().get(place)) {
        Some(line) => {
            let mut rows: Vec<OwedRow> = Vec::new();
            let mut offset = Some(0);
            for _ in 0..MAX_PAGES {
                let Some(from) = offset else { break };
                // A namespace of many debts must not hide those of another. A replica that does not know the parameter
                // answers for all.
                let of = namespace
                    .as_ref()
                    .map_or_else(String::new, |name| format!("&namespace={name}"));
                let path = format!("/v1/owed?offset={from}&limit={ROWS}{of}");
                let page: OwedPage = line
                    .get(&path)
                    .await
                    .map_err(|error| VerbError::NoAnswer(format!("{}: {error}", line.name())))?;
                rows.extend(page.rows);
                offset = page.next_offset;
            }
            rows.retain(|row| {
                let is_meant = namespace
                    .as_ref()
                    .is_none_or(|namespace| *namespace == row.workload.namespace);
                is_meant && (!failing || row.is_failing())
            });
            Some(rows)
        }
        None => None,
    };
    Ok(Report {
        version: VERSION,
        leader: leader(controller, best),
        replicas: replicas(controller, &answers),
        namespace,
        owed,
        totals: best.map(|status| status.totals),
        notes: best.map(|status| status.notes.clone()).unwrap_or_default(),
    })
}

fn leader(controller: &Controller, best: Option<&Status>) -> Option<Leader> {
    let lease = controller.found().lease.as_ref();
    if let Some(status) = best.filter(|status| status.replica.leads) {
        return Some(Leader {
            name: status.replica.name.clone(),
            since: status.leads_since,
            lease: status.lease.clone(),
            renewed: lease.and_then(|lease| lease.renewed),
        });
    }
    let holder = lease.and_then(|lease| lease.holder.as_ref());
    let named = holder.or_else(|| best?.leader.as_ref())?;
    Some(Leader {
        // The rest makes it unique.
        name: named.split_once('_').map_or(&**named, |(pod, _)| pod).to_owned(),
        since: lease.and_then(|lease| lease.acquired),
        lease: lease.map(|lease| lease.name.clone()),
        renewed: lease.and_then(|lease| lease.renewed),
    })
}

/// Those that were asked, then the pods that could not be.
fn replicas(controller: &Controller, answers: &[(String, Result<Status, AskError>)]) -> Vec<ReplicaRow> {
    let pods = &controller.found().pods;
    let row = |(name, answer): &(String, Result<Status, AskError>)| match answer {
        Ok(status) => ReplicaRow {
            name: status.replica.name.clone(),
            leads: Some(status.replica.leads),
            version: Some(status.replica.version.clone()),
            ready: Some(status.ready),
            not_ready_because: status.not_ready_because.clone(),
            watched: status.watched.clone(),
            started: Some(status.started),
            error: None,
        },
        Err(error) => {
            let pod = pods
                .iter()
                .find(|pod| *name == format!("pod {}/{}", pod.namespace, pod.name));
            ReplicaRow {
                name: pod.map_or_else(|| name.clone(), |pod| pod.name.clone()),
                leads: pod.map(|pod| pod.leads),
                version: pod.and_then(|pod| pod.tag.clone()),
                ready: pod.map(|pod| pod.is_ready),
                not_ready_because: Vec::new(),
                watched: Vec::new(),
                started: None,
                error: Some(error.to_string()),
            }
        }
    };
    let silent = pods
        .iter()
        .filter(|pod| pod.port.is_none())
        .map(|pod| ReplicaRow {
            name: pod.name.clone(),
            leads: Some(pod.leads),
            version: pod.tag.clone(),
            ready: Some(pod.is_ready),
            not_ready_because: Vec::new(),
            watched: Vec::new(),
            started: None,
            error: Some("--inspect-address is empty".to_owned()),
        });
    answers.iter().map(row).chain(silent).collect()
}

fn print(report: &Report, is_wide: bool, now: Timestamp) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = match &report.leader {
        Some(leader) => {
            let since = leader
                .since
                .map(|at| format!(" since {} ({})", time(at), age(at, now)));
            let renewed = leader.renewed.map(|at| format!(", renewed {} ago", age(at, now)));
            let (since, renewed) = (since.unwrap_or_default(), renewed.unwrap_or_default());
            let lease = leader
                .lease
                .as_ref()
                .map(|lease| format!(" (Lease {lease}{renewed})"));
            writeln!(text, "{} leads{since}{}", leader.name, lease.unwrap_or_default())
        }
        None => writeln!(text, "No replica is known to lead"),
    };
    text.push('\n');
    text.push_str(&replica_table(report, is_wide, now));
    for (reason, names) in troubles(&report.replicas) {
        let _ = writeln!(text, "{}: {reason}", names.join(", "));
    }
    text.push('\n');
    match &report.owed {
        None => text.push_str("Which workloads owe a restart is unknown: only a replica knows\n"),
        Some(rows) if rows.is_empty() => {
            let place = report
                .namespace
                .as_ref()
                .map(|name| format!(" of namespace {name}"));
            let _ = writeln!(text, "No workload{} owes a restart", place.unwrap_or_default());
        }
        Some(rows) => text.push_str(&owed_table(rows, report.namespace.is_none(), now)),
    }
    if let Some(totals) = &report.totals {
        let _ = writeln!(
            text,
            "\nIn all: {} namespaces, {} workloads ({} opted in), {} sources; {} owe a restart, {} of them failing",
            totals.namespaces,
            totals.workloads,
            totals.opted_in,
            totals.sources,
            totals.owing,
            totals.failing
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "Note: {note}");
    }
    text
}

/// What is wrong with replicas, each text once with those that it is true of.
fn troubles(replicas: &[ReplicaRow]) -> Vec<(String, Vec<&str>)> {
    let mut troubles: Vec<(String, Vec<&str>)> = Vec::new();
    for replica in replicas {
        let because = replica.not_ready_because.iter().map(String::as_str);
        let watches = replica.watched.iter().filter(|watch| !watch.synced);
        let watches = watches.filter_map(|watch| watch.error.as_deref());
        for reason in because.chain(watches).chain(replica.error.as_deref()) {
            match troubles.iter_mut().find(|(known, _)| known == reason) {
                Some((_, names)) if names.last() == Some(&&*replica.name) => {}
                Some((_, names)) => names.push(&replica.name),
                None => troubles.push((reason.to_owned(), vec![&replica.name])),
            }
        }
    }
    troubles
}

fn yes_or_no(answer: Option<bool>) -> String {
    answer
        .map_or("unknown", |yes| if yes { "yes" } else { "no" })
        .to_owned()
}

fn replica_table(report: &Report, is_wide: bool, now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = report
        .replicas
        .iter()
        .map(|replica| {
            let synced = replica.watched.iter().filter(|watch| watch.synced).count();
            let watched = replica.watched.len();
            let mut cells = vec![
                replica.name.clone(),
                yes_or_no(replica.leads),
                or_dash(replica.version.as_ref()),
                yes_or_no(replica.ready),
                if watched == 0 {
                    "unknown".to_owned()
                } else {
                    format!("{synced}/{watched}")
                },
                or_dash(replica.started.map(|at| age(at, now))),
            ];
            if is_wide {
                let names: Vec<&str> = replica
                    .watched
                    .iter()
                    .filter(|watch| watch.synced && watch.error.is_none())
                    .map(|watch| &*watch.resource)
                    .collect();
                cells.push(names.join(","));
            }
            cells
        })
        .collect();
    let mut headings = vec!["REPLICA", "LEADS", "VERSION", "READY", "SYNCED", "AGE"];
    if is_wide {
        headings.push("WATCHED");
    }
    table(&headings, &rows)
}

fn owed_table(rows: &[OwedRow], with_namespace: bool, now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let sources: Vec<String> = row.sources.iter().map(ToString::to_string).collect();
            let mut cells = vec![
                format!("{}/{}", row.workload.kind.to_ascii_lowercase(), row.workload.name),
                sources.join(","),
                age(row.since, now),
                row.attempts
                    .map_or_else(|| "unknown".to_owned(), |attempts| attempts.to_string()),
                or_dash(row.next_look().map(|at| format!("in {}", age(now, at)))),
                or_dash(row.deferred.as_ref().map(|deferred| &deferred.message)),
                or_dash(row.last_error.as_ref()),
            ];
            if with_namespace {
                cells.insert(0, row.workload.namespace.clone());
            }
            cells
        })
        .collect();
    let headings = [
        "NAMESPACE",
        "WORKLOAD",
        "SOURCES",
        "OWED FOR",
        "FAILED ATTEMPTS",
        "NEXT TRY",
        "WAITS FOR",
        "LAST ERROR",
    ];
    table(&headings[usize::from(!with_namespace)..], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Deferral, ObjectName, SourceName};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn report(owed: Option<Vec<OwedRow>>) -> Report {
        Report {
            version: VERSION,
            leader: Some(Leader {
                name: "reloader-a".to_owned(),
                since: Some(at("2026-01-01T00:00:00Z")),
                lease: Some("ops/lock".to_owned()),
                renewed: Some(at("2026-01-01T00:09:59Z")),
            }),
            replicas: vec![ReplicaRow {
                name: "reloader-a".to_owned(),
                leads: Some(true),
                version: Some("0.1.0".to_owned()),
                ready: Some(false),
                not_ready_because: vec!["watch-secrets: forbidden".to_owned()],
                watched: Vec::new(),
                started: None,
                error: None,
            }],
            namespace: None,
            owed,
            totals: None,
            notes: Vec::new(),
        }
    }

    fn owed() -> OwedRow {
        OwedRow {
            workload: ObjectName {
                kind: "Deployment".to_owned(),
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
            sources: vec![SourceName {
                kind: "ConfigMap".to_owned(),
                name: "app".to_owned(),
            }],
            since: at("2026-01-01T00:08:00Z"),
            attempts: Some(3),
            last_error: Some("denied".to_owned()),
            next_try: Some(at("2026-01-01T00:10:30Z")),
            deferred: None,
        }
    }

    #[test]
    fn a_row_says_for_what_since_when_why_and_when_next() {
        let text = print(&report(Some(vec![owed()])), false, at("2026-01-01T00:10:00Z"));
        assert!(
            text.starts_with(
                "reloader-a leads since 2026-01-01T00:00:00Z (10m) (Lease ops/lock, renewed 1s ago)\n"
            ),
            "{text}"
        );
        assert!(text.contains("reloader-a: watch-secrets: forbidden\n"), "{text}");
        assert!(
            text.contains("shop        deployment/web   configmap/app   2m0s       3                 in 30s     -           denied\n"),
            "{text}"
        );
    }

    #[test]
    fn a_wait_is_no_error() {
        let waiting = |last_error: Option<&str>| OwedRow {
            last_error: last_error.map(str::to_owned),
            deferred: Some(Deferral {
                reason: "suspended".to_owned(),
                message: "it is suspended".to_owned(),
                until: None,
            }),
            ..owed()
        };
        let rows = vec![waiting(None), waiting(Some("denied"))];
        let text = print(&report(Some(rows)), false, at("2026-01-01T00:10:00Z"));
        assert!(
            text.contains("NEXT TRY   WAITS FOR         LAST ERROR\n"),
            "{text}"
        );
        assert!(
            text.contains("3                 -          it is suspended   -\n"),
            "{text}"
        );
        assert!(
            text.contains("3                 -          it is suspended   denied\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_with_several_is_said_once() {
        let mut report = report(None);
        let silent = |name: &str| ReplicaRow {
            name: name.to_owned(),
            leads: None,
            version: None,
            ready: None,
            not_ready_because: Vec::new(),
            watched: Vec::new(),
            started: None,
            error: Some("nothing listens".to_owned()),
        };
        report.replicas.extend(["b", "c"].map(silent));
        let text = print(&report, false, at("2026-01-01T00:10:00Z"));
        assert!(text.contains("\nb, c: nothing listens\n"), "{text}");
        assert!(
            text.contains("b            unknown   -         unknown   unknown   -\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_unknown_is_said() {
        let text = print(&report(None), true, at("2026-01-01T00:10:00Z"));
        assert!(text.contains("only a replica knows"), "{text}");
        let text = print(&report(Some(Vec::new())), false, at("2026-01-01T00:10:00Z"));
        assert!(text.contains("No workload owes a restart"), "{text}");
    }
}
