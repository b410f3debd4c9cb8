//! Flags for the objects that are watched.
//!
//! Input: command line and variables, through clap. Output: [`ScopeArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use clap::ArgAction;

use super::values::{CsvList, csv, go_bool};

/// `--namespaces` and what goes with it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Scope")]
pub struct ScopeArgs {
    /// Namespaces to watch, separated by commas; empty means all (upstream)
    ///
    /// Requires only a Role in each of them instead of a ClusterRole. An empty element means all namespaces. Without
    /// this flag KUBERNETES_NAMESPACE names the one namespace to watch.
    #[arg(long, env = "RELOADER_NAMESPACES", value_name = "LIST", value_parser = csv, allow_hyphen_values = true)]
    pub namespaces: Vec<CsvList>,
    /// Namespaces to ignore, separated by commas; only without --namespaces (upstream)
    ///
    /// Exact names. The API server does not send their objects.
    #[arg(long, env = "RELOADER_NAMESPACES_TO_IGNORE", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub namespaces_to_ignore: Vec<CsvList>,
    /// Watch only namespaces with these labels; only without --namespaces (upstream)
    ///
    /// Kubernetes selector syntax (a=b, a!=b, a in (b,c), a, !a), and also a:b for a=b, and a:* or a=* for a.
    /// Requirements are separated by commas; all of them must be met. A namespace whose labels change is included or
    /// excluded at once. Requires list and watch on namespaces.
    #[arg(long, env = "RELOADER_NAMESPACE_SELECTOR", value_name = "SELECTOR", value_parser = csv,
        allow_hyphen_values = true)]
    pub namespace_selector: Vec<CsvList>,
    /// Watch only ConfigMaps and Secrets with these labels (upstream)
    ///
    /// Same syntax as --namespace-selector. The API server does not send other objects.
    #[arg(long, env = "RELOADER_RESOURCE_LABEL_SELECTOR", value_name = "SELECTOR", value_parser = csv,
        allow_hyphen_values = true)]
    pub resource_label_selector: Vec<CsvList>,
    /// Kind of source to ignore: configmaps or secrets, not both (upstream)
    #[arg(long, env = "RELOADER_RESOURCES_TO_IGNORE", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub resources_to_ignore: Vec<CsvList>,
    /// Kinds of workloads to ignore: jobs, cronjobs (upstream), deploymentconfigs
    #[arg(long, env = "RELOADER_IGNORED_WORKLOAD_TYPES", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub ignored_workload_types: Vec<CsvList>,
    /// Also restart Argo Rollouts (upstream); --is-argo-rollouts is an alias
    ///
    /// Requires a value, as in upstream.
    #[arg(long = "is-Argo-Rollouts", alias = "is-argo-rollouts", env = "RELOADER_IS_ARGO_ROLLOUTS",
        value_name = "BOOL", value_parser = go_bool, action = ArgAction::Set, default_value = "false",
        hide_possible_values = true)]
    pub is_argo_rollouts: bool,
    /// Also restart workloads when a Secret changes that the Secrets Store CSI driver mounts (upstream)
    #[arg(long, env = "RELOADER_ENABLE_CSI_INTEGRATION", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub enable_csi_integration: bool,
}
