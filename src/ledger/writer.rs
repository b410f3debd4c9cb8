//! Writes the sources that are touched, while this replica leads.
//!
//! Input: touches of [`Ledger`](super::Ledger), the present [`SourceStatus`] of each. Output: stored chunks. I/O: reads
//! and writes.
//!
//! Each chunk is written and retried by itself: what the API server refuses to store of one holds up no other. A ledger
//! that grows is complete in its old chunks until its new ones are, and is written there meanwhile.

mod failures;
mod part;

use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    batch::Batch,
    breaks::Breaks,
    chunks::Chunks,
    clock::ServerClock,
    on_store::{OnStore, Place},
    store::{Format, Header, Stored, ToStore},
    watcher::{self, Seen},
};
use crate::{
    api_error::{ApiError, Class},
    index::SourceStatus,
    model::{SourceKey, UnixSeconds},
};
use failures::Failures;
pub(super) use part::Part;
use part::State;

/// How often one write is retried at once after a conflict.
const CONFLICTS: usize = 5;
/// Writes at the same time.
const WRITES: usize = 8;
/// Observations of the ledger's ConfigMaps that wait.
const OBSERVATIONS: usize = 64;

/// Writes the sources that are touched while this replica leads.
pub struct LedgerWriter {
    place: Place,
    chunks: Chunks,
    /// One for each chunk in force.
    parts: Vec<Part>,
    in_force: bool,
    growth: Option<Growth>,
    leftovers: Vec<(String, String)>,
    failures: Failures,
    /// The number of the last touch that is taken in; none has the first value.
    taken_in: u64,
    /// Everything before then is stored, by the API server's clock.
    complete: Option<UnixSeconds>,
    clock: ServerClock,
    /// A later version has taken the ledger over: it is left as it is.
    is_left_alone: bool,
}

/// Chunks of a larger layout, which count once all of them and then chunk 0 are written.
struct Growth {
    count: usize,
    /// By number, those that are new.
    parts: Vec<(usize, Part)>,
}

/// What is to be done next.
struct Turn {
    /// Everything that was touched.
    touched: Option<Batch>,
    /// The process ends: everything is tried once more.
    is_last: bool,
}

impl LedgerWriter {
    pub(super) fn new(place: Place, stored: OnStore) -> Self {
        let OnStore {
            chunks,
            parts,
            in_force,
            leftovers,
            complete,
        } = stored;
        Self {
            place,
            chunks,
            parts,
            in_force,
            growth: None,
            leftovers,
            failures: Failures::default(),
            taken_in: u64::MAX,
            complete,
            clock: ServerClock::default(),
            is_left_alone: false,
        }
    }

    /// Whether the ledger has a line for the source.
    pub fn knows(&self, source: &SourceKey) -> bool {
        self.chunks.contains(source)
    }

    /// Writes until the process ends. `status` gives the status of a source; `None`: no workload opted into it, and
    /// the ledger forgets it. `full` is told the first source of a namespace that takes more than it may.
    pub async fn run(self, status: impl Fn(&SourceKey) -> Option<SourceStatus>, full: impl Fn(&SourceKey)) {
        let (sender, seen) = mpsc::channel(OBSERVATIONS);
        let store = self.place.store.clone();
        self.place.ledger.shared.touched().has_writer = true;
        tokio::join!(self.write_all(seen, status, full), watcher::watch(&store, sender));
    }

    async fn write_all(
        mut self,
        mut seen: mpsc::Receiver<Seen>,
        status: impl Fn(&SourceKey) -> Option<SourceStatus>,
        full: impl Fn(&SourceKey),
    ) {
        let shared = Arc::clone(&self.place.ledger.shared);
        loop {
            let turn = self.wait(&mut seen).await;
            let mut number = None;
            if turn.touched.is_some() {
                self.learn_time().await;
            }
            if let Some(batch) = turn.touched {
                let mut news = Vec::with_capacity(batch.sources.len());
                let mut breaks = Breaks::new();
                for key in batch.sources {
                    let status = status(&key);
                    news.push((key, status));
                    breaks.take().await;
                }
                self.take_in(news, &full);
                if batch.is_restarted
                    && self.parts.iter().all(|part| part.state() == State::Written)
                    && let Some(first) = self.parts.first_mut()
                {
                    first.touch();
                }
                self.taken_in = batch.number;
                number = Some(batch.number);
            }
            if !self.is_left_alone {
                self.write_parts(turn.is_last).await;
            }
            // After a failure too: a task in `flush` waits for an attempt and must not wait out an outage.
            if let Some(number) = number {
                shared.written.send_replace(number);
            }
            if !self.is_left_alone {
                self.grow().await;
                self.empty_leftovers().await;
            }
            self.conclude();
        }
    }

    /// Writes the ledger as it is, without news: the answer tells the API server's time, and what comes then can say until when
    /// it has everything. A failure is met again by the next write.
    async fn learn_time(&mut self) {
        let first = &self.parts[0];
        let is_as_read = first.state() == State::Written || first.version().is_none();
        if self.clock.is_known() || self.is_left_alone || !is_as_read {
            return;
        }
        let write = self.write(0, self.chunks.count(), first.version(), self.complete);
        if let Ok(stored) = write.await {
            self.clock.note(stored.written_at);
            self.parts[0].outdated(stored.version);
        }
    }

    /// Waits until something is due; takes everything that was touched, if some of it is: one batch.
    async fn wait(&mut self, seen: &mut mpsc::Receiver<Seen>) -> Turn {
        let shared = Arc::clone(&self.place.ledger.shared);
        loop {
            let due = {
                let mut touched = shared.touched();
                let now = Instant::now();
                let is_due = touched.flush || touched.due().is_some_and(|due| due <= now);
                let retry = self.next_retry(now);
                if is_due || retry.is_some_and(|retry| retry <= now) {
                    return Turn {
                        is_last: touched.closing,
                        touched: is_due.then(|| touched.take()),
                    };
                }
                touched.due().into_iter().chain(retry).min()
            };
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = shared.news.notified() => {}
                Some(seen) = seen.recv() => self.note(seen),
            }
        }
    }

    /// When something is due that no touch asks for.
    fn next_retry(&self, now: Instant) -> Option<Instant> {
        if self.is_left_alone {
            return None;
        }
        let in_force = self.parts.iter().filter_map(|part| part.due(now));
        let growing = self.growth.iter().flat_map(|growth| &growth.parts);
        in_force
            .chain(growing.filter_map(|(_, part)| part.due(now)))
            .min()
    }

    fn take_in(&mut self, news: Vec<(SourceKey, Option<SourceStatus>)>, full: &impl Fn(&SourceKey)) {
        let changed = self.chunks.set(news);
        for place in &changed.places {
            let count = self.chunks.count();
            self.parts[place % count].touch();
            if let Some(growth) = &mut self.growth {
                let chunk = place % growth.count;
                for (_, part) in growth.parts.iter_mut().filter(|(number, _)| *number == chunk) {
                    part.touch();
                }
            }
        }
        for source in &changed.full {
            tracing::warn!(
                "The namespace {} has more opted-in sources than the ledger {} holds of one namespace; changes of the further \
                 ones while no replica runs are not noticed, the first of them is {} {}",
                source.namespace,
                self.place.store.name(),
                source.kind.type_name(),
                source.name,
            );
            full(source);
        }
        for source in changed.retry {
            self.place.ledger.touch(source);
        }
        let wanted = self.chunks.wanted_count();
        let planned = self
            .growth
            .as_ref()
            .map_or(self.chunks.count(), |growth| growth.count);
        if wanted > planned {
            let parts = (self.chunks.count()..wanted).map(|chunk| (chunk, Part::new()));
            self.growth = Some(Growth {
                count: wanted,
                parts: parts.collect(),
            });
        }
    }

    /// A user may have deleted or edited a ConfigMap.
    fn note(&mut self, seen: Seen) {
        let store = &self.place.store;
        match seen {
            Seen::All(objects) => {
                for (chunk, part) in self.parts.iter_mut().enumerate() {
                    match objects.get(&store.chunk_name(chunk)) {
                        Some(version) => part.seen(version.as_deref()),
                        None => part.gone(),
                    }
                }
            }
            Seen::Written(name, version) => {
                let chunk = store.chunk_number(&name);
                if let Some(part) = chunk.and_then(|chunk| self.parts.get_mut(chunk)) {
                    part.seen(version.as_deref());
                }
            }
            Seen::Deleted(name) => {
                let chunk = store.chunk_number(&name);
                if let Some(part) = chunk.and_then(|chunk| self.parts.get_mut(chunk)) {
                    part.gone();
                }
            }
            Seen::Unwatched => self.parts.iter_mut().for_each(Part::check_unless_due),
        }
    }

    /// Writes the chunks in force that are due; `all`: also those that failed a moment ago, and looks whether the others are
    /// still there.
    async fn write_parts(&mut self, all: bool) {
        let waits_for_growth = self.growth.as_ref().is_some_and(|growth| {
            let has_failed = growth.parts.iter().any(|(_, part)| part.has_failed());
            !self.in_force && !has_failed
        });
        if waits_for_growth {
            return;
        }
        let shared = Arc::clone(&self.place.ledger.shared);
        let now = Instant::now();
        if all {
            self.parts.iter_mut().for_each(Part::check_unless_due);
        }
        let is_due = |part: &Part| part.due(now).is_some_and(|due| all || due <= now);
        let mut due: Vec<usize> = (0..self.parts.len())
            .filter(|chunk| is_due(&self.parts[*chunk]))
            .collect();
        // It says that everything is there, so it follows the others.
        let mut last = (due.len() > 1).then(|| due.pop()).flatten();
        for attempt in 0..=CONFLICTS {
            let mut to_write = Vec::new();
            for chunk in due {
                if self.parts.get(chunk).map(Part::state) == Some(State::Unchecked)
                    && let Err(error) = self.look(chunk).await
                {
                    self.failed(chunk, &error);
                }
                // Following another writer's layout leaves fewer.
                let part = self.parts.get(chunk);
                to_write.extend(
                    part.filter(|part| part.state() == State::Unwritten)
                        .map(|_| chunk),
                );
            }
            let held = match to_write.as_slice() {
                [only] if self.may_claim(*only) => shared.hold_restarts(self.taken_in),
                _ => None,
            };
            let claimed = held.and_then(|until| self.clock.at(until));
            let complete = self.complete.max(claimed);
            let writes = to_write.into_iter().map(|chunk| {
                let write = self.write(chunk, self.chunks.count(), self.parts[chunk].version(), complete);
                async move { (chunk, write.await) }
            });
            let writes = stream::iter(writes.collect::<Vec<_>>());
            let results: Vec<_> = writes.buffer_unordered(WRITES).collect().await;
            let is_answered =
                |result: &Result<_, ApiError>| result.as_ref().map_or_else(ApiError::is_refusal, |_| true);
            // What was not answered may be stored at any time.
            if held.is_some() && results.iter().all(|(_, result)| is_answered(result)) {
                shared.release_restarts();
            }
            due = Vec::new();
            for (chunk, result) in results {
                match result {
                    Ok(stored) => {
                        self.in_force |= chunk == 0;
                        self.complete = self.complete.max(stored.complete);
                        self.stored(chunk, stored);
                        if held.is_none() && self.may_claim(chunk) && shared.is_taken_in(self.taken_in) {
                            // It could not say that it has everything, and does.
                            self.parts[chunk].touch();
                            due.push(chunk);
                        }
                    }
                    Err(error) if error.class == Class::Conflict && attempt < CONFLICTS => {
                        self.parts[chunk].check();
                        due.push(chunk);
                    }
                    Err(error) => self.failed(chunk, &error),
                }
            }
            if due.is_empty() {
                due.extend(last.take());
            }
            if due.is_empty() || self.is_left_alone {
                break;
            }
            // Chunk 0 first: it tells which others there are.
            due.sort_unstable();
        }
    }

    /// Whether a write of this chunk may say that everything is there once it is stored. Not before an answer has told the API
    /// server's time, and not while the chunk cannot be written: restarts would wait for each attempt.
    fn may_claim(&self, chunk: usize) -> bool {
        let has_failed = self.parts[chunk].has_failed();
        !has_failed && self.clock.is_known() && self.is_written_but(chunk)
    }

    /// Whether all chunks but that one are written.
    fn is_written_but(&self, chunk: usize) -> bool {
        let mut others = self.parts.iter().enumerate().filter(|(other, _)| *other != chunk);
        others.all(|(_, part)| part.state() == State::Written)
    }

    /// A write of this chunk of so many, which says until when the ledger is complete.
    fn write(
        &self,
        chunk: usize,
        count: usize,
        version: Option<String>,
        complete: Option<UnixSeconds>,
    ) -> impl Future<Output = Result<Stored, ApiError>> + use<> {
        let (text, _) = self.chunks.text(chunk, count);
        let key = self.chunks.cipher().stored();
        let to_store = ToStore {
            version,
            text,
            header: (chunk == 0).then_some(Header { key, count }),
            complete,
        };
        let (store, leadership) = (self.place.store.clone(), self.place.leadership.clone());
        async move {
            let name = store.chunk_name(chunk);
            let written = leadership.fence(store.write(&name, to_store)).await;
            written.unwrap_or_else(|| {
                Err(ApiError {
                    class: Class::Unavailable,
                    code: None,
                    message: "this replica no longer leads".to_owned(),
                })
            })
        }
    }

    /// Reads a chunk that another client may have written or deleted, and keeps what it wrote of other sources.
    async fn look(&mut self, chunk: usize) -> Result<(), ApiError> {
        let store = &self.place.store;
        let stored = store.read(&store.chunk_name(chunk)).await?;
        if stored.version.is_none() {
            self.parts[chunk].gone();
            return Ok(());
        }
        if self.parts[chunk].version() == stored.version {
            self.parts[chunk].looked_at();
            return Ok(());
        }
        let count = self.chunks.count();
        let own = Header {
            key: self.chunks.cipher().stored(),
            count,
        };
        match (chunk, &stored.format) {
            (0, Format::Later(format)) => {
                tracing::error!(
                    "The ledger {} is of format {format} now, which this version cannot read: it is left as it is, and \
                     changes made while no replica runs are not noticed. Run one version only",
                    store.name(),
                );
                self.is_left_alone = true;
                return Ok(());
            }
            (0, Format::Present(header)) if *header != own => {
                if let Some(chunks) = self.place.chunks_of(header) {
                    self.follow(chunks, stored);
                    return Ok(());
                }
            }
            _ => self.chunks.adopt(&stored.text, chunk),
        }
        let (text, _) = self.chunks.text(chunk, count);
        let is_complete = text == stored.text && (chunk > 0 || stored.format == Format::Present(own));
        if is_complete {
            self.parts[chunk].written(stored.version);
        } else {
            tracing::warn!(
                "The ledger {} was changed by another client; its other lines are kept. Two releases in one namespace need \
                 different names: RELOADER_DEPLOYMENT_NAME",
                store.name(),
            );
            self.parts[chunk].outdated(stored.version);
        }
        Ok(())
    }

    /// Another writer has chosen a key and a number of chunks: goes on with those.
    fn follow(&mut self, chunks: Chunks, first: Stored) {
        let before = std::mem::replace(&mut self.chunks, chunks);
        for source in before.ours() {
            self.place.ledger.touch_new(source.clone());
        }
        self.growth = None;
        self.in_force = true;
        self.parts = (0..self.chunks.count()).map(|_| Part::unread()).collect();
        self.chunks.adopt(&first.text, 0);
        self.parts[0].written(first.version);
    }

    /// Writes the chunks of a larger layout that are due, and when none is left, puts it in force.
    async fn grow(&mut self) {
        let Some(growth) = &self.growth else { return };
        let (count, now) = (growth.count, Instant::now());
        let due = growth
            .parts
            .iter()
            .filter(|(_, part)| part.due(now).is_some_and(|due| due <= now));
        let writes = due.take(WRITES).map(|(chunk, part)| {
            let (chunk, write) = (*chunk, self.write(*chunk, count, part.version(), self.complete));
            async move { (chunk, write.await) }
        });
        let results: Vec<_> = stream::iter(writes.collect::<Vec<_>>())
            .buffer_unordered(WRITES)
            .collect()
            .await;
        let mut failed = Vec::new();
        for (chunk, result) in results {
            let name = self.place.store.chunk_name(chunk);
            // What another client has there does not count.
            let version = match &result {
                Err(error) if error.class == Class::Conflict => self
                    .place
                    .store
                    .read(&name)
                    .await
                    .ok()
                    .map(|stored| stored.version),
                _ => None,
            };
            let Some(growth) = &mut self.growth else { return };
            let Some((_, part)) = growth.parts.iter_mut().find(|(number, _)| *number == chunk) else {
                continue;
            };
            match (result, version) {
                (Ok(stored), _) => part.written(stored.version),
                (Err(_), Some(version)) => part.outdated(version),
                (Err(error), None) => {
                    part.failed(&error);
                    failed.push((chunk, error));
                }
            }
        }
        for (chunk, error) in failed {
            self.failures.failed(chunk, &error);
        }
        let is_ready = |growth: &Growth| {
            growth
                .parts
                .iter()
                .all(|(_, part)| part.state() == State::Written)
        };
        if !self.growth.as_ref().is_some_and(is_ready) || self.parts[0].is_waiting() {
            return;
        }
        match self.write(0, count, self.parts[0].version(), self.complete).await {
            Ok(stored) => self.grown(count, stored),
            Err(error) if error.class == Class::Conflict => self.parts[0].check(),
            Err(error) => self.failed(0, &error),
        }
    }

    /// The larger layout is in force. The old chunks still have the lines that moved.
    fn grown(&mut self, count: usize, first: Stored) {
        self.chunks.spread(count);
        self.in_force = true;
        let new = self.growth.take().map(|growth| growth.parts).unwrap_or_default();
        for part in self.parts.iter_mut().skip(1) {
            part.touch();
        }
        self.stored(0, first);
        self.parts.extend(new.into_iter().map(|(_, part)| part));
        for chunk in 0..count {
            self.failures.succeeded(chunk);
        }
    }

    /// Their lines are in the present chunks now; left over they would show the digests that those hide.
    async fn empty_leftovers(&mut self) {
        if !self.in_force {
            return;
        }
        let store = self.place.store.clone();
        for (name, version) in std::mem::take(&mut self.leftovers) {
            let empty = ToStore {
                version: Some(version),
                text: String::new(),
                header: None,
                complete: None,
            };
            let _ = self.place.leadership.fence(store.write(&name, empty)).await;
        }
    }

    fn stored(&mut self, chunk: usize, stored: Stored) {
        self.clock.note(stored.written_at);
        self.parts[chunk].written(stored.version);
        self.failures.succeeded(chunk);
    }

    fn failed(&mut self, chunk: usize, error: &ApiError) {
        self.parts[chunk].failed(error);
        self.failures.failed(chunk, error);
    }

    /// After a turn: what users should know.
    fn conclude(&mut self) {
        let left_out = self.chunks.left_out();
        self.place.ledger.shared.set_left_out(left_out);
        self.failures.report(&self.place.store);
    }
}
