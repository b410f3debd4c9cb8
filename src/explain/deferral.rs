//! Why a restart waits on purpose, as JSON.
//!
//! Input: a wait. Output: plain values. I/O: none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admit::Wait;

/// Why a restart waits on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deferral {
    /// A fixed word for the reason.
    pub reason: String,
    /// The reason in words.
    pub message: String,
    /// When it ends, if nothing changes until then; absent: that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl From<&Wait> for Deferral {
    fn from(wait: &Wait) -> Self {
        Self {
            reason: wait.reason.as_str().to_owned(),
            message: wait.reason.to_string(),
            until: wait.until,
        }
    }
}
