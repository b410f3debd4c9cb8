//! Thousands of restarts that wait: what they cost while they do.
//!
//! Windows that never open hold every restart back. When all waits are noted, and their Events and the ledger are written, nothing
//! changes any more for some minutes: no request, no line of the log, no growth are wanted in them. What a day costs is what these
//! minutes do, because a wait is looked at each ten seconds and otherwise asleep.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};

use crate::{
    controller::{Controller, Memory},
    lab::{Lab, OWN_NAMESPACE},
    objects::{change, config_map, create_all, create_namespace, deployment, pair},
    references::{
        DEFERRED_CPU, DEFERRED_GROWTH, DEFERRED_LEDGER, DEFERRED_LINES, DEFERRED_REQUESTS, NO_GOAL,
    },
    replicas::ledger,
    report::Figure,
};

const SCENARIO: &str = "deferred";
const SOURCE: &str = "shared";
/// Deployments of one namespace, which use one ConfigMap.
const EACH: usize = 100;
/// Namespaces that are filled at the same time.
const AT_ONCE: usize = 4;
/// Longer than the ledger's delay.
const QUIET: Duration = Duration::from_secs(10);
/// Longer than jemalloc keeps freed pages (10 s), twice.
const SETTLE: Duration = Duration::from_secs(20);

/// Measures it.
pub async fn measure(lab: &Lab, count: usize, minutes: Duration) -> Result<Vec<Figure>> {
    let namespaces: Vec<_> = (0..count.div_ceil(EACH))
        .map(|number| (format!("wait-{number}"), EACH.min(count - number * EACH)))
        .collect();
    stream::iter(&namespaces)
        .map(|(name, workloads)| fill(lab, name, *workloads))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let args = ["--enable-ha=true", "--restart-window=manual"];
    let controller = Controller::start(lab, SCENARIO, &args).await?;
    lab.wait_for_quiet(&controller.user, QUIET).await?;

    let changed = Timestamp::now();
    for (name, _) in &namespaces {
        change(&lab.client, name, SOURCE, "1").await?;
    }
    lab.wait_for_quiet(&controller.user, QUIET).await?;
    let waited = waiting(&controller).await?;
    tokio::time::sleep(SETTLE).await;

    let before = Look::at(&controller)?;
    tokio::time::sleep(minutes).await;
    let after = Look::at(&controller)?;
    let still_waiting = waiting(&controller).await?;
    let meanwhile = requests(lab, &controller.user, before.at)?;
    let all = lab.trace(changed)?.requests(&controller.user);
    let all: BTreeMap<_, _> = all.into_iter().collect();
    let lines = log_since(&controller, before.lines);
    controller.stop().await?;

    let what = |figure: &str| format!("{count} restarts that wait: {figure}");
    let left = count - still_waiting.min(count);
    let seconds = after.taken.duration_since(before.taken).as_secs_f64();
    let mut figures = vec![
        Figure::count(SCENARIO, what("ended"), left, DEFERRED_REQUESTS)
            .has_to_hold()
            .note(format!("{waited} waited when the minutes began")),
        Figure::count(
            SCENARIO,
            what("requests"),
            meanwhile.others.values().sum(),
            DEFERRED_REQUESTS,
        )
        .has_to_hold()
        .note(format!(
            "in {seconds:.0} s; beside them {} for the Lease, and {} watches that ended and began again; {:?}",
            meanwhile.lease, meanwhile.watches, meanwhile.others
        )),
        Figure::count(SCENARIO, what("lines of the log"), lines, DEFERRED_LINES).has_to_hold(),
        ledger_writes(lab, &all, what("ledger writes for each of its ConfigMaps")).await?,
    ];
    let busy = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 100.0 / seconds;
    let growth = after.memory.anonymous - before.memory.anonymous;
    figures.extend(
        [
            ("growth of heap and stacks", "MiB", growth, DEFERRED_GROWTH),
            ("resident at the begin", "MiB", before.memory.resident, NO_GOAL),
            ("resident at the end", "MiB", after.memory.resident, NO_GOAL),
            ("processor time", "% of a core", busy, DEFERRED_CPU),
        ]
        .map(|(figure, unit, value, goal)| Figure::new(SCENARIO, what(figure), unit, value, goal)),
    );
    Ok(figures)
}

/// How often the ledger was written from the change on, for each ConfigMap that it has.
async fn ledger_writes(lab: &Lab, requests: &BTreeMap<String, usize>, what: String) -> Result<Figure> {
    let kept = ledger(lab).await?.config_maps;
    let of = |verb| {
        requests
            .get(&format!("{verb} configmaps"))
            .copied()
            .unwrap_or_default()
    };
    let writes: usize = ["create", "update", "patch"].map(of).iter().sum();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = writes as f64 / kept.max(1) as f64;
    Ok(
        Figure::new(SCENARIO, what, "", each, DEFERRED_LEDGER).note(format!(
            "{kept} ConfigMaps in namespace {OWN_NAMESPACE}; all requests from the change on: {requests:?}"
        )),
    )
}

/// How many lines its log has beyond so many; prints some.
fn log_since(controller: &Controller, lines: usize) -> usize {
    let log = controller.replica.log();
    let added = log.lines().skip(lines);
    for line in added.clone().take(10) {
        eprintln!("  in its log: {line}");
    }
    added.count()
}

/// A ConfigMap, and Deployments that use it.
async fn fill(lab: &Lab, namespace: &str, workloads: usize) -> Result<()> {
    create_namespace(&lab.client, namespace).await?;
    create_all::<ConfigMap>(&lab.client, namespace, std::iter::once(config_map(SOURCE, "0"))).await?;
    let sources = [SOURCE.to_owned()];
    let workloads = (0..workloads).map(|number| deployment(&pair(number), &sources, true));
    create_all::<Deployment>(&lab.client, namespace, workloads).await
}

/// How many restarts wait, by the controller's own count.
async fn waiting(controller: &Controller) -> Result<usize> {
    let name = "reloader_deferred_reloads{reason=\"window\"} ";
    let metrics = controller.metrics().await?;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.context("no count of restarts that wait")?.parse()?)
}

/// The replica at one moment.
struct Look {
    at: Timestamp,
    taken: Instant,
    lines: usize,
    memory: Memory,
    cpu: Duration,
}

impl Look {
    fn at(controller: &Controller) -> Result<Self> {
        Ok(Self {
            at: Timestamp::now(),
            taken: Instant::now(),
            lines: controller.replica.log().lines().count(),
            memory: controller.memory()?,
            cpu: controller.cpu_exact()?,
        })
    }
}

/// What the replica asked the API server for.
struct Requests {
    lease: usize,
    watches: usize,
    others: BTreeMap<String, usize>,
}

fn requests(lab: &Lab, user: &str, since: Timestamp) -> Result<Requests> {
    let mut requests = Requests {
        lease: 0,
        watches: 0,
        others: BTreeMap::new(),
    };
    for (request, count) in lab.trace(since)?.requests(user) {
        match request.split_once(' ') {
            Some((_, "leases")) => requests.lease += count,
            Some(("watch", _)) => requests.watches += count,
            _ => {
                requests.others.insert(request, count);
            }
        }
    }
    Ok(requests)
}
