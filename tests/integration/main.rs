//! The built controller against a real API server. Assertions look at objects and at the API server's audit log.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is tests, helpers included"
)]

mod api_server_crash;
mod bursts;
mod command_line;
mod connections;
mod crash;
mod create_delete;
mod csi;
mod deferral;
mod digest_collisions;
mod dropped_markers;
mod failing_workloads;
mod failover;
mod first_start;
mod frozen_leader;
mod gitops;
mod harness;
mod hostile_lists;
mod inspect;
mod kept_pods;
mod kinds_cron_job;
mod kinds_custom;
mod kinds_deployment_config;
mod kinds_job;
mod kinds_rollout;
mod large_namespaces;
mod lease;
mod ledger;
mod ledger_faults;
mod ledger_growth;
mod malformed_objects;
mod matrix;
mod mistakes;
mod network_faults;
mod no_restart;
mod notify;
mod observability;
mod odd_templates;
mod opt_in;
mod outage;
mod page;
mod pause;
mod pods;
mod request_count;

mod restart_events;
mod restored_store;
mod reverted_restarts;
mod reverts;
mod rollouts;
mod scopes;
mod secret_leaks;
mod storms;
mod table;
mod terminating;
mod upstream_rbac;
mod verbs;
