//! The rules: who may see whom, what pure code may not touch, what is left to `main`.
//!
//! Input: one file. Output: its violations, one line each. I/O: none.

use super::source::{SourceFile, code, is_word_character};

/// Each box (a module of `src/lib.rs`) and the boxes whose types it may use. Edges run against the data's flow, from
/// a box to those before it. A new edge belongs into docs/architecture.md first.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("api_error", &[]),
    ("lease", &[]),
    ("mailbox", &[]),
    ("queue", &["model"]),
    ("decide", &["model"]),
    ("admit", &["model"]),
    ("diagnose", &["admit", "model"]),
    // The verdicts of `decide`, in words.
    ("explain", &["admit", "decide", "diagnose", "model"]),
    ("metrics", &["model"]),
    // What is wrong with an object is found while its text is there.
    ("watch", &["model", "api_error", "diagnose"]),
    ("index", &["model", "watch"]),
    // What the index says, written down by the leader, under the field manager of every other write.
    ("ledger", &["model", "api_error", "index", "lease", "patch"]),
    // It reads the answers to its patches as the watch reads objects.
    ("patch", &["model", "api_error", "decide", "mailbox", "watch"]),
    // Alerts and webhook calls.
    ("notify", &["model", "api_error", "mailbox", "metrics"]),
    ("meta_info", &["model", "api_error"]),
    ("args", &["model"]),
    (
        "config",
        &["admit", "args", "decide", "lease", "meta_info", "model", "notify"],
    ),
    ("telemetry", &["config"]),
    ("admin", &["config", "metrics"]),
    // Commands, which are other programs than the controller.
    (
        "cli",
        &[
            "api_error",
            "args",
            "config",
            "diagnose",
            "explain",
            "model",
            "watch",
        ],
    ),
    // The three that put boxes together.
    (
        "worker",
        &[
            "admin",
            "admit",
            "api_error",
            "decide",
            "diagnose",
            "index",
            "lease",
            "ledger",
            "mailbox",
            "metrics",
            "model",
            "notify",
            "patch",
            "queue",
            "telemetry",
            "watch",
        ],
    ),
    // Questions of users, answered from what the worker's context has.
    (
        "inspect",
        &[
            "admin", "admit", "config", "decide", "explain", "index", "lease", "model", "queue", "worker",
        ],
    ),
    (
        "run",
        &[
            "admin",
            "admit",
            "api_error",
            "config",
            "decide",
            "diagnose",
            "index",
            "inspect",
            "lease",
            "ledger",
            "meta_info",
            "metrics",
            "model",
            "notify",
            "patch",
            "queue",
            "telemetry",
            "watch",
            "worker",
        ],
    ),
];

/// The files and folders that compute only; the same input always gives the same output.
const PURE: &[&str] = &[
    "src/model",
    "src/index",
    "src/admit",
    "src/decide",
    "src/diagnose",
    "src/explain",
    "src/ledger/chunks",
    "src/ledger/cipher",
    "src/ledger/first_format",
    "src/ledger/line",
    "src/mailbox/waiting",
    "src/config",
    "src/meta_info/document",
    "src/notify/endpoint",
    "src/notify/payload",
    "src/patch/body",
    "src/patch/job",
    "src/patch/seal",
    "src/patch/template",
    "src/queue/core",
    "src/queue/namespace",
    "src/queue/backoff",
    "src/queue/limits",
    "src/queue/outcome",
    "src/queue/priority",
    "src/queue/settings",
    "src/queue/standing",
    "src/queue/stats",
    "src/queue/turns",
    "src/watch/stream/course",
    "src/worker/intake/health",
    "src/worker/intake/outage",
    "src/worker/intake/permissions",
    "src/worker/intake/sign",
    "src/worker/report/failures",
    "src/worker/report/flapping",
    "src/worker/round",
    "src/lease/election",
    "src/lease/record",
    "src/lease/role",
];

/// What pure code may not touch: clients, the runtime, logs, clocks, files, the environment.
const IMPURE: &[&str] = &[
    "kube::",
    "tokio::",
    "tracing::",
    "axum::",
    "std::fs",
    "std::net",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
];

/// Ways to read the environment, and where that is allowed.
const ENVIRONMENT: &[&str] = &["env::var", "env::args", "env::vars"];
const READS_ENVIRONMENT: &[&str] = &["src/main", "src/args"];

/// Ways to start a task, and where that is allowed: elsewhere a task would outlive the replica it belongs to, and the
/// simulation could neither stop nor delay it.
const SPAWNS: &[&str] = &[
    "tokio::spawn",
    "task::spawn",
    "spawn_blocking",
    "thread::spawn",
    "JoinSet::new",
];
const MAY_SPAWN: &[&str] = &[
    "src/main",
    // The loops of a replica, in their turns.
    "src/run/supervise",
    // Tasks of sockets.
    "src/run/fenced",
    "src/admin/server",
    // The log and the exporter, which belong to the process.
    "src/telemetry",
];

/// Ways to give up, which are left to `main`: everywhere else a failure is a value.
const GIVES_UP: &[&str] = &[
    "process::exit",
    "process::abort",
    ".unwrap()",
    ".expect(",
    "panic!",
    "unreachable!",
    "todo!",
    "unimplemented!",
];

/// What the file violates; `path:line: …`, for editors.
pub fn violations(file: &SourceFile) -> Vec<String> {
    let module = file.path.trim_end_matches(".rs");
    let own = module.split('/').nth(1).unwrap_or_default();
    let code = code(&file.text);
    let at = |position: usize| format!("{}:{}", file.path, code[..position].lines().count().max(1));
    let mut found = Vec::new();

    if !matches!(own, "main" | "lib") {
        match MAY_SEE.iter().find(|(name, _)| *name == own) {
            None => found.push(format!(
                "{}: box `{own}` is in no table of tests/layering/rules.rs",
                file.path
            )),
            Some((_, allowed)) => {
                for (position, seen) in boxes_seen(module, &code) {
                    if seen != own && !allowed.contains(&seen) {
                        found.push(format!("{}: `{own}` must not see `{seen}`", at(position)));
                    }
                }
            }
        }
    }
    let mut forbid = |words: &[&str], why: &str| {
        for word in words {
            for position in occurrences(&code, word) {
                found.push(format!("{}: `{word}` {why}", at(position)));
            }
        }
    };
    if is_under(module, PURE) {
        forbid(IMPURE, "in pure code");
    } else if !is_under(module, READS_ENVIRONMENT) {
        forbid(ENVIRONMENT, "outside the command line");
    }
    if !is_under(module, MAY_SPAWN) {
        forbid(SPAWNS, "outside the files that may start tasks");
    }
    if own != "main" {
        forbid(GIVES_UP, "outside main");
    }
    found
}

fn is_under(module: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        module
            .strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Every box that a path names, and where: `crate::queue::…`, `crate::{queue::…, …}`, `super::…` up to the crate.
fn boxes_seen<'a>(module: &str, code: &'a str) -> Vec<(usize, &'a str)> {
    // `src/queue/core` is two levels below the crate.
    let to_crate = "super::".repeat(module.split('/').count() - 1);
    let mut seen = Vec::new();
    for root in ["crate::", to_crate.as_str()] {
        for position in occurrences(code, root) {
            let after = &code[position + root.len()..];
            let names = match after.strip_prefix('{') {
                Some(group) => first_names(group),
                None => vec![word(after)],
            };
            seen.extend(
                names
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(|name| (position, name)),
            );
        }
    }
    seen
}

/// The first word of each item of a `use` group, up to the brace that closes it.
fn first_names(group: &str) -> Vec<&str> {
    let (mut names, mut depth, mut item) = (Vec::new(), 0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(word(&group[item..at]));
                return names;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(word(&group[item..at]));
                item = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// The identifier at the start of the text.
fn word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|character| !is_word_character(character))
        .next()
        .unwrap_or_default()
}

/// Where `what` occurs, not as the tail of a longer identifier or path.
fn occurrences<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(what)
        .map(|(position, _)| position)
        .filter(move |position| {
            let before = code[..*position].chars().next_back();
            what.starts_with('.') || before.is_none_or(|character| !is_word_character(character))
        })
}
