//! The load test on a cluster that exists: the control plane of the testbed, whose kubelet runs the controller's pods as
//! processes and whose KWOK plays the pods of workloads.
//!
//! Input: the built programs. Output: test results. I/O: starts control planes, runs the load test and Helm.
//! Linux only: elsewhere there are no network namespaces.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is tests, helpers included"
)]

mod harness;
mod refusals;
mod runs;
