//! How many bytes of heap the index takes for each object, as asked for: the allocator rounds each piece up, by 10% on
//! average.

use std::alloc::System;

use cap::Cap;
use reloader::{
    index::Index,
    model::{Source, opt_in::SharedLists},
};

use objects::{index, listing, source, workload};

#[path = "objects/objects.rs"]
mod objects;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    println!("bytes of heap for each object, with so many of them; names have 22 characters");
    for count in [1_000, 10_000, 28_000, 30_000, 100_000] {
        let unused = bytes_for_each(count, || index((0..count).map(numbered), []));
        println!("{count:>7} sources that nobody opted into: {unused:>5}");
    }
    for count in [1_000, 10_000] {
        let used = bytes_for_each(count, || {
            let workloads = (0..count).map(|number| workload(&name(number), 2, &[name(number)]));
            index((0..count).map(numbered), workloads)
        });
        println!("{count:>7} workloads of two containers, each with a source of its own: {used:>5}");
    }
    let lists = bytes_for_each(32, || {
        let shared = SharedLists::default();
        let list = |first: usize| -> String {
            let names = (first..first + 46_000).map(|number| format!("{number:x}"));
            names.collect::<Vec<_>>().join(",")
        };
        index(
            [],
            (0..32).map(|number| listing(&shared, &name(number), &list(number))),
        )
    });
    println!("     32 workloads, each with another list of 46,000 names: {lists:>5}");
}

fn name(number: usize) -> String {
    format!("settings-of-app-{number:06}")
}

fn numbered(number: usize) -> Source {
    source(&name(number), 1)
}

fn bytes_for_each(count: usize, fill: impl FnOnce() -> Index) -> usize {
    let before = ALLOCATOR.allocated();
    let index = fill();
    let after = ALLOCATOR.allocated();
    drop(index);
    after.saturating_sub(before) / count
}
