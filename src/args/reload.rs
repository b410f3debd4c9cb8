//! Flags for what causes a restart and how it is written.
//!
//! Input: command line and variables, through clap. Output: [`ReloadArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use std::time::Duration;

use clap::ArgAction;

use super::values::go_bool;
use crate::model::go_duration::parse_go_duration;

/// What causes a restart, how it is written, and how long changes are batched first.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Reload")]
pub struct ReloadArgs {
    /// How a restart is written into the pod template: env-vars or annotations (upstream)
    ///
    /// env-vars sets a STAKATER_… variable in the container that uses the source and never restarts twice for the same
    /// content. annotations changes only the pod template's metadata, which suits tools that compare container
    /// specifications, but records only the last source.
    #[arg(
        long,
        env = "RELOADER_RELOAD_STRATEGY",
        value_name = "STRATEGY",
        default_value = "env-vars",
        allow_hyphen_values = true
    )]
    pub reload_strategy: String,
    /// How long a workload's sources must be unchanged before it is restarted; 0 disables the wait
    ///
    /// Several sources that change together, as in a Helm upgrade or `kubectl apply`, then cause one rollout. Each further
    /// change restarts the wait, up to ten times the window.
    #[arg(long, env = "RELOADER_COALESCE_WINDOW", value_name = "DURATION", default_value = "1s",
        value_parser = parse_go_duration)]
    pub coalesce_window: Duration,
    /// Also restart workloads when a source is created (upstream)
    ///
    /// Requires a value, as in upstream.
    #[arg(long, env = "RELOADER_RELOAD_ON_CREATE", value_name = "BOOL", value_parser = go_bool,
        action = ArgAction::Set, default_value = "false", hide_possible_values = true)]
    pub reload_on_create: bool,
    /// Also restart workloads when a source is deleted (upstream)
    ///
    /// Requires a value, as in upstream.
    #[arg(long, env = "RELOADER_RELOAD_ON_DELETE", value_name = "BOOL", value_parser = go_bool,
        action = ArgAction::Set, default_value = "false", hide_possible_values = true)]
    pub reload_on_delete: bool,
    /// With --reload-on-create: detect changes by markers where the ledger has no entry; never restarts everything
    /// (upstream)
    #[arg(long, env = "RELOADER_SYNC_AFTER_RESTART", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub sync_after_restart: bool,
    /// Note in a workload what it was restarted for: kubernetes.io/change-cause, as `kubectl rollout history` shows it
    ///
    /// In the patch of the restart, on Deployments, StatefulSets and DaemonSets: kinds and names of the sources. A tool that
    /// compares the annotations of these objects sees a difference.
    #[arg(long, env = "RELOADER_CHANGE_CAUSE", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub change_cause: bool,
    /// Annotation on a Deployment: how long it stays paused after a restart, to batch further changes (upstream)
    #[arg(
        long,
        env = "RELOADER_PAUSE_DEPLOYMENT_ANNOTATION",
        value_name = "KEY",
        default_value = "deployment.reloader.stakater.com/pause-period",
        allow_hyphen_values = true
    )]
    pub pause_deployment_annotation: String,
    /// Annotation that Reloader sets on a Deployment it pauses: the time of the pause (upstream)
    #[arg(
        long,
        env = "RELOADER_PAUSE_DEPLOYMENT_TIME_ANNOTATION",
        value_name = "KEY",
        default_value = "deployment.reloader.stakater.com/paused-at",
        allow_hyphen_values = true
    )]
    pub pause_deployment_time_annotation: String,
}
