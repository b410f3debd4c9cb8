//! Why a source restarts a workload or does not, what it owes, and what happens next: the answers that users read.
//!
//! Input: a reduced workload, and what is known of its sources; each fact may be unknown. Output: [`Explanation`],
//! [`Simulation`], [`Status`], which are JSON of a fixed version. I/O: none; `now` is a parameter.
//!
//! The verdicts are those of the controller: [`judge()`] asks [`crate::decide::decide`], as a worker does. An answer that is made of
//! objects alone, without the controller, has the same verdicts, and says "unknown" where only a replica knows.
//!
//! No answer holds a byte of a Secret. A digest of a Secret is given only where a marker of the workload shows it already;
//! otherwise it is [`Held::Withheld`].

mod answer;
mod deferral;
mod facts;
mod history;
mod judge;
mod marker;
mod names;
mod next;
mod plan;
mod simulation;
mod status;
mod usage;
mod workload;

pub use answer::{
    AskedBy, AskedFor, Explanation, Finding, Held, Marker, Owed, Owes, Rule, SourceAnswer, VERSION, Verdict,
};
pub use deferral::Deferral;
pub use facts::{Flags, Scope, SourceFacts};
pub use history::{History, PastRestart, Revision, history};
pub use judge::{Judgement, judge};
pub use names::{ObjectName, SourceName, source_kind, workload_kind};
pub use plan::{Batch, Plan, Planned, Planner, WaveSize};
pub use simulation::{Left, Restarted, Simulation, Simulator, simulate};
pub use status::{
    Found, OwedPage, OwedRow, Problem, Replica, Restart, RestartsAnswer, SearchAnswer, SourcesAnswer, Status,
    Totals, UsedSource, Watched,
};
pub use usage::{Uses, uses_of, uses_of_pod_spec};
pub use workload::{Asked, candidates, explain, lists};

#[cfg(test)]
mod tests;
