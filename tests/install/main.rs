//! Chart and manifests installed for real: Helm and kubectl against a real API server, and a kubelet that runs the
//! Deployment's pods as processes, each with a network of its own and the token of its ServiceAccount.
//!
//! Input: `charts/reloader`, `deployments`, the commands of the documentation, the built program. Output: test results.
//! I/O: starts control planes, runs Helm, kubectl and shells, makes namespaces.
//! Linux only: elsewhere there are no network namespaces.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is tests, helpers included"
)]

mod handover;
mod harness;
mod lifecycle;
mod migration;
mod migration_page;
mod readme;
