//! Becoming the leader: what was left by the one before is compared with what the watches show now.
//!
//! Input: the ledger as stored, the index. Output: keys in the queue, the ledger's running task. I/O: reads the ledger.

use std::sync::Arc;

use crate::{
    config::{LedgerSettings, Scope},
    lease::Leadership,
    ledger::{Keeper, Ledger, Loaded, Writer},
    queue::Priority,
    worker::{Worker, now},
};

/// The ledger, where there is a namespace to keep it in.
pub(super) fn keeper(
    settings: Option<&LedgerSettings>,
    client: kube::Client,
    leadership: &Leadership,
) -> (Ledger, Option<Keeper>) {
    let Some(LedgerSettings { namespace, name }) = settings else {
        tracing::warn!(
            "POD_NAMESPACE and RELOADER_NAMESPACE are not set, so no ledger is kept: changes made while no replica \
             runs are not noticed"
        );
        return (Ledger::none(), None);
    };
    let (ledger, keeper) = Keeper::new(client, namespace, name, leadership.clone());
    (ledger, Some(keeper))
}

/// Reads what the leader before has left.
pub(super) async fn read(keeper: Option<Keeper>) -> Option<(Loaded, Writer)> {
    match keeper {
        Some(keeper) => Some(keeper.load().await),
        None => None,
    }
}

/// Notes every difference as owed and puts who owes into the queue, behind live changes. Returns the task that writes
/// the ledger from now on.
pub(super) fn take_over(
    worker: &Worker,
    scope: &Scope,
    left_over: Option<(Loaded, Writer)>,
) -> impl Future<Output = ()> + Send + 'static {
    let (loaded, writer) = match left_over {
        Some((loaded, writer)) => (loaded, Some(writer)),
        None => (Loaded::Refused, None),
    };
    match loaded {
        Loaded::Known(sources) => {
            let now = now();
            for (source, standing) in sources
                .iter()
                .filter(|(source, _)| covers(scope, &source.namespace))
            {
                worker.index.restore(source, standing, now);
            }
        }
        Loaded::First => {
            tracing::info!("First start: the present content of every source is taken as settled");
        }
        Loaded::Refused => {}
    }
    if let Some(writer) = &writer {
        for source in worker.index.opted_sources() {
            if !writer.knows(&source) {
                worker.ledger.touch(source, true);
            }
        }
    }
    for workload in worker.index.workloads_with_bad_patterns() {
        worker.complain(&workload);
    }
    let owing = worker.index.owing();
    tracing::info!(owed = owing.len(), "became leader, starting controllers");
    for key in owing {
        worker.metrics.workload_queued();
        worker.queue.add(key, Priority::Low);
    }
    let index = Arc::clone(&worker.index);
    async move {
        match writer {
            Some(writer) => writer.run(move |source| index.standing(source)).await,
            None => std::future::pending().await,
        }
    }
}

fn covers(scope: &Scope, namespace: &str) -> bool {
    match scope {
        Scope::All => true,
        Scope::Namespaces(names) => names.iter().any(|name| name == namespace),
    }
}
