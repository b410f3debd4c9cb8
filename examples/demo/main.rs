//! Reloader at work, on this computer, without a cluster of your own: `make demo`.
//!
//! It starts a real Kubernetes control plane without containers (KWOK plays the machine and its pods), gives Reloader the
//! permissions that ship in `deployments/kubernetes/rbac.yaml`, runs three replicas with leader election, applies the
//! example in `deployments/kubernetes/nginx/`, and then
//! - edits a ConfigMap and a Secret of a Deployment, a StatefulSet and a DaemonSet, one after the other;
//! - edits thirty ConfigMaps of thirty Deployments at once, and kills the leading replica in the middle of it;
//! - writes a ConfigMap with the content it has already;
//! - stops all replicas, writes three sources, of which one has new content then, and starts the replicas again.
//!
//! Everything shown is checked against what the API server stores and logs. A restart that does not happen, happens twice or
//! without a reason ends the demo with exit code 1, the reason, and the end of the leader's log.
//!
//! ```text
//! make demo                                            about 45 s; some minutes more the first time, to compile Kubernetes
//! KEEP=1 make demo                                     stays up at the end, for kubectl
//! cargo run --example demo -- --coalesce-window=2s     further arguments go to every replica
//! ```
//!
//! Nothing is left behind, however it ends: all processes run in one process group and all files are in one temporary
//! folder, and both go when this process goes.
//!
//! | module | is for |
//! |---|---|
//! | `show` | the acts, in order; the longer ones in `burst` and `absence`; the `summary` |
//! | `cluster` | applying, editing, looking at workloads and pods |
//! | `example` | what is applied and edited: the manifests and the names in them |
//! | `fleet` | the three replicas |
//! | `evidence` | what the audit log says |
//! | `timeline` | how it is printed |
//!
//! Input: environment `KEEP`, `NO_COLOR`, arguments for the replicas. Output: the timeline, an exit code.
//! I/O: starts processes, writes temporary files, talks to the control plane it started.

mod cluster;
mod evidence;
mod example;
mod fleet;
mod show;
mod timeline;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use testbed::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Cluster;
use fleet::Fleet;
use show::Show;
use timeline::{Timeline, Who};

/// The permissions that ship.
const RBAC: &str = include_str!("../../deployments/kubernetes/rbac.yaml");

const HELP: &str = "\
Shows Reloader at work on a Kubernetes control plane that is started on this computer, and checks what it shows.

Usage: cargo run --example demo [-- ARGUMENTS FOR EVERY REPLICA]

Environment:
  KEEP=1      Stay up at the end, for kubectl, until Ctrl-C
  NO_COLOR=1  No colours

Exit status: 0 if Reloader did what it should, 1 if not, 130 after Ctrl-C.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let timeline = Timeline::start();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        timeline::print(HELP);
        return ExitCode::SUCCESS;
    }
    let stop = match Stop::new() {
        Ok(stop) => stop,
        Err(error) => {
            timeline.failure(&format!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    perform(&timeline, &arguments, stop)
        .await
        .unwrap_or_else(|error| {
            timeline.failure(&format!("{error:#}"));
            ExitCode::FAILURE
        })
}

/// The demo, and the wait after it with `KEEP=1`. What was started ends when this returns.
async fn perform(timeline: &Timeline, arguments: &[String], mut stop: Stop) -> Result<ExitCode> {
    let mut stage = None;
    let played = tokio::select! {
        played = play(timeline, arguments, &mut stage) => played,
        () = stop.requested() => {
            timeline::print("\nInterrupted: ending everything.");
            // What a shell reports for a program that Ctrl-C ended: 128 + SIGINT.
            return Ok(ExitCode::from(130));
        }
    };
    let Some(Stage { plane, fleet }) = &stage else {
        return played.map(|()| ExitCode::SUCCESS);
    };
    if let Err(error) = played {
        return Err(anyhow!("{error:#}\n\n{}", fleet.log_tail().await));
    }
    if std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0") {
        timeline.heading("It stays up. In another terminal:");
        timeline::print(format_args!(
            "  export KUBECONFIG={}\n  \
             kubectl edit configmap nginx-map\n  \
             kubectl get pods --watch\n  \
             kubectl describe deployment nginx\n  \
             kubectl get configmap --namespace reloader reloader-ledger --output yaml\n\
             Ctrl-C ends it and removes everything.",
            plane.admin_kubeconfig().display()
        ));
        stop.requested().await;
    }
    drop(stage);
    timeline::print("\nEnded: its processes are gone, its temporary files go with this one.");
    Ok(ExitCode::SUCCESS)
}

/// What runs. The replicas end before the API server they talk to.
struct Stage {
    fleet: Fleet,
    plane: ControlPlane,
}

/// Sets the stage, where the caller finds it even if the show fails, and gives the show.
async fn play(timeline: &Timeline, arguments: &[String], stage: &mut Option<Stage>) -> Result<()> {
    let program = fleet::controller()?;
    timeline::print(
        "Reloader restarts what uses a ConfigMap or Secret when that changes. Here it is at work.",
    );
    timeline.heading("1. A cluster");
    timeline.now(
        Who::Cluster,
        "starts: a real Kubernetes control plane on this computer, without containers",
    );
    let plane = ControlPlane::builder().everything().start().await?;
    timeline.now(
        Who::Cluster,
        "is ready; KWOK plays its machine: pods come and go, but no container runs in them",
    );

    timeline.heading("2. Reloader");
    let cluster = Cluster::new(plane.admin());
    cluster.create_namespace(fleet::NAMESPACE).await?;
    cluster.apply("rbac.yaml", RBAC).await?;
    timeline.now(
        Who::You,
        "apply rbac.yaml         what Reloader may do, and nothing else",
    );
    let fleet = Fleet::start(&plane, &program, arguments).await?;
    let Stage { fleet, plane } = stage.insert(Stage { fleet, plane });
    Show::new(timeline, &cluster, fleet, plane.audit()).run().await
}

/// Ctrl-C and SIGTERM. Once listened for they no longer end the process by themselves, so that destructors can run.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    /// Completes when one of them has come.
    async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
