//! The Helm chart and the plain manifests, held to the program and to what is written about them.
//!
//! Input: `charts/reloader`, `deployments`, `docs`, the program's flags. Output: test results. I/O: runs Helm 4, Helm 3,
//! helm-unittest, kustomize and promtool, which are compiled once if they are missing; downloads definitions of custom
//! resources and the schema of SARIF as Go modules; writes temporary folders; starts a control plane to see what it admits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "whatever goes wrong here is a failed test"
)]

mod admission;
mod alerts;
mod annotation_list;
mod annotation_policy;
mod definitions;
mod flow_schema;
mod former_values;
mod generated;
mod helm;
mod keys;
mod kustomize;
mod observability;
mod permissions;
mod program;
mod readme;
mod rendering;
mod sarif;
