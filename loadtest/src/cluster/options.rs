//! Flags of the load test on a cluster that exists. Input: a command line; output: [`Options`]. I/O: none.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{release::Plan, shapes::Sizes};

/// How long a scenario changes sources, by default: as Stakater Reloader's load test.
const DURATION: &str = "60";

/// What to measure on a cluster that exists.
// Switches of a command line, each on its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "On a cluster that exists (--context or --kubeconfig)")]
pub struct Options {
    /// Measure on the cluster of this context of the kubeconfig
    ///
    /// KUBECONFIG alone does not choose a cluster: without --context and --kubeconfig everything runs on this computer.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Measure on the cluster of this kubeconfig, in its current context unless --context names another one
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Print what would be made, and make nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only remove what earlier runs left in the cluster
    #[arg(long, conflicts_with = "dry_run")]
    pub clean: bool,
    /// Go on although another Reloader runs in the cluster; it may restart the same workloads
    #[arg(long)]
    pub beside_another: bool,
    /// Image of the controller, with tag or digest; without, the chart's own
    #[arg(long)]
    pub image: Option<String>,
    /// Chart of the controller
    #[arg(long, default_value = "charts/reloader")]
    pub chart: String,
    /// File of values for the chart; may be repeated
    #[arg(long, value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Measure this chart the same way, for a second column: a folder, an archive or an oci:// address
    #[arg(long, value_name = "CHART")]
    pub baseline: Option<String>,
    /// Image of the baseline, with tag or digest; without, its chart's own
    #[arg(long, value_name = "IMAGE", requires = "baseline")]
    pub baseline_image: Option<String>,
    /// File of values for the baseline's chart; may be repeated
    #[arg(long, value_name = "FILE", requires = "baseline")]
    pub baseline_values: Vec<PathBuf>,
    /// The program Helm
    #[arg(long, value_name = "PROGRAM", default_value = "helm")]
    pub helm: PathBuf,
    /// ConfigMaps of the scenario `thousands`
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub config_maps: usize,
    /// Secrets of the scenario `thousands`
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub secrets: usize,
    /// Deployments of the scenario `thousands`
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub workloads: usize,
    /// Namespaces of the scenario `thousands`
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = positive)]
    pub namespaces: usize,
    /// Changes a second in the scenario `thousands`
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// Workloads with a pod in each scenario; the others have no replicas
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub pods: usize,
    /// No pods of workloads: no replicas
    #[arg(long, conflicts_with = "pods")]
    pub no_pods: bool,
    /// Image of the pods of workloads
    #[arg(long, value_name = "IMAGE", default_value = "registry.k8s.io/pause:3.10")]
    pub pause_image: String,
    /// Seconds for which each of the scenarios s1 to s13 changes sources
    #[arg(long, value_name = "SECONDS", default_value = DURATION, value_parser = seconds)]
    pub duration: Duration,
    /// Seconds in which nothing comes after which a reload is missed, or a workload will not be ready
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub patience: Duration,
    /// How often the leader's pod is deleted, and how often killed, in the scenario `failover`
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = positive)]
    pub failovers: usize,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn positive(text: &str) -> Result<usize, std::num::ParseIntError> {
    text.parse::<std::num::NonZeroUsize>().map(usize::from)
}

impl Options {
    /// Whether a cluster was named.
    pub fn names_a_cluster(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }

    /// What is measured: the chart of this checkout, and the baseline.
    pub fn plans(&self) -> Vec<(String, Plan)> {
        let named = |name: &str, plan: Plan| {
            let what = plan.image.clone().unwrap_or_else(|| plan.chart.clone());
            (format!("{name} ({what})"), plan)
        };
        let own = Plan {
            chart: self.chart.clone(),
            image: self.image.clone(),
            values: self.values.clone(),
        };
        let baseline = self.baseline.as_ref().map(|chart| Plan {
            chart: chart.clone(),
            image: self.baseline_image.clone(),
            values: self.baseline_values.clone(),
        });
        let baseline = baseline.map(|plan| named("baseline", plan));
        std::iter::once(named("measured", own)).chain(baseline).collect()
    }

    /// Objects of the scenario `thousands`.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            config_maps: self.config_maps,
            secrets: self.secrets,
            workloads: self.workloads,
            namespaces: self.namespaces,
            rate: self.rate,
        }
    }

    /// Workloads with a pod.
    pub fn pods(&self) -> usize {
        if self.no_pods { 0 } else { self.pods }
    }
}
