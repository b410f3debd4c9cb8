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
mod snapshot;
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
    diagnose::Checker,
    index::{self, Index},
    inspect,
    lease::{self, BootClock, KubeLeaseStore, Leadership, unique_identity},
    meta_info::{self, MetaInfo},
    metrics::{Metrics, MetricsOptions},
    model::WorkloadKind,
    patch::{Writer, events::Recorder},
    queue::{self, Queue, Rate},
    telemetry::LostLines,
    watch::{self, Discovery, Lister, Observation, StreamId, Watched, workload::Reading},
    worker::{
        Context, ContextParts, MistakeReporter, Reporter, Worker,
        intake::{Intake, IntakeParts},
    },
};
use clients::Clients;
use notifications::Notifications;
use selectors::selectors;
use snapshot::{describe, report_state};
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
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        scope = %config.scope,
        strategy = config.strategy.as_str(),
        leader_election = config.lease.is_some(),
        "Starting Reloader"
    );
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
        inspect,
        mut stops,
    } = surroundings;
    let clients = Clients::new(cluster, &metrics, config.watch_timeout + watch::GRACE).await?;
    let (selection, selection_known) = tokio::sync::watch::channel(!watches_namespaces(&config));
    let config = Arc::new(config);
    let (mut running, ledger) = start(
        &config,
        &clients,
        tasks,
        Listeners { listeners, inspect },
        &metrics,
        lost_lines,
        selection,
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

/// The ports of a replica.
struct Listeners {
    /// Of health and metrics.
    listeners: Vec<TcpListener>,
    /// Of questions.
    inspect: Option<TcpListener>,
}

/// Starts every loop but those that only the leader runs.
fn start(
    config: &Config,
    clients: &Clients,
    tasks: Tasks,
    Listeners { listeners, inspect }: Listeners,
    metrics: &Arc<Metrics>,
    lost_lines: LostLines,
    selection: tokio::sync::watch::Sender<bool>,
) -> Result<(Running, Option<takeover::Unread>), RunError> {
    let kinds = config.kinds();
    let reading = reading(config, &kinds);
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
        options: config.options(),
        windows: Arc::new(config.policies.texts()),
        limits: config.policies.limits,
        reporter: Reporter::new(recorder, alerts, Arc::clone(metrics), Arc::clone(&reading.keys)),
    }));
    let writer = Writer::new(
        clients.fenced(&leadership)?,
        reading.clone(),
        takeover::key_place(config),
    )
    .noting_causes(config.change_cause);
    let worker = Worker::new(Arc::clone(&context), writer, recreated);
    report_state(metrics, &context, &health, lost_lines, &streams);
    describe(&health, &context);

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
    let keys = Arc::clone(&reading.keys);
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
    let streams = streams.into_iter().zip(watches.into_iter().cycle());
    watch_all(&mut running, config, streams, &settings, &sink);
    if config.webhook.is_none() {
        let sees_all_sources = config.filters.source_selector.is_none();
        running.spawn(
            "mistakes",
            MistakeReporter::new(Arc::clone(&context), keys, sees_all_sources).run(),
        );
    }
    running.spawn("waits", Arc::clone(&context).look_after_waits());
    running.spawn("changes", Arc::clone(&context).look_after_changes());
    // Loops that no other loop waits for.
    if let Some(listener) = inspect {
        let inspector = inspect::inspector(config, Arc::clone(&context), health.clone());
        running.spawn("inspect", inspect::serve(listener, inspector));
    }
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

/// Starts a watch for each stream, with its client.
fn watch_all(
    running: &mut Running,
    config: &Config,
    streams: impl Iterator<Item = (StreamId, kube::Client)>,
    settings: &watch::Settings,
    sink: &mpsc::Sender<Observation>,
) {
    for (stream, client) in streams {
        // Upstream's line about a kind that it watches.
        if config.lease.is_none() && !matches!(stream.watched, Watched::Workload(_)) {
            tracing::info!(
                "Starting Controller to watch resource type: {} in namespace: {}",
                stream.watched.resource(),
                stream.namespace.as_deref().unwrap_or_default(),
            );
        }
        let watch = watch::watch(client, stream, settings.clone(), sink.clone());
        running.spawn("watch", watch);
    }
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

fn reading(config: &Config, kinds: &[WorkloadKind]) -> Reading {
    Reading {
        keys: Arc::new(config.annotations.clone()),
        checker: Arc::new(Checker::new(&config.annotations)),
        lists: Arc::default(),
        auto_reload_all: config.auto_reload_all,
        follow_references: kinds.contains(&WorkloadKind::Rollout),
        every_job: config.workloads.every_job,
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
    let selector = watches_namespaces(config).then_some(StreamId {
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

/// In webhook mode nothing is restarted, so that only the selector counts.
fn watches_namespaces(config: &Config) -> bool {
    config.filters.namespace_selector.is_some() || config.policies.of_namespaces && config.webhook.is_none()
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
        every_namespace_counts: config.filters.namespace_selector.is_none(),
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
