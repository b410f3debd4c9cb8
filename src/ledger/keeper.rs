//! Reads the ledger once, then writes the sources that are touched.
//!
//! Input: touches of [`Ledger`], the present [`SourceStatus`] of each. Output: stored chunks. I/O: reads and writes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Ledger, Loaded,
    chunks::{Changed, Chunks, LARGEST_CHUNK},
    store::Store,
};
use crate::{
    api_error::{ApiError, Class},
    index::SourceStatus,
    lease::Leadership,
    model::{SourceKey, WorkloadKind},
};

/// The pause after a failed write, and between attempts to read.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause after a refusal (403): a user has to change a role first, and expects it to work within a minute.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// How often a refused read or write is retried before the refusal is believed: an API server that has just started refuses every client until it knows its
/// roles.
const REFUSALS: u32 = 3;
/// How often one write is retried after a conflict.
const CONFLICTS: usize = 5;

/// The ledger's keeper, before it has read what is stored.
pub struct Keeper {
    ledger: Ledger,
    store: Store,
    leadership: Leadership,
    /// The kinds of workloads that can owe a restart.
    kinds: Vec<WorkloadKind>,
}

impl Keeper {
    /// The keeper of the ledger `namespace`/`name` for these kinds of workloads, and the handle through which changes
    /// reach it.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        name: &str,
        leadership: Leadership,
        kinds: Vec<WorkloadKind>,
    ) -> (Ledger, Self) {
        let ledger = Ledger::new();
        let store = Store::new(client, namespace, name);
        (
            ledger.clone(),
            Self {
                ledger,
                store,
                leadership,
                kinds,
            },
        )
    }

    /// Reads the ledger; retries until it succeeds or is not permitted.
    pub async fn load(self) -> (Loaded, LedgerWriter) {
        let mut failed_before = false;
        let mut refusals = 0;
        loop {
            match self.try_load().await {
                Ok((loaded, chunks, versions)) => return (loaded, LedgerWriter::new(self, chunks, versions)),
                Err(error) if error.is_forbidden() && refusals < REFUSALS => {
                    refusals += 1;
                    sleep(PAUSE).await;
                }
                Err(error) if error.is_forbidden() => {
                    let mut writer = LedgerWriter::new(self, Chunks::new(1, LARGEST_CHUNK), vec![None]);
                    writer.note_failure(&error);
                    writer.refusals = REFUSALS;
                    return (Loaded::Refused, writer);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed_before, true) {
                        tracing::warn!(
                            category = error.category(),
                            "The ledger could not be read, trying again: {error}"
                        );
                    }
                    sleep(error.pause(PAUSE)).await;
                }
            }
        }
    }

    async fn try_load(&self) -> Result<(Loaded, Chunks, Vec<Option<String>>), ApiError> {
        let first = self.store.read(1, 0).await?;
        if first.version.is_none() {
            return Ok((Loaded::First, Chunks::new(1, LARGEST_CHUNK), vec![None]));
        }
        let mut chunks = Chunks::new(first.count, LARGEST_CHUNK);
        let mut versions = vec![first.version];
        let mut written_at = first.written_at;
        let mut known = Vec::new();
        let mut garbled = chunks.read(&first.text, &self.kinds, |key, status| {
            known.push((key, status));
        });
        for chunk in 1..chunks.count() {
            let stored = self.store.read(chunks.count(), chunk).await?;
            garbled += chunks.read(&stored.text, &self.kinds, |key, status| {
                known.push((key, status));
            });
            versions.push(stored.version);
            written_at = written_at.max(stored.written_at);
        }
        if garbled > 0 {
            tracing::warn!(
                lines = garbled,
                "The ledger {} holds lines that are not Reloader's; the present content of those sources is taken \
                 as settled. Do not edit it by hand",
                self.store.name(),
            );
        }
        let loaded = Loaded::Known {
            sources: known,
            written_at,
        };
        Ok((loaded, chunks, versions))
    }
}

/// What to do with lines that another client wrote into a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnConflict {
    /// Merge them: the chunk is part of the ledger that is in force.
    KeepLines,
    /// Replace them: the chunk counts only once the new layout is complete.
    Replace,
}

/// Writes the sources that are touched while this replica leads.
pub struct LedgerWriter {
    keeper: Keeper,
    chunks: Chunks,
    /// The resourceVersion of each chunk; `None` where there is no object yet.
    versions: Vec<Option<String>>,
    /// Chunks whose stored text is outdated.
    unwritten: BTreeSet<usize>,
    /// The stored layout has fewer chunks: these are its versions.
    old_layout: Option<Vec<Option<String>>>,
    /// When a failed write is retried.
    retry_at: Option<Instant>,
    /// Category of the last failure, so that each is logged once.
    failing: Option<&'static str>,
    /// How often writing was refused in a row.
    refusals: u32,
}

impl LedgerWriter {
    fn new(keeper: Keeper, chunks: Chunks, versions: Vec<Option<String>>) -> Self {
        let unwritten = BTreeSet::new();
        Self {
            keeper,
            chunks,
            versions,
            unwritten,
            old_layout: None,
            retry_at: None,
            failing: None,
            refusals: 0,
        }
    }

    /// Whether the ledger has a line for the source.
    pub fn knows(&self, source: &SourceKey) -> bool {
        self.chunks.contains(source)
    }

    /// Writes until the process ends. `status` gives the status of a source; `None`: no workload opted into it, and
    /// the ledger forgets it.
    pub async fn run(mut self, status: impl Fn(&SourceKey) -> Option<SourceStatus>) {
        let shared = Arc::clone(&self.keeper.ledger.shared);
        loop {
            let (number, touched) = self.wait().await;
            let news = touched.into_iter().map(|key| {
                let status = status(&key);
                (key, status)
            });
            match self.chunks.set(news) {
                Changed::Some(chunks) => self.unwritten.extend(chunks),
                Changed::Layout => self.grow(),
            }
            match self.write().await {
                Ok(()) => {
                    self.retry_at = None;
                    self.refusals = 0;
                    if self.failing.take().is_some() {
                        tracing::info!("The ledger {} is written again", self.keeper.store.name());
                    }
                }
                Err(error) => {
                    self.refusals = if error.is_forbidden() {
                        self.refusals + 1
                    } else {
                        0
                    };
                    let is_believed = self.refusals > REFUSALS;
                    if is_believed || !error.is_forbidden() {
                        self.note_failure(&error);
                    }
                    let pause = if is_believed { REFUSED_PAUSE } else { PAUSE };
                    self.retry_at = Some(Instant::now() + error.pause(pause));
                }
            }
            // After a failure too: a task in `flush` waits for an attempt and must not wait out an outage.
            shared.written.send_replace(number);
        }
    }

    /// Waits until something is due, and takes everything that was touched: one batch.
    async fn wait(&self) -> (u64, Vec<SourceKey>) {
        let shared = &self.keeper.ledger.shared;
        loop {
            let due = {
                let mut touched = shared.touched();
                let retry = self
                    .retry_at
                    .filter(|_| !self.unwritten.is_empty() || self.old_layout.is_some());
                let due = touched.sources.values().min().copied();
                let due = match (due, retry) {
                    // While writing fails, new touches wait for the next attempt.
                    (_, Some(retry)) => Some(retry),
                    (due, None) => due,
                };
                if touched.flush || due.is_some_and(|due| due <= Instant::now()) {
                    touched.flush = false;
                    return (
                        touched.number,
                        touched.sources.drain().map(|(key, _)| key).collect(),
                    );
                }
                due
            };
            match due {
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = shared.news.notified() => {}
                },
                None => shared.news.notified().await,
            }
        }
    }

    /// Switches to more chunks; the stored ones stay valid until the new ones are complete.
    fn grow(&mut self) {
        let fresh = vec![None; self.chunks.count()];
        let old = std::mem::replace(&mut self.versions, fresh);
        self.versions[0].clone_from(&old[0]);
        self.old_layout.get_or_insert(old);
        self.unwritten = (0..self.chunks.count()).collect();
    }

    async fn write(&mut self) -> Result<(), ApiError> {
        let growing = self.old_layout.is_some();
        // Chunk 0 last: it holds the number of chunks in force.
        while let Some(chunk) = self.unwritten.last().copied() {
            let on_conflict = if growing && chunk > 0 {
                OnConflict::Replace
            } else {
                OnConflict::KeepLines
            };
            self.write_chunk(chunk, on_conflict).await?;
            self.unwritten.remove(&chunk);
        }
        let Some(old) = self.old_layout.take() else {
            return Ok(());
        };
        for (chunk, version) in old.iter().enumerate().skip(1) {
            // Their lines are in other chunks now; left over they would only take up space.
            let _ = self
                .keeper
                .store
                .write(old.len(), chunk, version.as_deref(), String::new())
                .await;
        }
        Ok(())
    }

    async fn write_chunk(&mut self, chunk: usize, on_conflict: OnConflict) -> Result<(), ApiError> {
        let store = self.keeper.store.clone();
        let count = self.chunks.count();
        let mut attempt = 0;
        loop {
            let (version, text) = (self.versions[chunk].as_deref(), self.chunks.text(chunk));
            let write = store.write(count, chunk, version, text);
            let Some(written) = self.keeper.leadership.fence(write).await else {
                let message = "this replica no longer leads".to_owned();
                return Err(ApiError {
                    class: Class::Unavailable,
                    code: None,
                    message,
                });
            };
            match written {
                Ok(version) => {
                    self.versions[chunk] = version;
                    return Ok(());
                }
                Err(error) if error.class == Class::Conflict && attempt < CONFLICTS => {
                    attempt += 1;
                    let stored = store.read(count, chunk).await?;
                    if on_conflict == OnConflict::KeepLines && stored.version.is_some() {
                        tracing::warn!(
                            "The ledger {} was changed by another client; its other lines are kept. Two releases in \
                             one namespace need different names: RELOADER_DEPLOYMENT_NAME",
                            store.name(),
                        );
                        self.chunks.adopt(&stored.text);
                    }
                    self.versions[chunk] = stored.version;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn note_failure(&mut self, error: &ApiError) {
        if self.failing.replace(error.category()) == Some(error.category()) {
            return;
        }
        let text = failure_text(self.keeper.store.name(), error);
        if error.is_forbidden() {
            tracing::error!("{text}");
        } else {
            tracing::warn!(category = error.category(), "{text}");
        }
    }
}

/// Only a missing permission is advised upon: a quota or an admission policy refuses with 403 as well, and says why.
fn failure_text(name: &str, error: &ApiError) -> String {
    const EFFECT: &str = "Changes made while no replica runs are not noticed";
    if error.is_missing_permission() {
        format!(
            "No permission to keep the ledger {name}: {error}. {EFFECT}. Grant get, create and update on configmaps in \
             Reloader's own namespace"
        )
    } else if error.is_forbidden() {
        format!("The API server refuses to store the ledger {name}, trying again: {error}. {EFFECT}")
    } else {
        format!("The ledger {name} could not be written, trying again: {error}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::permission(
        403,
        "configmaps \"ledger\" is forbidden: User \"a\" cannot create resource \"configmaps\" in API group \"\" in the \
         namespace \"b\"",
        true
    )]
    #[case::quota(
        403,
        "configmaps \"ledger\" is forbidden: exceeded quota: few, requested: count/configmaps=1, used: \
         count/configmaps=1, limited: count/configmaps=1",
        false
    )]
    #[case::policy(403, "admission webhook \"policy\" denied the request: no", false)]
    #[case::unavailable(503, "etcd is down", false)]
    fn only_a_missing_permission_is_advised_upon(
        #[case] code: u16,
        #[case] message: &str,
        #[case] advised: bool,
    ) {
        let status = kube::core::Status::failure(message, "Forbidden").with_code(code);
        let text = failure_text("ledger", &ApiError::from_status(&status));
        assert!(text.contains(message), "{text}");
        assert_eq!(text.contains("Grant"), advised, "{text}");
        assert_eq!(text.contains("are not noticed"), code == 403, "{text}");
    }
}
