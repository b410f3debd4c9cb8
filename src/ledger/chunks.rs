//! How the ledger is spread over ConfigMaps: one while it is small, a power of two of them as it grows.
//!
//! Input: [`SourceStatus`]s of sources. Output: the text of each chunk, and which chunks changed. I/O: none.
//!
//! A ConfigMap may hold 1 MiB ([limit](https://kubernetes.io/docs/concepts/configuration/configmap/#motivation)), and
//! one changed line rewrites the whole of it: chunks are split before [`LARGEST_CHUNK`]. 100,000 sources with names of
//! usual length are about 9 MB in 64 chunks, and the change of one source writes about 140 KB.

use std::collections::{BTreeMap, BTreeSet};

use super::text;
use crate::{
    index::SourceStatus,
    model::{SourceKey, WorkloadKind},
};

/// Bytes of text above which the number of chunks doubles.
pub(super) const LARGEST_CHUNK: usize = 256 * 1024;
/// Maximum number of chunks that are read; 4096 × 256 KiB is 1 GiB, more than etcd is run with.
pub(super) const MOST_CHUNKS: usize = 4096;

/// The content of the ledger.
#[derive(Debug)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    largest: usize,
}

#[derive(Debug, Default)]
struct Chunk {
    lines: BTreeMap<SourceKey, Line>,
    /// The sum of the lines and their ends.
    size: usize,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// Set by this process; otherwise as it was read, perhaps by another writer.
    ours: bool,
}

/// The effect of a change on the layout.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// The text of these chunks changed.
    Some(BTreeSet<usize>),
    /// The number of chunks has grown: all of them must be written.
    Layout,
}

impl Chunks {
    /// An empty ledger of that many chunks.
    pub(super) fn new(count: usize, largest: usize) -> Self {
        let count = count.clamp(1, MOST_CHUNKS).next_power_of_two();
        Self {
            chunks: (0..count).map(|_| Chunk::default()).collect(),
            largest,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.chunks.len()
    }

    /// The number of sources.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.lines.len()).sum()
    }

    pub(super) fn contains(&self, key: &SourceKey) -> bool {
        self.chunks[self.chunk_of(key)].lines.contains_key(key)
    }

    /// The text of one chunk, a line each source.
    pub(super) fn text(&self, chunk: usize) -> String {
        let mut text = String::with_capacity(self.chunks[chunk].size);
        for line in self.chunks[chunk].lines.values() {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }

    /// Sets the status of sources; `None` removes it.
    pub(super) fn set(
        &mut self,
        news: impl IntoIterator<Item = (SourceKey, Option<SourceStatus>)>,
    ) -> Changed {
        let mut changed = BTreeSet::new();
        for (key, status) in news {
            let chunk = self.chunk_of(&key);
            let line = status.map(|status| Line {
                text: text::line(&key, &status),
                ours: true,
            });
            if self.chunks[chunk].set(key, line) {
                changed.insert(chunk);
            }
        }
        let mut grown = false;
        while self.chunks.len() < MOST_CHUNKS && self.chunks.iter().any(|chunk| chunk.size > self.largest) {
            self.double();
            grown = true;
        }
        if grown {
            Changed::Layout
        } else {
            Changed::Some(changed)
        }
    }

    /// Parses stored text; lines that cannot be parsed are left out and counted.
    pub(super) fn read(
        &mut self,
        stored: &str,
        kinds: &[WorkloadKind],
        mut known: impl FnMut(SourceKey, SourceStatus),
    ) -> usize {
        let mut garbled = 0;
        for line in stored.lines() {
            if let Some((key, status)) = text::parse(line, kinds) {
                let chunk = self.chunk_of(&key);
                self.chunks[chunk].set(key.clone(), Some(Line::read(line)));
                known(key, status);
            } else {
                garbled += 1;
            }
        }
        garbled
    }

    /// Takes over what another client stored, but for the lines that this process has set: what it read of the others
    /// before is outdated.
    pub(super) fn adopt(&mut self, stored: &str) {
        for line in stored.lines() {
            let Some((key, _)) = text::parse(line, &[]) else {
                continue;
            };
            let chunk = self.chunk_of(&key);
            let ours = self.chunks[chunk].lines.get(&key).is_some_and(|line| line.ours);
            if !ours {
                self.chunks[chunk].set(key, Some(Line::read(line)));
            }
        }
    }

    fn double(&mut self) {
        let lines = self
            .chunks
            .iter_mut()
            .flat_map(|chunk| std::mem::take(&mut chunk.lines))
            .collect::<Vec<_>>();
        self.chunks = (0..self.chunks.len() * 2).map(|_| Chunk::default()).collect();
        for (key, line) in lines {
            let chunk = self.chunk_of(&key);
            self.chunks[chunk].set(key, Some(line));
        }
    }

    fn chunk_of(&self, key: &SourceKey) -> usize {
        // The count is at most 4096, so the low bits of the hash are all that matters.
        usize::try_from(fnv1a(key) & 0xffff).unwrap_or(0) % self.chunks.len()
    }
}

impl Line {
    fn read(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ours: false,
        }
    }
}

impl Chunk {
    /// Returns whether the text changed.
    fn set(&mut self, key: SourceKey, line: Option<Line>) -> bool {
        let size = |line: &Option<Line>| line.as_ref().map_or(0, |line| line.text.len() + 1);
        let text = line.as_ref().map(|line| line.text.clone());
        self.size += size(&line);
        let before = match line {
            Some(line) => self.lines.insert(key, line),
            None => self.lines.remove(&key),
        };
        self.size -= size(&before);
        before.map(|line| line.text) != text
    }
}

/// 64-bit FNV-1a: the same in every version and process, unlike the standard library's hash.
fn fnv1a(key: &SourceKey) -> u64 {
    let bytes = key
        .kind
        .resource()
        .bytes()
        .chain([0])
        .chain(key.namespace.bytes())
        .chain([0])
        .chain(key.name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        index::SourceState,
        model::{Digest, SourceKind},
    };

    fn key(number: usize) -> SourceKey {
        SourceKey::new(SourceKind::ConfigMap, "team", format!("settings-{number}"))
    }

    fn status(byte: u8) -> SourceStatus {
        SourceStatus {
            state: SourceState::Present(Digest::from_bytes([byte; 20])),
            owed: Vec::new(),
        }
    }

    #[test]
    fn a_small_ledger_is_one_chunk_and_only_changes_are_written() {
        let mut chunks = Chunks::new(1, LARGEST_CHUNK);
        assert_eq!(chunks.set([(key(1), Some(status(1)))]), Changed::Some([0].into()));
        assert_eq!(
            chunks.set([(key(1), Some(status(1)))]),
            Changed::Some(BTreeSet::new())
        );
        assert_eq!(chunks.set([(key(1), None)]), Changed::Some([0].into()));
        assert_eq!(chunks.text(0), "");
    }

    #[test]
    fn it_splits_before_a_chunk_is_too_large_and_loses_nothing() {
        let mut chunks = Chunks::new(1, 4096);
        let grown = chunks.set((0..1000).map(|number| (key(number), Some(status(7)))));
        assert_eq!(grown, Changed::Layout);
        assert!((0..chunks.count()).all(|chunk| chunks.text(chunk).len() <= 4096));
        let mut read = Chunks::new(chunks.count(), 4096);
        let mut seen = 0;
        for chunk in 0..chunks.count() {
            assert_eq!(read.read(&chunks.text(chunk), &[], |_, _| seen += 1), 0);
        }
        assert_eq!((seen, read.len()), (1000, 1000));
        assert!((0..chunks.count()).all(|chunk| read.text(chunk) == chunks.text(chunk)));
    }

    #[test]
    fn a_hundred_thousand_sources_stay_far_below_the_limit_of_a_config_map() {
        let mut chunks = Chunks::new(1, LARGEST_CHUNK);
        chunks.set((0..100_000).map(|number| (key(number), Some(status(7)))));
        let sizes: Vec<usize> = (0..chunks.count())
            .map(|chunk| chunks.text(chunk).len())
            .collect();
        assert!(sizes.iter().all(|size| *size <= LARGEST_CHUNK), "{sizes:?}");
        assert_eq!(
            chunks.set([(key(5), Some(status(8)))]),
            Changed::Some([chunks.chunk_of(&key(5))].into())
        );
    }

    #[test]
    fn garbled_lines_are_counted_and_left_out() {
        let mut chunks = Chunks::new(1, LARGEST_CHUNK);
        let text = format!("{}\nnonsense\n", text::line(&key(1), &status(1)));
        assert_eq!(chunks.read(&text, &[], |_, _| {}), 1);
        assert_eq!(chunks.len(), 1);
    }

    /// A ledger that a user edited, or a disk that lost a bit: each line stands for itself.
    #[test]
    fn a_garbled_byte_costs_its_own_line_at_most() {
        let lines: Vec<String> = (1..=3)
            .map(|number| format!("{}\n", text::line(&key(number), &status(7))))
            .collect();
        let stored = lines.concat();
        for (at, byte) in
            (0..stored.len()).flat_map(|at| [0, b'\n', b' ', b'/', b'=', b'0', 0xff].map(|byte| (at, byte)))
        {
            let mut garbled = stored.clone().into_bytes();
            garbled[at] = byte;
            let garbled = String::from_utf8_lossy(&garbled);
            let mut chunks = Chunks::new(1, LARGEST_CHUNK);
            let mut known = BTreeMap::new();
            chunks.read(&garbled, &[], |key, status| _ = known.insert(key, status));
            chunks.adopt(&garbled);

            let hit = stored[..at].matches('\n').count();
            // Where a line's end is gone, the next line is part of it.
            let next = usize::from(stored.as_bytes()[at] == b'\n' && byte != b'\n');
            for number in (0..3).filter(|number| !(hit..=hit + next).contains(number)) {
                assert_eq!(known.get(&key(number + 1)), Some(&status(7)), "{garbled}");
            }
            let kept = chunks.text(0);
            assert!(kept.len() <= garbled.len(), "{garbled}");
            assert_eq!(
                Chunks::new(1, LARGEST_CHUNK).read(&kept, &[], |_, _| {}),
                0,
                "{garbled}"
            );
        }
    }

    proptest! {
        /// Text of any form is read into no more than it is, and what is kept of it is read back whole.
        #[test]
        fn no_stored_text_makes_it_panic_or_grow(
            pieces in prop::collection::vec(prop_oneof![
                "\\PC{0,40}",
                "(configmap|secret|secretproviderclass|pod) [a-z ]{0,9} [a-z]{0,9} [0-9a-f]{39,41}",
                " (deployment|daemonset|job)/[a-z=/ ]{0,9}",
                Just("dc30e0faa89a70dec1033016a2309bbeb9efcbd0".to_owned()),
                Just("\n".to_owned()),
                Just("\r\n".to_owned()),
            ], 0..20),
            count in any::<usize>(),
        ) {
            let stored = pieces.concat();
            let mut chunks = Chunks::new(count, 64);
            prop_assert!((1..=MOST_CHUNKS).contains(&chunks.count()));
            let mut known = 0;
            chunks.read(&stored, &[], |_, _| known += 1);
            chunks.adopt(&stored);
            prop_assert!(chunks.len() <= known);
            let kept: String = (0..chunks.count()).map(|chunk| chunks.text(chunk)).collect();
            prop_assert!(kept.len() <= stored.len() + 1);
            let mut again = Chunks::new(1, LARGEST_CHUNK);
            prop_assert_eq!(again.read(&kept, &[], |_, _| {}), 0);
            prop_assert_eq!(again.len(), chunks.len());
        }
    }

    #[test]
    fn what_another_writer_stored_is_kept_and_wins_only_over_what_was_read() {
        let mut chunks = Chunks::new(1, LARGEST_CHUNK);
        let line = |number, byte| format!("{}\n", text::line(&key(number), &status(byte)));
        chunks.read(&(line(2, 2) + &line(3, 3)), &[], |_, _| {});
        chunks.set([(key(1), Some(status(1))), (key(3), Some(status(4)))]);
        chunks.adopt(&(line(1, 9) + &line(2, 9) + &line(3, 9) + &line(5, 9)));
        assert_eq!(
            chunks.text(0),
            line(1, 1) + &line(2, 9) + &line(3, 4) + &line(5, 9)
        );
    }
}
