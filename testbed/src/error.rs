//! What can go wrong in the testbed, worded for the person reading a failed test. I/O: none.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the testbed could not do what it was asked.
///
/// `Debug` prints the same text as `Display`, because that is what `unwrap` and `fn test() -> Result<_, _>` show.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file, folder, socket or process could not be worked with.
    #[error("cannot {what}: {source}")]
    Io {
        /// The action, as a verb phrase: "read /tmp/x".
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A binary is not there yet and there is no Go compiler to build it.
    #[error(
        "{binary} is not built yet and there is no `go` command to build it. Two ways out: \
         install Go (https://go.dev/dl) and run `testbed build`; or set KUBEBUILDER_ASSETS to a folder that holds {binary}"
    )]
    NoGo {
        /// File name of the binary.
        binary: &'static str,
    },
    /// `KUBEBUILDER_ASSETS` is set but lacks a binary that was asked for.
    #[error(
        "KUBEBUILDER_ASSETS={folder} has no {binary}: put it there, or unset KUBEBUILDER_ASSETS to have it built from source",
        folder = .folder.display()
    )]
    MissingAsset {
        /// What `KUBEBUILDER_ASSETS` says.
        folder: PathBuf,
        /// File name of the binary.
        binary: &'static str,
    },
    /// `go build` failed, or a `go.mod` does not say what it should.
    #[error("cannot build {binary}: {output}")]
    Build {
        /// File name of the binary.
        binary: &'static str,
        /// What the compiler printed.
        output: String,
    },
    /// A process ended that should be running.
    #[error("{process} ended unexpectedly ({status}); the end of its log:\n{log_tail}")]
    Exited {
        /// Name of the process.
        process: String,
        /// How it ended.
        status: ExitStatus,
        /// Last lines of its output.
        log_tail: String,
    },
    /// Something awaited did not happen in time.
    #[error("waited {waited:.1?} in vain for {what}; last state: {last}")]
    Timeout {
        /// What was awaited, as a noun phrase.
        what: String,
        /// How long.
        waited: Duration,
        /// What the last look at it gave.
        last: String,
    },
    /// A key or certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Certificates do not make a TLS configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// A client certificate was asked for a user with more groups than one can be made with.
    #[error("user {user} is to be in {groups} groups; a client certificate takes two")]
    TooManyGroups {
        /// The user's name.
        user: String,
        /// How many groups.
        groups: usize,
    },
    /// A request to the API server failed.
    #[error("cannot {what}: {source}")]
    Kubernetes {
        /// The action, as a verb phrase.
        what: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// A kubeconfig does not make a client.
    #[error("kubeconfig {path}: {source}", path = .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The kernel does not let this process do what the kubelet does for pods.
    #[error(
        "this process may not make network and mount namespaces, which pods need: {reason}. Ways out: run it as root; or let \
         users make user namespaces (Ubuntu 24.04 or later: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; elsewhere: \
         `sysctl user.max_user_namespaces=10000`) and have util-linux's `unshare`; in a container: start that with --privileged"
    )]
    NoNamespaces {
        /// What the kernel said.
        reason: String,
    },
    /// A pod asks for something the testbed's kubelet does not do.
    #[error("the testbed's kubelet does not do this: {what}")]
    Unsupported {
        /// Path and value of the field.
        what: String,
    },
    /// A line of the audit log is not an audit event.
    #[error("audit log: {source} in line: {line}")]
    AuditLog {
        /// The line.
        line: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Error {
    /// A short, stable name of the kind of error, to sort failures by.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NoGo { .. } | Self::MissingAsset { .. } => "missing_binary",
            Self::Build { .. } => "build",
            Self::Exited { .. } => "exited",
            Self::Timeout { .. } => "timeout",
            Self::Certificate(_) | Self::TooManyGroups { .. } => "certificate",
            Self::Tls(_) => "tls",
            Self::Kubernetes { .. } => "kubernetes",
            Self::Kubeconfig { .. } => "kubeconfig",
            Self::NoNamespaces { .. } => "no_namespaces",
            Self::Unsupported { .. } => "unsupported",
            Self::AuditLog { .. } => "audit_log",
        }
    }

    /// Names the action an I/O error interrupted; for `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Names the action a failed request was part of; for `map_err`.
    pub(crate) fn kubernetes(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kubernetes {
            what,
            source: Box::new(source),
        }
    }

    /// What a pod asks for and does not get; for `ok_or_else` and the like.
    #[cfg(target_os = "linux")]
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// Whether a process ended because another one had taken its port.
    pub(crate) fn is_port_clash(&self) -> bool {
        matches!(self, Self::Exited { log_tail, .. } if log_tail.contains("address already in use"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
