//! What a run was measured on. Input: this computer; output: [`Environment`]. I/O: reads `/proc`, asks git.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use jiff::{Timestamp, Unit};
use serde::Serialize;
use testbed::binaries::Component;

/// What has to be known to compare two runs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// When it began, to the second.
    begun: Timestamp,
    /// Processors this process may use.
    cores: usize,
    /// Their model.
    processor: String,
    /// Main memory in MiB.
    memory: u64,
    /// Linux's version.
    kernel: String,
    /// Processes that wanted a processor in the minute before: above 0.5 others were busy too.
    load_before: f64,
    /// The controller's `--version`.
    controller: String,
    /// The commit it was built from, by the look of this folder; ends in `-dirty` with uncommitted changes.
    commit: String,
    /// The API server's version and etcd's.
    control_plane: String,
}

impl Environment {
    /// Reads it.
    pub fn of_this_computer(controller: &Path) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("read {path}"));
        let after = |text: &str, field: &str| {
            let line = text.lines().find(|line| line.starts_with(field));
            let value = line.and_then(|line| line.split_once(':'));
            value
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = after(&read("/proc/meminfo")?, "MemTotal");
        let kibibytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let load = read("/proc/loadavg")?;
        Ok(Self {
            begun: Timestamp::now().round(Unit::Second)?,
            cores: std::thread::available_parallelism()?.get(),
            processor: after(&read("/proc/cpuinfo")?, "model name"),
            memory: kibibytes / 1024,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_before: load.split(' ').next().unwrap_or_default().parse()?,
            controller: output(Command::new(controller).arg("--version")),
            commit: output(Command::new("git").args(["describe", "--always", "--dirty"])),
            control_plane: format!(
                "kube-apiserver {}, etcd {}",
                Component::ApiServer.version()?,
                Component::Etcd.version()?
            ),
        })
    }

    /// The name of the run's folder: the time, sortable.
    pub fn folder_name(&self) -> String {
        self.begun.strftime("%Y-%m-%d-%H%M").to_string()
    }

    /// In one paragraph.
    pub fn markdown(&self) -> String {
        format!(
            "{} at {}, {} on {} core(s) ({}), {} MiB of memory, Linux {}, {}; load before {}.\n",
            self.controller,
            self.commit,
            self.begun,
            self.cores,
            self.processor,
            self.memory,
            self.kernel,
            self.control_plane,
            self.load_before,
        )
    }
}

/// What a command prints, or "unknown".
fn output(command: &mut Command) -> String {
    let printed = command.output().ok().filter(|output| output.status.success());
    let text = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}
