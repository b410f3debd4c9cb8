//! One child process: its output in a file, its life bounded by the value that owns it.
//!
//! Input: a command; output: a handle to signal and await. I/O: starts and signals a process, writes its log file.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::eventually::eventually;
use crate::session::session;

/// How many lines of a log go into an error message.
const TAIL_LINES: usize = 25;

/// A running child process, killed and reaped when dropped.
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    /// Locked while a signal is sent, so that no other thread reaps the child in between and the signal hits a stranger who was
    /// given the same process id.
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command` in the session's process group. Its output is appended to the file `log`; its input is empty.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_into(name, command, log, open_log(log)?)
    }

    /// The same with the file `log` opened before: by a thread that sees another root by now.
    pub fn start_into(name: &str, command: &mut Command, log: &Path, output: File) -> Result<Self> {
        let errors = output
            .try_clone()
            .map_err(Error::io(format!("open {}", log.display())))?;
        let child = command
            .process_group(session()?.process_group())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io(format!("start {}", command.get_program().display())))?;
        Ok(Self {
            name: name.to_owned(),
            pid: child.id(),
            log: log.to_owned(),
            child: Mutex::new(child),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.child()
            .try_wait()
            .map_err(Error::io(format!("ask after {}", self.name)))
    }

    /// Sends a signal; does nothing if the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        let what = || format!("send {signal} to {}", self.name);
        if child.try_wait().map_err(Error::io(what()))?.is_none() {
            kill(Pid::from_raw(self.pid.cast_signed()), signal).map_err(|e| Error::io(what())(e.into()))?;
        }
        Ok(())
    }

    /// Freezes it (SIGSTOP) and returns when all its threads stand still.
    ///
    /// The wait matters: of signals that arrive before it stands still, SIGTERM would be acted on first.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        // Elsewhere the moment until it takes effect, some microseconds, is not waited for.
        #[cfg(target_os = "linux")]
        {
            use nix::sys::wait::{Id, WaitPidFlag, waitid};
            // Leaves the child as it is for `exit_status` and `kill`; fails if they have reaped it, and then there is nothing to await.
            let _ = waitid(
                Id::Pid(Pid::from_raw(self.pid.cast_signed())),
                WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
            );
        }
        Ok(())
    }

    /// Waits until it has ended, for `timeout` at most.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        eventually(timeout, &format!("the end of {}", self.name), async || {
            self.exit_status()
        })
        .await
    }

    /// Ends it at once (SIGKILL) and returns when it is gone.
    pub fn kill(&self) {
        let mut child = self.child();
        // Both fail only when it has ended and been reaped already, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// An error if it has ended, with the end of its log.
    pub fn check_alive(&self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(Error::Exited {
                process: self.name.clone(),
                status,
                log_tail: self.log_tail(),
            }),
        }
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |e| format!("({}: {e})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The last lines it wrote.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // A panic while holding the lock leaves the child as it was.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a log to append to; makes it if it is missing.
pub fn open_log(log: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::io(format!("open {}", log.display())))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
