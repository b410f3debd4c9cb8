//! `make bench-kind` and its cluster, as far as they can be tried without kind: with programs in its place that write down how
//! they were called.
//!
//! Input: `loadtest/kind.yaml`, the Makefile. Output: test results. I/O: runs make in a temporary folder.

#![allow(clippy::unwrap_used, reason = "whatever goes wrong here is a failed test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs the target where kind has these clusters; gives whether it succeeded and the programs' calls in order.
fn bench_kind(clusters: &str, failing: &str, arguments: &[&str]) -> (bool, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["kind", "helm", "docker", "cargo"] {
        let script = format!(
            "#!/bin/sh\necho {program} \"$@\" >> '{log}'\ncase \"{program} $*\" in {failing}*) exit 1 ;; esac\n\
             case \"$*\" in 'get clusters') echo '{clusters}' ;; esac\n",
            log = folder.path().join("calls").display()
        );
        fs::write(bin.join(program), script).unwrap();
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let made = Command::new("make")
        .arg(format!("--file={}", root().join("Makefile").display()))
        .args(["--silent", "bench-kind"])
        .args(arguments)
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
    (made.status.success(), calls.lines().map(str::to_owned).collect())
}

/// The calls that matter, without most arguments.
fn in_short(calls: &[String]) -> Vec<String> {
    calls
        .iter()
        .map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_cluster_is_made_measured_and_deleted() {
    let (succeeded, calls) = bench_kind("other", "none", &["IMAGE=example/reloader:1", "BENCH=--only s1"]);
    assert!(succeeded);
    let expected = [
        "kind get",
        "cargo build",
        "kind create",
        "kind load",
        "cargo run",
        "kind delete",
    ];
    assert_eq!(in_short(&calls), expected, "{calls:#?}");
    let run = "cargo run --release --package loadtest -- --kubeconfig target/bench-kind.kubeconfig \
        --image example/reloader:1 --only s1";
    assert_eq!(calls[4], run);
    assert!(calls[2].contains("--config loadtest/kind.yaml"), "{}", calls[2]);
}

#[test]
fn the_cluster_is_deleted_whatever_fails() {
    for failing in ["cargo\\ run", "kind\\ load", "kind\\ create"] {
        let (succeeded, calls) = bench_kind("other", failing, &["IMAGE=example/reloader:1"]);
        assert!(!succeeded, "{failing}");
        assert_eq!(
            in_short(&calls).last().unwrap(),
            "kind delete",
            "{failing}: {calls:#?}"
        );
    }
}

#[test]
fn a_cluster_that_was_there_is_left_alone() {
    let (succeeded, calls) = bench_kind("reloader-bench", "none", &["IMAGE=example/reloader:1"]);
    assert!(!succeeded);
    assert_eq!(in_short(&calls), ["kind get"]);
}

#[test]
fn the_cluster_has_a_node_for_each_replica() {
    let text = fs::read_to_string(root().join("loadtest/kind.yaml")).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(config["kind"], "Cluster");
    assert_eq!(config["apiVersion"], "kind.x-k8s.io/v1alpha4");
    let nodes = config["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().filter(|node| node["role"] == "worker").count(), 3);
    let patches = config["kubeadmConfigPatches"].as_array().unwrap().iter();
    let patches: Vec<Value> = patches
        .map(|patch| serde_saphyr::from_str(patch.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(patches[0]["kind"], "KubeletConfiguration");
    assert!(patches[0]["maxPods"].as_i64().unwrap() <= 254);
    assert_eq!(patches[1]["kind"], "ClusterConfiguration");
    assert!(
        patches[1]["apiVersion"].is_null(),
        "kind converts patches without a version only"
    );
    assert!(patches[1]["controllerManager"]["extraArgs"]["kube-api-qps"].is_string());
}
