//! Which sources a workload's lists name, found by name, by prefix or one by one: the annotation itself decides.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const KEY: &str = "configmap.reloader.stakater.com/reload";

#[derive(Clone, Debug)]
enum Act {
    Source(&'static str),
    SourceGone(&'static str),
    Workload(u8, String),
    WorkloadGone(u8),
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "app", "app-1", "app-1-db", "app-2", "ap", "b-app", "app.v1", "b", "other",
    ])
}

fn list() -> impl Strategy<Value = String> {
    let item = prop::sample::select(vec![
        "a",
        "app",
        "app-.*",
        "app-1.*",
        "app.*",
        ".*-app",
        "ap+",
        "ap*",
        "app?",
        "app|other",
        "b-.*",
        "(a|b)",
        "app-[12]",
        "app.v1",
        "(",
        "b.*p",
        "app-1-(db|x)",
        "app-\\d",
    ]);
    prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => name().prop_map(Act::Source),
        1 => name().prop_map(Act::SourceGone),
        4 => (0..4_u8, list()).prop_map(|(number, list)| Act::Workload(number, list)),
        1 => (0..4_u8).prop_map(Act::WorkloadGone),
    ]
}

fn opt_in(list: &str) -> OptIn {
    let get = |key: &str| (key == KEY).then_some(list);
    OptIn::parse(&AnnotationKeys::default(), get, |_| None)
}

fn names(list: &OptIn, name: &str) -> bool {
    list.verdict(&source(name, 1), false) == crate::model::Verdict::Named
}

proptest! {
    #[test]
    fn what_a_list_names_is_found_either_way(acts in prop::collection::vec(act(), 1..40)) {
        let mut fixture = Fixture::settled();
        let mut lists: HashMap<u8, OptIn> = HashMap::new();
        for (number, act) in acts.into_iter().enumerate() {
            let web = |number: u8| format!("web-{number}");
            match act {
                Act::Source(name) => {
                    let content = u8::try_from(number).unwrap();
                    let effect = fixture.source(name, content);
                    for key in effect.due {
                        let list = &lists[&key.name.strip_prefix("web-").unwrap().parse().unwrap()];
                        prop_assert!(names(list, name), "{list:?} does not name {name}");
                    }
                }
                Act::SourceGone(name) => _ = fixture.source_gone(name),
                Act::Workload(number, list) => {
                    let touched = fixture.workload(&web(number), (KEY, &list)).touched;
                    let touched: BTreeSet<_> = touched.into_iter().map(|key| key.name).collect();
                    let list = opt_in(&list);
                    let before = lists.insert(number, list.clone()).unwrap_or_default();
                    if before != list {
                        let known = fixture.index.known_sources().into_iter().map(|key| key.name);
                        let named = |name: &Arc<str>| names(&list, name) || names(&before, name);
                        prop_assert_eq!(touched, known.filter(named).collect(), "{:?} after {:?}", list, before);
                    }
                }
                Act::WorkloadGone(number) => {
                    lists.remove(&number);
                    fixture.event(
                        Watched::Workload(WorkloadKind::Deployment),
                        Event::WorkloadGone(key(&web(number))),
                    );
                }
            }
            for key in fixture.index.known_sources() {
                let is_listed = lists.values().any(|list| names(list, &key.name));
                prop_assert_eq!(fixture.index.source_status(&key).is_some(), is_listed, "{}", key);
            }
        }
    }
}
