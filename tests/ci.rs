//! `.ci/needs-cluster`, which skips tests in CI: on a made-up repository in which one file changes at a time.
//!
//! I/O: writes temporary folders, runs git and the script in them.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{fs, path::Path, process::Command};

use rstest::rstest;
use tempfile::TempDir;

const SCRIPT: &str = ".ci/needs-cluster";

/// A repository with the script and one commit.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet"]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
        repository.commit(SCRIPT, &fs::read_to_string(script).unwrap());
        repository
    }

    /// Writes and commits a file; returns the commit before.
    fn commit(&self, file: &str, text: &str) -> String {
        let before = self.git(&["rev-parse", "--verify", "--quiet", "HEAD"]);
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Change"]);
        before
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@localhost",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn needs_cluster(&self, arguments: &[&str]) -> String {
        let output = Command::new("bash")
            .arg(SCRIPT)
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[rstest]
#[case::documentation("docs/flags.md", "false\n")]
#[case::decision("docs/adr/0001-own-lease.md", "false\n")]
#[case::conventions("CONTRIBUTING.md", "false\n")]
#[case::of_the_chart("charts/reloader/README.md", "true\n")]
#[case::compared_with_the_alerts("docs/runbooks.md", "true\n")]
#[case::compared_with_the_chart("CHANGELOG.md", "true\n")]
#[case::run_on_a_cluster("README.md", "true\n")]
#[case::run_on_a_cluster_as_well("docs/migrating-from-stakater-reloader.md", "true\n")]
#[case::installation("docs/installation.md", "true\n")]
#[case::compared_with_tools("docs/gitops.md", "true\n")]
#[case::source("src/lib.rs", "true\n")]
#[case::workflow(".github/workflows/ci.yaml", "true\n")]
fn a_change_of_documentation_needs_no_cluster(#[case] file: &str, #[case] expected: &str) {
    let repository = Repository::new();
    let before = repository.commit(file, "text");
    assert_eq!(repository.needs_cluster(&[&before]), expected);
}

#[test]
fn every_commit_since_the_base_counts() {
    let repository = Repository::new();
    let before = repository.commit("src/lib.rs", "text");
    repository.commit("docs/flags.md", "text");
    assert_eq!(repository.needs_cluster(&[&before]), "true\n");
}

#[rstest]
#[case::none(&[])]
#[case::empty(&[""])]
#[case::of_a_new_branch(&["0000000000000000000000000000000000000000"])]
fn without_a_base_everything_is_tested(#[case] arguments: &[&str]) {
    let repository = Repository::new();
    repository.commit("docs/flags.md", "text");
    assert_eq!(repository.needs_cluster(arguments), "true\n");
}
