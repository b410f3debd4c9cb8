//! Command `loadtest`: measures the controller on a real API server.
//!
//! Input: a built controller. Output: a table, and a stored run. I/O: starts a control plane for each scenario, all of
//! it on 127.0.0.1 and ended with it; or, if a cluster is named, works in that one (see [`cluster`]). Writes one folder below
//! `loadtest/runs`.
//!
//! On this computer latencies and counts come from the API server's audit log alone, never from the controller. Where it
//! helps, the *floor* is measured too: what a bare loop of one watch and one PATCH, without any decision, needs in the same
//! minutes on the same machine. Compare runs by the ratio to the floor: it varies less with the machine than the figures.

mod cluster;
mod controller;
mod environment;
mod floor;
mod lab;
mod objects;
mod references;
mod replicas;
mod report;
mod scenarios;
mod statistics;
mod trace;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, ValueEnum};

use environment::Environment;
use report::{Figure, Run};
use scenarios::{Scenario, Sizes};

/// Measures the controller on a real API server: one on this computer, or with --context or --kubeconfig a cluster that exists.
///
/// Build it with optimisation first: `cargo build --release`. All scenarios together take less than 12 minutes on two
/// cores. Nothing else should run meanwhile: latencies of milliseconds show every neighbour.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Measure only these scenarios, separated by commas
    ///
    /// On this computer: idle, spread, burst, fan-out, cost, scale, storm, rollouts, apply, isolation, upgrade, scale-100k,
    /// blast-radius, deferred. On a cluster:
    /// thousands, s1 to s13, failover.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The program to measure
    #[arg(long, default_value = "target/release/reloader")]
    controller: PathBuf,
    /// A program of an earlier version, for the scenario `upgrade`
    #[arg(long)]
    former: Option<PathBuf>,
    /// The folder in which the run is stored, as a folder named after the time
    #[arg(long, default_value = "loadtest/runs")]
    runs: PathBuf,
    /// Print the table only
    #[arg(long)]
    no_store: bool,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    cluster: cluster::Options,
}

/// The scenarios of these names; all if there are none.
fn scenarios<S: ValueEnum>(names: &[String]) -> Result<Vec<S>> {
    if names.is_empty() {
        return Ok(S::value_variants().to_vec());
    }
    let known = || {
        let values = S::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value);
        values
            .map(|value| value.get_name().to_owned())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let one = |name: &String| {
        S::from_str(name, false)
            .map_err(|_| anyhow!("there is no scenario `{name}` here; --only takes {}", known()))
    };
    names.iter().map(one).collect()
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli {
        only,
        controller,
        former,
        runs,
        no_store,
        sizes,
        cluster,
    } = Cli::parse();
    if cluster.names_a_cluster() {
        let runs = (!no_store).then_some(runs.as_path());
        return cluster::run(&cluster, &scenarios(&only)?, runs).await;
    }
    ensure!(
        !cluster.clean && !cluster.dry_run,
        "--clean and --dry-run are about a cluster that exists; name it with --context or --kubeconfig"
    );
    ensure!(
        controller.is_file(),
        "{} does not exist; build it with `cargo build --release`, or name another one with --controller",
        controller.display()
    );
    let wanted = if only.is_empty() {
        let needs_former = |scenario: &&Scenario| **scenario == Scenario::Upgrade;
        let all = Scenario::value_variants().iter();
        all.filter(|scenario| former.is_some() || !needs_former(scenario))
            .filter(|scenario| !scenario.is_long())
            .copied()
            .collect()
    } else {
        scenarios(&only)?
    };
    let environment = Environment::of_this_computer(&controller)?;
    let mut figures: Vec<Figure> = Vec::new();
    for scenario in wanted {
        let begun = std::time::Instant::now();
        eprintln!("{}: {}", scenario.name(), scenario.describe());
        let measured = scenario
            .measure(&controller, former.as_deref(), sizes)
            .await
            .with_context(|| format!("scenario {}", scenario.name()))?;
        for figure in &measured {
            eprintln!("  {figure}");
        }
        eprintln!("  took {:.0} s", begun.elapsed().as_secs_f64());
        figures.extend(measured);
    }
    let run = Run { environment, figures };
    println!("{}", run.markdown());
    if !no_store {
        let folder = run.store(&runs)?;
        eprintln!("Stored in {}", folder.display());
    }
    let broken = run.broken();
    ensure!(
        broken.is_empty(),
        "what has to hold does not: {}",
        broken.join(", ")
    );
    Ok(())
}
