//! Command `testbed`: builds the control plane's programs, or runs a control plane until told to stop.
//!
//! I/O: standard output carries what another program reads (paths, the `export` line); everything else goes to standard error.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use testbed::ControlPlane;
use testbed::binaries::{Binaries, Component};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on this computer, without containers.
///
/// etcd, kube-apiserver, kube-controller-manager and kube-scheduler run as plain processes on 127.0.0.1; KWOK plays one large node on
/// which every pod is Ready in about a second, though no container runs. RBAC and the audit log are on.
///
/// The programs are compiled once from pinned Go modules (needs `go`, about six minutes on two cores) into
/// `~/.cache/reloader-testbed`, or taken from the folder that `KUBEBUILDER_ASSETS` names.
#[derive(Parser)]
#[command(version, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  KUBEBUILDER_ASSETS      Folder that holds the programs; nothing is built then
  RELOADER_TESTBED_CACHE  Where built programs are kept, instead of reloader-testbed in
                          $XDG_CACHE_HOME or ~/.cache
  RELOADER_TESTBED_KEEP   Set to 1 to keep the temporary folder: data, logs, audit log
  TMPDIR                  Where the temporary folder is made

Examples:
  testbed build    Compile what is missing
  testbed up       Run a control plane; then, in another terminal, paste the line it
                   printed and use it: kubectl create deployment web --image=none";

#[derive(Subcommand)]
enum Command {
    /// Build the programs that are missing and print where each one is
    ///
    /// Progress goes to standard error. Done at once when nothing is missing.
    Build,
    /// Build what tests of charts need and print where each one is: Helm 4, Helm 3, helm-unittest,
    /// kustomize, promtool
    Tools,
    /// Run a control plane until Ctrl-C or SIGTERM
    ///
    /// Prints `export KUBECONFIG=...` once it is ready: a kubeconfig of an administrator. At the end every process is ended and
    /// everything is deleted, also when this command is killed with SIGKILL.
    Up(Up),
}

// Switches of a command line, each on its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Args)]
struct Up {
    /// Run KWOK, which plays a node and its pods (the default)
    #[arg(long, overrides_with = "no_kwok")]
    kwok: bool,
    /// Run without KWOK: pods stay pending
    #[arg(long)]
    no_kwok: bool,
    /// Run without kube-scheduler: pods are given no node
    #[arg(long)]
    no_scheduler: bool,
    /// Run without kube-controller-manager: a Deployment makes no pods, a deleted namespace stays
    #[arg(long)]
    no_controller_manager: bool,
    /// Further flag for kube-apiserver, such as `--apiserver-flag=--etcd-compaction-interval=10s`; may be repeated
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    apiserver_flag: Vec<String>,
    /// Run pods of this image as processes of this program, on the node `kubelet-1`; may be repeated (Linux only)
    ///
    /// Only pods that tolerate the taint `testbed/reserved` are scheduled there; they should also select that node by
    /// `kubernetes.io/hostname`. Needs root or the permission to make namespaces.
    #[arg(long, value_name = "IMAGE=PROGRAM", value_parser = image)]
    image: Vec<(String, PathBuf)>,
}

fn image(text: &str) -> Result<(String, PathBuf)> {
    let (image, program) = text.split_once('=').context("write IMAGE=PROGRAM")?;
    let program = std::path::absolute(program)?;
    ensure!(program.is_file(), "{} is no file", program.display());
    Ok((image.to_owned(), program))
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build => build(&Component::ALL),
        Command::Tools => build(&Component::TOOLS),
        Command::Up(options) => up(options).await,
    }
}

fn build(components: &[Component]) -> Result<()> {
    let binaries = Binaries::locate(components)?;
    let mut stdout = std::io::stdout().lock();
    for component in components {
        if let Some(path) = binaries.path(*component) {
            writeln!(stdout, "{}", path.display())?;
        }
    }
    Ok(())
}

async fn up(options: Up) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let builder = ControlPlane::builder()
        .controller_manager(!options.no_controller_manager)
        .scheduler(!options.no_scheduler)
        .kwok(!options.no_kwok)
        .pod_proxy(!options.image.is_empty());
    let builder = options
        .apiserver_flag
        .into_iter()
        .fold(builder, testbed::Builder::apiserver_flag);

    // A start can take minutes, when programs are built; `exit` does not wait for the build, and nothing is left behind by it. The
    // codes are those a shell gives for a process ended by the signal.
    let control_plane = tokio::select! {
        started = builder.start() => started?,
        _ = tokio::signal::ctrl_c() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
    };
    #[cfg(target_os = "linux")]
    let _kubelet = start_kubelet(&control_plane, &options.image).await?;
    eprintln!(
        "testbed: {} with its logs in {}",
        control_plane.url(),
        control_plane.dir().display()
    );
    writeln!(
        std::io::stdout(),
        "export KUBECONFIG={}",
        control_plane.admin_kubeconfig().display()
    )?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("testbed: ending");
    Ok(())
}

/// A kubelet for these images; none if there are none.
#[cfg(target_os = "linux")]
async fn start_kubelet(
    control_plane: &ControlPlane,
    images: &[(String, PathBuf)],
) -> Result<Option<testbed::Kubelet>> {
    if images.is_empty() {
        return Ok(None);
    }
    let builder = testbed::Kubelet::builder(control_plane).reserved();
    let builder = images
        .iter()
        .fold(builder, |builder, (image, program)| builder.image(image, program));
    Ok(Some(builder.start().await?))
}
