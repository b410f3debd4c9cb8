//! Command `loadtest`: measures the controller on a real API server.
//!
//! Input: a built controller. Output: a table, and a stored run. I/O: starts a control plane for each scenario, all of
//! it on 127.0.0.1 and ended with it; writes one folder below `loadtest/runs`.
//!
//! Latencies and counts come from the API server's audit log alone, never from the controller. Where it
//! helps, the *floor* is measured too: what a bare loop of one watch and one PATCH, without any decision, needs in the same
//! minutes on the same machine. Compare runs by the ratio to the floor: it varies less with the machine than the figures.

mod controller;
mod environment;
mod floor;
mod lab;
mod objects;
mod references;
mod report;
mod scenarios;
mod statistics;
mod trace;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use environment::Environment;
use report::{Figure, Run};
use scenarios::Scenario;

/// Measures the controller on a real API server on this computer.
///
/// Build it with optimisation first: `cargo build --release`. All scenarios together take less than 12 minutes on two
/// cores. Nothing else should run meanwhile: latencies of milliseconds show every neighbour.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Measure only these scenarios, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
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
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli {
        only,
        controller,
        former,
        runs,
        no_store,
    } = Cli::parse();
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
        only
    };
    let environment = Environment::of_this_computer(&controller)?;
    let mut figures: Vec<Figure> = Vec::new();
    for scenario in wanted {
        let begun = std::time::Instant::now();
        eprintln!("{}: {}", scenario.name(), scenario.describe());
        let measured = scenario
            .measure(&controller, former.as_deref())
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
    Ok(())
}
