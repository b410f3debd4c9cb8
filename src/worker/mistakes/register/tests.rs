use super::*;
use crate::{
    diagnose::{Checker, Mistake, Pairs},
    model::{SourceKey, SourceKind, WorkloadKey, WorkloadKind},
    watch::Watched,
};

fn workload(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::Workload(WorkloadKey::new(WorkloadKind::Deployment, namespace, name))
}

fn source(name: &str) -> ObjectKey {
    ObjectKey::Source(SourceKey::new(SourceKind::Secret, "shop", name))
}

/// One finding for each of these keys, which nothing knows.
fn unknown(keys: &[&str]) -> Vec<Finding> {
    let pairs: Pairs = keys
        .iter()
        .map(|key| (format!("reloader.stakater.com/{key}"), "a".to_owned()))
        .collect();
    let findings = Checker::default().other(&pairs, &Pairs::new());
    assert_eq!(findings.len(), keys.len());
    findings
}

fn stream(namespace: Option<&str>) -> StreamId {
    StreamId {
        watched: Watched::Workload(WorkloadKind::Deployment),
        namespace: namespace.map(Into::into),
    }
}

/// What is said next, as object and key.
fn said(register: &mut Register, budget: &mut Budget) -> Vec<(String, String)> {
    let due = register.due(Instant::now(), budget, |_| true);
    due.into_iter()
        .map(|said| {
            let key = said.findings[0].key.rsplit('/').next().unwrap().to_owned();
            (said.about.name().to_string(), key)
        })
        .collect()
}

fn pair(object: &str, key: &str) -> (String, String) {
    (object.to_owned(), key.to_owned())
}

#[test]
fn each_mistake_is_said_once_however_often_the_object_is_seen() {
    let (mut register, mut budget) = (Register::default(), Budget::default());
    let web = || workload("shop", "web");
    for _ in 0..3 {
        register.note(web(), "u", Part::Watched, unknown(&["one", "two"]));
    }
    assert_eq!(
        said(&mut register, &mut budget),
        [pair("web", "one"), pair("web", "two")]
    );
    assert!(!register.note(web(), "u", Part::Watched, unknown(&["one", "two"])));
    assert!(register.note(web(), "u", Part::Watched, unknown(&["two", "three"])));
    assert_eq!(said(&mut register, &mut budget), [pair("web", "three")]);
    // Corrected, and wrong again.
    register.right(&web());
    assert!(register.is_empty());
    assert!(register.note(web(), "u", Part::Watched, unknown(&["two"])));
    assert_eq!(said(&mut register, &mut budget), [pair("web", "two")]);
    // Another object of that name.
    assert!(register.note(web(), "v", Part::Watched, unknown(&["two"])));
    assert_eq!(said(&mut register, &mut budget), [pair("web", "two")]);
}

#[test]
fn what_is_alike_in_one_annotation_is_said_together() {
    let (mut register, mut budget) = (Register::default(), Budget::default());
    let key = "configmap.reloader.stakater.com/reload";
    let items = Pairs::from([(key.to_owned(), "A_b,C_d,e/f".to_owned())]);
    let opt_in = crate::model::OptIn::default();
    let findings = Checker::default().workload(&crate::diagnose::WorkloadText {
        kind: Some(WorkloadKind::Deployment),
        own: &items,
        template: &Pairs::new(),
        labels: &Pairs::new(),
        opt_in: &opt_in,
        references: &[],
        has_template: true,
    });
    assert_eq!(findings.len(), 3);
    register.note(workload("shop", "web"), "u", Part::Watched, findings);
    let due = register.due(Instant::now(), &mut budget, |_| true);
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].findings.len(), 3);
    assert_eq!(
        register.counts(|_| true).workloads,
        BTreeMap::from([("bad-name", 1)])
    );
}

#[test]
fn both_parts_count_and_each_is_cleared_by_itself() {
    let mut register = Register::default();
    let web = workload("shop", "web");
    register.note(web.clone(), "u", Part::Watched, unknown(&["one"]));
    register.note(web.clone(), "u", Part::Indexed, unknown(&["two"]));
    register.right(&web);
    assert_eq!(
        register.counts(|_| true).workloads,
        BTreeMap::from([("unknown-key", 1)])
    );
    register.only_indexed(&"shop".into(), &HashSet::from([web.clone()]));
    assert!(!register.is_empty());
    register.only_indexed(&"shop".into(), &HashSet::new());
    assert!(register.is_empty());
    assert_eq!(register.waiting, 0);
}

#[test]
fn what_a_list_does_not_show_is_forgotten() {
    let mut register = Register::default();
    for (about, part) in [
        (workload("shop", "stays"), Part::Watched),
        (workload("shop", "goes"), Part::Watched),
        (workload("shop", "lists"), Part::Indexed),
        (workload("other", "elsewhere"), Part::Watched),
        (source("of-another-kind"), Part::Watched),
    ] {
        register.note(about, "u", part, unknown(&["one"]));
    }
    let shop = stream(Some("shop"));
    register.list_begins(&shop);
    register.note(workload("shop", "stays"), "u", Part::Watched, unknown(&["one"]));
    register.right(&workload("shop", "lists"));
    register.list_ends(&shop);
    let counts = register.counts(|_| true);
    assert_eq!(counts.workloads["unknown-key"], 3);
    assert_eq!(counts.sources["unknown-key"], 1);
    register.list_begins(&stream(None));
    register.list_ends(&stream(None));
    assert_eq!(register.counts(|_| true).workloads, BTreeMap::new());
    register.remove(&source("of-another-kind"));
    assert!(register.is_empty());
    assert_eq!(register.waiting, 0);
}

#[test]
fn a_namespace_that_does_not_count_waits() {
    let (mut register, mut budget) = (Register::default(), Budget::default());
    register.note(workload("left-out", "web"), "u", Part::Watched, unknown(&["one"]));
    let none = register.due(Instant::now(), &mut budget, |namespace| namespace != "left-out");
    assert_eq!(none, []);
    assert_eq!(register.counts(|_| false), Counts::default());
    assert_eq!(said(&mut register, &mut budget), [pair("web", "one")]);
}

#[test]
fn ten_thousand_wrong_objects_are_counted_and_a_few_said() {
    let (mut register, mut budget) = (Register::default(), Budget::default());
    for number in 0..OBJECTS.namespace + 5 {
        let about = workload("flood", &format!("{number:05}"));
        register.note(about, "u", Part::Watched, unknown(&["one"]));
    }
    register.note(workload("calm", "web"), "u", Part::Watched, unknown(&["one"]));
    let first = said(&mut register, &mut budget);
    assert_eq!(first.len(), super::super::budget::NAMESPACE + 1);
    assert!(first[..2].contains(&pair("web", "one")), "{first:?}");
    assert_eq!(said(&mut register, &mut budget), []);
    let unsaid = OBJECTS.namespace - super::super::budget::NAMESPACE;
    assert_eq!(register.unsaid(|_| true), [("flood".into(), unsaid)]);
    let counted = register.counts(|namespace| namespace == "flood");
    assert_eq!(counted.workloads["unknown-key"], OBJECTS.namespace);
    assert!(register.waiting <= WAITING.namespace);
}

#[test]
fn a_calm_namespace_is_heard_beside_thirty_noisy_ones() {
    let (mut register, mut budget) = (Register::default(), Budget::default());
    let note_noise = |register: &mut Register| {
        for namespace in 0..30 {
            for number in 0..2 * WAITING.namespace {
                let about = workload(&format!("noisy-{namespace}"), &format!("{number:05}"));
                register.note(about, "u", Part::Watched, unknown(&["one"]));
            }
        }
    };
    note_noise(&mut register);
    assert_eq!(register.waiting, WAITING.total);
    let waiting =
        |register: &Register| -> usize { register.spaces.values().map(|space| space.waiting).sum() };
    let calm = |name: &str| (workload("calm", name), "u", Part::Watched, unknown(&["two"]));
    let (about, uid, part, findings) = calm("early");
    assert!(register.note(about, uid, part, findings));
    assert_eq!(
        (register.waiting, waiting(&register)),
        (WAITING.total, WAITING.total)
    );
    assert!(said(&mut register, &mut budget).contains(&pair("early", "two")));

    // The noise has had its share of the hour, and goes on.
    note_noise(&mut register);
    assert_eq!(said(&mut register, &mut budget), []);
    assert_eq!(register.waiting, WAITING.total);
    let (about, uid, part, findings) = calm("late");
    assert!(register.note(about, uid, part, findings));
    assert_eq!(said(&mut register, &mut budget), [pair("late", "two")]);
    assert_eq!(register.waiting, waiting(&register));
}

#[test]
fn beyond_the_bound_the_largest_namespace_makes_room() {
    let mut register = Register::default();
    for number in 0..OBJECTS.namespace {
        for namespace in ["first", "second"] {
            let about = workload(namespace, &format!("{number:05}"));
            register.note(about, "u", Part::Watched, unknown(&["one"]));
        }
    }
    assert_eq!(register.objects, OBJECTS.total);
    for name in ["a", "b"] {
        register.note(workload("third", name), "u", Part::Watched, unknown(&["one"]));
    }
    assert_eq!(register.objects, OBJECTS.total);
    assert_eq!(
        register.counts(|namespace| namespace == "third").workloads["unknown-key"],
        2
    );
    assert!(Mistake::REASONS.contains(&"unknown-key"));
}
