//! Answers questions about a cluster, with the user's kubeconfig and permissions.
//!
//! Input: a question. Output: an answer as text, JSON or YAML, and an exit status. I/O: asks replicas of Reloader through
//! port-forwards, and the API server; prints what concerns the run itself on standard error.
//!
//! | File | What it does |
//! |---|---|
//! | `explain`, `status`, `check`, `history`, `simulate`, `dashboard` | one question each |
//! | `question` | which object it is about |
//! | `cluster` | the client of the user's kubeconfig |
//! | `find`, `home`, `pods` | where Reloader runs, and who leads; every look-up may be refused |
//! | `controller`, `http` | asks replicas |
//! | `objects`, `settings` | what the objects show without a replica |
//! | `table`, `explain_text` | text for people |
//!
//! A replica knows most. Without one, or without the permission to reach it, the answer is made by the same functions of
//! [`crate::explain`] from the objects, and "unknown" stands where only a replica knows.

mod check;
mod cluster;
mod controller;
mod dashboard;
mod error;
mod explain;
mod explain_text;
mod find;
mod history;
mod home;
mod http;
mod objects;
mod permissions;
mod pods;
mod question;
mod settings;
mod simulate;
mod simulate_text;
mod status;
mod table;

use tokio::runtime::Builder;

use super::exit::Exit;
use crate::args::Command;
use error::VerbError;

/// Answers, or prints why there is no answer.
pub(super) fn run(command: &Command) -> (Vec<u8>, Exit) {
    let answered = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VerbError::from)
        .and_then(|runtime| runtime.block_on(answer(command)));
    match answered {
        Ok((text, exit)) => (table::printable(&text).into_bytes(), exit),
        Err(error) => {
            eprintln!("Error: {}", table::printable(&error.to_string()));
            (Vec::new(), error.exit())
        }
    }
}

async fn answer(command: &Command) -> Result<(String, Exit), VerbError> {
    match command {
        Command::Explain(args) => explain::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Dashboard(args) => dashboard::run(args).await,
        // These ask no cluster.
        Command::Lint(_) | Command::Version | Command::Completion { .. } => {
            Ok((String::new(), Exit::Success))
        }
    }
}
