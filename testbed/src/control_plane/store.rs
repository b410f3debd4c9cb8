//! The store behind the API server, kept and set back. Input: a running control plane; output: the same, on other data.
//! I/O: stops and starts etcd and the API server, copies etcd's folder.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::{ControlPlane, STOP_TIMEOUT};
use crate::binaries::Component;
use crate::error::{Error, Result};

impl ControlPlane {
    /// Keeps a copy of everything that is stored, for [`restore_store`](Self::restore_store). The API server is away for some seconds.
    ///
    /// # Errors
    /// As [`start_apiserver`](Self::start_apiserver), and [`Error::Io`] if the copy fails.
    pub async fn save_store(&self) -> Result<()> {
        self.replace_store("etcd", "etcd.saved").await
    }

    /// Sets everything back to what [`save_store`](Self::save_store) kept, as an administrator does who restores a backup of etcd:
    /// resourceVersions begin anew where they were then.
    ///
    /// # Errors
    /// As [`save_store`](Self::save_store).
    pub async fn restore_store(&self) -> Result<()> {
        self.replace_store("etcd.saved", "etcd").await
    }

    async fn replace_store(&self, from: &str, to: &str) -> Result<()> {
        self.stop_apiserver().await?;
        let etcd = self.etcd().take();
        if let Some(etcd) = etcd {
            etcd.signal(Signal::SIGTERM)?;
            etcd.wait_exit(STOP_TIMEOUT).await?;
        }
        let (from, to) = (self.dir().join(from), self.dir().join(to));
        let failed = || Error::io(format!("copy {} to {}", from.display(), to.display()));
        if to.exists() {
            fs::remove_dir_all(&to).map_err(failed())?;
        }
        copy(&from, &to).map_err(failed())?;
        let etcd = self.layout.start_process(Component::Etcd, &self.binaries, &[])?;
        *self.etcd() = Some(etcd);
        self.start_apiserver().await
    }
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    // etcd refuses a data folder that others may read.
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
