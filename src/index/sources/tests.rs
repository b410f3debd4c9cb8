//! The table in the head comment of [`super`], row by row, under every combination of flags.

use rstest::rstest;

use super::*;
use crate::model::UnixSeconds;

const CREATE: Options = Options {
    reload_on_create: true,
    ..NEITHER
};
const DELETE: Options = Options {
    reload_on_delete: true,
    ..NEITHER
};
const BOTH: Options = Options {
    reload_on_create: true,
    reload_on_delete: true,
    ..NEITHER
};
const MARKERS: Options = Options {
    trust_markers: true,
    ..CREATE
};
const NEITHER: Options = Options {
    every_namespace_counts: false,
    auto_reload_all: false,
    reload_on_create: false,
    reload_on_delete: false,
    trust_markers: false,
    longest_lag: std::time::Duration::ZERO,
};

fn source(content: u8) -> Source {
    Source {
        key: SourceKey::new(SourceKind::ConfigMap, "team", "app"),
        uid: "1".into(),
        resource_version: 1,
        modified_at: Some(UnixSeconds(1)),
        rewritten: false,
        digest: digest(content),
        ignored: false,
        matched: false,
        policy: None,
    }
}

fn digest(content: u8) -> Digest {
    Digest::from_bytes([content; 20])
}

fn present(content: u8) -> Content {
    Content::Present(digest(content))
}

/// What a namespace knows of the source before it is seen with content 2.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    Here(u8),
    Deleted(u8),
    Ledger(SourceState),
}

#[rstest]
#[case::other_content(NEITHER, Known::Here(1), Transition::Changed { from: Some(present(1)) })]
#[case::the_same_content(BOTH, Known::Here(2), Transition::Silent)]
#[case::new(NEITHER, Known::Nothing, Transition::Silent)]
#[case::new_and_that_counts(CREATE, Known::Nothing, Transition::Appeared { from: Some(Content::Absent) })]
#[case::deleted_before(NEITHER, Known::Deleted(1), Transition::Appeared { from: Some(present(1)) })]
#[case::deleted_before_and_only_creation_counts(CREATE, Known::Deleted(1), Transition::Appeared { from: Some(present(1)) })]
#[case::deleted_before_and_only_deletion_counts(DELETE, Known::Deleted(1), Transition::Appeared { from: Some(present(1)) })]
#[case::deleted_before_and_both_count(BOTH, Known::Deleted(1), Transition::Appeared { from: Some(Content::Absent) })]
#[case::back_as_it_was(DELETE, Known::Deleted(2), Transition::Returned)]
#[case::back_as_it_was_and_both_count(BOTH, Known::Deleted(2), Transition::Appeared { from: Some(Content::Absent) })]
#[case::other_than_in_the_ledger(NEITHER, Known::Ledger(SourceState::Present(digest(1))), Transition::Appeared { from: Some(present(1)) })]
#[case::as_in_the_ledger(NEITHER, Known::Ledger(SourceState::Present(digest(2))), Transition::Returned)]
#[case::deleted_in_the_ledger(NEITHER, Known::Ledger(SourceState::Deleted(digest(1))), Transition::Appeared { from: Some(present(1)) })]
fn what_it_means_that_a_source_is_seen(
    #[case] options: Options,
    #[case] known: Known,
    #[case] expected: Transition,
) {
    let mut sources = Sources::new(options);
    let reference = source(0).key.reference();
    match known {
        Known::Nothing => {}
        Known::Here(content) => _ = sources.seen(source(content), 1, Novelty::Uncertain),
        Known::Deleted(content) => {
            sources.seen(source(content), 1, Novelty::Uncertain);
            sources.gone(&reference, 0);
        }
        Known::Ledger(state) => _ = sources.restore(&source(0).key, state, false),
    }
    let seen = sources.seen(source(2), 1, Novelty::Certain);
    assert_eq!(seen.transition, expected);
    assert_eq!(sources.target(&reference), Some(present(2)));
}

#[rstest]
#[case::without_flags(NEITHER, Transition::Silent)]
#[case::with_creation(CREATE, Transition::Silent)]
#[case::with_markers(MARKERS, Transition::AppearedUnknown)]
fn a_source_that_may_have_existed_all_along(#[case] options: Options, #[case] expected: Transition) {
    let seen = Sources::new(options).seen(source(1), 1, Novelty::Uncertain);
    assert_eq!(seen.transition, expected);
}

#[rstest]
#[case::without_flags(NEITHER, Transition::Silent, None)]
#[case::with_deletion(DELETE, Transition::Changed { from: Some(present(1)) }, Some(Content::Absent))]
fn what_it_means_that_a_source_is_gone(
    #[case] options: Options,
    #[case] expected: Transition,
    #[case] target: Option<Content>,
) {
    let mut sources = Sources::new(options);
    let reference = source(1).key.reference();
    assert_eq!(sources.gone(&reference, 0), None);
    sources.seen(source(1), 1, Novelty::Uncertain);
    assert_eq!(sources.gone(&reference, 0), Some(expected));
    assert_eq!(sources.gone(&reference, 0), None, "once");
    assert_eq!(sources.target(&reference), target);
}

#[test]
fn what_only_the_ledger_knew_is_deleted_once_a_list_does_not_show_it() {
    let mut sources = Sources::new(DELETE);
    let key = source(1).key;
    sources.restore(&key, SourceState::Present(digest(1)), false);
    assert_eq!(sources.unseen(SourceKind::ConfigMap, 1), [key.reference()]);
    let confirmed = sources.confirm_gone(&key.reference());
    assert_eq!(confirmed, Some(Transition::Changed { from: None }));
    assert_eq!(sources.confirm_gone(&key.reference()), None, "once");
}

/// The entry of the manager that had added the key is gone with it, and so is its time; a label changes nothing of that.
#[test]
fn a_write_that_only_removes_keys_is_no_older_than_the_one_before() {
    let mut sources = Sources::new(NEITHER);
    let at = |content, second| Source {
        modified_at: Some(UnixSeconds(second)),
        ..source(content)
    };
    sources.seen(at(1, 5), 1, Novelty::Uncertain);
    for seen in [at(2, 9), at(1, 5), at(1, 5)] {
        sources.seen(seen, 1, Novelty::Certain);
        let known = sources.get(&source(1).key.reference()).unwrap();
        assert_eq!(known.modified_at, Some(UnixSeconds(9)));
    }
    let another = Source {
        uid: "2".into(),
        ..at(1, 7)
    };
    sources.seen(another, 1, Novelty::Certain);
    let known = sources.get(&source(1).key.reference()).unwrap();
    assert_eq!(known.modified_at, Some(UnixSeconds(7)), "created anew");
}

/// Counts, tombstones and order are kept beside the sources, so that a deletion looks through none of the others.
#[test]
fn what_is_kept_beside_the_sources_is_what_they_are() {
    let named = |name: &str, content: u8| {
        let mut source = source(content);
        source.key = SourceKey::new(SourceKind::ConfigMap, "team", name);
        source
    };
    let reference = |name: &str| SourceRef::new(SourceKind::ConfigMap, name);
    let all = ["a-1", "a-2", "ab", "b-1", "a-3"];
    for asks_early in [true, false] {
        let mut sources = Sources::new(NEITHER);
        let beginning = |sources: &Sources, prefix: &str| -> Vec<String> {
            let found = sources.starting_with(SourceKind::ConfigMap, prefix);
            found.map(|reference| reference.name.to_string()).collect()
        };
        if asks_early {
            assert_eq!(beginning(&sources, "a"), [""; 0]);
        }
        for name in all {
            sources.seen(named(name, 1), 1, Novelty::Uncertain);
            sources.seen(named(name, 2), 1, Novelty::Uncertain);
        }
        sources.gone(&reference("a-2"), 9);
        sources.gone(&reference("a-2"), 9);
        sources.gone(&reference("ab"), 9);
        sources.gone(&reference("b-1"), 9);
        sources.seen(named("ab", 1), 1, Novelty::Uncertain);
        sources.remove(&reference("a-1"));
        let state = SourceState::Deleted(digest(3));
        sources.restore(&named("a-0", 1).key, state, true);
        sources.restore(&named("b-1", 1).key, state, true);
        assert_eq!(beginning(&sources, "a-"), ["a-0", "a-2", "a-3"]);
        assert_eq!(beginning(&sources, "ab"), ["ab"]);
        let recount = |sources: &Sources| {
            let here = sources.slots.values().filter(|slot| slot.is_present()).count();
            let mut absent: Vec<_> = sources
                .slots
                .iter()
                .filter_map(|(reference, slot)| Some((slot.presence.deletion()?, reference.clone())))
                .collect();
            absent.sort();
            assert_eq!(sources.counts(), [here, 0, 0]);
            assert_eq!(Vec::from_iter(sources.absent.clone()), absent);
        };
        recount(&sources);
        assert_eq!((sources.counts()[0], sources.absent.len()), (2, 3));
        sources.remove_absent();
        recount(&sources);
        assert_eq!(sources.absent.len(), 0);
        assert_eq!(beginning(&sources, ""), ["a-3", "ab"]);
    }
}

/// Data and labels of one manager have one time in `metadata.managedFields`.
#[rstest]
#[case::a_label(2, 1, 1)]
#[case::other_data(3, 1, 9)]
#[case::it_may_have_gone_and_come_between_two_lists(2, 2, 9)]
fn data_is_as_old_as_the_write_that_brought_it(
    #[case] content: u8,
    #[case] generation: u32,
    #[case] modified_at: i64,
) {
    let mut sources = Sources::new(NEITHER);
    sources.seen(source(2), 1, Novelty::Uncertain);
    let written = Source {
        resource_version: 9,
        modified_at: Some(UnixSeconds(9)),
        ..source(content)
    };
    let reference = written.key.reference();
    sources.seen(written, generation, Novelty::Uncertain);
    let known = sources.present(&reference).unwrap();
    assert_eq!(known.modified_at, Some(UnixSeconds(modified_at)));
}
