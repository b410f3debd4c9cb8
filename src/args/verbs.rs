//! Questions about a cluster: which object, which cluster, how the answer is printed.
//!
//! Input: words of the command line, through clap. Output: plain values. I/O: none.
//!
//! No flag here has a variable: those of the controller, which are set in its pod, must not change what a user asks.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

use super::values::{CsvList, csv};
use crate::model::go_duration::parse_go_duration;

/// The exit statuses of every verb.
macro_rules! exit {
    () => {
        "\n\nExit status: 0 as wished, 1 if there is no answer, 2 for a command line that cannot be read"
    };
}

/// The help text of `explain`.
pub(super) const EXPLAIN: &str = concat!(
    "Shows for each source of a workload whether a change of it restarts the workload, why, what its pods run with, \
    what is owed, and what happens next; and mistakes in its annotations.\n\n\
    The answer comes from a replica of Reloader, through a port-forward (which needs get and create on pods/portforward in \
    its namespace). Without one it is made of the objects, and \"unknown\" is what only a replica knows. The content of \
    Secrets is never read.",
    exit!(),
    ", 3 if no source restarts the workload."
);

/// The help text of `status`.
pub(super) const STATUS: &str = concat!(
    "Shows the replicas of Reloader, which of them leads and since when, what they watch, and a row for each workload \
    that owes a restart.",
    exit!(),
    ", 3 if --failing is given and a restart has failed."
);

/// The help text of `check`.
pub(super) const CHECK: &str = concat!(
    "Checks that Reloader runs, that one replica leads and renews its Lease, that every kind is watched, and that its \
    ServiceAccount has the permissions that it needs in the namespace. What you may not read counts as unknown, and \
    not as failed.",
    exit!(),
    ", 3 if a check fails."
);

/// The help text of `history`.
pub(super) const HISTORY: &str = concat!(
    "Shows the restarts of a Deployment, StatefulSet, DaemonSet or Rollout that Reloader made, as far back as its \
    ReplicaSets or ControllerRevisions are kept: when, for which source, and the digest that its marker shows.",
    exit!(),
    "."
);

/// The help text of `simulate`.
pub(super) const SIMULATE: &str = concat!(
    "Shows which workloads would restart if a ConfigMap, Secret or SecretProviderClass changed now, which of them at once, what \
    the others would wait for, how many follow each other, and why others that use it would not restart. Nothing is \
    changed.",
    exit!(),
    ", 3 if no workload would restart."
);

/// The help text of `dashboard`.
pub(super) const DASHBOARD: &str = concat!(
    "Forwards a port of this machine to the leader's page, prints its address, and opens it where standard output is a \
    terminal. Ends with Ctrl-C.",
    exit!(),
    "."
);

/// Which cluster is asked, and as which user.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The namespace of what is asked about [default: the context's]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig file [default: KUBECONFIG, then ~/.kube/config, then the pod's ServiceAccount]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that Reloader runs in [default: where it is found]
    #[arg(long, value_name = "NAMESPACE")]
    pub reloader_namespace: Option<String>,
    /// Ask a replica at this address instead of through a port-forward; may be repeated, one for each replica
    ///
    /// For use in its pod, or with a port-forward of your own: http://127.0.0.1:9092.
    #[arg(long, value_name = "URL")]
    pub endpoint: Vec<String>,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For people, with more columns
    Wide,
    /// For programs; fields are added within its version, and none is removed
    Json,
    /// As json
    Yaml,
}

/// Which object is asked about.
#[derive(Clone, Debug, clap::Args)]
pub struct ObjectArgs {
    /// KIND/NAME, or KIND and NAME; kinds as kubectl knows them: deploy/web
    #[arg(value_name = "KIND/NAME", required = true, num_args = 1..=2)]
    pub object: Vec<String>,
    /// How the answer is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// A custom kind with a pod template, as the controller's flag of that name
    #[arg(long, value_name = "KINDS", value_parser = csv)]
    pub workload_kind: Vec<CsvList>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The workload.
    #[command(flatten)]
    pub object: ObjectArgs,
}

/// The arguments of `status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Rows of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Only rows of workloads whose restart has failed
    #[arg(long)]
    pub failing: bool,
    /// How the answer is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// How long to wait until all is well
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_go_duration)]
    pub wait: Duration,
    /// How the answer is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The arguments of `history`.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// The workload.
    #[command(flatten)]
    pub object: ObjectArgs,
}

/// The arguments of `simulate`.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// The source.
    #[command(flatten)]
    pub object: ObjectArgs,
}

/// The arguments of `dashboard`.
#[derive(Clone, Debug, clap::Args)]
pub struct DashboardArgs {
    /// The port of this machine; 0: any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Print the address only
    #[arg(long)]
    pub no_open: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}
