use rstest::rstest;

use super::*;
use crate::{model::SourceKind, notify::ChangeKind};

const EVERYTHING: Announced = Announced {
    creations: true,
    deletions: true,
    first_list: false,
};

fn stream() -> StreamId {
    StreamId {
        watched: Watched::Source(SourceKind::ConfigMap),
        namespace: None,
    }
}

fn source(name: &str) -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "shop", name)
}

fn about(name: &str) -> Subject {
    Subject::Source(source(name))
}

fn posted(name: &str, change: ChangeKind) -> Posted {
    Posted {
        source: source(name),
        change,
    }
}

fn effect(change: SourceChange) -> Effect {
    Effect {
        source: Some(change),
        ..Effect::default()
    }
}

/// Upstream's event matrix.
#[rstest]
#[case::update(SourceChange::Updated, Announced::default(), Some(ChangeKind::Update))]
#[case::equal(SourceChange::Unchanged, EVERYTHING, None)]
#[case::create(SourceChange::Created, EVERYTHING, Some(ChangeKind::Create))]
#[case::create_off(SourceChange::Created, Announced::default(), None)]
#[case::delete(SourceChange::Deleted, EVERYTHING, Some(ChangeKind::Delete))]
#[case::delete_off(SourceChange::Deleted, Announced::default(), None)]
fn the_flags_say_which_changes_are_posted(
    #[case] change: SourceChange,
    #[case] announced: Announced,
    #[case] expected: Option<ChangeKind>,
) {
    let mut selection = Selection {
        announced,
        listed: HashSet::from([stream()]),
    };
    let selected = selection.select(&stream(), &about("a"), &effect(change));
    let expected: Vec<_> = expected.into_iter().map(|change| posted("a", change)).collect();
    assert_eq!(selected, expected);
}

#[rstest]
#[case(false, &[])]
#[case(true, &[ChangeKind::Create])]
fn the_first_list_shows_nothing_new_unless_asked_for(
    #[case] first_list: bool,
    #[case] expected: &[ChangeKind],
) {
    let announced = Announced {
        first_list,
        ..EVERYTHING
    };
    let mut selection = Selection {
        announced,
        ..Selection::default()
    };
    let created = effect(SourceChange::Created);
    let changes = |selected: Vec<Posted>| -> Vec<ChangeKind> {
        selected.into_iter().map(|posted| posted.change).collect()
    };
    let selected = selection.select(&stream(), &about("a"), &created);
    assert_eq!(changes(selected), expected);
    assert_eq!(
        selection.select(&stream(), &Subject::List, &Effect::default()),
        []
    );
    let selected = selection.select(&stream(), &about("b"), &created);
    assert_eq!(changes(selected), [ChangeKind::Create]);
}

/// Upstream posts one without a name.
#[test]
fn a_deletion_that_only_a_list_shows_is_posted_by_name() {
    let mut selection = Selection {
        announced: EVERYTHING,
        listed: HashSet::from([stream()]),
    };
    let gone = Effect {
        touched: vec![source("a"), source("b")],
        ..Effect::default()
    };
    let expected = [posted("a", ChangeKind::Delete), posted("b", ChangeKind::Delete)];
    assert_eq!(selection.select(&stream(), &Subject::List, &gone), expected);
    selection.announced.deletions = false;
    assert_eq!(selection.select(&stream(), &Subject::List, &gone), []);
}
