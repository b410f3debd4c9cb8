//! Building one program with `go build`. Input: which, and where to; I/O: runs `go`, writes the cache folder and standard error.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Component;
use crate::error::{Error, Result};

/// How often a long build says that it is still at work.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Builds `component` to `target`. Atomic: the program appears there complete or not at all.
pub(super) fn build(component: Component, version: &str, target: &Path) -> Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io(format!("make {}", folder.display())))?;
    let _lock = lock(folder, component)?;
    if target.is_file() {
        return Ok(());
    }
    let binary = component.binary();
    let partial = folder.join(format!(".{binary}.{}", std::process::id()));
    let log = folder.join(format!(".{binary}.log"));
    let result = run_go(component, version, &partial, &log).and_then(|status| {
        if status.success() {
            std::fs::rename(&partial, target).map_err(Error::io(format!("rename to {}", target.display())))
        } else {
            Err(Error::Build {
                binary,
                output: std::fs::read_to_string(&log).unwrap_or_default(),
            })
        }
    });
    // Left over only after a failure, where the failure is what matters.
    let _ = std::fs::remove_file(&partial);
    let _ = std::fs::remove_file(&log);
    result
}

/// Holds the build lock of a cache folder until dropped, so that two test processes do not compile the same thing side by side.
fn lock(folder: &Path, component: Component) -> Result<File> {
    let path = folder.join(".lock");
    let what = || format!("lock {}", path.display());
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(Error::io(what()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "testbed: waiting for another process that is building into {} ({})",
                folder.display(),
                component.binary()
            );
            file.lock().map_err(Error::io(what()))?;
        }
        Err(TryLockError::Error(error)) => return Err(Error::io(what())(error)),
    }
    Ok(file)
}

fn run_go(component: Component, version: &str, output: &Path, log: &Path) -> Result<ExitStatus> {
    let binary = component.binary();
    let stdout = File::create(log).map_err(Error::io(format!("write {}", log.display())))?;
    let stderr = stdout
        .try_clone()
        .map_err(Error::io(format!("write {}", log.display())))?;
    let started = Instant::now();
    let mut child = Command::new("go")
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-tags",
            component.build_tags(),
            "-ldflags",
            &linker_flags(component, version),
            "-o",
        ])
        .arg(output)
        .arg(component.package())
        .current_dir(component.module_folder())
        // No C compiler needed, and the result runs on any distribution.
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoGo { binary },
            _ => Error::io("start go")(error),
        })?;
    eprintln!("testbed: building {binary} {version} (once; all programs together take some minutes)");
    let mut reported = started;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::io("wait for go"))? {
            eprintln!(
                "testbed: {binary} {version}: {status} after {} s",
                started.elapsed().as_secs()
            );
            return Ok(status);
        }
        if reported.elapsed() >= PROGRESS_EVERY {
            reported = Instant::now();
            eprintln!(
                "testbed: building {binary} {version}, {} s",
                started.elapsed().as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Kubernetes learns its version from the linker; without, the API server calls itself v0.0.0-master, which clients and charts that
/// look at the version do not understand.
fn linker_flags(component: Component, version: &str) -> String {
    let mut flags = "-s -w".to_owned();
    if component.module().name == "kubernetes" {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
            for (name, value) in [
                ("gitVersion", format!("v{version}").as_str()),
                ("gitMajor", major),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
                ("gitCommit", "none"),
                ("buildDate", "1970-01-01T00:00:00Z"),
            ] {
                flags.extend([" -X ", package, ".", name, "=", value]);
            }
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_told_its_version() {
        let flags = linker_flags(Component::ApiServer, "1.36.3");
        assert!(
            flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"),
            "{flags}"
        );
        assert!(
            flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=36"),
            "{flags}"
        );
        assert_eq!(linker_flags(Component::Etcd, "3.6.14"), "-s -w");
    }
}
