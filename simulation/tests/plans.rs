//! Plans that once failed hold, and runs are repeatable.
//!
//! I/O: runs `simulate`.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulate"));
    for variable in ["SEED", "SEEDS", "PLAN", "POLICIES"] {
        command.env_remove(variable);
    }
    command.args(arguments).output().unwrap()
}

#[test]
fn every_kept_plan_holds() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut failed = Vec::new();
    let mut count = 0;
    for plan in fs::read_dir(plans).unwrap() {
        let path = plan.unwrap().path();
        let output = simulate(&["--plan", path.to_str().unwrap()]);
        count += 1;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            failed.push(format!("{}: {text}{errors}", path.display()));
        }
    }
    assert!(count >= 7, "{count} plans");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Of so many seeds the first is played twice.
#[test]
fn a_seed_always_gives_the_same_run() {
    let output = simulate(&["--seeds", "4", "--first", "1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("differ"), "{text}");
    assert!(text.contains("4 seeds from 1"), "{text}");
}

#[test]
fn what_cannot_be_played_is_said() {
    for (arguments, says) in [
        (&["--plan", "absent.json"][..], "absent.json cannot be read"),
        (&["--plan", "Cargo.toml"], "is no plan"),
        (&["--seeds", "0"], "no seed was played"),
    ] {
        let output = simulate(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(says), "{errors}");
    }
}
