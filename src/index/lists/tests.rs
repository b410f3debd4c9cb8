use super::*;
use crate::model::{AnnotationKeys, WorkloadKind, opt_in::SharedLists};

const KIND: SourceKind = SourceKind::ConfigMap;

/// Workloads that come and go, with a list each.
#[derive(Default)]
struct Scene {
    shared: SharedLists,
    lists: Lists,
    present: HashMap<u32, OptIn>,
}

impl Scene {
    /// The workload of that number has this list now. Returns whether it counts.
    fn show(&mut self, number: u32, text: &str) -> bool {
        let keys = AnnotationKeys::default();
        let get = |key: &str| (key == keys.configmap.reload).then_some(text);
        let opt_in = OptIn::parse_shared(&self.shared, &keys, get, |_| None);
        let before = self.present.get(&number);
        let limited = opt_in.clone().within(|list| self.lists.has_room(list, before));
        let counts = limited == opt_in;
        self.hide(number);
        self.lists.add(&id(number), &limited);
        self.present.insert(number, limited);
        counts
    }

    fn hide(&mut self, number: u32) {
        if let Some(opt_in) = self.present.remove(&number) {
            self.lists.remove(&id(number), &opt_in);
        }
    }

    fn listing(&self, name: &str) -> HashSet<WorkloadId> {
        let naming = self.lists.naming(&SourceRef::new(KIND, name));
        self.lists.workloads(KIND, &naming).cloned().collect()
    }
}

fn id(number: u32) -> WorkloadId {
    WorkloadId {
        kind: WorkloadKind::Deployment,
        name: format!("web-{number}").into(),
    }
}

fn ids<const N: usize>(numbers: [u32; N]) -> HashSet<WorkloadId> {
    numbers.map(id).into()
}

fn names(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count)
        .map(|number| format!("{number:05}"))
        .collect();
    names.join(",")
}

#[test]
fn names_and_patterns_lead_to_the_workloads_that_list_them() {
    let mut scene = Scene::default();
    for (number, list) in ["a,b", "a.*", "b,c", "a,b"].into_iter().enumerate() {
        assert!(scene.show(u32::try_from(number).unwrap(), list));
    }
    assert_eq!(scene.listing("a"), ids([0, 1, 3]));
    assert_eq!(scene.listing("b"), ids([0, 2, 3]));
    scene.hide(0);
    assert_eq!(scene.listing("a"), ids([1, 3]));
    scene.show(3, "c");
    assert_eq!(scene.listing("b"), ids([2]));
    assert_eq!(scene.listing("c"), ids([2, 3]));
    for number in 0..4 {
        scene.hide(number);
    }
    let Lists {
        uses,
        listed,
        by_name,
        asked,
        asked_by_prefix,
        total,
    } = scene.lists;
    assert!(uses.is_empty() && listed.is_empty() && by_name.is_empty() && asked.is_empty());
    assert!(asked_by_prefix.is_empty());
    assert_eq!(total, Cost::default());
}

/// Thousands of sources and hundreds of workloads with patterns would be millions of matches.
#[test]
fn a_name_is_matched_against_patterns_that_begin_like_it() {
    let mut scene = Scene::default();
    for number in 0..100 {
        let patterns = format!("team-{number:02}-.*,team-{number:02}-a.*,x{number:02}-[ab]-.*");
        assert!(scene.show(number, &patterns));
    }
    let asked = counted::asked_by(|| assert_eq!(scene.listing("team-07-app"), ids([7])));
    assert_eq!(asked, 1);
    let asked = counted::asked_by(|| assert_eq!(scene.listing("x42-b-1"), ids([42])));
    assert_eq!(asked, 1);
    let asked = counted::asked_by(|| assert_eq!(scene.listing("other"), ids([])));
    assert_eq!(asked, 0);
    // A pattern that may match any name is asked for each.
    scene.show(100, ".*-app");
    let asked = counted::asked_by(|| assert_eq!(scene.listing("team-07-app"), ids([7, 100])));
    assert_eq!(asked, 2);
}

#[test]
fn a_long_list_takes_no_entry_for_each_name() {
    let mut scene = Scene::default();
    assert!(scene.show(0, &names(0, MAX_ENTRIES)));
    assert_eq!(scene.lists.by_name.len(), MAX_ENTRIES);
    assert!(scene.show(0, &names(0, 40_000)));
    assert_eq!(scene.lists.by_name.len(), 0);
    assert_eq!(scene.listing("39999"), ids([0]));
    assert_eq!(scene.listing("40000"), ids([]));
}

#[test]
fn workloads_share_a_list_and_its_cost() {
    let mut scene = Scene::default();
    let list = names(0, 40_000);
    scene.show(0, &list);
    let alone = scene.lists.total;
    for number in 1..100 {
        assert!(scene.show(number, &list));
    }
    assert_eq!(scene.lists.total, alone);
    assert_eq!(scene.listing("00001").len(), 100);
}

#[test]
fn the_lists_of_a_namespace_are_bounded() {
    let mut scene = Scene::default();
    let is_full = |scene: &mut Scene, list: &dyn Fn(u32) -> String| {
        (0..10_000).find(|number| !scene.show(*number, &list(*number)))
    };
    let long = |number: u32| names(number as usize, 40_000);
    let full = is_full(&mut scene, &long).expect("no bound");
    assert!(scene.lists.total.bytes <= MAX_BYTES);
    assert!(full >= 32, "only {full} lists of 40,000 names");

    // The last one that counts makes room for another, or for itself with another list.
    assert!(!scene.show(full, &long(full)));
    assert!(scene.show(full - 1, &long(full + 1)));
    scene.hide(full - 1);
    assert!(scene.show(full, &long(full)));
    assert_eq!(scene.listing("39999").len(), full as usize);

    let mut scene = Scene::default();
    let slow = |number: u32| format!(".*{}{number}", "a".repeat(1_000));
    let full = is_full(&mut scene, &slow).expect("no bound");
    assert!(scene.lists.total.steps <= MAX_STEPS);
    assert!(
        full >= 200,
        "only {full} lists of a pattern with 1,000 characters"
    );
}

#[test]
fn what_many_workloads_list_in_earnest_is_within_the_bounds() {
    let mut scene = Scene::default();
    for number in 0..5_000 {
        let list = format!("app-{number}-settings,app-{number}-flags,common,app-{number}-.*");
        assert!(scene.show(number, &list), "{number}");
    }
    assert!(Scene::default().show(0, &names(0, 1_000)));
}
