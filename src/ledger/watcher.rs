//! What becomes of the ledger's ConfigMaps while this replica leads: a user may delete or edit them.
//!
//! Input: none. Output: [`Seen`]. I/O: watches the metadata of the ledger's ConfigMaps.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use kube::{
    ResourceExt,
    runtime::watcher::{Config, Error, Event, watcher},
};
use tokio::{sync::mpsc, time::sleep};

use super::store::Store;
use crate::{api_error::ApiError, model::LEDGER_LABEL};

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause after a refusal, and so how often the ledger is read where it may not be watched.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);

/// What was seen of the ledger's ConfigMaps, with their resourceVersions.
pub(super) enum Seen {
    /// All there are.
    All(BTreeMap<String, Option<String>>),
    /// One was written.
    Written(String, Option<String>),
    /// One was deleted.
    Deleted(String),
    /// Watching fails: reading shows whether they are there.
    Unwatched,
}

/// Watches until `seen` is closed.
pub(super) async fn watch(store: &Store, seen: mpsc::Sender<Seen>) {
    let config = Config::default().labels(&format!("{LEDGER_LABEL}={}", store.label()));
    let mut stream = std::pin::pin!(watcher(store.metadata(), config));
    let mut all = BTreeMap::new();
    loop {
        let news = match stream.try_next().await {
            Ok(Some(Event::Init)) => {
                all.clear();
                continue;
            }
            Ok(Some(Event::InitApply(object))) => {
                all.insert(object.name_any(), object.resource_version());
                continue;
            }
            Ok(Some(Event::InitDone)) => Seen::All(std::mem::take(&mut all)),
            Ok(Some(Event::Apply(object))) => Seen::Written(object.name_any(), object.resource_version()),
            Ok(Some(Event::Delete(object))) => Seen::Deleted(object.name_any()),
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(err = %error, "The ledger's ConfigMaps cannot be watched");
                sleep(if is_refusal(&error) { REFUSED_PAUSE } else { PAUSE }).await;
                Seen::Unwatched
            }
        };
        if seen.send(news).await.is_err() {
            return;
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) => {
            ApiError::from_client(error).is_forbidden()
        }
        _ => false,
    }
}
