//! Nothing is left behind: not after a drop, not after an end by signal, not even after SIGKILL.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use testbed::{ControlPlane, Replica, Signal, eventually};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Process ids of all processes with `text` in their command line, as the kernel shows them; a zombie has no command line.
fn processes_about(text: &Path) -> Vec<u32> {
    let text = text.to_str().unwrap();
    let is_about = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(is_about)
        .collect()
}

async fn all_gone(folder: &Path) {
    eventually(
        TIMEOUT,
        "the end of every process and of the folder",
        async || {
            let processes = processes_about(folder);
            match (processes.is_empty(), folder.exists()) {
                (true, false) => Ok(Some(())),
                (_, exists) => Err(format!("processes {processes:?}, folder exists: {exists}")),
            }
        },
    )
    .await
    .unwrap();
}

/// Runs `testbed up` until it says where its kubeconfig is; gives the process and the control plane's folder.
async fn up(extra: &[&str]) -> (Child, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("up")
        .args(extra)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = tokio::time::timeout(TIMEOUT, read)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    let kubeconfig = line.strip_prefix("export KUBECONFIG=").unwrap();
    (child, Path::new(kubeconfig).parent().unwrap().to_owned())
}

async fn wait(mut child: Child) -> std::process::ExitStatus {
    tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_dropped_control_plane_leaves_nothing() {
    let control_plane = ControlPlane::builder().everything().start().await.unwrap();
    let folder = control_plane.dir().to_owned();
    let pids = control_plane.pids();
    assert_eq!(pids.len(), 5);
    assert!(
        pids.iter().all(|pid| processes_about(&folder).contains(pid)),
        "the look at processes is blind"
    );
    drop(control_plane);
    // A drop is complete when it returns, so nothing is awaited.
    assert_eq!(processes_about(&folder), [] as [u32; 0]);
    assert!(!folder.exists());
}

#[tokio::test]
async fn sigkill_of_the_owner_leaves_nothing() {
    let (mut child, folder) = up(&["--no-kwok", "--no-scheduler", "--no-controller-manager"]).await;
    let pids = processes_about(&folder);
    assert!(pids.len() >= 2, "{pids:?}");
    // One that is frozen and so cannot end by itself.
    kill(Pid::from_raw(pids[0].try_into().unwrap()), Signal::SIGSTOP).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    all_gone(folder.parent().unwrap()).await;
}

#[tokio::test]
async fn up_ends_on_sigterm_and_leaves_nothing() {
    let (child, folder) = up(&["--no-kwok", "--no-scheduler", "--no-controller-manager"]).await;
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(wait(child).await.success());
    all_gone(folder.parent().unwrap()).await;
}

#[tokio::test]
async fn a_replica_is_signalled_and_its_output_read() {
    let script = "trap 'echo got TERM; exit 7' TERM; echo started as $ROLE with $KUBECONFIG; env | wc -l; while :; do sleep 0.01; done";
    let start = || {
        Replica::builder("sh")
            .args(["-c", script])
            .env("ROLE", "leader")
            .kubeconfig("/k")
            .name("one")
            .start()
            .unwrap()
    };
    let until_logged = async |replica: &Replica, text: &str| {
        eventually(TIMEOUT, text, async || replica.log().contains(text).then_some(()))
            .await
            .unwrap();
    };

    let replica = start();
    until_logged(&replica, "started as leader with /k\n").await;
    replica.pause().unwrap();
    replica.terminate().unwrap();
    assert!(
        replica.is_running().unwrap(),
        "a frozen process does not act on SIGTERM"
    );
    assert!(!replica.log().contains("got TERM"));
    replica.resume().unwrap();
    assert_eq!(replica.wait_exit(TIMEOUT).await.unwrap().code(), Some(7));
    assert!(replica.log().ends_with("got TERM\n"), "{}", replica.log());
    replica.terminate().unwrap();

    let replica = start();
    until_logged(&replica, "started").await;
    replica.kill();
    assert!(!replica.is_running().unwrap());

    let replica = start();
    let (pid, folder) = (replica.pid(), replica.folder().to_owned());
    drop(replica);
    assert!(!Path::new(&format!("/proc/{pid}")).exists() && !folder.exists());
}

#[tokio::test]
async fn a_replica_inherits_no_environment() {
    let replica = Replica::builder("env").start().unwrap();
    replica.wait_exit(TIMEOUT).await.unwrap();
    let log = replica.log();
    let mut names: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "PATH"]);
}
