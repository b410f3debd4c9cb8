//! Flags for the kinds of workloads that are restarted.
//!
//! Input: command line and variables, through clap. Output: [`KindArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "the comments of flags are their help texts, where backticks would show and brackets are no links"
)]

use super::values::{AutoOrBool, CsvList, auto_or_bool, csv, go_bool};

/// Kinds beside the built-in ones, and how they are restarted.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kinds of workloads")]
pub struct KindArgs {
    /// Also restart custom resources of this kind: GROUP/VERSION/KIND[/PLURAL][:PATH]; can be repeated
    ///
    /// PATH is the path of the pod template, by default spec.template. PLURAL is the name of the resource in the API,
    /// required if it is not the English plural of KIND. Example: apps.kruise.io/v1alpha1/CloneSet. Requires get, list,
    /// watch and patch on the resource.
    #[arg(long, env = "RELOADER_WORKLOAD_KIND", value_name = "KIND", value_parser = csv)]
    pub workload_kind: Vec<CsvList>,
    /// Restart OpenShift's DeploymentConfigs: auto (where the API server serves them), true or false
    ///
    /// auto asks the API server whether it serves apps.openshift.io/v1, and again while it does not. true watches them
    /// without asking, and logs where they are missing. Requires get, list, watch and patch on deploymentconfigs.
    #[arg(long, env = "RELOADER_IS_OPENSHIFT", value_name = "AUTO|BOOL", value_parser = auto_or_bool,
        default_value = "auto", hide_possible_values = true)]
    pub is_openshift: AutoOrBool,
    /// Create a Job for a changed source even if the CronJob is suspended, as upstream does
    #[arg(long, env = "RELOADER_RELOAD_SUSPENDED_CRONJOBS", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub reload_suspended_cronjobs: bool,
    /// Run every opted-in Job again, as upstream does, also finished ones and those of another controller
    ///
    /// By default a finished Job runs again only if its own annotations opt in, and a Job that a CronJob or another
    /// controller owns never does.
    #[arg(long, env = "RELOADER_RELOAD_EVERY_JOB", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub reload_every_job: bool,
}
