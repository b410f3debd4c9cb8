//! Command `simulate`: plays plans, each in a process of its own, and reports what does not hold.
//!
//! I/O: standard output carries results; processes are started for the runs.

mod crash_table;
mod runs;
mod shrink;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use simulation::{entropy::mix, plan::Plan, replica, world::Death};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use runs::{Run, RunResult, beside_each_other};

/// Plays random plans against the controller in virtual time: replicas, API servers, users, pods and faults in one thread.
///
/// A seed gives a plan, and a plan always gives the same run. What fails is reported with its seed; `--seed N --shrink` makes
/// its plan small, `--seed N --logs` shows what each replica did.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches of a command line, each on its own"
)]
struct Cli {
    /// How many seeds to play
    #[arg(long, value_name = "N", env = "SEEDS")]
    seeds: Option<u64>,
    /// For how many seconds to play seeds
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 120)]
    seconds: u64,
    /// The first seed; without, one that was never played
    #[arg(long, value_name = "N")]
    first: Option<u64>,
    /// Give every plan policies: when restarts may happen, and how many
    #[arg(long, env = "POLICIES")]
    policies: bool,
    /// End with the first seed that fails
    #[arg(long)]
    first_failure: bool,
    /// Play this seed alone
    #[arg(long, value_name = "N", env = "SEED")]
    seed: Option<u64>,
    /// Play this plan alone
    #[arg(long, value_name = "FILE", env = "PLAN", conflicts_with = "seed")]
    plan: Option<PathBuf>,
    /// Make the failing plan small, and print it; with a rule, one that breaks that rule
    #[arg(long, value_name = "RULE", num_args = 0..=1, default_missing_value = "", value_parser = shrink::rule)]
    shrink: Option<shrink::Wanted>,
    /// Show the plan
    #[arg(long)]
    show: bool,
    /// Show what replicas log, at this level
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "info")]
    logs: Option<String>,
    /// Kill the leader at each of its calls, before it is sent, after it is committed and after its answer
    #[arg(long)]
    crash_table: bool,
    /// Runs beside each other
    #[arg(long, value_name = "N", default_value_t = cores())]
    jobs: usize,
    /// Play the plan on standard input, in this process
    #[arg(long, hide = true)]
    child: bool,
    /// Kill the first replica at that call
    #[arg(long, hide = true, value_parser = str::parse::<Death>)]
    death: Option<Death>,
}

const EXAMPLES: &str = "\
Examples:
  simulate                          Two minutes of new seeds
  simulate --seeds 200000           A night
  simulate --seed 7 --shrink        Why seed 7 fails, in few acts
  simulate --plan plans/x.json --logs
";

/// One of so many runs is played twice: both must be equal.
const PLAYED_TWICE: u64 = 50;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    match act(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything holds.
fn act(cli: &Cli) -> Result<bool> {
    if cli.child {
        return child(cli);
    }
    if cli.crash_table {
        return crash_table::print(cli.jobs);
    }
    if cli.seed.is_some() || cli.plan.is_some() {
        return one(cli);
    }
    many(cli)
}

/// Virtual time, and the replica that speaks.
struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let elapsed = simulation::entropy::elapsed();
        write!(
            writer,
            "{:>9.3} {:<10}",
            elapsed.as_secs_f64(),
            replica::running()
        )
    }
}

fn child(cli: &Cli) -> Result<bool> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let plan = Plan::parse(&text).context("the plan cannot be read")?;
    if let Some(level) = &cli.logs {
        tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_timer(VirtualTime)
            .with_writer(io::stderr)
            .init();
    }
    let result = RunResult::of(&plan, cli.death)?;
    println!("{}", serde_json::to_string(&result)?);
    Ok(result.findings.is_empty())
}

fn one(cli: &Cli) -> Result<bool> {
    let plan = match (&cli.plan, cli.seed) {
        (Some(path), _) => {
            let text =
                fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Plan::parse(&text).with_context(|| format!("{} is no plan", path.display()))?
        }
        (None, seed) => plan_of(cli, seed.unwrap_or_default()),
    };
    if cli.show {
        print!("{}", plan.text());
    }
    let run = Run {
        plan: &plan,
        death: cli.death,
        logs: cli.logs.as_deref(),
    };
    let result = run.play()?;
    result.print(plan.seed);
    if !result.findings.is_empty()
        && let Some(wanted) = cli.shrink
    {
        let rules = wanted.map_or_else(|| result.rules(), |rule| vec![rule]);
        print!("{}", shrink::shrink(&plan, &rules, cli.jobs).text());
    }
    Ok(result.findings.is_empty())
}

fn many(cli: &Cli) -> Result<bool> {
    let first = match cli.first {
        Some(first) => first,
        None => {
            mix(u64::try_from(
                SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos(),
            )?) >> 24
        }
    };
    let begun = Instant::now();
    let limit = Duration::from_secs(cli.seconds);
    let (virtual_ms, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let excused = Mutex::new(BTreeMap::new());
    println!("simulate: seeds from {first}");
    let played = beside_each_other(cli.jobs, |number| {
        let is_over = match cli.seeds {
            _ if cli.first_failure && failed.load(Ordering::Relaxed) > 0 => true,
            Some(seeds) => number >= seeds,
            None => begun.elapsed() >= limit,
        };
        if is_over {
            return false;
        }
        let seed = first.wrapping_add(number);
        let holds = match play_seed(&plan_of(cli, seed), number % PLAYED_TWICE == 0) {
            Ok(result) => {
                virtual_ms.fetch_add(result.virtual_ms, Ordering::Relaxed);
                for excuse in &result.excused {
                    let mut excused = excused.lock().unwrap_or_else(PoisonError::into_inner);
                    *excused.entry(*excuse).or_insert(0) += 1;
                }
                let holds = result.findings.is_empty();
                if !holds {
                    result.print(seed);
                }
                holds
            }
            Err(error) => {
                println!("seed {seed}: {error:#}");
                false
            }
        };
        failed.fetch_add(u64::from(!holds), Ordering::Relaxed);
        true
    });
    let failed = failed.into_inner();
    println!(
        "simulate: {played} seeds from {first}, {} h of virtual time in {} s, {} failed",
        virtual_ms.into_inner() / 3_600_000,
        begun.elapsed().as_secs(),
        failed
    );
    for ((rule, excuse), count) in excused.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("simulate: excused {count} times: {rule:?}, {excuse:?}");
    }
    if played == 0 {
        bail!("no seed was played; give it more time with --for");
    }
    Ok(failed == 0)
}

fn plan_of(cli: &Cli, seed: u64) -> Plan {
    if cli.policies {
        Plan::with_policies(seed)
    } else {
        Plan::from_seed(seed)
    }
}

fn play_seed(plan: &Plan, twice: bool) -> Result<RunResult> {
    let run = Run {
        plan,
        death: None,
        logs: None,
    };
    let result = run.play()?;
    if twice && run.play()?.trace != result.trace {
        bail!("two runs of it differ: something in it depends on more than the seed");
    }
    Ok(result)
}
