//! Reads the ledger of the leader before, once.
//!
//! Input: the stored chunks. Output: [`Loaded`], and the writer that goes on from there. I/O: reads.

use std::{collections::BTreeMap, time::Duration};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, sleep};

use super::{
    Ledger, Loaded,
    chunks::Chunks,
    cipher::Cipher,
    on_store::{OnStore, Place},
    store::{Format, Store, Stored, TIMEOUT},
    writer::{LedgerWriter, Part},
};
use crate::{
    api_error::{ApiError, Class},
    lease::Leadership,
    model::{UnixSeconds, WorkloadKind},
};

/// The pause between attempts to read.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a missing permission is not believed: an API server that has just started refuses every client until it
/// knows its roles, and roles are changed in several steps.
const NOT_BELIEVED: Duration = Duration::from_secs(30);
/// The pause between attempts once it is.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// The ledger's keeper, before it has read what is stored.
pub struct Keeper {
    place: Place,
}

/// Why the ledger was not read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{0}")]
    Api(#[from] ApiError),
    /// A later version wrote it.
    #[error(
        "it is of format {0}, which this version cannot read. Run the version that wrote it, or delete the ConfigMaps with its \
         label to begin again"
    )]
    LaterFormat(u32),
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
        let place = Place {
            ledger: ledger.clone(),
            store: Store::new(client, namespace, name),
            leadership,
            kinds,
        };
        (ledger, Self { place })
    }

    /// Reads the ledger; retries until it succeeds. `failing` is given the reason while it does not, and `None` when it has.
    ///
    /// The keeper comes back where no attempt will succeed before a user does something: a missing permission, a format
    /// of a later version.
    pub async fn load(self, failing: impl Fn(Option<&str>)) -> Result<(Loaded, LedgerWriter), Box<Self>> {
        let begun = Instant::now();
        let mut failed_before = false;
        loop {
            let unread = match self.try_load().await {
                Ok((loaded, stored)) => {
                    failing(None);
                    return Ok((loaded, LedgerWriter::new(self.place, stored)));
                }
                Err(unread) => unread,
            };
            failing(Some(&unread.to_string()));
            let error = match unread {
                Unread::LaterFormat(_) => {
                    tracing::error!(
                        "The ledger {} is left as it is: {unread}. Until then, changes made while no replica ran are not \
                         noticed, and nothing is written down",
                        self.place.store.name(),
                    );
                    return Err(Box::new(self));
                }
                Unread::Api(error) if error.is_missing_permission() && begun.elapsed() >= NOT_BELIEVED => {
                    tracing::error!(
                        "No permission to keep the ledger {}: {error}. Changes made while no replica runs are not noticed. \
                         Grant get, list, watch, create and update on configmaps in Reloader's own namespace",
                        self.place.store.name(),
                    );
                    return Err(Box::new(self));
                }
                Unread::Api(error) => error,
            };
            if !std::mem::replace(&mut failed_before, true) {
                tracing::warn!(
                    category = error.category(),
                    "The ledger could not be read, trying again; nothing is restarted until then: {error}"
                );
            }
            sleep(error.pause(PAUSE)).await;
        }
    }

    /// Reads the ledger as soon as that is possible after all.
    pub async fn load_late(self) -> (Loaded, LedgerWriter) {
        loop {
            if let Ok((loaded, stored)) = self.try_load().await {
                tracing::info!("The ledger {} is read now", self.place.store.name());
                return (loaded, LedgerWriter::new(self.place, stored));
            }
            sleep(REFUSED_PAUSE).await;
        }
    }

    async fn try_load(&self) -> Result<(Loaded, OnStore), Unread> {
        let listed = self.place.store.list().await?;
        // Gives each chunk once.
        let mut listed = listed.unwrap_or_default();
        let name = self.place.store.name().to_owned();
        let first = self.chunk(&mut listed, &name).await?;
        if first.version.is_none() {
            let stored = OnStore::new(self.new_chunks()?, vec![Part::default()]);
            return Ok((Loaded::First, stored));
        }
        match first.format.clone() {
            Format::Later(format) => Err(Unread::LaterFormat(format)),
            Format::First(count) => {
                let mut old = vec![first];
                let mut leftovers = Vec::new();
                for chunk in 1..count {
                    let name = self.place.store.first_format_name(count, chunk);
                    let stored = self.chunk(&mut listed, &name).await?;
                    leftovers.extend(stored.version.clone().map(|version| (name, version)));
                    old.push(stored);
                }
                Ok(self.convert(old, leftovers)?)
            }
            Format::Present(header) => match self.place.chunks_of(&header) {
                Some(chunks) => {
                    let mut all = vec![first];
                    for chunk in 1..header.count {
                        let name = self.place.store.chunk_name(chunk);
                        all.push(self.chunk(&mut listed, &name).await?);
                    }
                    Ok(self.take_in(chunks, all))
                }
                None => Ok(self.take_in(self.new_chunks()?, vec![first])),
            },
            Format::Garbled => Ok(self.take_in(self.new_chunks()?, vec![first])),
        }
    }

    /// As the list showed it; where it did not, as a read does.
    async fn chunk(&self, listed: &mut BTreeMap<String, Stored>, name: &str) -> Result<Stored, ApiError> {
        match listed.remove(name) {
            Some(stored) => Ok(stored),
            None => self.place.store.read(name).await,
        }
    }

    /// Reads chunks of the present format.
    fn take_in(&self, mut chunks: Chunks, stored: Vec<Stored>) -> (Loaded, OnStore) {
        let mut sources = Vec::new();
        let mut unreadable = 0;
        let mut parts = Vec::new();
        let (stored_at, complete) = times(&stored);
        for (chunk, stored) in stored.into_iter().enumerate() {
            let read = chunks.read(&stored.text, chunk, |key, status| sources.push((key, status)));
            unreadable += read.unreadable;
            let is_garbled = chunk == 0 && !is_of(&chunks, &stored.format);
            parts.push(Part::read(stored.version, read.outdated || is_garbled));
        }
        if unreadable > 0 {
            tracing::warn!(
                lines = unreadable,
                "The ledger {} holds lines that this version cannot read: a later one wrote them, or they were edited. They \
                 are kept, but the present content of their sources is taken as settled",
                self.place.store.name(),
            );
        }
        let loaded = Loaded::Known {
            sources,
            stored_at,
            complete_until: complete,
        };
        let mut stored = OnStore::new(chunks, parts);
        stored.complete = complete;
        stored.in_force = true;
        (loaded, stored)
    }

    /// Reads chunks of the first format, to be stored in the present one.
    fn convert(
        &self,
        old: Vec<Stored>,
        leftovers: Vec<(String, String)>,
    ) -> Result<(Loaded, OnStore), ApiError> {
        let mut chunks = self.new_chunks()?;
        let mut sources = Vec::new();
        // Version 0.1.0 did not note more.
        let (stored_at, _) = times(&old);
        let mut garbled = 0;
        for stored in &old {
            garbled += chunks.read_first_format(&stored.text, |key, status| sources.push((key, status)));
        }
        if garbled > 0 {
            tracing::warn!(
                lines = garbled,
                "The ledger {} holds lines that are not Reloader's; the present content of those sources is taken as \
                 settled. Do not edit it by hand",
                self.place.store.name(),
            );
        }
        let loaded = Loaded::Known {
            sources,
            stored_at,
            complete_until: stored_at,
        };
        let version = old.into_iter().next().and_then(|first| first.version);
        let mut stored = OnStore::new(chunks, vec![Part::read(version, true)]);
        stored.complete = stored_at;
        stored.leftovers = leftovers;
        Ok((loaded, stored))
    }

    fn new_chunks(&self) -> Result<Chunks, ApiError> {
        let mut key = [0; 32];
        let filled = SystemRandom::new().fill(&mut key);
        let cipher = filled
            .ok()
            .and_then(|()| Cipher::new(&key))
            .ok_or_else(|| ApiError {
                class: Class::Unavailable,
                code: None,
                message: "the system gives no random numbers".to_owned(),
            })?;
        Ok(Chunks::new(cipher, 1, self.place.kinds.clone()))
    }
}

/// Whether chunk 0 says what these chunks are.
fn is_of(chunks: &Chunks, format: &Format) -> bool {
    matches!(format, Format::Present(header) if header.key == chunks.cipher().stored() && header.count == chunks.count())
}

/// When the ledger was last written, and until when it certainly has everything. Where it does not say so, its first write
/// was not completed: that was begun at most one timeout earlier than it was stored.
fn times(stored: &[Stored]) -> (Option<UnixSeconds>, Option<UnixSeconds>) {
    let written_at = stored.iter().filter_map(|stored| stored.written_at).max();
    let complete = stored.iter().filter_map(|stored| stored.complete).max();
    let timeout = i64::try_from(TIMEOUT.as_secs()).unwrap_or(i64::MAX);
    let begun = written_at.map(|written_at| written_at.saturating_add(-timeout));
    (written_at, complete.or(begun))
}
