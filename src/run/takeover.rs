//! Becoming the leader: the ledger of the previous leader is compared with what the watches show now.
//!
//! Input: the ledger as stored, the index. Output: keys in the queue, the ledger's running task. I/O: reads the ledger.
//!
//! With thousands of sources in one namespace that takes seconds. Other tasks, the election's first of all, run in between.

use std::{pin::Pin, sync::Arc};

use tokio::{sync::watch, time::Instant};

use crate::{
    admin::health::{Health, WatchCheck, WatchState},
    config::{Config, Filters, LedgerSettings, Scope},
    lease::Leadership,
    ledger::{Breaks, Keeper, Ledger, LedgerWriter, Loaded},
    model::{SourceKey, SourceKind, WorkloadKind},
    patch::KeyPlace,
    queue::Priority,
    worker::{Context, now},
};

/// The ledger of the leader before, not read yet.
pub(super) struct Unread {
    keeper: Keeper,
    /// Shown by `/ready`.
    check: WatchCheck,
}

/// Writes the ledger from now on.
pub(super) type Writing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The ledger, where there is a namespace to keep it in; none in webhook mode, where no workload opts into anything.
pub(super) fn keeper(
    config: &Config,
    client: kube::Client,
    leadership: &Leadership,
    kinds: &[WorkloadKind],
    health: &Health,
) -> (Ledger, Option<Unread>) {
    if config.webhook.is_some() {
        return (Ledger::none(), None);
    }
    let Some(LedgerSettings { namespace, name }) = &config.ledger else {
        tracing::warn!(
            "POD_NAMESPACE and RELOADER_NAMESPACE are not set, so no ledger is kept: changes made while no replica \
             runs are not noticed"
        );
        return (Ledger::none(), None);
    };
    let (ledger, keeper) = Keeper::new(client, namespace, name, leadership.clone(), kinds.to_vec());
    let check = health.watch("ledger");
    // Only a leader reads it.
    check.set(WatchState::Synced);
    (ledger, Some(Unread { keeper, check }))
}

/// Where the key is stored that signs copies of Jobs: beside the ledger.
pub(super) fn key_place(config: &Config) -> Option<KeyPlace> {
    let LedgerSettings { namespace, name } = config.ledger.as_ref()?;
    Some(KeyPlace {
        namespace: namespace.clone(),
        name: format!("{name}-key"),
    })
}

/// Reads the previous leader's ledger as soon as the namespaces are known that matter, notes every difference as
/// owed and queues the workloads that owe, behind live changes. Returns the task that writes the ledger from now on.
pub(super) async fn take_over(
    context: Arc<Context>,
    config: Arc<Config>,
    unread: Option<Unread>,
    mut selection_known: watch::Receiver<bool>,
) -> Writing {
    let begun = Instant::now();
    // An error means that the intake has ended, which ends the process.
    let _ = selection_known.wait_for(|known| *known).await;
    let read = match unread {
        Some(Unread { keeper, check }) => Some(keeper.load(|reason| show(&check, reason)).await.map_err(
            |keeper| {
                let state = check.state();
                if let WatchState::Failing { reason, .. } = state {
                    check.set(WatchState::Denied { reason });
                }
                (keeper, check)
            },
        )),
        None => None,
    };
    if let Some(Ok((loaded, writer))) = &read {
        restore(&context, &config, loaded, writer).await;
    }
    let mut breaks = Breaks::new();
    // Reported by the leader only, once.
    for workload in context.index().workloads_to_check() {
        context.report_template(&workload);
        breaks.take().await;
    }
    // Timers ended with the previous leader; the pauses are on the Deployments.
    for key in context.index().paused() {
        context.schedule_resume(&key);
        breaks.take().await;
    }
    tracing::info!(
        owed = context.index().owing().len(),
        "became leader, starting controllers"
    );
    queue_owing(&context);
    context.metrics().took_over(begun.elapsed());
    match read {
        Some(Ok((_, writer))) => Box::pin(write(context, writer)),
        Some(Err((keeper, check))) => Box::pin(async move {
            let (loaded, writer) = keeper.load_late().await;
            check.set(WatchState::Synced);
            restore(&context, &config, &loaded, &writer).await;
            queue_owing(&context);
            Box::pin(write(context, writer)).await;
        }),
        None => Box::pin(std::future::pending()),
    }
}

async fn write(context: Arc<Context>, writer: LedgerWriter) {
    let status = |source: &SourceKey| context.index().source_status(source);
    let run = writer.run(status, |source| context.report_left_out(source));
    Box::pin(run).await;
}

/// Shows on `/ready` why the ledger cannot be read.
fn show(check: &WatchCheck, reason: Option<&str>) {
    check.set(reason.map_or(WatchState::Synced, |reason| WatchState::Failing {
        since: Instant::now(),
        reason: reason.to_owned(),
    }));
}

fn queue_owing(context: &Context) {
    for key in context.index().owing() {
        context.metrics().workload_queued();
        context.queue().add(key, Priority::Low);
    }
}

/// What changed while no replica ran is the difference between the ledger and the index.
async fn restore(context: &Context, config: &Config, loaded: &Loaded, writer: &LedgerWriter) {
    let (index, ledger) = (context.index(), context.ledger());
    let mut breaks = Breaks::new();
    match loaded {
        Loaded::Known {
            sources,
            stored_at,
            complete_until,
        } => {
            let now = now();
            if let Some(until) = complete_until.or(*stored_at) {
                index.restores_from(until);
            }
            for (source, status) in sources {
                match covers(config, source) {
                    Coverage::Elsewhere => {}
                    Coverage::Watched if index.restore(source, status, now) => {
                        let present = index.source_status(source);
                        if present.is_some_and(|present| present != *status) {
                            ledger.touch(source.clone());
                        }
                    }
                    // What happens while it is left out does not count when it is included again.
                    Coverage::LeftOut | Coverage::Watched => {
                        ledger.touch(source.clone());
                    }
                }
                breaks.take().await;
            }
            if let Some(complete_until) = complete_until {
                for workload in index.unrecorded_since(*complete_until, now) {
                    // Written even if its lines stay as they are: else the marker of a restart that others have settled
                    // since would be news for each leader to come.
                    for source in index.check_unrecorded(&workload) {
                        ledger.touch_restarted(source);
                    }
                    breaks.take().await;
                }
            }
        }
        Loaded::First => {
            tracing::info!("First start: the present content of every source is taken as settled");
        }
    }
    // Sources that the ledger does not have yet.
    for source in index.known_sources() {
        // Few sources are opted into; to look one up in the ledger takes a hash with its key.
        if index.source_status(&source).is_some() && !writer.knows(&source) {
            ledger.touch_new(source);
        }
        breaks.take().await;
    }
}

/// How the settings cover a source of the previous leader's ledger.
enum Coverage {
    /// It lives in another namespace than those that are watched.
    Elsewhere,
    /// Its kind or its namespace is ignored.
    LeftOut,
    /// It is watched.
    Watched,
}

fn covers(config: &Config, source: &SourceKey) -> Coverage {
    let is_own = |name: &String| **name == *source.namespace;
    let Filters {
        namespaces_to_ignore,
        ignored_source,
        ..
    } = &config.filters;
    match &config.scope {
        Scope::Namespaces(names) if !names.iter().any(is_own) => Coverage::Elsewhere,
        _ if *ignored_source == Some(source.kind) || namespaces_to_ignore.iter().any(is_own) => {
            Coverage::LeftOut
        }
        _ if source.kind == SourceKind::SecretProviderClass && !config.integrations.csi => Coverage::LeftOut,
        _ => Coverage::Watched,
    }
}
