//! Becoming the leader: the ledger of the previous leader is compared with what the watches show now.
//!
//! Input: the ledger as stored, the index. Output: keys in the queue, the ledger's running task. I/O: reads the ledger.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    config::{Config, Filters, LedgerSettings, Scope},
    lease::Leadership,
    ledger::{Keeper, Ledger, LedgerWriter, Loaded},
    model::{SourceKey, SourceKind, WorkloadKind},
    patch::KeyPlace,
    queue::Priority,
    worker::{Context, now},
};

/// The ledger, where there is a namespace to keep it in; none in webhook mode, where no workload opts into anything.
pub(super) fn keeper(
    config: &Config,
    client: kube::Client,
    leadership: &Leadership,
    kinds: &[WorkloadKind],
) -> (Ledger, Option<Keeper>) {
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
    (ledger, Some(keeper))
}

/// Where the key is stored that signs copies of Jobs: beside the ledger.
pub(super) fn key_place(config: &Config) -> Option<KeyPlace> {
    let LedgerSettings { namespace, name } = config.ledger.as_ref()?;
    Some(KeyPlace {
        namespace: namespace.clone(),
        name: format!("{name}-key"),
    })
}

/// Reads the previous leader's ledger as soon as it is known which namespaces are selected.
pub(super) async fn read(
    keeper: Option<Keeper>,
    mut selection_known: watch::Receiver<bool>,
) -> Option<(Loaded, LedgerWriter)> {
    // An error means that the intake has ended, which ends the process.
    let _ = selection_known.wait_for(|known| *known).await;
    match keeper {
        Some(keeper) => Some(keeper.load().await),
        None => None,
    }
}

/// Notes every difference as owed and queues the workloads that owe, behind live changes. Returns the task that writes
/// the ledger from now on.
pub(super) fn take_over(
    context: &Context,
    config: &Config,
    left_over: Option<(Loaded, LedgerWriter)>,
) -> impl Future<Output = ()> + Send + 'static {
    let (loaded, writer) = match left_over {
        Some((loaded, writer)) => (loaded, Some(writer)),
        None => (Loaded::Refused, None),
    };
    // What changed while no replica ran is the difference between the ledger and the index.
    match loaded {
        Loaded::Known { sources, written_at } => {
            let now = now();
            if let Some(written_at) = written_at {
                context.index().restores_from(written_at);
            }
            for (source, status) in &sources {
                match covers(config, source) {
                    Coverage::Elsewhere => {}
                    Coverage::Watched if context.index().restore(source, status, now) => {
                        let present = context.index().source_status(source);
                        if present.is_some_and(|present| present != *status) {
                            context.ledger().touch(source.clone());
                        }
                    }
                    // What happens while it is left out does not count when it is included again.
                    Coverage::LeftOut | Coverage::Watched => {
                        context.ledger().touch(source.clone());
                    }
                }
            }
            if let Some(written_at) = written_at {
                context.index().unrecorded_since(written_at, now);
            }
        }
        Loaded::First => {
            tracing::info!("First start: the present content of every source is taken as settled");
        }
        Loaded::Refused => {}
    }
    // Sources that the ledger does not have yet.
    if let Some(writer) = &writer {
        for source in context.index().opted_sources() {
            if !writer.knows(&source) {
                context.ledger().touch_new(source);
            }
        }
    }
    // Invalid annotations are reported by the leader only, once.
    for workload in context.index().workloads_to_check() {
        context.report_annotations(&workload);
    }
    // Timers ended with the previous leader; the pauses are on the Deployments.
    for key in context.index().paused() {
        context.schedule_resume(&key);
    }
    let owing = context.index().owing();
    tracing::info!(owed = owing.len(), "became leader, starting controllers");
    for key in owing {
        context.metrics().workload_queued();
        context.queue().add(key, Priority::Low);
    }
    let index = Arc::clone(context.index());
    async move {
        match writer {
            Some(writer) => writer.run(move |source| index.source_status(source)).await,
            None => std::future::pending().await,
        }
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
