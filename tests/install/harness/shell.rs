//! What a user types: commands in a shell with Helm and kubectl of the tests, in a folder that looks like this repository.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use testbed::{
    Replica,
    binaries::{Binaries, Component},
};

use super::{Cluster, PATIENCE, in_repository};

/// A user's shell: its folder, and whose administrator it is.
pub struct Shell {
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Shell {
    /// One for a cluster.
    pub async fn new(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tools = [Component::Helm, Component::Kubectl];
        let located = tokio::task::spawn_blocking(move || Binaries::locate(&tools));
        let located = located.await.unwrap().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in tools {
            symlink(located.path(tool).unwrap(), bin.join(tool.binary())).unwrap();
        }
        for part in ["charts", "deployments", "tests"] {
            symlink(in_repository(part), folder.path().join(part)).unwrap();
        }
        Self {
            folder,
            kubeconfig: cluster.plane.admin_kubeconfig(),
        }
    }

    /// The folder in which commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file there.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder().join(file), text).unwrap();
    }

    /// Puts a program into the folder, or into its PATH if it is a bare name.
    pub fn program(&self, name: &str, program: &str) {
        let place = if name.contains('/') {
            name.to_owned()
        } else {
            format!("bin/{name}")
        };
        let place = self.folder().join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(program, place).unwrap();
    }

    /// Starts commands, which end with what this gives.
    pub fn start(&self, commands: &str) -> Replica {
        let path = std::env::var("PATH").unwrap_or_default();
        Replica::builder("bash")
            .kubeconfig(&self.kubeconfig)
            .env("PATH", format!("{}:{path}", self.folder().join("bin").display()))
            .args(["-e", "-u", "-o", "pipefail", "-c"])
            .arg(format!("cd '{}'\n{commands}", self.folder().display()))
            .start()
            .unwrap()
    }

    /// Runs commands; gives the exit status and what they print.
    pub async fn run(&self, commands: &str) -> (i32, String) {
        let shell = self.start(commands);
        let ended = shell.wait_exit(PATIENCE * 2).await.unwrap();
        (ended.code().unwrap_or(-1), shell.log())
    }

    /// Runs commands that must succeed; gives what they print.
    pub async fn succeed(&self, commands: &str) -> String {
        let (status, printed) = self.run(commands).await;
        assert_eq!(status, 0, "{commands}\n{printed}");
        printed
    }
}
