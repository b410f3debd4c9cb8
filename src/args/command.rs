//! What the program does instead of running the controller.
//!
//! Input: words of the command line, through clap. Output: [`Command`]. I/O: none.

#![allow(
    clippy::doc_markdown,
    reason = "the comments of flags are their help texts, where backticks would show"
)]

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    OptInArgs,
    values::{CsvList, csv},
    verbs::{self, CheckArgs, DashboardArgs, ExplainArgs, HistoryArgs, SimulateArgs, StatusArgs},
};

/// The help text of `lint`.
const LINT: &str = "Finds mistakes in Reloader's annotations, in files, without a cluster.\n\n\
        Reads YAML and JSON: single objects, several documents, Lists, the output of `helm template` and \
        `kustomize build`. A finding is left out where the comment `# reloader-lint: ignore` is on its line or on the \
        line before.\n\n\
        Exit status: 0 without a warning (notes do not count), 1 with one or where a file cannot be read, 2 for a \
        command line that cannot be read.";

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show why a workload restarts or not, for each of its sources
    #[command(long_about = verbs::EXPLAIN)]
    Explain(ExplainArgs),
    /// Show who leads, how the replicas are doing, and which workloads owe a restart
    #[command(long_about = verbs::STATUS)]
    Status(StatusArgs),
    /// Check whether Reloader works in a namespace, for pipelines
    #[command(long_about = verbs::CHECK)]
    Check(CheckArgs),
    /// Show the restarts of a workload that Reloader made
    #[command(long_about = verbs::HISTORY)]
    History(HistoryArgs),
    /// Show which workloads would restart if a source changed now
    #[command(long_about = verbs::SIMULATE)]
    Simulate(SimulateArgs),
    /// Open the page of the leader through a port-forward
    #[command(long_about = verbs::DASHBOARD)]
    Dashboard(DashboardArgs),
    /// Find mistakes in annotations, in files, without a cluster
    #[command(long_about = LINT)]
    Lint(Box<LintArgs>),
    /// Print the version
    Version,
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// What is checked, and how it is reported.
#[derive(Clone, Debug, clap::Args)]
pub struct LintArgs {
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How findings are printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: LintOutput,
    /// A custom kind with a pod template, as the controller's flag of that name
    #[arg(long, env = "RELOADER_WORKLOAD_KIND", value_name = "KINDS", value_parser = csv)]
    pub workload_kind: Vec<CsvList>,
    /// The names of the annotations, where the controller's are changed.
    #[command(flatten)]
    pub opt_in: OptInArgs,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LintOutput {
    /// One line each: FILE:LINE NAMESPACE/NAME: what is wrong
    #[default]
    Text,
    /// One JSON array
    Json,
    /// SARIF 2.1.0, which code hosts show beside the line
    Sarif,
}
