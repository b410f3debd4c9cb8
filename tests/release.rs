//! `.ci/release-check`, on a made-up project that can be released and then breaks one rule at a time.
//!
//! The project has the real version, chart and changelog, as they will be at a release, and nothing to compile. I/O:
//! writes temporary folders, runs git and cargo in them.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rstest::rstest;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A repository with one commit in which everything is in order.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let real = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |file: &str| fs::read_to_string(real.join(file)).unwrap();
        let project = Self(tempfile::tempdir().unwrap());

        let cargo = read("Cargo.toml");
        let (_, workspace) = cargo.split_once("[workspace.package]").unwrap();
        let (workspace, _) = workspace.split_once("\n[").unwrap();
        project.write(
            "Cargo.toml",
            &format!(
                "[workspace]\n\n[workspace.package]{workspace}\n[package]\nname = \"reloader\"\n\
                 version.workspace = true\nedition.workspace = true\n"
            ),
        );
        project.write(
            "Cargo.lock",
            &format!("version = 4\n\n[[package]]\nname = \"reloader\"\nversion = \"{VERSION}\"\n"),
        );
        project.write("src/lib.rs", "");
        // In place of the tests that compare generated files.
        project.write(
            "tests/chart.rs",
            "#[test]\nfn generated() {\n    assert!(!std::path::Path::new(\"stale\").exists());\n}\n",
        );
        project.write("charts/reloader/Chart.yaml", &read("charts/reloader/Chart.yaml"));
        project.write("CHANGELOG.md", &released(&read("CHANGELOG.md")));
        project.write(".gitignore", "target/\n");
        project.write(".ci/release-check", &read(".ci/release-check"));

        project.git(&["init", "--quiet"]);
        project.commit();
        project
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.0.path().join(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old}:\n{text}");
        self.write(file, &text.replace(old, new));
    }

    /// git, without anybody's own settings.
    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=Nobody", "-c", "user.email=nobody@localhost"])
            .args(["-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"])
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "Change"]);
    }

    fn check(&self, arguments: &[&str]) -> Output {
        Command::new("bash")
            .arg(".ci/release-check")
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn assert_can_be_released(&self, arguments: &[&str]) {
        let output = self.check(arguments);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains(&format!("{VERSION} can be released as v{VERSION}")),
            "{said}"
        );
    }

    /// Refused for this reason, and for no other.
    #[track_caller]
    fn assert_refused(&self, arguments: &[&str], reason: &str) {
        let output = self.check(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "not because of {reason}: {said}");
        let problems = said
            .lines()
            .filter(|line| line.starts_with("release-check: "))
            .count();
        // The second one says how many there were.
        assert_eq!(problems, 2, "{said}");
    }
}

/// A changelog in which what is unreleased has become this version.
fn released(changelog: &str) -> String {
    let heading = format!("## [{VERSION}] - ");
    if changelog.contains(&heading) {
        return changelog.to_owned();
    }
    let unreleased = "## [Unreleased]\n";
    assert!(changelog.contains(unreleased), "{changelog}");
    changelog.replace(unreleased, &format!("{unreleased}\n{heading}2026-01-02\n"))
}

#[test]
fn what_is_in_order_can_be_released() {
    let project = Project::new();
    project.assert_can_be_released(&[]);
    project.assert_can_be_released(&[&format!("v{VERSION}")]);
    // As the workflow finds it, after somebody has pushed the tag.
    project.git(&["tag", &format!("v{VERSION}")]);
    project.assert_can_be_released(&[&format!("v{VERSION}")]);
}

#[rstest]
#[case::chart_version("charts/reloader/Chart.yaml", "\nversion: ", "\nversion: 9", "version is not")]
#[case::chart_app_version(
    "charts/reloader/Chart.yaml",
    "appVersion: ",
    "appVersion: 9",
    "appVersion is not"
)]
#[case::left_over(
    "CHANGELOG.md",
    "## [Unreleased]\n",
    "## [Unreleased]\n\n- Something.\n",
    "still has entries under Unreleased"
)]
#[case::no_section("CHANGELOG.md", "## [0.", "## [9.", "has no section")]
#[case::no_date("CHANGELOG.md", "] - 20", "] - soon, in 20", "has no section")]
#[case::lock(
    "Cargo.lock",
    "version = \"",
    "version = \"9",
    "Cargo.lock does not fit Cargo.toml"
)]
#[case::stale("src/lib.rs", "", "\n", "are not current; run make manifests")]
fn what_is_out_of_order_is_refused(
    #[case] file: &str,
    #[case] old: &str,
    #[case] new: &str,
    #[case] reason: &str,
) {
    let project = Project::new();
    if reason.contains("make manifests") {
        project.write("stale", "");
    } else {
        project.replace(file, old, new);
    }
    project.commit();
    project.assert_refused(&[], reason);
}

#[test]
fn a_tag_of_another_version_is_refused() {
    let reason = format!("the tag is v9.9.9 and Cargo.toml says {VERSION}");
    Project::new().assert_refused(&["v9.9.9"], &reason);
}

#[test]
fn what_is_not_committed_is_refused() {
    let project = Project::new();
    project.write("note.txt", "");
    project.assert_refused(&[], "there are uncommitted changes");
}

#[test]
fn a_version_that_was_released_from_another_commit_is_refused() {
    let project = Project::new();
    project.git(&["tag", &format!("v{VERSION}")]);
    project.commit();
    project.assert_refused(&[], "is on another commit");
}
