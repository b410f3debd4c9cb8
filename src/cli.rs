//! What the program does instead of running the controller.
//!
//! Input: a [`Command`]. Output: text on standard output, an exit status. I/O: reads files and, as the user, the cluster;
//! prints.
//!
//! | Part | Does |
//! |---|---|
//! | [`lint`] | finds mistakes in files |
//! | [`verbs`] | answers questions about a cluster |
//!
//! Data goes to standard output, what concerns the run itself to standard error.

mod exit;
mod kinds;
mod lint;
mod verbs;

use std::io::{self, Write as _};

use crate::args::{Args, Command};

pub use exit::Exit;

/// Does what the command says. A TLS provider must be installed.
pub fn run(command: Command) -> Exit {
    let (text, exit) = match command {
        Command::Lint(args) => lint::lint(&args),
        Command::Version | Command::Completion { .. } => (Args::answer(&command), Exit::Success),
        verb => verbs::run(&verb),
    };
    // A reader that closed the pipe has had enough.
    match io::stdout().write_all(&text) {
        Ok(()) => exit,
        Err(_) => Exit::Failure,
    }
}
