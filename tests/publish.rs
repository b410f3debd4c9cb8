//! What a release is made of, without a registry: archives, krew's manifest, provenance, and the order in which `.ci/publish`
//! pushes and signs, with programs in the place of Helm and cosign that note their calls.
//!
//! I/O: writes temporary folders, runs the scripts of `.ci`, tar, sha256sum and jq.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const URL: &str = "https://forge.example/owner/reloader";
const IMAGE_DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CHART_DIGEST: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A script of `.ci`, in the environment of a workflow.
fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(in_repository(".ci").join(name)).env_remove("VERSION");
    for (variable, value) in [
        ("SERVER_URL", "https://forge.example"),
        ("REPOSITORY", "owner/reloader"),
        ("REF", "refs/tags/v1.2.3"),
        ("SHA", "0123456789012345678901234567890123456789"),
        (
            "WORKFLOW_REF",
            "owner/reloader/.github/workflows/release.yaml@refs/tags/v1.2.3",
        ),
        ("RUN_ID", "42"),
        ("RUN_ATTEMPT", "1"),
        ("EVENT_NAME", "push"),
    ] {
        command.env(format!("GITHUB_{variable}"), value);
    }
    command
}

#[track_caller]
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Manual pages, as `make man` names them.
const PAGES: [&str; 2] = ["reloader-explain.1", "reloader.1"];

/// Packs a program that is a line of text; gives the archive.
fn pack(folder: &Path, system: &str, architecture: &str) -> PathBuf {
    let program = folder.join("program");
    fs::write(&program, "#!/bin/sh\necho packed\n").unwrap();
    let (dist, pages) = (folder.join("dist"), folder.join("man"));
    fs::create_dir_all(&pages).unwrap();
    for page in PAGES {
        fs::write(pages.join(page), ".TH\n").unwrap();
    }
    let output = script("pack")
        .args([
            program.as_path(),
            Path::new(system),
            Path::new(architecture),
            &dist,
            &pages,
        ])
        .output()
        .unwrap();
    PathBuf::from(printed(output).trim())
}

#[rstest]
#[case::linux("linux", "arm64", "")]
#[case::darwin("darwin", "amd64", "")]
#[case::windows("windows", "amd64", ".exe")]
fn an_archive_has_the_program_under_both_names(
    #[case] system: &str,
    #[case] architecture: &str,
    #[case] suffix: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack(folder.path(), system, architecture);
    let name = archive.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, format!("reloader-{VERSION}-{system}-{architecture}.tar.gz"));
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .output();
    printed(unpacked.unwrap());
    for program in ["reloader", "kubectl-reloader"] {
        let program = root.join(format!("{program}{suffix}"));
        assert_eq!(printed(Command::new(program).output().unwrap()), "packed\n");
    }
    assert_eq!(
        fs::read(root.join("LICENSE")).unwrap(),
        fs::read(in_repository("LICENSE")).unwrap()
    );
    // Windows has no reader of manual pages.
    let pages = root.join("share/man/man1");
    let is_windows = system == "windows";
    assert_eq!(pages.is_dir(), !is_windows);
    if !is_windows {
        let entries = fs::read_dir(&pages).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, PAGES);
    }
    assert_eq!(
        fs::read_dir(&root).unwrap().count(),
        if is_windows { 3 } else { 4 }
    );
}

#[test]
fn nothing_is_packed_without_manual_pages() {
    let folder = tempfile::tempdir().unwrap();
    let output = script("pack")
        .args(["/bin/true", "linux", "amd64"])
        .args([folder.path().join("dist"), folder.path().join("no-pages")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("dist").exists());
}

#[test]
fn nothing_is_packed_for_an_unknown_system() {
    let output = script("pack")
        .args(["/bin/true", "plan9", "amd64", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// A release's files, and programs that note how they were called.
struct Release(TempDir);

impl Release {
    fn new() -> Self {
        let release = Self(tempfile::tempdir().unwrap());
        for (system, architecture) in [
            ("linux", "amd64"),
            ("linux", "arm64"),
            ("darwin", "arm64"),
            ("windows", "amd64"),
        ] {
            pack(release.0.path(), system, architecture);
        }
        for file in ["cdx.json", "yaml"] {
            release.write(&format!("dist/reloader-{VERSION}.{file}"), "{}\n");
        }
        release.write(&format!("dist/reloader-{VERSION}.tgz"), "a chart\n");
        release.program(
            "helm",
            &format!("echo 'Pushed: registry.example/charts/reloader:{VERSION}' >&2; echo 'Digest: {CHART_DIGEST}' >&2"),
        );
        // Writes the bundle that it is asked for.
        release.program(
            "cosign",
            "while [ $# -gt 0 ]; do [ \"$1\" != --bundle ] || echo bundle > \"$2\"; shift; done",
        );
        release
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn program(&self, name: &str, body: &str) {
        let calls = self.path("calls");
        self.write(
            name,
            &format!("#!/bin/sh\necho {name} \"$@\" >> '{}'\n{body}\n", calls.display()),
        );
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn publish(&self, image: &str) -> Output {
        script("publish")
            .arg(self.path("dist"))
            .args([image, "registry.example", VERSION])
            .env("HELM", self.path("helm"))
            .env("COSIGN", self.path("cosign"))
            .output()
            .unwrap()
    }

    /// The calls, without what differs from run to run.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let words = |line: &str| {
            let words = line.split(' ').map(|word| match word.rsplit_once('/') {
                Some((folder, "provenance.json")) if folder.starts_with('/') => "PROVENANCE",
                _ => word,
            });
            words.collect::<Vec<_>>().join(" ")
        };
        calls.lines().map(words).collect()
    }
}

#[test]
fn everything_is_signed_by_its_digest() {
    let release = Release::new();
    let image = format!("registry.example/reloader@{IMAGE_DIGEST}");
    printed(release.publish(&image));
    let chart = format!("registry.example/charts/reloader@{CHART_DIGEST}");
    assert_eq!(
        release.calls(),
        [
            format!("helm push reloader-{VERSION}.tgz oci://registry.example/charts"),
            format!("cosign sign --yes {image}"),
            format!("cosign attest --yes --type slsaprovenance1 --predicate PROVENANCE {image}"),
            format!("cosign sign --yes {chart}"),
            format!("cosign attest --yes --type slsaprovenance1 --predicate PROVENANCE {chart}"),
            format!("cosign attest --yes --type cyclonedx --predicate reloader-{VERSION}.cdx.json {image}"),
            "cosign sign-blob --yes --bundle SHA256SUMS.sigstore.json SHA256SUMS".to_owned(),
            "cosign attest-blob --yes --type slsaprovenance1 --predicate PROVENANCE --bundle \
             SHA256SUMS.provenance.sigstore.json SHA256SUMS"
                .to_owned(),
        ]
    );

    // The checksums cover every file but what signs them.
    let sums = fs::read_to_string(release.path("dist/SHA256SUMS")).unwrap();
    let mut covered: Vec<&str> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    covered.sort_unstable();
    let mut files: Vec<String> = fs::read_dir(release.path("dist"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| !file.starts_with("SHA256SUMS"))
        .collect();
    files.sort();
    assert_eq!(covered, files);
    let checked = Command::new("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(release.path("dist"))
        .output();
    printed(checked.unwrap());

    let krew: Value =
        serde_saphyr::from_str(&fs::read_to_string(release.path("dist/krew.yaml")).unwrap()).unwrap();
    assert_eq!(krew["spec"]["version"], format!("v{VERSION}"));
    let platforms = krew["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 4);
    for platform in platforms {
        let labels = &platform["selector"]["matchLabels"];
        let (system, architecture) = (labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap());
        let file = format!("reloader-{VERSION}-{system}-{architecture}.tar.gz");
        assert_eq!(
            platform["uri"],
            format!("{URL}/releases/download/v{VERSION}/{file}")
        );
        let sum = platform["sha256"].as_str().unwrap();
        assert!(sums.contains(&format!("{sum}  {file}")), "{platform}");
        let suffix = if system == "windows" { ".exe" } else { "" };
        assert_eq!(platform["bin"], format!("kubectl-reloader{suffix}"));
    }
}

#[rstest]
#[case::image_by_a_tag("registry.example/reloader:1.2.3", None, "has no digest")]
#[case::push_refused("", Some("echo 403 >&2; exit 1"), "the chart was not pushed: 403")]
#[case::no_digest("", Some("true"), "printed no digest")]
fn without_a_digest_nothing_is_signed(#[case] image: &str, #[case] helm: Option<&str>, #[case] reason: &str) {
    let release = Release::new();
    if let Some(body) = helm {
        release.program("helm", body);
    }
    let by_digest = format!("registry.example/reloader@{IMAGE_DIGEST}");
    let output = release.publish(if image.is_empty() { &by_digest } else { image });
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(reason), "{said}");
    assert!(release.calls().iter().all(|call| !call.starts_with("cosign")));
}

#[test]
fn a_release_without_one_of_its_files_is_not_published() {
    let release = Release::new();
    fs::remove_file(release.path(&format!("dist/reloader-{VERSION}.cdx.json"))).unwrap();
    let output = release.publish(&format!("registry.example/reloader@{IMAGE_DIGEST}"));
    assert!(!output.status.success());
    assert_eq!(release.calls(), Vec::<String>::new());
}

#[test]
fn the_provenance_names_source_workflow_and_run() {
    let provenance: Value = serde_json::from_str(&printed(script("provenance").output().unwrap())).unwrap();
    let workflow = &provenance["buildDefinition"]["externalParameters"]["workflow"];
    assert_eq!(workflow["repository"], URL);
    assert_eq!(workflow["path"], ".github/workflows/release.yaml");
    assert_eq!(workflow["ref"], "refs/tags/v1.2.3");
    let source = &provenance["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(source["uri"], format!("git+{URL}@refs/tags/v1.2.3"));
    assert_eq!(
        source["digest"]["gitCommit"],
        "0123456789012345678901234567890123456789"
    );
    assert_eq!(
        provenance["runDetails"]["metadata"]["invocationId"],
        format!("{URL}/actions/runs/42/attempts/1")
    );
}

/// What users verify by is the workflow that signs.
#[test]
fn the_documented_identity_is_that_of_the_workflow_that_signs() {
    let page = fs::read_to_string(in_repository("docs/verify.md")).unwrap();
    assert!(page.contains("/.github/workflows/release.yaml@refs/tags/v"));
    let workflow = fs::read_to_string(in_repository(".github/workflows/release.yaml")).unwrap();
    assert!(workflow.contains(".ci/publish dist") && workflow.contains("id-token: write"));
}

/// The builder's context has every member of the workspace, without which cargo reads no manifest.
#[test]
fn the_image_is_built_of_the_whole_workspace_with_the_pinned_toolchain() {
    let read = |file: &str| fs::read_to_string(in_repository(file)).unwrap();
    let (context, manifest) = (read(".dockerignore"), read("Cargo.toml"));
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    for member in members {
        assert!(
            context.lines().any(|line| line == format!("!{member}")),
            "{member}"
        );
    }
    let channel = read("rust-toolchain.toml");
    let channel = channel
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap();
    let base = format!("FROM rust:{}-alpine@sha256:", channel.trim_matches('"'));
    assert!(read("Dockerfile").contains(&base), "{base}");
}
