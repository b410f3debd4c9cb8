//! Flags that rename the annotations by which workloads and sources opt in or out.
//!
//! Input: command line and variables, through clap. Output: [`OptInArgs`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use super::values::go_bool;

/// The names of the annotations that opt a workload in or out.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Opt-in")]
pub struct OptInArgs {
    /// Restart every workload that uses a changed source, unless its annotations opt out (upstream)
    #[arg(long, env = "RELOADER_AUTO_RELOAD_ALL", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub auto_reload_all: bool,
    /// Annotation on a workload: restart when any ConfigMap or Secret it uses changes (upstream)
    #[arg(
        long,
        env = "RELOADER_AUTO_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/auto",
        allow_hyphen_values = true
    )]
    pub auto_annotation: String,
    /// Annotation on a workload: restart when any ConfigMap it uses changes (upstream)
    #[arg(
        long,
        env = "RELOADER_CONFIGMAP_AUTO_ANNOTATION",
        value_name = "KEY",
        default_value = "configmap.reloader.stakater.com/auto",
        allow_hyphen_values = true
    )]
    pub configmap_auto_annotation: String,
    /// Annotation on a workload: restart when any Secret it uses changes (upstream)
    #[arg(
        long,
        env = "RELOADER_SECRET_AUTO_ANNOTATION",
        value_name = "KEY",
        default_value = "secret.reloader.stakater.com/auto",
        allow_hyphen_values = true
    )]
    pub secret_auto_annotation: String,
    /// Annotation on a workload: restart when one of the listed ConfigMaps changes (upstream)
    #[arg(
        long,
        env = "RELOADER_CONFIGMAP_ANNOTATION",
        value_name = "KEY",
        default_value = "configmap.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub configmap_annotation: String,
    /// Annotation on a workload: restart when one of the listed Secrets changes (upstream)
    #[arg(
        long,
        env = "RELOADER_SECRET_ANNOTATION",
        value_name = "KEY",
        default_value = "secret.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub secret_annotation: String,
    /// Annotation on a workload: restart when a used source with the match annotation changes (upstream)
    #[arg(
        long,
        env = "RELOADER_AUTO_SEARCH_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/search",
        allow_hyphen_values = true
    )]
    pub auto_search_annotation: String,
    /// Annotation on a ConfigMap or Secret: changes restart workloads with the search annotation (upstream)
    #[arg(
        long,
        env = "RELOADER_SEARCH_MATCH_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/match",
        allow_hyphen_values = true
    )]
    pub search_match_annotation: String,
    /// Annotation on a ConfigMap or Secret: changes restart no workload (upstream)
    #[arg(
        long,
        env = "RELOADER_IGNORE_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/ignore",
        allow_hyphen_values = true
    )]
    pub ignore_annotation: String,
    /// Annotation on a workload: the listed ConfigMaps do not restart it (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_CONFIGMAP_EXCLUDE_ANNOTATION",
        value_name = "KEY",
        default_value = "configmaps.exclude.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub configmap_exclude_annotation: String,
    /// Annotation on a workload: the listed Secrets do not restart it (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_SECRET_EXCLUDE_ANNOTATION",
        value_name = "KEY",
        default_value = "secrets.exclude.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub secret_exclude_annotation: String,
    /// Annotation on a workload: restart when any SecretProviderClass it mounts changes (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_SECRETPROVIDERCLASS_AUTO_ANNOTATION",
        value_name = "KEY",
        default_value = "secretproviderclass.reloader.stakater.com/auto",
        allow_hyphen_values = true
    )]
    pub secretproviderclass_auto_annotation: String,
    /// Annotation on a workload: restart when one of the listed SecretProviderClasses changes (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_SECRETPROVIDERCLASS_ANNOTATION",
        value_name = "KEY",
        default_value = "secretproviderclass.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub secretproviderclass_annotation: String,
    /// Annotation on a workload: the listed SecretProviderClasses do not restart it (upstream's version 2)
    #[arg(
        long,
        env = "RELOADER_SECRETPROVIDERCLASS_EXCLUDE_ANNOTATION",
        value_name = "KEY",
        default_value = "secretproviderclasses.exclude.reloader.stakater.com/reload",
        allow_hyphen_values = true
    )]
    pub secretproviderclass_exclude_annotation: String,
}
