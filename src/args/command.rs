//! What the program prints instead of running the controller.
//!
//! Input: a word of the command line, through clap. Output: [`Command`]. I/O: none.

use clap::Subcommand;
use clap_complete::Shell;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the version
    Version,
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}
