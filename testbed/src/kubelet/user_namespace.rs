//! The right to make namespaces, which pods need: root has it, and so has whoever is root of a user namespace.
//!
//! Input: a test. Output: whether to run it here. I/O: tries out what the kernel allows; starts this program again.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::sandbox::in_thread;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::session::session;

/// Set in the copy of a test program that runs in a user namespace.
const MARK: &str = "RELOADER_TESTBED_USER_NAMESPACE";

/// Longest run of one test.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Where a test runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Here: go on.
    Here,
    /// It has run elsewhere, and this is what it printed; it has succeeded, or failed.
    Elsewhere(Result<String, String>),
}

/// For the beginning of a test that starts a [`Kubelet`](super::Kubelet): finds out where this process may make namespaces. Where it
/// may not, the test of that full name is run by a copy of this test program that is root of a new user namespace, by util-linux's
/// `unshare`: a process with several threads cannot enter one itself.
///
/// # Errors
/// [`Error::NoNamespaces`] if there is no way.
async fn in_namespaces(test: &str) -> Result<Place> {
    let refused = match check().await {
        Ok(()) => return Ok(Place::Here),
        Err(refused) => refused,
    };
    if std::env::var_os(MARK).is_some() {
        return Err(refused);
    }
    let no_namespaces = |error: &dyn std::fmt::Display| Error::NoNamespaces {
        reason: error.to_string(),
    };
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--kill-child"])
            .args(arguments);
        command
    };
    let tried = unshare(&["--net", "--mount", "true"]).output();
    let tried = tried.map_err(|error| no_namespaces(&format!("unshare: {error}")))?;
    if !tried.status.success() {
        return Err(no_namespaces(&String::from_utf8_lossy(&tried.stderr).trim()));
    }
    let folder = session()?.folder("user-namespace-")?;
    let log = folder.path().join("test.log");
    let program: PathBuf = std::env::current_exe().map_err(Error::io("find this program"))?;
    let mut command = unshare(&[]);
    command
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1");
    let process = Process::start(test, &mut command, &log)?;
    let status = process.wait_exit(TIMEOUT).await?;
    let printed = process.log();
    // A name that fits no test would be a success, too.
    Ok(Place::Elsewhere(
        if status.success() && printed.contains("1 passed") {
            Ok(printed)
        } else {
            Err(printed)
        },
    ))
}

/// Runs the body of the test of that full name where it may make namespaces.
///
/// # Panics
/// With what is to be done where nobody may, and with what it printed if it has failed elsewhere.
#[allow(clippy::panic, reason = "a failed test")]
pub fn run_in_namespaces(test: &str, body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(async {
        match in_namespaces(test)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
        {
            Place::Here => body.await,
            Place::Elsewhere(Ok(_)) => {}
            Place::Elsewhere(Err(printed)) => panic!("in a user namespace:\n{printed}"),
        }
    });
}

/// An error if this process may not make the namespaces of pods.
pub async fn check() -> Result<()> {
    let tried = in_thread("make namespaces", || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        Ok(())
    });
    tried.await.map_err(|error| Error::NoNamespaces {
        reason: match error {
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        },
    })
}
