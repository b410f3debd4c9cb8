//! The shape of the source, as a test: data goes one way, pure code stays pure, files stay short.
//!
//! Input: the text of every `.rs` file. Output: one line for each violation. I/O: reads the source folder.
//!
//! It reads text, not types: comments, strings and test code are blanked first, then paths are looked at. What it cannot
//! see (a re-export that leads around a rule) a reviewer can.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

#[path = "layering/circles.rs"]
mod circles;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/rules.rs"]
mod rules;
#[path = "layering/source.rs"]
mod source;

use std::{fs, path::Path};

use circles::circles;
use rules::violations;
use source::{SourceFile, production_only};

/// Every `.rs` file under these folders, with its path relative to the package.
fn files(folders: &[&str]) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        // Not every folder named exists at all times (examples, benches).
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push(SourceFile { path: relative, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[test]
fn the_source_keeps_its_shape() {
    let production = production_only(&files(&["src"]));
    assert!(production.len() > 50, "only {} files found", production.len());
    let violations: Vec<String> = production.iter().flat_map(violations).collect();
    assert!(
        violations.is_empty(),
        "\n{}\n\ndocs/architecture.md says why; tests/layering/rules.rs holds the rules\n",
        violations.join("\n")
    );
}

/// Boxes keep each other apart by the table of rules; within a box the same holds between its files.
#[test]
fn no_files_use_each_other_in_a_circle() {
    let circles = circles(&production_only(&files(&["src"])));
    assert!(
        circles.is_empty(),
        "\n{}\n\nwhat both need belongs into a file of its own\n",
        circles.join("\n")
    );
}

/// A file that does not fit on a few screens does more than one thing.
#[test]
fn no_file_is_longer_than_600_lines() {
    let all = files(&["src", "tests", "testbed", "examples", "benches", "loadtest"]);
    let long: Vec<String> = all
        .iter()
        .map(|file| (file.text.lines().count(), &file.path))
        .filter(|(lines, _)| *lines > 600)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// The doc comment at the top is where a reader starts.
#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = production_only(&files(&["src", "testbed/src"]))
        .into_iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no //! comment at the top: {silent:#?}");
}

/// The checks themselves, held to texts that break each rule once.
mod checks {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        production_only(&[file]).iter().flat_map(violations).collect()
    }

    #[test]
    fn an_allowed_edge_is_no_violation() {
        for (path, text) in [
            (
                "src/index/namespace.rs",
                "use crate::{model::Digest, watch::Event};",
            ),
            ("src/decide.rs", "use crate::model::{Container, Digest};"),
            (
                "src/run.rs",
                "use crate::{admin, decide, patch::Writer, worker::Worker};",
            ),
            ("src/queue/core/tests.rs", "use crate::worker::Worker;"),
            ("src/lease/driver.rs", "use crate::lease::Clock;"),
        ] {
            assert_eq!(complaints(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_forbidden_edge_is_found_however_it_is_written() {
        for (path, text) in [
            ("src/model/key.rs", "use crate::watch::Event;"),
            (
                "src/decide.rs",
                "use crate::{\n    model::Digest,\n    patch::{Writer, body},\n};",
            ),
            ("src/index.rs", "fn f() { let x = crate::queue::Queue::new(); }"),
            ("src/watch.rs", "use super::worker::Worker;"),
            ("src/queue/core.rs", "use super::super::index::Index;"),
            (
                "src/queue/core/timers.rs",
                "use super::super::super::index::Index;",
            ),
            ("src/lease/election.rs", "pub(in crate::run) fn f() {}"),
        ] {
            assert_eq!(complaints(path, text).len(), 1, "{path}: {text}");
        }
        assert_eq!(
            complaints("src/model/key.rs", "\nuse crate::watch::Event;"),
            ["src/model/key.rs:2: `model` must not see `watch`"]
        );
    }

    #[test]
    fn a_box_without_rules_is_found() {
        assert_eq!(
            complaints("src/novelty.rs", ""),
            ["src/novelty.rs: box `novelty` is in no table of tests/layering/rules.rs"]
        );
    }

    #[test]
    fn pure_code_sees_no_client_runtime_clock_or_environment() {
        for text in [
            "use kube::Client;",
            "use tokio::sync::mpsc;",
            "use std::time::SystemTime;\nfn f() { SystemTime::now(); }",
            "fn f() { std::time::Instant::now(); }",
            "fn f() { std::fs::read(\"x\"); }",
            "fn f() { tracing::info!(\"x\"); }",
        ] {
            for path in [
                "src/model/key.rs",
                "src/decide.rs",
                "src/index.rs",
                "src/queue/core.rs",
            ] {
                assert_eq!(complaints(path, text).len(), 1, "{path}: {text}");
            }
        }
        assert_eq!(
            complaints("src/queue.rs", "use tokio::sync::Notify;"),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints("src/index.rs", "use std::time::Instant;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn only_the_command_line_reads_the_environment() {
        let text = "fn f() { std::env::var(\"HOME\"); }";
        assert_eq!(complaints("src/run.rs", text).len(), 1);
        assert_eq!(
            complaints("src/run.rs", "use std::env;\nfn f() { env::var_os(\"A\"); }").len(),
            1
        );
        assert_eq!(complaints("src/args/environment.rs", text), Vec::<String>::new());
        assert_eq!(
            complaints("src/metrics.rs", "env!(\"CARGO_PKG_VERSION\")"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tasks_are_started_in_few_files() {
        for text in [
            "use tokio::task;\nfn f() { task::spawn(async {}); }",
            "fn f() { tokio::spawn(async {}); }",
            "fn f() { let mut tasks = tokio::task::JoinSet::new(); }",
            "fn f() { std::thread::spawn(|| {}); }",
        ] {
            assert_eq!(complaints("src/worker/report.rs", text).len(), 1, "{text}");
            assert!(complaints("src/run/supervise.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn only_main_may_end_the_process_or_give_up() {
        for text in [
            "std::process::exit(1)",
            "x.unwrap()",
            "x.expect(\"y\")",
            "panic!(\"z\")",
        ] {
            let text = format!("fn f() {{ {text}; }}");
            assert_eq!(complaints("src/worker.rs", &text).len(), 1, "{text}");
            assert_eq!(complaints("src/main.rs", &text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(
            complaints("src/worker.rs", "fn f() { x.unwrap_or(1); }"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn comments_strings_and_test_code_do_not_count() {
        for text in [
            "// use crate::worker::Worker;\n/* crate::run */\n/// See [`crate::worker`].",
            "const A: &str = \"crate::worker \\\" crate::run\"; const B: &str = r#\"crate::run\"#;",
            "const Q: char = '\"'; const R: char = '\\''; fn f<'a>(x: &'a str) {} // crate::run",
            "#[cfg(test)]\nmod tests {\n    use crate::worker::Worker;\n    fn f() { if true { x.unwrap() } }\n}",
            "fn f() {}\n#[cfg(test)]\nuse crate::worker::Worker;",
        ] {
            assert_eq!(
                complaints("src/model/key.rs", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
        let after = "#[cfg(test)]\nmod tests { }\nuse crate::worker::Worker;";
        assert_eq!(complaints("src/model/key.rs", after).len(), 1);
        let quote = "const Q: char = '\"';\nuse crate::worker::Worker;";
        assert_eq!(complaints("src/model/key.rs", quote).len(), 1);
    }

    /// The circles of a few files, as `file -> file: names`.
    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: format!("src/{path}.rs"),
                text: (*text).to_owned(),
            })
            .collect();
        circles(&files)
            .into_iter()
            .map(|text| text.split_once('\n').unwrap().1.trim().replace("src/", ""))
            .collect()
    }

    #[test]
    fn files_that_use_each_other_are_a_circle_however_they_say_it() {
        let forms = [
            ("use super::b::B;", "use crate::q::a::A;"),
            ("use super::{b::{B}};", "fn f(_: super::a::A) {}"),
            ("use super::b;\nfn f(_: b::B) {}", "use super::super::q::a::A;"),
            ("use super::b::*;", "use crate::{q::{a::{A as X}, c::C}};"),
            (
                "use super::b::{self};",
                "mod inner {\n    use super::super::a::A;\n}",
            ),
        ];
        for (a, b) in forms {
            let files = [
                ("q", "mod a;\nmod b;\nmod c;"),
                ("q/a", &format!("{a}\npub struct A;")),
                ("q/b", &format!("{b}\npub struct B;")),
                ("q/c", "pub struct C;"),
            ];
            let found = circles_of(&files);
            assert_eq!(found.len(), 1, "{a} | {b}");
            assert!(found[0].contains("q/b.rs -> q/a.rs: A"), "{}", found[0]);
        }
    }

    #[test]
    fn a_circle_may_lead_through_any_number_of_files_and_boxes() {
        let found = circles_of(&[
            ("q", "mod a;\nuse a::A;\npub struct Q;"),
            ("q/a", "use crate::r::R;\npub struct A;"),
            ("r", "pub use crate::q::Q as R;"),
            ("apart", "use crate::q::Q;"),
        ]);
        assert_eq!(found, ["q.rs -> q/a.rs: A\n  q/a.rs -> q.rs: Q"]);
        let three = circles_of(&[
            ("a", "use crate::b::B;\npub struct A;"),
            ("b", "use crate::c::C;\npub struct B;"),
            ("c", "use crate::a::A;\npub struct C;"),
        ]);
        assert_eq!(three, ["a.rs -> b.rs: B\n  b.rs -> c.rs: C\n  c.rs -> a.rs: A"]);
    }

    #[test]
    fn a_face_that_defines_what_its_children_use_and_uses_them_is_in_a_circle() {
        let child = ("q/a", "use super::Q;\npub struct A;\nimpl A {}");
        for face in [
            "mod a;\nuse a::A;\npub struct Q;\nfn f(_: A) {}",
            "mod a;\npub use a::A;\npub struct Q;\nfn f(_: A) {}",
            "mod a;\npub struct Q;\nfn f(_: a::A) {}",
        ] {
            assert_eq!(
                circles_of(&[("q", face), child]),
                ["q.rs -> q/a.rs: A\n  q/a.rs -> q.rs: Q"],
                "{face}"
            );
        }
    }

    #[test]
    fn declaring_a_module_and_handing_its_items_on_is_no_use_of_it() {
        let handed_on = circles_of(&[
            (
                "q",
                "mod a;\nmod b;\npub use a::{A, a};\npub(crate) use b::*;\npub struct Q;",
            ),
            ("q/a", "use super::{B, Q};\npub struct A;"),
            ("q/b", "use super::Q;\npub struct B;"),
        ]);
        assert_eq!(handed_on, Vec::<String>::new());
        let test_only = circles_of(&[
            ("q", "mod a;\nuse a::A;\npub struct Q;"),
            (
                "q/a",
                "pub(super) struct A;\n#[cfg(test)]\nmod tests {\n    use super::super::Q;\n}",
            ),
        ]);
        assert_eq!(test_only, Vec::<String>::new());
    }

    #[test]
    fn a_module_that_exists_for_tests_only_does_not_count() {
        let file = |path: &str, text: &str| SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let kept = production_only(&[
            file("src/queue.rs", "mod core;\n#[cfg(test)]\nmod model;"),
            file("src/queue/core.rs", ""),
            file("src/queue/model.rs", ""),
            file("src/queue/model/deep.rs", ""),
            file("src/queue/tests/deep.rs", ""),
        ]);
        let paths: Vec<&str> = kept.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["src/queue.rs", "src/queue/core.rs"]);
    }
}
