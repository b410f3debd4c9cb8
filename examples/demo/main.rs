//! Reloader at work on this computer, without a cluster of your own: `make demo`.
//!
//! It starts a real Kubernetes control plane without containers (KWOK simulates the node and its pods), gives Reloader the
//! permissions that ship in `deployments/kubernetes/rbac.yaml`, runs three replicas with leader election, applies the
//! example in `deployments/kubernetes/nginx/`, and then plays the acts of `show.rs`.
//!
//! Everything shown is checked against what the API server stores and logs. A restart that does not happen, happens twice or
//! without a reason ends the demo with exit code 1, the reason, and the ends of the replicas' logs.
//!
//! ```text
//! make demo                                            about 45 s; some minutes more the first time, to compile Kubernetes
//! KEEP=1 make demo                                     stays up at the end, for kubectl
//! cargo run --example demo -- --coalesce-window=2s     further arguments go to every replica
//! ```
//!
//! Nothing is left behind, however it ends: all processes run in one process group and all files are in one temporary
//! folder, and both go when this process goes.

mod cluster;
mod fleet;
mod show;

use std::{fmt::Display, io::Write, process::ExitCode, sync::LazyLock};

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use testbed::ControlPlane;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Cluster;
use fleet::Fleet;

const RBAC: &str = include_str!("../../deployments/kubernetes/rbac.yaml");

/// The zero of the printed times.
static START: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        print(format_args!("\nFAILED: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The demo, and the wait after it with `KEEP=1`. What was started ends when this returns.
async fn run() -> Result<ExitCode> {
    // Once listened for, they no longer end the process by themselves, so that destructors can run.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut stop = std::pin::pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    let (_fleet, plane) = tokio::select! {
        stage = play() => stage?,
        () = &mut stop => {
            print("\nInterrupted: ending everything.");
            // What a shell reports for a program that Ctrl-C ended: 128 + SIGINT.
            return Ok(ExitCode::from(130));
        }
    };
    if std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0") {
        print(format_args!(
            "\nIt stays up until Ctrl-C. In another terminal:\n  \
             export KUBECONFIG={}\n  \
             kubectl edit configmap nginx-map\n  \
             kubectl get pods --watch\n  \
             kubectl describe deployment nginx\n  \
             kubectl get configmap reloader-ledger --output yaml",
            plane.admin_kubeconfig().display()
        ));
        stop.await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the stage and plays on it. The replicas come first: they end before the API server they talk to.
async fn play() -> Result<(Fleet, ControlPlane)> {
    print("Reloader restarts what uses a ConfigMap or Secret when that changes.\n\n1. A cluster");
    now(
        "cluster",
        "starts: a real Kubernetes control plane without containers",
    );
    let plane = ControlPlane::builder().everything().start().await?;
    now(
        "cluster",
        "is ready; KWOK simulates its node: pods come and go, nothing runs in them",
    );

    print("\n2. Reloader");
    let cluster = Cluster::new(plane.admin());
    cluster.apply("rbac.yaml", RBAC).await?;
    now("you", "apply rbac.yaml: all permissions that Reloader has");
    let mut fleet = Fleet::new(&plane).await?;
    let shown = show::run(&cluster, &mut fleet, plane.audit()).await;
    shown.map_err(|error| anyhow!("{error:#}\n\n{}", fleet.log_tails()))?;
    Ok((fleet, plane))
}

/// Prints what happened just now.
fn now(who: &str, what: impl Display) {
    at(Timestamp::now(), who, what);
}

/// Prints what happened at `moment`.
fn at(moment: Timestamp, who: &str, what: impl Display) {
    let seconds = moment.duration_since(*START).as_secs_f64();
    print(format_args!("{seconds:6.1} s  {who:12}{what}"));
}

fn print(text: impl Display) {
    // The reader may be gone (`make demo | head`). What the demo checks is still worth its exit code.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
