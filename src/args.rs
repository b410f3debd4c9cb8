//! The command line and the environment, as typed: nothing is checked here beyond the form of a single value.
//!
//! Input: process arguments and environment variables. Output: [`Args`] and [`Environment`], which
//! [`crate::config::Config::from_args`] turns into settings. I/O: none, apart from clap reading the variables named
//! in the help text.
//!
//! Parsing follows [pflag](https://pkg.go.dev/github.com/spf13/pflag), so that every command line written for
//! Stakater Reloader keeps its meaning: `--flag=value` or `--flag value`, a repeated flag overrides itself (a list
//! grows), and a switch takes its value only after `=`: `true` and `false` behind one are ignored. Any other word that is no
//! command is an error: to run a controller because of a misspelt command would be worse.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

mod command;
mod environment;
mod high_availability;
mod inspect_address;
mod kinds;
mod listen_address;
mod notification;
mod opt_in;
mod program;
mod reload;
mod rollouts;
mod scope;
#[cfg(test)]
mod tests;
mod values;
mod verbs;

use std::{ffi::OsString, time::Duration};

use clap::{
    ArgAction, CommandFactory as _, FromArgMatches as _, Parser,
    error::{ContextKind, ErrorKind},
};

use crate::model::go_duration::parse_go_duration;
use values::{go_bool, stray_bool};

pub use command::{Command, LintArgs, LintOutput};
pub use environment::Environment;
pub use high_availability::HighAvailabilityArgs;
pub use inspect_address::InspectAddress;
pub use kinds::KindArgs;
pub use listen_address::ListenAddress;
pub use notification::{NotificationArgs, WEBHOOK_PAYLOADS};
pub use opt_in::OptInArgs;
pub use reload::ReloadArgs;
pub use rollouts::RolloutArgs;
pub use scope::ScopeArgs;
pub use values::{AutoOrBool, CsvList};
pub use verbs::{
    CheckArgs, ClusterArgs, DashboardArgs, ExplainArgs, HistoryArgs, ObjectArgs, Output, SimulateArgs,
    StatusArgs,
};

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "reloader",
    about = "Restarts Kubernetes workloads when a ConfigMap or Secret they use changes",
    long_about = "Restarts workloads when a ConfigMap or Secret they use changes: Deployments, StatefulSets,\n\
        DaemonSets, CronJobs, Jobs, Argo Rollouts, OpenShift's DeploymentConfigs, custom resources.\n\n\
        Every flag can also be given as the environment variable shown beside it; the flag wins. Durations are \
        written as in Go: 100ms, 2s, 1m30s. Flags marked (upstream) mean what they mean in Stakater Reloader.",
    after_help = EXAMPLES,
    version,
    disable_version_flag = true,
    args_override_self = true,
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "COMMAND",
)]
pub struct Args {
    /// Print the version and exit
    #[arg(long, action = ArgAction::Version)]
    pub version: Option<bool>,
    /// Which objects are watched.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Which kinds of workloads are restarted.
    #[command(flatten)]
    pub kinds: KindArgs,
    /// The annotations that opt in and out.
    #[command(flatten)]
    pub opt_in: OptInArgs,
    /// How and when they are restarted.
    #[command(flatten)]
    pub reload: ReloadArgs,
    /// When restarts may happen.
    #[command(flatten)]
    pub rollouts: RolloutArgs,
    /// Alerts about restarts, or webhook calls instead of them.
    #[command(flatten)]
    pub notification: NotificationArgs,
    /// Leader election.
    #[command(flatten)]
    pub high_availability: HighAvailabilityArgs,
    /// Limits on the load.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Logs, metrics, health.
    #[command(flatten)]
    pub observability: ObservabilityArgs,
    /// What to print instead of running the controller.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// `true` and `false` behind a switch: accepted and ignored, as pflag does.
    #[arg(hide = true, value_parser = stray_bool)]
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

Environment beside the flags:
  KUBERNETES_NAMESPACE        the one namespace to watch when --namespaces is empty
  POD_NAME, POD_NAMESPACE     this replica's identity and the Lease's namespace (--enable-ha)
  METRICS_COUNT_BY_NAMESPACE  exactly `enabled`: count reloads per namespace as well
  ALERT_ON_RELOAD             exactly `true`: send an alert for each restart to ALERT_WEBHOOK_URL, in the form that
                              ALERT_SINK names (slack, teams, gchat; else plain text), after ALERT_ADDITIONAL_INFO,
                              through ALERT_WEBHOOK_PROXY or ALERT_PROXY; the flags --alert-… win
  RELOADER_NAMESPACE          where Reloader runs and reloader-meta-info goes; not RELOADER_NAMESPACES, which is
                              --namespaces
  RELOADER_DEPLOYMENT_NAME    the Deployment Reloader runs as: names its ledger [default: reloader]
  OTEL_EXPORTER_OTLP_ENDPOINT (and the other OTEL_ variables) where to send one trace span per reload

Exit status: 0 after SIGTERM, 1 for a setting that cannot work or a failure while running, 2 for a command line that \
cannot be read.";

impl Args {
    /// Parses this process' command line.
    ///
    /// # Errors
    /// What clap prints; also for `--help` and `--version`.
    pub fn of_process() -> Result<Self, clap::Error> {
        Self::from_command_line(std::env::args_os())
    }

    /// Parses a command line whose first item is the program's name.
    ///
    /// # Errors
    /// What clap prints; also for `--help` and `--version`.
    pub fn from_command_line<T>(items: impl IntoIterator<Item = T>) -> Result<Self, clap::Error>
    where
        T: Into<OsString> + Clone,
    {
        let items: Vec<OsString> = items.into_iter().map(Into::into).collect();
        let parsed = program::command(Self::command(), &items)
            .try_get_matches_from(items)
            .and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        parsed.map_err(|mut error| {
            // Because some positional arguments are accepted, clap advises to put an unknown flag behind `--`, where it
            // would be ignored in silence. A similar flag is still suggested.
            if error.kind() == ErrorKind::UnknownArgument {
                error.remove(ContextKind::Suggested);
            }
            error
        })
    }

    /// What a command prints that is about the program alone; nothing for others.
    pub fn answer(command: &Command) -> Vec<u8> {
        let mut program = Self::command();
        match command {
            Command::Version => program.render_version().into_bytes(),
            Command::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut program, "reloader", &mut script);
                script
            }
            _ => Vec::new(),
        }
    }
}

/// Limits on concurrency, rates and page sizes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Maximum number of concurrent restarts, 1 to 1000
    #[arg(long, env = "RELOADER_WORKERS", value_name = "COUNT", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub workers: u16,
    /// Maximum number of restarts per second in one namespace; 0 means no limit
    ///
    /// Keeps one namespace from using up --total-rate.
    #[arg(
        long,
        env = "RELOADER_NAMESPACE_RATE",
        value_name = "PER_SECOND",
        default_value_t = 300
    )]
    pub namespace_rate: u32,
    /// Maximum number of restarts per second in all namespaces; 0 means no limit
    #[arg(
        long,
        env = "RELOADER_TOTAL_RATE",
        value_name = "PER_SECOND",
        default_value_t = 1000
    )]
    pub total_rate: u32,
    /// Objects per page of a list that is not streamed, 1 to 10000
    ///
    /// Peak memory grows with page size times object size; a Secret can have 1 MiB. Small pages cost more requests.
    #[arg(long, env = "RELOADER_LIST_PAGE_SIZE", value_name = "COUNT", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub list_page_size: u32,
    /// How long a watch stays open before it is renewed, 5s to 1h
    ///
    /// A connection without data for 5 s longer than this counts as dead: its changes are noticed that late.
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
    /// Minimum log level: trace, debug, info, warn, error, fatal or panic (upstream)
    #[arg(
        long,
        env = "RELOADER_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info",
        allow_hyphen_values = true
    )]
    pub log_level: String,
    /// Address of /metrics, /live and /ready: host:port, or :port for all addresses
    ///
    /// /healthz and /readyz are other names of /live and /ready.
    #[arg(
        long,
        visible_alias = "metrics-addr",
        env = "RELOADER_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":9090"
    )]
    pub listen_address: ListenAddress,
    /// A second address of the same endpoints, for probes (upstream's version 2)
    #[arg(long, env = "RELOADER_HEALTH_ADDR", value_name = "ADDRESS")]
    pub health_addr: Option<ListenAddress>,
    /// Loopback address where the replica answers why it restarts what, with a page for browsers; empty to turn it off
    ///
    /// Only addresses of this machine are accepted: the answers name objects. `kubectl port-forward` reaches it.
    #[arg(
        long,
        env = "RELOADER_INSPECT_ADDRESS",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9092"
    )]
    pub inspect_address: InspectAddress,
    /// Accepted for compatibility; this build serves no Go profiles (upstream)
    #[arg(long, env = "RELOADER_ENABLE_PPROF", value_name = "BOOL", value_parser = go_bool,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        hide_possible_values = true)]
    pub enable_pprof: bool,
    /// Accepted for compatibility; this build serves no Go profiles (upstream)
    #[arg(
        long,
        env = "RELOADER_PPROF_ADDR",
        value_name = "ADDRESS",
        default_value = ":6060",
        allow_hyphen_values = true
    )]
    pub pprof_addr: String,
}
