use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::{
    index::change::{Change, Seen},
    model::{SourceKind, UnixSeconds, WorkloadKind},
};

fn id(number: u8) -> WorkloadId {
    WorkloadId {
        kind: WorkloadKind::Deployment,
        name: format!("w-{number}").into(),
    }
}

fn source(number: u8) -> SourceRef {
    SourceRef::new(SourceKind::Secret, format!("s-{number}"))
}

fn debt() -> Debt {
    let seen = Seen {
        at: Instant::now(),
        unix: UnixSeconds(0),
    };
    let change = Change {
        seen,
        order: 0,
        remember: false,
        tentative: false,
        inherited: false,
    };
    Debt::new(None, &change, None)
}

/// What takes long with thousands of debtors: only those of one source may be looked at.
#[test]
fn a_source_asks_only_the_workloads_that_owe_for_it() {
    let mut book = Book::default();
    for workload in 0..100 {
        book.insert(&id(workload), &source(workload % 10), debt());
    }
    let mut asked = 0;
    book.retain_of(&source(3), |_, _| {
        asked += 1;
        true
    });
    assert_eq!(asked, 10);
    book.retain_of(&source(10), |_, _| panic!("nothing is owed for it"));
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Insert(u8, u8),
    GetOrInsert(u8, u8),
    Remove(u8, u8),
    RemoveWorkload(u8),
    /// Of the workload, every second.
    Retain(u8),
    /// Of the source, every second.
    RetainOf(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let one = || 0..5_u8;
    prop_oneof![
        (one(), one()).prop_map(|(workload, source)| Act::Insert(workload, source)),
        (one(), one()).prop_map(|(workload, source)| Act::GetOrInsert(workload, source)),
        (one(), one()).prop_map(|(workload, source)| Act::Remove(workload, source)),
        one().prop_map(Act::RemoveWorkload),
        one().prop_map(Act::Retain),
        one().prop_map(Act::RetainOf),
    ]
}

fn is_even(name: &str) -> bool {
    name.as_bytes().last().is_some_and(|byte| byte % 2 == 0)
}

proptest! {
    /// Both directions always say the same.
    #[test]
    fn the_debts_of_workloads_are_those_for_sources(acts in prop::collection::vec(act(), 0..60)) {
        let mut book = Book::default();
        let mut model: HashSet<(WorkloadId, SourceRef)> = HashSet::new();
        for act in acts {
            match act {
                Act::Insert(workload, name) => {
                    book.insert(&id(workload), &source(name), debt());
                    model.insert((id(workload), source(name)));
                }
                Act::GetOrInsert(workload, name) => {
                    book.get_or_insert(&id(workload), &source(name), debt);
                    model.insert((id(workload), source(name)));
                }
                Act::Remove(workload, name) => {
                    book.remove(&id(workload), &source(name));
                    model.remove(&(id(workload), source(name)));
                }
                Act::RemoveWorkload(workload) => {
                    book.remove_workload(&id(workload));
                    model.retain(|(other, _)| *other != id(workload));
                }
                Act::Retain(workload) => {
                    book.retain(&id(workload), |source, _| is_even(&source.name));
                    model.retain(|(other, source)| *other != id(workload) || is_even(&source.name));
                }
                Act::RetainOf(name) => {
                    book.retain_of(&source(name), |id, _| is_even(&id.name));
                    model.retain(|(id, other)| *other != source(name) || is_even(&id.name));
                }
            }
            let by_workload: HashSet<_> = book
                .workloads()
                .flat_map(|id| book.of(id).map(|(source, _)| (id.clone(), source.clone())))
                .collect();
            let by_source: HashSet<_> = book
                .debtors
                .iter()
                .flat_map(|(source, ids)| ids.iter().map(|id| (id.clone(), source.clone())))
                .collect();
            prop_assert_eq!(&by_workload, &model);
            prop_assert_eq!(&by_source, &model);
            prop_assert!(book.by_workload.values().all(|debts| !debts.is_empty()));
            prop_assert!(book.debtors.values().all(|ids| !ids.is_empty()));
        }
    }
}
