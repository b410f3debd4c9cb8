//! Flags for when restarts may happen.
//!
//! Input: command line and variables, through clap. Output: [`RolloutArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use std::time::Duration;

use super::values::go_bool;
use crate::model::{
    go_duration::{parse_go_duration, parse_positive_go_duration},
    limits::Share,
};

/// When restarts may happen.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Safe rollouts")]
pub struct RolloutArgs {
    /// Also obey annotations of Namespaces that say when workloads may restart; only without --namespaces
    ///
    /// reloader.stakater.com/suspend and reloader.stakater.com/restart-window on a Namespace, for every workload in it.
    /// Requires list and watch on namespaces.
    #[arg(long, env = "RELOADER_NAMESPACE_POLICIES", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub namespace_policies: bool,
    /// When restarts of all workloads may begin; empty means at any time
    ///
    /// `manual`, or a list of windows as Argo CD has them: [{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone:
    /// Europe/Berlin}]. Allow windows of a workload's annotation reloader.stakater.com/restart-window count instead; deny
    /// windows add up.
    #[arg(
        long,
        env = "RELOADER_RESTART_WINDOW",
        value_name = "WINDOWS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub restart_window: String,
    /// The time zone of windows that name none, as in Europe/Berlin
    #[arg(
        long,
        env = "RELOADER_TIME_ZONE",
        value_name = "ZONE",
        default_value = "UTC",
        allow_hyphen_values = true
    )]
    pub time_zone: String,
    /// Most workloads that may roll at a time, in all namespaces; 0 means any number
    #[arg(
        long,
        env = "RELOADER_MAX_CONCURRENT_ROLLOUTS",
        value_name = "COUNT",
        default_value_t = 0
    )]
    pub max_concurrent_rollouts: usize,
    /// Most workloads of one namespace that may roll at a time; 0 means any number
    #[arg(
        long,
        env = "RELOADER_MAX_CONCURRENT_ROLLOUTS_PER_NAMESPACE",
        value_name = "COUNT",
        default_value_t = 0
    )]
    pub max_concurrent_rollouts_per_namespace: usize,
    /// Most workloads that use one ConfigMap or Secret and may roll at a time, as 5 or 10%; 0 means any number
    ///
    /// The annotation reloader.stakater.com/max-concurrent-rollouts on it counts instead; on a Namespace it is a limit of its
    /// own.
    #[arg(
        long,
        env = "RELOADER_MAX_CONCURRENT_ROLLOUTS_PER_SOURCE",
        value_name = "SHARE",
        default_value = "0"
    )]
    pub max_concurrent_rollouts_per_source: Share,
    /// How many workloads try a changed ConfigMap or Secret first, as 1 or 5%; 0 means all
    ///
    /// Once they are healthy, as many may roll at a time as have been. If more of them fail than --max-failures, the others
    /// keep what they run with. The annotation reloader.stakater.com/canary on it or on the Namespace counts instead.
    #[arg(long, env = "RELOADER_CANARY", value_name = "SHARE", default_value = "0")]
    pub canary: Share,
    /// How long a restarted workload has to stay healthy until a canary counts it
    #[arg(long, env = "RELOADER_BAKE_TIME", value_name = "DURATION", default_value = "0s",
        value_parser = parse_go_duration)]
    pub bake_time: Duration,
    /// How many restarted workloads may fail, as 0 or 10%, before the others are held back; only with a canary or a limit
    #[arg(
        long,
        env = "RELOADER_MAX_FAILURES",
        value_name = "SHARE",
        default_value = "0"
    )]
    pub max_failures: Share,
    /// How long a rollout may make no progress until it counts as failed
    #[arg(long, env = "RELOADER_ROLLOUT_TIMEOUT", value_name = "DURATION", default_value = "10m",
        value_parser = parse_positive_go_duration)]
    pub rollout_timeout: Duration,
    /// The least time between two restarts of a workload; 0s means none
    ///
    /// Restarts that follow each other as soon as they may double it, up to an hour. The annotation
    /// reloader.stakater.com/min-restart-interval on the workload or its Namespace counts instead.
    #[arg(long, env = "RELOADER_MIN_RESTART_INTERVAL", value_name = "DURATION", default_value = "0s",
        value_parser = parse_go_duration)]
    pub min_restart_interval: Duration,
}
