//! The command line and the environment, as typed: nothing is checked here beyond the form of a single value.
//!
//! Input: process arguments and environment variables. Output: [`Args`] and [`Environment`], which
//! [`crate::config::Config::from_args`] turns into settings. I/O: none, apart from clap reading the variables named
//! in the help text.
//!
//! Parsing follows [pflag](https://pkg.go.dev/github.com/spf13/pflag), so that every command line written for
//! Stakater Reloader keeps its meaning: `--flag=value` or `--flag value`, a repeated flag overrides itself (a list
//! grows), a switch takes its value only after `=`, and positional arguments are ignored.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

mod environment;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, time::Duration};

use clap::{
    ArgAction, Parser,
    builder::NonEmptyStringValueParser,
    error::{ContextKind, ErrorKind},
};

use crate::config::{ListenAddress, parse_go_duration};
use crate::model::go_values::{parse_csv_list, parse_go_bool};

pub use environment::Environment;

/// Everything that can be said on the command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "reloader",
    about = "Restarts Kubernetes workloads when a ConfigMap or Secret they use changes",
    long_about = "Restarts Deployments, StatefulSets and DaemonSets when a ConfigMap or Secret they use changes.\n\n\
        Every flag can also be given as the environment variable shown beside it; the flag wins. Durations are \
        written as in Go: 100ms, 2s, 1m30s. Flags marked (upstream) mean what they mean in Stakater Reloader.",
    after_help = EXAMPLES,
    version,
    disable_version_flag = true,
    args_override_self = true,
)]
pub struct Args {
    /// Print the version and exit
    #[arg(long, action = ArgAction::Version)]
    pub version: Option<bool>,
    /// Which objects are watched.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Which workloads want to be restarted.
    #[command(flatten)]
    pub opt_in: OptInArgs,
    /// How and when they are restarted.
    #[command(flatten)]
    pub reload: ReloadArgs,
    /// Several replicas, one of which acts.
    #[command(flatten)]
    pub high_availability: HighAvailabilityArgs,
    /// Caps on what the API server has to bear.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Logs, metrics, health.
    #[command(flatten)]
    pub observability: ObservabilityArgs,
    /// Positional arguments: accepted and ignored, as pflag does.
    #[arg(hide = true)]
    pub ignored: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  Watch the whole cluster:
    reloader

  Watch two namespaces, restart every workload that does not opt out:
    reloader --namespaces=shop,payments --auto-reload-all

  Three replicas, one of which acts (needs POD_NAME and POD_NAMESPACE):
    reloader --enable-ha --log-format=json

  Wait two seconds for further changes before a restart:
    reloader --coalesce-window=2s

Environment without a flag:
  KUBERNETES_NAMESPACE        the one namespace to watch when --namespaces is empty
  POD_NAME, POD_NAMESPACE     this replica's identity and the Lease's namespace (--enable-ha)
  METRICS_COUNT_BY_NAMESPACE  exactly `enabled`: count reloads per namespace as well
  RELOADER_NAMESPACE          where Reloader runs; not RELOADER_NAMESPACES, which is --namespaces
  RELOADER_DEPLOYMENT_NAME    the Deployment Reloader runs as: names its ledger [default: reloader]
  OTEL_EXPORTER_OTLP_ENDPOINT (and the other OTEL_ variables) where to send one trace span per reload

Exit status: 0 after SIGTERM, 1 for a bad setting or a failure while running, 2 for a bad command line.";

impl Args {
    /// Parses this process' command line. Prints and exits where that is asked for (`--help`, `--version`) or where
    /// the command line is wrong, the latter with status 2.
    pub fn of_process() -> Self {
        Self::from_command_line(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Parses a command line whose first item is the program's name.
    ///
    /// # Errors
    /// What clap prints; also for `--help` and `--version`.
    pub fn from_command_line<T>(items: impl IntoIterator<Item = T>) -> Result<Self, clap::Error>
    where
        T: Into<OsString> + Clone,
    {
        Self::try_parse_from(items).map_err(|mut error| {
            // Because positional arguments are accepted, clap advises to put an unknown flag behind `--`, where it
            // would be ignored in silence. A similar flag is still suggested.
            if error.kind() == ErrorKind::UnknownArgument {
                error.remove(ContextKind::Suggested);
            }
            error
        })
    }
}

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
}

/// The names of the annotations that opt a workload in or out.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Opt-in")]
pub struct OptInArgs {
    /// Restart every workload that uses a changed source, unless its annotations say otherwise (upstream)
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
    /// Annotation on a workload: restart when a source it uses changes that carries the match annotation (upstream)
    #[arg(
        long,
        env = "RELOADER_AUTO_SEARCH_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/search",
        allow_hyphen_values = true
    )]
    pub auto_search_annotation: String,
    /// Annotation on a ConfigMap or Secret: restart the workloads that search for it (upstream)
    #[arg(
        long,
        env = "RELOADER_SEARCH_MATCH_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/match",
        allow_hyphen_values = true
    )]
    pub search_match_annotation: String,
    /// Annotation on a ConfigMap or Secret: its changes restart nothing (upstream)
    #[arg(
        long,
        env = "RELOADER_IGNORE_ANNOTATION",
        value_name = "KEY",
        default_value = "reloader.stakater.com/ignore",
        allow_hyphen_values = true
    )]
    pub ignore_annotation: String,
}

/// How a restart is written, and how long changes are gathered first.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Reload")]
pub struct ReloadArgs {
    /// How a restart is written into the pod template: env-vars or annotations (upstream)
    ///
    /// env-vars sets a STAKATER_… variable in the container that uses the source and never restarts twice for the
    /// same content. annotations changes only the pod template's metadata, which suits tools that compare container
    /// specifications, but remembers only the last source.
    #[arg(
        long,
        env = "RELOADER_RELOAD_STRATEGY",
        value_name = "STRATEGY",
        default_value = "env-vars",
        allow_hyphen_values = true
    )]
    pub reload_strategy: String,
    /// How long a workload's sources must be quiet before it is restarted; 0 turns waiting off
    ///
    /// Several sources changed together, as by a Helm upgrade, then cause one rollout. Every further change starts
    /// the wait again, up to ten times the window.
    #[arg(long, env = "RELOADER_COALESCE_WINDOW", value_name = "DURATION", default_value = "100ms",
        value_parser = parse_go_duration)]
    pub coalesce_window: Duration,
}

/// Leader election.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "High availability")]
pub struct HighAvailabilityArgs {
    /// Run beside other replicas and act only while holding the Lease (upstream)
    ///
    /// Needs POD_NAME and POD_NAMESPACE. Standbys watch too, so that a takeover starts from a warm cache.
    #[arg(long, env = "RELOADER_ENABLE_HA", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub enable_ha: bool,
    /// Name of the Lease; the default is upstream's, so that a mixed fleet elects one leader
    #[arg(long, env = "RELOADER_LEASE_NAME", value_name = "NAME", default_value = "stakater-reloader-lock",
        value_parser = NonEmptyStringValueParser::new())]
    pub lease_name: String,
    /// How long a leader that fell silent keeps the Lease; the default is upstream's
    ///
    /// Must be longer than --renew-deadline. Longer tolerates a slower API server, shorter takes over sooner.
    #[arg(long, env = "RELOADER_LEASE_DURATION", value_name = "DURATION", default_value = "15s",
        value_parser = parse_go_duration)]
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it stops writing; the default is upstream's
    ///
    /// Must be longer than 1.2 times --retry-period.
    #[arg(long, env = "RELOADER_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s",
        value_parser = parse_go_duration)]
    pub renew_deadline: Duration,
    /// How often a leader renews and a standby looks; the default is upstream's
    #[arg(long, env = "RELOADER_RETRY_PERIOD", value_name = "DURATION", default_value = "2s",
        value_parser = parse_go_duration)]
    pub retry_period: Duration,
}

/// Caps on concurrency, rates and page sizes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Restarts written at the same time, 1 to 1000
    #[arg(long, env = "RELOADER_WORKERS", value_name = "COUNT", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub workers: u16,
    /// Restarts per second in one namespace; 0 means no limit
    ///
    /// Keeps one namespace's storm from using up --total-rate.
    #[arg(
        long,
        env = "RELOADER_NAMESPACE_RATE",
        value_name = "PER_SECOND",
        default_value_t = 300
    )]
    pub namespace_rate: u32,
    /// Restarts per second in all namespaces together; 0 means no limit
    #[arg(
        long,
        env = "RELOADER_TOTAL_RATE",
        value_name = "PER_SECOND",
        default_value_t = 1000
    )]
    pub total_rate: u32,
    /// Objects per page of the initial lists, at least 1
    ///
    /// Memory peaks with page size times object size; a Secret may have 1 MiB. Small pages cost more requests.
    #[arg(long, env = "RELOADER_LIST_PAGE_SIZE", value_name = "COUNT", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub list_page_size: u32,
    /// How long a watch is kept open before it is renewed; 5s to 1h
    ///
    /// A connection on which nothing arrives for 5 s longer is taken for dead: changes on it are noticed that late.
    #[arg(long, env = "RELOADER_WATCH_TIMEOUT", value_name = "DURATION", default_value = "290s",
        value_parser = parse_go_duration)]
    pub watch_timeout: Duration,
}

/// Logs and the HTTP endpoint.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Observability")]
pub struct ObservabilityArgs {
    /// Log format: json, or empty for text (upstream)
    #[arg(
        long,
        env = "RELOADER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub log_format: String,
    /// Least level that is logged: trace, debug, info, warn, error, fatal or panic (upstream)
    #[arg(
        long,
        env = "RELOADER_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info",
        allow_hyphen_values = true
    )]
    pub log_level: String,
    /// Where /metrics, /live and /ready are served: host:port, or :port for every address
    #[arg(
        long,
        env = "RELOADER_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":9090"
    )]
    pub listen_address: ListenAddress,
}

/// The value of a list flag: one CSV record (pflag's `StringSlice`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvList(pub Vec<String>);

fn csv(text: &str) -> Result<CsvList, String> {
    parse_csv_list(text)
        .map(CsvList)
        .map_err(|error| error.to_string())
}

fn go_bool(text: &str) -> Result<bool, &'static str> {
    parse_go_bool(text).ok_or("expected true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)")
}
