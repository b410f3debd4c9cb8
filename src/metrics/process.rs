//! The process as the kernel sees it: the `process_` metrics every Prometheus client has.
//!
//! A value that the system does not offer, as outside Linux, is left out.

use std::{
    fmt, fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(unix)]
use nix::{
    sys::resource::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

use super::snapshot::Gauges;

/// Reads the process' values at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// When this was created, which is within milliseconds of the start of the process.
    started: SystemTime,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(cpu) = cpu_time() {
            let help = "Total user and system CPU time spent in seconds.";
            let encoder =
                encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(cpu.as_secs_f64()).encode(encoder)?;
        }
        let mut out = Gauges(&mut encoder);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, field) in [
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                "VmRSS:",
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                "VmSize:",
            ),
        ] {
            if let Some(bytes) = size(&status, field) {
                out.plain(name, help, bytes)?;
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // Reading the folder opens it: one entry is our own.
            let open = entries.count().saturating_sub(1);
            out.plain("process_open_fds", "Number of open file descriptors.", open)?;
        }
        if let Some(soft) = file_limit() {
            out.plain(
                "process_max_fds",
                "Maximum number of open file descriptors.",
                soft,
            )?;
        }
        let since_epoch = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let help = "Start time of the process since unix epoch in seconds.";
        out.plain("process_start_time_seconds", help, since_epoch.as_secs_f64())
    }
}

#[cfg(unix)]
fn cpu_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .ok()
        .map(Duration::from)
}

#[cfg(not(unix))]
const fn cpu_time() -> Option<Duration> {
    None
}

/// The soft limit of open files.
#[cfg(unix)]
fn file_limit() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

#[cfg(not(unix))]
const fn file_limit() -> Option<u64> {
    None
}

/// A field of `/proc/self/status` that is a size in KiB, in bytes.
fn size(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_status_file() {
        let status = "Name:\treloader\nVmSize:\t  99999 kB\nVmRSS:\t   14500 kB\nThreads:\t4\n";
        assert_eq!(size(status, "VmRSS:"), Some(14_500 * 1024));
        assert_eq!(size(status, "VmSize:"), Some(99_999 * 1024));
        assert_eq!(size("Name:\treloader\n", "VmRSS:"), None);
    }
}
