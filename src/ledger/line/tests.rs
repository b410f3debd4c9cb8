use proptest::prelude::*;

use super::*;
use crate::ledger::first_format;

fn cipher() -> Cipher {
    Cipher::new(&[1; 32]).unwrap()
}

fn digests() -> impl Strategy<Value = Digest> {
    let plain = any::<[u8; 20]>().prop_map(Digest::from_bytes);
    (plain, any::<bool>()).prop_map(|(digest, alike)| {
        if alike {
            digest.unknown_look_alike()
        } else {
            digest
        }
    })
}

fn kinds() -> Vec<WorkloadKind> {
    let custom = "example.com/v1/Clone".parse().unwrap();
    let mut kinds = WorkloadKind::BUILT_IN.to_vec();
    kinds.push(WorkloadKind::Custom(Box::leak(Box::new(custom))));
    kinds
}

fn states() -> impl Strategy<Value = SourceState> {
    prop_oneof![
        digests().prop_map(SourceState::Present),
        digests().prop_map(SourceState::Deleted),
        Just(SourceState::Missing),
    ]
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![digests().prop_map(Content::Present), Just(Content::Absent)]
}

fn owed(number: usize, running: Option<Content>) -> OwedBy {
    OwedBy {
        kind: WorkloadKind::Deployment,
        name: format!("deployment-of-length-{number}").into(),
        running,
    }
}

fn app() -> SourceKey {
    SourceKey::new(SourceKind::ConfigMap, "team", "app")
}

fn by_name(mut status: SourceStatus) -> SourceStatus {
    status
        .owed
        .sort_by_key(|owed| (word(owed.kind), owed.name.clone()));
    status
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        kind in prop::sample::select(&SourceKind::ALL[..]),
        namespace in "[a-z0-9-]{1,63}",
        name in "[a-z0-9.-]{1,253}",
        state in states(),
        owed in prop::collection::btree_map(
            (prop::sample::select(kinds()), "[a-z0-9.-]{1,63}"), prop::option::of(contents()), 0..9),
    ) {
        let key = SourceKey::new(kind, namespace, name);
        let owed = owed.into_iter().map(|((kind, name), running)| OwedBy { kind, name: name.into(), running }).collect();
        let status = SourceStatus { state, owed };
        let text = line(&key, &status, &cipher());
        let (read, read_status) = parse(&text, &kinds(), &cipher()).unwrap();
        prop_assert_eq!((read, by_name(read_status)), (key.clone(), by_name(status)));
        prop_assert_eq!(subject(&text), Some(key));
        prop_assert_eq!(parse(&text, &kinds(), &Cipher::new(&[2; 32]).unwrap()), None);
        prop_assert_eq!(first_format::parse(&text, &kinds()), None, "version 0.1.0 misreads it");
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*|(configmap|secret) team app [a-zA-Z0-9+/]{0,99}( [a-z]+=?[0-9]?/[a-z,]*)*") {
        prop_assert_eq!(parse(&text, &[], &cipher()), None);
    }
}

#[test]
fn no_digest_shows() {
    let digest = Digest::from_bytes([0xab; 20]);
    let status = SourceStatus {
        state: SourceState::Present(digest),
        owed: vec![owed(1, Some(Content::Present(digest)))],
    };
    let text = line(&app(), &status, &cipher());
    assert!(!text.contains(&digest.to_string()), "{text}");
    assert_eq!(
        text,
        line(&app(), &status, &cipher()),
        "the same is written down alike"
    );
    let other = SourceKey::new(SourceKind::ConfigMap, "team", "other");
    let (of, of_other) = (text.split(' ').nth(3), line(&other, &status, &cipher()));
    assert_ne!(
        of,
        of_other.split(' ').nth(3),
        "two sources of one content look different"
    );
}

#[test]
fn a_line_names_thousands_of_workloads_and_who_runs_with_what() {
    let [one, two] = [1, 2].map(|byte| Some(Content::Present(Digest::from_bytes([byte; 20]))));
    let running = |number: usize| [one, two, None][number % 3];
    let status = SourceStatus {
        state: SourceState::Present(Digest::from_bytes([3; 20])),
        owed: (0..4000).map(|number| owed(number, running(number))).collect(),
    };
    let text = line(&app(), &status, &cipher());
    assert!(text.len() <= LONGEST_LINE, "{}", text.len());
    let (_, read) = parse(&text, &[], &cipher()).unwrap();
    assert_eq!(by_name(read), by_name(status));
}

/// Who is not named may have been served or not.
#[test]
fn a_line_that_would_be_too_long_leaves_everything_open() {
    let status = SourceStatus {
        state: SourceState::Deleted(Digest::from_bytes([3; 20])),
        owed: (0..6000).map(|number| owed(number, None)).collect(),
    };
    let (_, read) = parse(&line(&app(), &status, &cipher()), &[], &cipher()).unwrap();
    let nothing_has_this = SourceState::Present(Digest::from_bytes([0; 20]));
    assert_eq!((read.state, read.owed.len()), (nothing_has_this, 0));
}

#[test]
fn a_kind_that_is_restarted_no_longer_owes_nothing() {
    let status = SourceStatus {
        state: SourceState::Missing,
        owed: vec![
            OwedBy {
                kind: kinds().pop().unwrap(),
                ..owed(1, None)
            },
            owed(2, None),
        ],
    };
    let text = line(&app(), &status, &cipher());
    let (_, read) = parse(&text, &[], &cipher()).unwrap();
    assert_eq!(read.owed, [owed(2, None)]);
}

/// Versions without the kind know it, if at all, as a custom one.
#[test]
fn a_deployment_config_hides_no_other_debt_from_versions_that_do_not_know_the_kind() {
    let status = SourceStatus {
        state: SourceState::Missing,
        owed: vec![OwedBy {
            kind: WorkloadKind::DeploymentConfig,
            ..owed(1, None)
        }],
    };
    let text = line(&app(), &status, &cipher());
    // A word with a dot is left out where no kind of that name is restarted, see the test above.
    let word = text.rsplit(' ').next().unwrap();
    assert_eq!(word, "deploymentconfigs.apps.openshift.io/deployment-of-length-1");
    assert_eq!(
        parse(&text, &[], &cipher()),
        Some((app(), status)),
        "what an earlier version wrote of the custom kind is read"
    );
}

/// The seal covers the whole line.
#[test]
fn a_line_that_was_edited_is_not_read() {
    let status = SourceStatus {
        state: SourceState::Present(Digest::from_bytes([3; 20])),
        owed: vec![owed(1, None)],
    };
    let text = line(&app(), &status, &cipher());
    for at in 0..text.len() {
        let mut edited = text.clone().into_bytes();
        edited[at] = if edited[at] == b'x' { b'y' } else { b'x' };
        let edited = String::from_utf8(edited).unwrap();
        assert_eq!(parse(&edited, &kinds(), &cipher()), None, "{edited}");
    }
    assert_eq!(parse(&format!("{text} later"), &kinds(), &cipher()), None);
}
