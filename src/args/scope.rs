//! Flags that say which objects are watched.
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
    /// Needs only a Role in each of them instead of a ClusterRole. An empty element means all namespaces. Without
    /// this flag KUBERNETES_NAMESPACE names the one namespace to watch.
    #[arg(long, env = "RELOADER_NAMESPACES", value_name = "LIST", value_parser = csv, allow_hyphen_values = true)]
    pub namespaces: Vec<CsvList>,
    /// Namespaces that are not watched, separated by commas; only without --namespaces (upstream)
    ///
    /// Exact names. Their objects are not even sent by the API server.
    #[arg(long, env = "RELOADER_NAMESPACES_TO_IGNORE", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub namespaces_to_ignore: Vec<CsvList>,
    /// Watch only namespaces with these labels; only without --namespaces (upstream)
    ///
    /// Kubernetes selector syntax (a=b, a!=b, a in (b,c), a, !a), and also a:b for a=b, and a:* or a=* for a.
    /// Requirements are separated by commas; all of them must be met. A namespace whose labels change is taken in or
    /// left out at once. Needs list and watch on namespaces.
    #[arg(long, env = "RELOADER_NAMESPACE_SELECTOR", value_name = "SELECTOR", value_parser = csv,
        allow_hyphen_values = true)]
    pub namespace_selector: Vec<CsvList>,
    /// Watch only ConfigMaps and Secrets with these labels (upstream)
    ///
    /// Written like --namespace-selector. Other objects are not even sent by the API server.
    #[arg(long, env = "RELOADER_RESOURCE_LABEL_SELECTOR", value_name = "SELECTOR", value_parser = csv,
        allow_hyphen_values = true)]
    pub resource_label_selector: Vec<CsvList>,
    /// Do not watch these sources: configmaps or secrets, not both (upstream)
    #[arg(long, env = "RELOADER_RESOURCES_TO_IGNORE", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub resources_to_ignore: Vec<CsvList>,
    /// Do not restart workloads of these kinds: jobs, cronjobs or both (upstream)
    #[arg(long, env = "RELOADER_IGNORED_WORKLOAD_TYPES", value_name = "LIST", value_parser = csv,
        allow_hyphen_values = true)]
    pub ignored_workload_types: Vec<CsvList>,
    /// Restart Argo Rollouts as well (upstream); --is-argo-rollouts is the same
    ///
    /// Needs a value, as upstream does.
    #[arg(long = "is-Argo-Rollouts", alias = "is-argo-rollouts", env = "RELOADER_IS_ARGO_ROLLOUTS",
        value_name = "BOOL", value_parser = go_bool, action = ArgAction::Set, default_value = "false",
        hide_possible_values = true)]
    pub is_argo_rollouts: bool,
    /// Restart workloads when a mounted Secret of the secrets store CSI driver changes (upstream)
    #[arg(long, env = "RELOADER_ENABLE_CSI_INTEGRATION", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub enable_csi_integration: bool,
}
