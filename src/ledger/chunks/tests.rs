use proptest::prelude::*;

use super::*;
use crate::{
    index::{OwedBy, SourceState},
    model::{Content, Digest, SourceKind},
};

/// As version 0.1.0 wrote them, for two ConfigMaps.
const VERSION_0_1_0: [&str; 2] = [
    include_str!("../testdata/version-0.1.0-chunk-0.txt"),
    include_str!("../testdata/version-0.1.0-chunk-1.txt"),
];

fn cipher() -> Cipher {
    Cipher::new(&[1; 32]).unwrap()
}

fn empty(count: usize) -> Chunks {
    Chunks::new(cipher(), count, Vec::new())
}

fn key(number: usize) -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", format!("settings-{number}"))
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 20])
}

fn status(byte: u8) -> SourceStatus {
    SourceStatus {
        state: SourceState::Present(digest(byte)),
        owed: Vec::new(),
    }
}

fn line(number: usize, byte: u8) -> String {
    format!("{}\n", line::line(&key(number), &status(byte), &cipher()))
}

fn text(chunks: &Chunks, chunk: usize) -> String {
    chunks.text(chunk, chunks.count()).0
}

fn len(chunks: &Chunks) -> usize {
    chunks.lines.iter().map(BTreeMap::len).sum()
}

#[test]
fn only_changes_are_written() {
    let mut chunks = empty(1);
    let changed = |chunks: &mut Chunks, status| chunks.set([(key(1), status)]).places.len();
    assert_eq!(changed(&mut chunks, Some(status(1))), 1);
    assert_eq!(changed(&mut chunks, Some(status(1))), 0);
    assert_eq!(changed(&mut chunks, None), 1);
    assert_eq!(text(&chunks, 0), "");
}

#[test]
fn it_grows_while_its_chunks_are_large_and_loses_nothing() {
    let mut chunks = empty(1);
    chunks.set((0..5000).map(|number| (key(number), Some(status(7)))));
    let count = chunks.wanted_count();
    assert!(count > 4, "{count}");
    let before: Vec<_> = (0..count).map(|chunk| chunks.text(chunk, count).0).collect();
    chunks.spread(count);
    let after: Vec<_> = (0..count).map(|chunk| text(&chunks, chunk)).collect();
    assert_eq!(before, after, "what is written beforehand is what counts then");
    assert!(after.iter().all(|text| text.len() < 2 * GOOD_SIZE));
    assert_eq!(chunks.wanted_count(), count);

    let mut read = empty(count);
    let mut seen = 0;
    for (chunk, text) in after.iter().enumerate() {
        assert_eq!(read.read(text, chunk, |_, _| seen += 1), ReadChunk::default());
    }
    assert_eq!((seen, len(&read)), (5000, 5000));
    assert!((0..count).all(|chunk| text(&read, chunk) == text(&chunks, chunk)));
}

/// A leader that dies while the ledger grows leaves lines where they were before.
#[test]
fn lines_that_moved_when_it_grew_are_ignored_where_they_were() {
    let mut old = empty(1);
    old.set((0..100).map(|number| (key(number), Some(status(1)))));
    let stale = text(&old, 0);
    old.set((0..100).map(|number| (key(number), Some(status(2)))));
    old.spread(2);
    let mut read = empty(2);
    let mut known = BTreeMap::new();
    let stored = [stale, text(&old, 1)];
    let outdated = stored.iter().enumerate().map(|(chunk, text)| {
        let read = read.read(text, chunk, |key, status| {
            assert!(known.insert(key, status).is_none());
        });
        read.outdated
    });
    assert_eq!(outdated.collect::<Vec<_>>(), [true, false]);
    assert_eq!(known.len(), 100);
}

/// However they are named: 4 MiB of one namespace and 100,000 sources of others.
#[test]
fn there_are_never_more_chunks_than_64_nor_larger_ones_than_a_config_map_holds() {
    let mut chunks = empty(1);
    let name = |number: usize| format!("{number:0>253}");
    let hostile = |number| SourceKey::new(SourceKind::ConfigMap, "hostile", name(number));
    let changed = chunks.set((0..15_000).map(|number| (hostile(number), Some(status(7)))));
    assert_eq!(changed.full.len(), 1, "it is said once");
    let left_out = chunks.left_out();
    assert!(left_out > 0);
    chunks.set((0..100_000).map(|number| (key(number % 15_000), Some(status(7)))));
    for team in 0..6 {
        let of = |number| {
            SourceKey::new(
                SourceKind::Secret,
                format!("team-{team}"),
                format!("secret-{number}"),
            )
        };
        chunks.set((0..15_000).map(|number| (of(number), Some(status(7)))));
    }
    assert_eq!(chunks.left_out(), left_out, "nobody else notices");
    assert_eq!(chunks.wanted_count(), MOST_CHUNKS);
    chunks.spread(MOST_CHUNKS);
    let sizes: Vec<usize> = (0..MOST_CHUNKS).map(|chunk| text(&chunks, chunk).len()).collect();
    assert!(sizes.iter().all(|size| *size < LARGEST_CHUNK / 2), "{sizes:?}");
    // Room in the namespace is for those that had none.
    let changed = chunks.set([(hostile(0), None)]);
    assert_eq!(changed.retry.len(), left_out);
}

#[test]
fn lines_of_a_later_version_are_kept_as_they_are() {
    let later = "widget team app sealed/and=more\nconfigmap team later a b c\n";
    let mut chunks = empty(1);
    let read = chunks.read(&(line(1, 1) + later), 0, |_, _| {});
    assert_eq!(
        read,
        ReadChunk {
            unreadable: 2,
            outdated: false
        }
    );
    chunks.set([(key(1), Some(status(2)))]);
    assert_eq!(
        text(&chunks, 0),
        format!(
            "configmap team later a b c\n{}widget team app sealed/and=more\n",
            line(1, 2)
        )
    );
    chunks.spread(8);
    let all: String = (0..8).map(|chunk| text(&chunks, chunk)).collect();
    assert!(later.lines().all(|line| all.contains(line)), "{all}");

    // What this version writes down of a source replaces what it could not read of it.
    let source = SourceKey::new(SourceKind::ConfigMap, "team", "later");
    assert!(!chunks.contains(&source));
    chunks.set([(source.clone(), Some(status(3)))]);
    let all: String = (0..8).map(|chunk| text(&chunks, chunk)).collect();
    assert!(chunks.contains(&source) && !all.contains("a b c"), "{all}");
}

#[test]
fn no_more_than_so_much_is_kept_unread() {
    let lines: Vec<String> = (0..10_000).map(|number| format!("{number:0>63}\n")).collect();
    let garbage = lines.concat();
    let mut chunks = empty(1);
    let read = chunks.read(&garbage, 0, |_, _| {});
    assert_eq!(
        read,
        ReadChunk {
            unreadable: 10_000,
            outdated: true
        }
    );
    assert!(text(&chunks, 0).len() <= MOST_UNREADABLE);
    chunks.adopt(&garbage.replace('0', "x"), 0);
    assert!(text(&chunks, 0).len() <= MOST_UNREADABLE);
}

#[test]
fn the_ledger_of_version_0_1_0_is_read_and_written_anew() {
    let mut chunks = empty(1);
    let mut known = BTreeMap::new();
    for text in VERSION_0_1_0 {
        let garbled =
            chunks.read_first_format(text, |key, status| _ = known.insert(key.name.to_string(), status));
        assert_eq!(garbled, 0);
    }
    let settled = |state| SourceStatus {
        state,
        owed: Vec::new(),
    };
    let owed = |kind, name: &str, running| OwedBy {
        kind,
        name: name.into(),
        running,
    };
    assert_eq!(known["app"], settled(SourceState::Present(digest(0x11))));
    assert_eq!(known["old"], settled(SourceState::Deleted(digest(0x33))));
    assert_eq!(known["awaited"], settled(SourceState::Missing));
    assert_eq!(
        known["alike"],
        settled(SourceState::Present(digest(0x44).unknown_look_alike()))
    );
    assert_eq!(known["vault"], settled(SourceState::Present(digest(0x55))));
    assert_eq!(known["db"].state, SourceState::Present(digest(0x22)));
    assert_eq!(
        known["db"].owed,
        [
            owed(
                WorkloadKind::Deployment,
                "web",
                Some(Content::Present(digest(0x21)))
            ),
            owed(WorkloadKind::DaemonSet, "log", None),
            owed(WorkloadKind::CronJob, "backup", Some(Content::Absent)),
        ]
    );
    assert_eq!(known.len(), 6);

    let written = text(&chunks, 0);
    let mut again = BTreeMap::new();
    let read = empty(1).read(&written, 0, |key, status| {
        _ = again.insert(key.name.to_string(), status);
    });
    assert_eq!(read, ReadChunk::default());
    again.get_mut("db").unwrap().owed.sort_by_key(|owed| owed.kind);
    known.get_mut("db").unwrap().owed.sort_by_key(|owed| owed.kind);
    assert_eq!(again, known);
    // Rolled back to, it finds nothing that it could take for other content.
    assert!(
        written
            .lines()
            .all(|line| first_format::parse(line, &[]).is_none()),
        "{written}"
    );
}

/// A ledger that a user edited, or a disk that lost a bit: each line stands for itself.
#[test]
fn a_garbled_byte_costs_its_own_line_at_most() {
    let stored: String = (1..=3).map(|number| line(number, 7)).collect();
    for (at, byte) in (0..stored.len()).flat_map(|at| [b'\n', b' ', b'/', b'0'].map(|byte| (at, byte))) {
        let mut garbled = stored.clone().into_bytes();
        garbled[at] = byte;
        let garbled = String::from_utf8(garbled).unwrap();
        let mut chunks = empty(1);
        let mut known = BTreeMap::new();
        chunks.read(&garbled, 0, |key, status| _ = known.insert(key, status));
        chunks.adopt(&garbled, 0);

        let hit = stored[..at].matches('\n').count();
        // Where a line's end is gone, the next line is part of it.
        let next = usize::from(stored.as_bytes()[at] == b'\n' && byte != b'\n');
        for number in (0..3).filter(|number| !(hit..=hit + next).contains(number)) {
            assert_eq!(known.get(&key(number + 1)), Some(&status(7)), "{garbled}");
        }
        assert!(text(&chunks, 0).len() <= garbled.len() + 1, "{garbled}");
    }
}

proptest! {
    /// Text of any form is read into no more than it is, and what is kept of it is kept.
    #[test]
    fn no_stored_text_makes_it_panic_or_grow(
        pieces in prop::collection::vec(prop_oneof![
            "\\PC{0,40}",
            "(configmap|secret|secretproviderclass|pod) [a-z ]{0,9} [a-z]{0,9} [0-9a-f]{39,41}",
            " (deployment|daemonset|job)/[a-z=/ ]{0,9}",
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
        ], 0..20),
        count in any::<usize>(),
    ) {
        let stored = pieces.concat();
        let mut chunks = empty(count);
        prop_assert!((1..=MOST_CHUNKS).contains(&chunks.count()));
        for chunk in 0..chunks.count() {
            chunks.read(&stored, chunk, |_, _| {});
            chunks.adopt(&stored, chunk);
        }
        let kept: String = (0..chunks.count()).map(|chunk| text(&chunks, chunk)).collect();
        prop_assert!(kept.len() <= stored.len() + 1);
        let mut first = empty(1);
        first.read_first_format(&stored, |_, _| {});
    }
}

#[test]
fn what_another_writer_stored_is_kept_and_wins_only_over_what_was_read() {
    let mut chunks = empty(1);
    chunks.read(&(line(2, 2) + &line(3, 3)), 0, |_, _| {});
    chunks.set([(key(1), Some(status(1))), (key(3), Some(status(4)))]);
    chunks.adopt(&(line(1, 9) + &line(2, 9) + &line(3, 9) + &line(5, 9)), 0);
    assert_eq!(
        text(&chunks, 0),
        line(1, 1) + &line(2, 9) + &line(3, 4) + &line(5, 9)
    );
}
