//! One process of the program under test, started, stopped, frozen and killed like a pod would be.
//!
//! Input: a path and its surroundings; output: a handle. I/O: starts and signals a process, writes files in the temporary folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::process::Process;
use crate::session::session;

/// A running process of the program under test; killed when dropped. If a test panics, the end of its log is printed then.
pub struct Replica {
    name: String,
    process: Process,
    /// Its home and log; declared last, so that the process is gone when the folder goes.
    folder: TempDir,
}

/// What a [`Replica`] is to be started with.
///
/// Its environment is what is set here and nothing else, so that a test cannot pass thanks to the developer's own settings. Set from
/// the start: PATH as here, HOME to an empty folder.
#[derive(Clone, Debug)]
pub struct ReplicaBuilder {
    program: PathBuf,
    name: String,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl ReplicaBuilder {
    /// What it is called in messages; the program's file name unless set.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds a command line argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds command line arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets KUBECONFIG: which API server to talk to and as whom.
    #[must_use]
    pub fn kubeconfig(self, path: impl AsRef<Path>) -> Self {
        self.env("KUBECONFIG", path.as_ref())
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Io`] if the program cannot be started. That it ends at once is not noticed here.
    pub fn start(&self) -> Result<Replica> {
        let folder = session()?.folder("replica-")?;
        let home = folder.path().join("home");
        std::fs::create_dir(&home).map_err(Error::io(format!("make {}", home.display())))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&home)
            .env_clear()
            .env("HOME", &home);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let process = Process::start(&self.name, &mut command, &folder.path().join("output.log"))?;
        Ok(Replica {
            name: self.name.clone(),
            process,
            folder,
        })
    }
}

impl Replica {
    /// A replica of the program at `path`: relative to the current folder, or looked for in PATH if it is a bare name.
    pub fn builder(path: impl AsRef<Path>) -> ReplicaBuilder {
        let path = path.as_ref();
        let is_bare_name = path.parent().is_some_and(|parent| parent.as_os_str().is_empty());
        ReplicaBuilder {
            // It is started in another folder, from where a relative path would point elsewhere.
            program: if is_bare_name {
                path.to_owned()
            } else {
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
            },
            name: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its folder: home, log, and room for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it wrote to standard output and standard error so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether it still runs; a paused one does.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system cannot tell.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.process.exit_status()?.is_none())
    }

    /// Asks it to end (SIGTERM), as the kubelet does first.
    ///
    /// # Errors
    /// [`Error::Io`]; never because it has ended already, as for the other signals.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)
    }

    /// Ends it at once (SIGKILL) and returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Freezes it (SIGSTOP) and returns when it stands still: it does nothing until [`resume`](Self::resume), while time goes on.
    ///
    /// # Errors
    /// See [`terminate`](Self::terminate).
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on after [`pause`](Self::pause) (SIGCONT).
    ///
    /// # Errors
    /// See [`terminate`](Self::terminate).
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Sends it any other signal.
    ///
    /// # Errors
    /// See [`terminate`](Self::terminate).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until it has ended, for `timeout` at most; gives how it ended.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it still runs then.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(timeout).await
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "end of the log of {} (pid {}):\n{}",
                self.name,
                self.pid(),
                self.process.log_tail()
            );
        }
    }
}
