//! The built controller against a real API server. Assertions look at objects and at the API server's audit log.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is tests, helpers included"
)]

mod bursts;
mod command_line;
mod crash;
mod create_delete;
mod csi;
mod failover;
mod first;
mod growth;
mod harness;
mod hostile;
mod kinds_cron_job;
mod kinds_custom;
mod kinds_job;
mod kinds_rollout;
mod lease;
mod ledger;
mod look_alikes;
mod matrix;
mod notify;
mod opt_in;
mod outage;
mod pause;
mod quiet;
mod restart;
mod scopes;
mod secrets;
mod sick;
mod storms;
mod table;
mod thrift;
mod upstream_rbac;
mod visible;
mod wire;
mod zombie;
