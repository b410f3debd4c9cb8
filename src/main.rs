//! The process: allocator, TLS provider, settings, then [`reloader::run`]. Errors are printed once, here.

use std::{num::NonZero, process::ExitCode, sync::mpsc, thread, time::Duration};

use reloader::{
    args::{Args, Environment},
    cli,
    config::{Config, LogFormat},
    run::run,
    telemetry,
};

/// Keeps the memory of a finished initial list from staying with the process: glibc's allocator does.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit status for a command line that cannot be read, as of most commands.
const USAGE: u8 = 2;
/// Threads that run tasks, at most: a restart takes less than a millisecond of one, and each has an arena of the allocator. On a
/// node of 64 cores, one for each would take 7 MiB more.
const MOST_THREADS: usize = 4;
/// How long the end of the process waits for a reader of its error.
const REPORTING: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = match Args::of_process() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            // clap's text, under the heading of every other error.
            eprint!("{}", error.to_string().replacen("error: ", "Error: ", 1));
            return USAGE.into();
        }
        // `--help` and `--version`. If not even that can be printed, there is no way left to report it.
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    // Set before a library can choose one: with two providers in the tree rustls would panic at the first handshake.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(command) = args.command {
        return (cli::run(command) as u8).into();
    }
    if cfg!(not(unix)) {
        // Signals, and a clock that counts while the machine is suspended, are Unix' own, and what nothing tests must not restart
        // workloads.
        report("Error: the controller runs on Unix only; here the commands work: reloader help\n".to_owned());
        return ExitCode::FAILURE;
    }
    let format = match args.observability.log_format.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    match start(args) {
        Ok(exit) => exit,
        Err(error) => {
            report(telemetry::error_line(&error.to_string(), format));
            ExitCode::FAILURE
        }
    }
}

/// Prints the last line, unless stderr is a pipe that is not read: that must not keep the process from ending.
fn report(line: String) {
    let (done, printed) = mpsc::channel();
    thread::spawn(move || {
        eprint!("{line}");
        let _ = done.send(());
    });
    let _ = printed.recv_timeout(REPORTING);
}

/// Runs the controller. Its own failure is the last line of its log; an error is of what comes before.
fn start(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::from_args(args, Environment::of_process())?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_THREADS))
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        let telemetry = telemetry::init(config.log, config.traces.as_ref())?;
        let outcome = run(config, telemetry.lost_lines()).await;
        let exit = match outcome {
            Ok(()) => {
                telemetry.send_spans().await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(category = error.category(), "{error}");
                ExitCode::FAILURE
            }
        };
        telemetry.flush_log();
        anyhow::Ok(exit)
    });
    // Tasks that still run must not delay the exit: a replica that lost the lease must be gone before another one
    // writes.
    runtime.shutdown_background();
    exit
}
