//! A real Kubernetes control plane on this computer, without containers: etcd, kube-apiserver and, when asked for,
//! kube-controller-manager, kube-scheduler and KWOK, which plays the nodes and pods.
//!
//! For integration tests, the demo, benchmarks and the load test. It knows nothing of the controller under test: that one is
//! just a binary started as a [`Replica`]. RBAC is on, and the API server's audit log, read through [`AuditLog`], tells who did
//! what and when, independently of what the controller says about itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), testbed::Error> {
//! use std::time::Duration;
//! use testbed::{ControlPlane, Replica, eventually};
//!
//! let control_plane = ControlPlane::builder().everything().start().await?;
//! let kubeconfig = control_plane.kubeconfig_for_user("replica-1", &["system:masters"])?;
//! let replica = Replica::builder("target/debug/controller").kubeconfig(&kubeconfig).start()?;
//! eventually(Duration::from_secs(10), "the replica's first write", async || {
//!     control_plane.audit().writes_by("replica-1").map(|writes| writes.first().cloned())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Pods that are to be real processes, the controller's own when its chart is installed, are run by a [`Kubelet`] (Linux only).
//!
//! Where things live and how long:
//! - Binaries are compiled once from the Go modules under `testbed/binaries` (about six minutes on two cores) and kept in
//!   `${RELOADER_TESTBED_CACHE:-${XDG_CACHE_HOME:-~/.cache}/reloader-testbed}/<module>-<version>/`; or they come from the
//!   folder `KUBEBUILDER_ASSETS` names. See [`binaries`].
//! - Everything else (data, keys, logs) lives in one temporary folder a process, and every process started here belongs to one
//!   process group. Both are gone when the owner is dropped and, whatever way this process ends, SIGKILL included, when it has
//!   ended. `RELOADER_TESTBED_KEEP=1` keeps the folder.
//!
//! Faults on the way to the API server, below and above HTTP: [`proxy`].
//!
//! I/O: reads and writes files, starts and signals processes, talks to the API server it started.

mod audit;
pub mod binaries;
mod client;
mod control_plane;
mod digest;
mod error;
mod eventually;
mod http;
mod inventory;
#[cfg(target_os = "linux")]
pub mod kubelet;
mod pki;
mod ports;
mod process;
pub mod proxy;
mod receiver;
mod replica;
mod rollouts;
mod session;

pub use audit::{AuditLog, Entry, Stage};
pub use client::{client_config, client_from};
pub use control_plane::{Builder, ControlPlane};
pub use digest::digest_of;
pub use error::{Error, Result};
pub use eventually::{Probe, eventually};
pub use http::http_get;
pub use inventory::inventory;
#[cfg(target_os = "linux")]
pub use kubelet::Kubelet;
pub use nix::sys::signal::Signal;
pub use ports::free_port;
pub use proxy::Proxy;
pub use receiver::{Answer, Received, Receiver};
pub use replica::{Replica, ReplicaBuilder};
pub use rollouts::{Played, Rollouts};
