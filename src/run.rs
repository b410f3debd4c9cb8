//! Wires the boxes together, supervises them, and shuts them down in order.
//!
//! Input: [`Config`]. Output: a running controller; an error if it cannot continue. I/O: all of it starts here.
//!
//! # Supervision
//! Every loop runs until it is stopped. One that ends or panics by itself ends the process: a live pod with a dead loop
//! would look healthy and restart nothing.
//!
//! # Shutdown
//! On SIGTERM or SIGINT: no new work, the patches in flight are finished, the lease is given back so that the next
//! replica takes over at once, then the rest. A second signal ends the process at once.

mod clients;
mod connection;
mod descriptors;
mod error;
mod fenced;
mod history;
mod notifications;
mod opening;
mod patience;
mod selectors;
mod supervise;
pub mod surroundings;
mod takeover;
mod throttled;
mod trust;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    admin::{self, health::Health},
    config::{Config, DeploymentConfigs, Level, ReloadOn, Scope, startup_lines},
    decide,
    index::{self, Index},
    lease::{self, BootClock, KubeLeaseStore, Leadership, unique_identity},
    meta_info::{self, MetaInfo},
    metrics::{Metrics, MetricsOptions, Snapshot},
    model::WorkloadKind,
    patch::{Writer, events::Recorder},
    queue::{self, Priority, Queue, Rate},
    telemetry::LostLines,
    watch::{self, Discovery, Lister, StreamId, Watched, workload::Reading},
    worker::{
        Context, ContextParts, Reporter, Worker,
        intake::{Intake, IntakeParts},
    },
};
use clients::Clients;
use notifications::Notifications;
use selectors::selectors;
use supervise::{Election, Running};
use surroundings::{Surroundings, Tasks};

pub use error::RunError;

/// Observations between the watches and the index. Small: the buffer takes memory, and the watches can wait.
const OBSERVATIONS: usize = 256;
/// How long requests for a list of one namespace are collected; what the list finds waits for the coalescing window then.
const LISTING: Duration = Duration::from_millis(100);
/// How long a loop may show no sign of life before `/live` fails.
const SILENCE: Duration = Duration::from_mins(1);
/// How often the monitor checks the workers.
const MONITOR: Duration = Duration::from_secs(5);

/// Runs the controller until a signal ends it. `lost_lines` is shown on `/metrics`.
pub async fn run(config: Config, lost_lines: LostLines) -> Result<(), RunError> {
    // Before anything can fail: they warn of settings.
    for (level, line) in startup_lines(&config) {
        log(level, &line);
    }
    let surroundings = Surroundings::of_process(&config).await?;
    run_in(surroundings, config, lost_lines).await
}

/// Runs the controller in these surroundings until it is ordered to stop.
pub async fn run_in(
    surroundings: Surroundings,
    config: Config,
    lost_lines: LostLines,
) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::new(MetricsOptions {
        count_by_namespace: config.count_by_namespace,
        lease_name: config.lease.as_ref().map(|lease| lease.name.clone()),
    }));
    let Surroundings {
        cluster,
        tasks,
        listeners,
        mut stops,
    } = surroundings;
    let clients = Clients::new(cluster, &metrics, config.watch_timeout + watch::GRACE).await?;
    // Without a selector every namespace counts.
    let (selection, selection_known) =
        tokio::sync::watch::channel(config.filters.namespace_selector.is_none());
    let config = Arc::new(config);
    let (mut running, ledger) = start(
        &config, &clients, tasks, listeners, &metrics, lost_lines, selection,
    )?;
    tokio::select! {
        ended = running.supervise(ledger, &config, selection_known) => return Err(ended),
        rewound = clients.rewound() => return Err(rewound.into()),
        untrusted = clients.untrusted() => return Err(untrusted.into()),
        _ = stops.next() => {}
    }
    tracing::info!("Shutting down: finishing the patches in flight");
    tokio::select! {
        () = running.shut_down() => {}
        _ = stops.next() => tracing::warn!("Second signal: exiting at once"),
    }
    tracing::info!("Stopped");
    Ok(())
}

/// Streams share connections.
fn raise_descriptor_limit(streams: &[StreamId]) {
    let namespaces: BTreeSet<_> = streams
        .iter()
        .filter_map(|stream| stream.namespace.as_ref())
        .collect();
    if let Some(limit) = descriptors::raise_limit()
        && let Some(warning) =
            descriptors::warning(limit, clients::connections(streams.len()), namespaces.len())
    {
        tracing::warn!("{warning}");
    }
}

/// Starts every loop but those that only the leader runs.
fn start(
    config: &Config,
    clients: &Clients,
    tasks: Tasks,
    listeners: Vec<TcpListener>,
    metrics: &Arc<Metrics>,
    lost_lines: LostLines,
    selection: tokio::sync::watch::Sender<bool>,
) -> Result<(Running, Option<takeover::Unread>), RunError> {
    let kinds = config.kinds();
    let reading = Reading {
        keys: Arc::new(config.annotations.clone()),
        lists: Arc::default(),
        auto_reload_all: config.auto_reload_all,
        follow_references: kinds.contains(&WorkloadKind::Rollout),
        every_job: config.workloads.every_job,
    };
    let streams = streams(config, &kinds);
    raise_descriptor_limit(&streams);
    let Notifications {
        alerts,
        webhook,
        sending,
    } = notifications::notifications(config, metrics)?;
    let health = Health::new();
    let (leadership, election) = stand_for_election(config.lease.as_ref(), clients.unfenced()?);
    let instance = config.pod_name.clone().unwrap_or_default();
    // Events are written after the lease was released, too: they report what this replica did.
    let (recorder, recording) = Recorder::new(
        clients.unfenced()?,
        instance,
        notifications::count_events(metrics),
    );
    let (ledger, unread) =
        takeover::keeper(config, clients.fenced(&leadership)?, &leadership, &kinds, &health);
    let (recreated, successors) = mpsc::unbounded_channel();
    let context = Arc::new(Context::new(ContextParts {
        index: Arc::new(Index::new(index_options(config), streams.iter().cloned())),
        queue: Queue::new(queue_settings(config)),
        leadership: leadership.clone(),
        ledger,
        metrics: Arc::clone(metrics),
        options: decide::Options {
            strategy: config.strategy,
            auto_reload_all: config.auto_reload_all,
            reload_suspended: config.workloads.suspended_cron_jobs,
        },
        reporter: Reporter::new(recorder, alerts, Arc::clone(metrics), Arc::clone(&reading.keys)),
    }));
    let writer = Writer::new(
        clients.fenced(&leadership)?,
        reading.clone(),
        takeover::key_place(config),
    );
    let worker = Worker::new(Arc::clone(&context), writer, recreated);
    report_state(metrics, &context, &health, lost_lines, &streams);

    let mut running = Running::new(worker, tasks, election, recording, sending);
    let (sink, observations) = mpsc::channel(OBSERVATIONS);
    let lister = Lister::default();
    // Watches have connections of their own, so that their load cannot delay a write or a renewal of the lease.
    let watches = clients.watching(streams.len())?;
    let announcer = webhook.map(|webhook| notifications::announcer(webhook, config, &context));
    let parts = IntakeParts {
        context: Arc::clone(&context),
        announcer,
        lister: lister.clone(),
        selection_known: selection,
        recreated: successors,
    };
    let intake = Intake::new(parts, &streams, &health);
    running.spawn(
        "intake",
        intake.run(observations, health.heartbeat("intake", SILENCE)),
    );
    // Sources and workloads reach the index through one channel, from watches and, where those are refused, from lists.
    let settings = watch_settings(config, reading, &streams);
    if let Some(discovery) = &settings.discovery {
        running.spawn("discovery", discovery.clone().run(clients.unfenced()?));
    }
    let listing = lister.run(
        clients.unfenced()?,
        settings.clone(),
        config.coalesce_window.min(LISTING),
        sink.clone(),
    );
    running.spawn("list", listing);
    for (stream, client) in streams.into_iter().zip(watches.into_iter().cycle()) {
        if config.lease.is_none() && !matches!(stream.watched, Watched::Workload(_)) {
            tracing::info!(
                "Starting Controller to watch resource type: {} in namespace: {}",
                stream.watched.resource(),
                stream.namespace.as_deref().unwrap_or_default(),
            );
        }
        running.spawn(
            "watch",
            watch::watch(client, stream, settings.clone(), sink.clone()),
        );
    }
    // Loops that no other loop waits for.
    running.spawn("monitor", monitor(context, health.heartbeat("workers", SILENCE)));
    running.spawn(
        "meta-info",
        publish_meta_info(config.meta_info.clone(), clients.unfenced()?),
    );
    if config.lease.is_some() {
        running.spawn("leadership", show_leadership(leadership, Arc::clone(metrics)));
    }
    // Last, when every watch has its check: without checks `/ready` would succeed.
    if !listeners.is_empty() {
        running.spawn("admin", admin::serve(listeners, health, Arc::clone(metrics)));
    }
    Ok((running, unread))
}

fn log(level: Level, line: &str) {
    match level {
        Level::Trace => tracing::trace!("{line}"),
        Level::Debug => tracing::debug!("{line}"),
        Level::Info => tracing::info!("{line}"),
        Level::Warning => tracing::warn!("{line}"),
        Level::Error => tracing::error!("{line}"),
    }
}

fn stand_for_election(lease: Option<&lease::Settings>, client: kube::Client) -> (Leadership, Election) {
    let Some(settings) = lease else {
        return (Leadership::always(), Box::pin(std::future::pending()));
    };
    let store = KubeLeaseStore::new(client, &settings.namespace, &settings.name);
    let settings = lease::Settings {
        identity: unique_identity(&settings.identity),
        ..settings.clone()
    };
    let (leadership, election) = lease::elect(store, settings, Arc::new(BootClock));
    (leadership, Box::pin(election))
}

/// One stream a kind and namespace in scope; in webhook mode none for workloads, since none is restarted.
fn streams(config: &Config, kinds: &[WorkloadKind]) -> Vec<StreamId> {
    let namespaces: Vec<Option<Arc<str>>> = match &config.scope {
        Scope::All => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str().into())).collect(),
    };
    let of_kind = |watched: Watched| {
        namespaces.iter().map(move |namespace| StreamId {
            watched,
            namespace: namespace.clone(),
        })
    };
    let ignored = config.filters.ignored_source.map(Watched::Source);
    let selector = config.filters.namespace_selector.as_ref().map(|_| StreamId {
        watched: Watched::Namespace,
        namespace: None,
    });
    let csi = Watched::CSI.into_iter().filter(|_| config.integrations.csi);
    let is_needed = |watched: &Watched| match watched {
        Watched::Workload(_) => config.webhook.is_none(),
        _ => Some(*watched) != ignored,
    };
    let objects = Watched::with(kinds)
        .chain(csi)
        .filter(is_needed)
        .flat_map(of_kind);
    selector.into_iter().chain(objects).collect()
}

fn watch_settings(config: &Config, reading: Reading, streams: &[StreamId]) -> watch::Settings {
    watch::Settings {
        selectors: selectors(&config.filters),
        reading,
        page_size: config.list_page_size,
        timeout: config.watch_timeout,
        classes: watch::ClassesKnown::default(),
        discovery: discovery(config, streams),
    }
}

/// Looks for DeploymentConfigs, unless the user says whether there are any.
fn discovery(config: &Config, streams: &[StreamId]) -> Option<Discovery> {
    let kind = WorkloadKind::DeploymentConfig;
    let is_unsure = config.workloads.deployment_configs == DeploymentConfigs::WhereServed;
    let is_wanted = streams
        .iter()
        .any(|stream| stream.watched == Watched::Workload(kind));
    (is_unsure && is_wanted).then(|| Discovery::of(kind))
}

fn index_options(config: &Config) -> index::Options {
    // In webhook mode no workload is restarted; creations and deletions are announced without the index's help.
    let ReloadOn {
        create,
        delete,
        sync_after_restart,
    } = match config.webhook {
        Some(_) => ReloadOn::default(),
        None => config.reload_on,
    };
    index::Options {
        auto_reload_all: config.auto_reload_all,
        reload_on_create: create,
        reload_on_delete: delete,
        trust_markers: create && sync_after_restart,
        longest_lag: config.watch_timeout + watch::GRACE + index::CATCHING_UP,
    }
}

fn queue_settings(config: &Config) -> queue::Settings {
    // A burst of one second's worth: a fan-out to a few hundred workloads goes out at once, a storm is levelled.
    let rate = |per_second| Rate {
        per_second,
        burst: per_second,
    };
    queue::Settings {
        window: config.coalesce_window,
        namespace_rate: config.namespace_rate.map(rate),
        total_rate: config.total_rate.map(rate),
        namespace_in_flight: config.workers.div_ceil(2),
    }
}

/// Lets a scrape of `/metrics` see queue, index and watches as they are at that moment.
fn report_state(
    metrics: &Metrics,
    context: &Context,
    health: &Health,
    lost_lines: LostLines,
    streams: &[StreamId],
) {
    let (index, queue, ledger, health) = (
        Arc::clone(context.index()),
        context.queue().clone(),
        context.ledger().clone(),
        health.clone(),
    );
    let kinds: BTreeSet<Watched> = streams.iter().map(|stream| stream.watched).collect();
    metrics.read_snapshots_from(move || {
        let stats = queue.stats();
        let owing = index.owing();
        let since = owing.iter().filter_map(|key| Some(index.pending(key)?.since));
        let now = tokio::time::Instant::now();
        let ready = health.ready(now);
        let synced = |watched: Watched| {
            let name = format!("watch-{}", watched.resource());
            ready
                .iter()
                .filter(|check| {
                    // One check for all namespaces, or one each.
                    check
                        .name
                        .strip_prefix(&name)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
                })
                .all(|check| {
                    matches!(
                        check.outcome,
                        admin::health::CheckResult::Ok | admin::health::CheckResult::Absent
                    )
                })
        };
        Snapshot {
            queued: stats.depth(Priority::High),
            queued_low_priority: stats.depth(Priority::Low),
            pending_reloads: owing.len(),
            oldest_pending: since.map(|since| since.elapsed()).max().unwrap_or_default(),
            lost_log_lines: lost_lines.count(),
            left_out_of_ledger: ledger.left_out(),
            longest_running: stats.longest_running,
            unfinished_work: stats.unfinished,
            tracked_objects: kinds
                .iter()
                .map(|kind| (kind.kind(), index.count(*kind)))
                .collect(),
            watch_synced: kinds.iter().map(|kind| (kind.kind(), synced(*kind))).collect(),
        }
    });
}

/// Shows that the workers make progress: none has been busy with one workload for longer than its requests may take.
async fn monitor(context: Arc<Context>, beat: admin::health::Beat) {
    let mut every = tokio::time::interval(MONITOR);
    let mut slow_path = 0;
    loop {
        every.tick().await;
        if context.queue().stats().longest_running < SILENCE {
            beat.beat();
        }
        let counted = context.leadership().counters().slow_path;
        for _ in slow_path..counted {
            context.metrics().lease_slow_path_taken();
        }
        slow_path = counted;
    }
}

/// Publishes once which Reloader this is, and then stays idle.
async fn publish_meta_info(info: Option<MetaInfo>, client: kube::Client) {
    if let Some(info) = info {
        meta_info::publish(client, &info).await;
    } else {
        tracing::warn!("RELOADER_NAMESPACE is not set, skipping meta info configmap creation");
    }
    std::future::pending::<()>().await;
}

/// Keeps the leader gauge.
async fn show_leadership(leadership: Leadership, metrics: Arc<Metrics>) {
    let mut state = leadership.state();
    loop {
        if state.borrow_and_update().role == lease::Role::Leader {
            metrics.leadership_gained();
        } else {
            metrics.leadership_lost();
        }
        if state.changed().await.is_err() {
            // The election has ended; its supervisor ends the process.
            std::future::pending::<()>().await;
        }
    }
}
