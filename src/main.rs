//! The process: allocator, TLS provider, settings, then [`reloader::run`]. Errors are printed once, here.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use reloader::{
    args::{Args, Environment},
    config::Config,
    run::run,
    telemetry,
};

/// Keeps the memory of a finished initial list from staying with the process: glibc's allocator does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit status for a command line that cannot be read, as of most commands.
const USAGE: u8 = 2;
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
    if let Some(command) = args.command {
        let printed = io::stdout().write_all(&Args::answer(command));
        return if printed.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error);
            ExitCode::FAILURE
        }
    }
}

/// Prints the error, unless stderr is a pipe that is not read: that must not keep the process from ending.
fn report(error: anyhow::Error) {
    let (done, printed) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("Error: {error}");
        let _ = done.send(());
    });
    let _ = printed.recv_timeout(REPORTING);
}

fn start(args: Args) -> anyhow::Result<()> {
    // Set before a library can choose one: with two providers in the tree rustls would panic at the first handshake.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::from_args(args, Environment::of_process())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let telemetry = telemetry::init(config.log, config.traces.as_ref())?;
        let outcome = run(config, telemetry.lost_lines()).await;
        if outcome.is_ok() {
            telemetry.send_spans().await;
        }
        telemetry.flush_log();
        anyhow::Ok(outcome?)
    });
    // Tasks that still run must not delay the exit: a replica that lost the lease must be gone before another one
    // writes.
    runtime.shutdown_background();
    outcome
}
