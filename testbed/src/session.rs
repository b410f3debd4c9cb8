//! What outlives no test run: one temporary folder and one process group for everything this process starts.
//!
//! Output: the folder and the group. I/O: starts two helper processes, makes a folder.
//!
//! Destructors do not run when a process is killed, calls `exit` or aborts, so two helpers see to the rest. Both wait for the end of
//! input on a pipe whose other end only this process holds; the kernel closes it however this process ends.
//! - The *anchor* (`cat`) leads the process group all children join. As long as it lives the number of the group cannot be given to
//!   anybody else.
//! - The *guard* (`sh`), in a group of its own so that Ctrl-C in a terminal does not reach it, then kills the group and removes the
//!   folder.
//!
//! Membership of the group starts inside `spawn`, before the child's program runs, so there is no moment at which a child could be
//! missed. `PR_SET_PDEATHSIG` was not taken: it needs unsafe code, exists on Linux only, fires when the spawning *thread* ends (any
//! worker thread of tokio), and removes no folder.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::error::{Error, Result};

/// Waits for the end of input; then `$1` is the process group to kill and `$2`, if not empty, the folder to remove. No `--` before the
/// group: dash, which is `sh` on Debian and Ubuntu, takes it for a process id and kills nothing. A process that
/// was in the middle of creating a file when killed can make `rm` miss it, hence the repetition.
const GUARD: &str = r#"
cat >/dev/null
kill -KILL "-$1" 2>/dev/null
for attempt in 1 2 3 4 5; do
    [ -z "$2" ] || rm -rf -- "$2" && break
    sleep 1
done"#;

/// The folder and process group of this process.
pub struct Session {
    /// Holds everything this process writes; mode 0700 because there are private keys in it.
    root: PathBuf,
    /// Number of the process group that every child joins.
    group: i32,
    /// The ends of input for anchor and guard: closed by the kernel when this process ends.
    _anchor: ChildStdin,
    _guard: ChildStdin,
}

/// The session of this process, opened at first use.
pub fn session() -> Result<&'static Session> {
    static SESSION: OnceLock<std::result::Result<Session, String>> = OnceLock::new();
    SESSION
        .get_or_init(|| Session::open().map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|message| Error::Io {
            what: "open a testbed session".to_owned(),
            source: std::io::Error::other(message.clone()),
        })
}

/// Whether to leave folders behind for a look at them: `RELOADER_TESTBED_KEEP` is set to anything but empty or 0.
fn keep_folders() -> bool {
    std::env::var_os("RELOADER_TESTBED_KEEP").is_some_and(|value| !value.is_empty() && value != "0")
}

impl Session {
    fn open() -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("reloader-testbed-")
            .tempdir()
            .map_err(Error::io("make a temporary folder"))?
            .keep();
        let removed = if keep_folders() { Path::new("") } else { &root };
        let (anchor, group) = helper(Command::new("cat").process_group(0))?;
        let group = group.cast_signed();
        let (guard, _) = helper(
            Command::new("sh")
                .args(["-c", GUARD, "testbed-guard"])
                .arg(group.to_string())
                .arg(removed)
                .process_group(0),
        )?;
        Ok(Self {
            root,
            group,
            _anchor: anchor,
            _guard: guard,
        })
    }

    /// Number of the process group that children join, for [`CommandExt::process_group`].
    pub fn process_group(&self) -> i32 {
        self.group
    }

    /// A new folder for one control plane or replica, removed with the returned value.
    pub fn folder(&self, prefix: &str) -> Result<TempDir> {
        let mut folder = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&self.root)
            .map_err(Error::io(format!("make a folder in {}", self.root.display())))?;
        if keep_folders() {
            folder.disable_cleanup(true);
        }
        Ok(folder)
    }
}

/// Starts a helper that lives until its input ends; gives that input and its process id.
fn helper(command: &mut Command) -> Result<(ChildStdin, u32)> {
    let what = || format!("start {}", command.get_program().display());
    let what = what();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io(what.clone()))?;
    let stdin = child
        .stdin
        .take()
        .ok_or_else(|| Error::io(what)(std::io::ErrorKind::BrokenPipe.into()))?;
    Ok((stdin, child.id()))
}
