//! Scenarios on this computer, smaller than they are measured.
//!
//! Input: the built programs. Output: test results. I/O: runs the load test, which starts a control plane.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The controller beside the load test's program; built if it is not there.
fn controller() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("reloader");
    if !program.is_file() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--bin", "reloader"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
            .status();
        assert!(built.unwrap().success());
    }
    program
}

/// Runs a scenario; it fails if what has to hold does not. Returns the table.
fn measure(args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .arg("--no-store")
        .arg("--controller")
        .arg(controller())
        .args(args)
        .output()
        .unwrap();
    let (table, errors) = (
        String::from_utf8_lossy(&run.stdout).into_owned(),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{table}\n{errors}");
    table
}

#[test]
fn a_limit_holds_over_the_death_of_a_leader() {
    let table = measure(&["--only=blast-radius", "--deployments=50"]);
    for row in [
        "in progress at a time, at most |  | 5 |",
        "restarted more than once |  | 0 |",
    ] {
        assert!(table.contains(row), "{table}");
    }
}

#[test]
fn what_waits_asks_for_nothing() {
    let table = measure(&["--only=deferred", "--deployments=200", "--minutes=0.3"]);
    assert!(
        table.contains("200 restarts that wait: requests |  | 0 |"),
        "{table}"
    );
}
