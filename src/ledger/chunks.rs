//! How the ledger is spread over ConfigMaps: one while it is small, a power of two of them as it grows.
//!
//! Input: [`SourceStatus`]s of sources. Output: the text of each chunk, and which lines changed. I/O: none.
//!
//! Chunk `i` of `n` has the lines whose place (a keyed hash: nobody can choose it) ends in the bits of `i`. A ledger that
//! grows writes the chunks that are new and then, chunk 0, which says how many count; lines that have moved stay behind
//! in the old chunks until those are written again, and are ignored there.
//!
//! One changed line rewrites its whole chunk, so there are more chunks before they exceed [`GOOD_SIZE`] on average, up to
//! [`MOST_CHUNKS`]. A ConfigMap may hold 1 MiB
//! ([limit](https://kubernetes.io/docs/concepts/configuration/configmap/#motivation)); of a chunk above
//! [`LARGEST_CHUNK`] the namespaces that take most of it lose lines. 100,000 sources with names of usual length are
//! about 13 MB.

mod shares;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{cipher::Cipher, first_format, line};
use crate::{
    index::SourceStatus,
    model::{SourceKey, WorkloadKind},
};
use shares::Shares;

/// Bytes that the text of a chunk has on average, at most, while there may be more chunks.
pub(super) const GOOD_SIZE: usize = 48 * 1024;
/// Maximum number of chunks.
pub(super) const MOST_CHUNKS: usize = 64;
/// Bytes of text that one ConfigMap is given at most.
pub(super) const LARGEST_CHUNK: usize = 900 * 1024;
/// Bytes of lines that are kept although this version cannot read them.
const MOST_UNREADABLE: usize = 256 * 1024;

/// The content of the ledger.
pub(super) struct Chunks {
    cipher: Cipher,
    /// The kinds of workloads that can owe a restart.
    kinds: Vec<WorkloadKind>,
    /// By chunk.
    lines: Vec<BTreeMap<LineKey, Line>>,
    shares: Shares,
    unreadable: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LineKey {
    Source(SourceKey),
    /// A line that is about no source this version knows of; the whole text.
    Unknown(String),
}

#[derive(Debug)]
struct Line {
    text: String,
    place: usize,
    origin: Origin,
}

/// Where a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Set by this process.
    Ours,
    /// As it was read, perhaps of another writer.
    Read,
    /// As it was read; this version does not know what it says.
    Unreadable,
}

/// The effect of news.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// The places of the lines that changed.
    pub(super) places: BTreeSet<usize>,
    /// A source for each namespace of which lines are left out from now on.
    pub(super) full: Vec<SourceKey>,
    /// Sources that were left out, and for which there may be room again.
    pub(super) retry: Vec<SourceKey>,
}

/// What reading a chunk led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadChunk {
    /// Lines that this version cannot read.
    pub(super) unreadable: usize,
    /// It holds lines that belong elsewhere or are not kept: it has to be written anew.
    pub(super) outdated: bool,
}

impl Chunks {
    /// An empty ledger of that many chunks.
    pub(super) fn new(cipher: Cipher, count: usize, kinds: Vec<WorkloadKind>) -> Self {
        let count = count.clamp(1, MOST_CHUNKS).next_power_of_two();
        Self {
            cipher,
            kinds,
            lines: (0..count).map(|_| BTreeMap::new()).collect(),
            shares: Shares::default(),
            unreadable: 0,
        }
    }

    pub(super) fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// How many chunks there should be: never fewer than there are.
    pub(super) fn wanted_count(&self) -> usize {
        let wanted = (self.shares.bytes() + self.unreadable).div_ceil(GOOD_SIZE);
        wanted.next_power_of_two().clamp(self.count(), MOST_CHUNKS)
    }

    /// The number of sources that are left out, because their namespace has too many.
    pub(super) fn left_out(&self) -> usize {
        self.shares.left_out()
    }

    /// Whether there is a line for the source which this version can read.
    pub(super) fn contains(&self, key: &SourceKey) -> bool {
        let line = self.lines[self.chunk_of(key)].get(&LineKey::Source(key.clone()));
        line.is_some_and(|line| line.origin != Origin::Unreadable)
    }

    /// The sources whose line this process has set.
    pub(super) fn ours(&self) -> impl Iterator<Item = &SourceKey> {
        self.lines.iter().flatten().filter_map(|(key, line)| match key {
            LineKey::Source(source) if line.origin == Origin::Ours => Some(source),
            _ => None,
        })
    }

    /// The text of one chunk of `count`, which may be more than there are: a line each source. And how many lines did
    /// not fit.
    pub(super) fn text(&self, chunk: usize, count: usize) -> (String, usize) {
        let lines = self.lines[chunk % self.count()].iter();
        let own = lines.filter(|(_, line)| line.place % count == chunk);
        let by_namespace = own.map(|(key, line)| {
            let namespace = match key {
                LineKey::Source(source) => &*source.namespace,
                LineKey::Unknown(_) => "",
            };
            (namespace, line.text.as_str())
        });
        shares::fit(&by_namespace.collect::<Vec<_>>(), LARGEST_CHUNK)
    }

    /// Sets the status of sources; `None` removes it.
    pub(super) fn set(
        &mut self,
        news: impl IntoIterator<Item = (SourceKey, Option<SourceStatus>)>,
    ) -> Changed {
        let mut changed = Changed::default();
        for (key, status) in news {
            let text = status.map(|status| line::line(&key, &status, &self.cipher));
            let place = self.place(&key);
            let before = self.lines[place % self.count()].get(&LineKey::Source(key.clone()));
            let counted = before.filter(|line| line.origin != Origin::Unreadable);
            let before = counted.map_or(0, |line| line.text.len() + 1);
            let wanted = text.as_ref().map_or(0, |text| text.len() + 1);
            let text = text.filter(|_| self.shares.admit(&key.namespace, before, wanted));
            if wanted > 0 && text.is_none() {
                changed
                    .full
                    .extend(self.shares.leave_out(&key).then(|| key.clone()));
            } else {
                changed.retry.extend(self.shares.take_back(&key, text.is_none()));
            }
            if self.put(LineKey::Source(key), place, text.map(|text| (text, Origin::Ours))) {
                changed.places.insert(place);
            }
        }
        changed
    }

    /// Takes in the stored text of a chunk. Lines that belong elsewhere were left behind when the ledger grew.
    pub(super) fn read(
        &mut self,
        stored: &str,
        chunk: usize,
        mut known: impl FnMut(SourceKey, SourceStatus),
    ) -> ReadChunk {
        let mut read = ReadChunk::default();
        for text in stored.lines() {
            let (key, place, status) = self.parse(text);
            if place % self.count() != chunk {
                read.outdated = true;
                continue;
            }
            let origin = if status.is_some() {
                Origin::Read
            } else {
                Origin::Unreadable
            };
            if origin == Origin::Unreadable {
                read.unreadable += 1;
                if self.unreadable + text.len() > MOST_UNREADABLE {
                    read.outdated = true;
                    continue;
                }
            }
            if let (LineKey::Source(source), Some(status)) = (&key, status) {
                known(source.clone(), status);
            }
            self.put(key, place, Some((text.to_owned(), origin)));
        }
        read
    }

    /// Takes in the stored text of a chunk of version 0.1.0. The lines are this process's: they have to be written anew.
    /// Returns how many are garbled; those are left out.
    pub(super) fn read_first_format(
        &mut self,
        stored: &str,
        mut known: impl FnMut(SourceKey, SourceStatus),
    ) -> usize {
        let mut garbled = 0;
        for text in stored.lines() {
            if let Some((key, status)) = first_format::parse(text, &self.kinds) {
                self.set([(key.clone(), Some(status.clone()))]);
                known(key, status);
            } else {
                garbled += 1;
            }
        }
        garbled
    }

    /// Takes over what another client stored in a chunk, but for the lines that this process has set: what it read of the
    /// others before is outdated.
    pub(super) fn adopt(&mut self, stored: &str, chunk: usize) {
        for text in stored.lines() {
            let (key, place, status) = self.parse(text);
            let before = self.lines[place % self.count()].get(&key);
            let is_ours = before.is_some_and(|line| line.origin == Origin::Ours);
            let fits = status.is_some() || self.unreadable + text.len() <= MOST_UNREADABLE;
            if place % self.count() == chunk && !is_ours && fits {
                let origin = if status.is_some() {
                    Origin::Read
                } else {
                    Origin::Unreadable
                };
                self.put(key, place, Some((text.to_owned(), origin)));
            }
        }
    }

    /// Spreads the lines over so many chunks.
    pub(super) fn spread(&mut self, count: usize) {
        let lines: Vec<_> = std::mem::take(&mut self.lines).into_iter().flatten().collect();
        self.lines = (0..count).map(|_| BTreeMap::new()).collect();
        for (key, line) in lines {
            self.lines[line.place % count].insert(key, line);
        }
    }

    fn parse(&self, text: &str) -> (LineKey, usize, Option<SourceStatus>) {
        match (line::parse(text, &self.kinds, &self.cipher), line::subject(text)) {
            (Some((key, status)), _) => {
                let place = self.place(&key);
                (LineKey::Source(key), place, Some(status))
            }
            (None, Some(key)) => {
                let place = self.place(&key);
                (LineKey::Source(key), place, None)
            }
            (None, None) => (LineKey::Unknown(text.to_owned()), self.cipher.place(text), None),
        }
    }

    /// Returns whether the text changed.
    fn put(&mut self, key: LineKey, place: usize, line: Option<(String, Origin)>) -> bool {
        let namespace = match &key {
            LineKey::Source(source) => Some(Arc::clone(&source.namespace)),
            LineKey::Unknown(_) => None,
        };
        let text = line.as_ref().map(|(text, _)| text.clone());
        let at = place % self.count();
        let before = match line {
            Some((text, origin)) => {
                self.count_line(namespace.as_ref(), origin, text.len() + 1, Count::More);
                self.lines[at].insert(key, Line { text, place, origin })
            }
            None => self.lines[at].remove(&key),
        };
        if let Some(before) = &before {
            self.count_line(
                namespace.as_ref(),
                before.origin,
                before.text.len() + 1,
                Count::Less,
            );
        }
        before.map(|line| line.text) != text
    }

    fn count_line(&mut self, namespace: Option<&Arc<str>>, origin: Origin, bytes: usize, count: Count) {
        match (namespace, origin, count) {
            (Some(namespace), Origin::Ours | Origin::Read, Count::More) => self.shares.add(namespace, bytes),
            (Some(namespace), Origin::Ours | Origin::Read, Count::Less) => {
                self.shares.remove(namespace, bytes);
            }
            (_, _, Count::More) => self.unreadable += bytes,
            (_, _, Count::Less) => self.unreadable -= bytes,
        }
    }

    fn place(&self, key: &SourceKey) -> usize {
        self.cipher.place(&line::head(key))
    }

    fn chunk_of(&self, key: &SourceKey) -> usize {
        self.place(key) % self.count()
    }
}

#[derive(Clone, Copy)]
enum Count {
    More,
    Less,
}

#[cfg(test)]
mod tests;
