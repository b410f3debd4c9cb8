//! Why there is no answer.
//!
//! Input: failures. Output: [`VerbError`], one line each. I/O: none.

use crate::{api_error::ApiError, cli::exit::Exit};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerbError {
    /// The question cannot be read.
    #[error("{0}")]
    Usage(String),
    /// No client can be made.
    #[error("no cluster to ask: {0}")]
    NoCluster(String),
    /// The API server has refused, or there is no such object.
    #[error("{what}: {error}")]
    Api {
        /// What was asked for.
        what: String,
        /// Its answer.
        error: ApiError,
    },
    /// No replica answers, and nothing else knows.
    #[error("{0}")]
    NoAnswer(String),
    /// A socket or the runtime.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The answer cannot be written in that format.
    #[error("the answer cannot be written: {0}")]
    Format(String),
}

impl VerbError {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            _ => Exit::Failure,
        }
    }
}
