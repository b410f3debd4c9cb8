//! Takes workloads from the queue and brings them up to date; feeds the queue from what the watches show.
//!
//! Input: tickets of the queue, observations of the watches. Output: patches, settled debts. I/O: through
//! [`patch`](crate::patch).
//!
//! | file | what it does |
//! |---|---|
//! | [`intake`] | takes observations into the index and, on the leader, queues what is due |
//! | `reconcile` | a ticket: decides, writes, settles; `round` says how it ended |
//! | `resume`, `resumes` | ends pauses; knows when the next one ends |
//! | `write` | the fenced write that both use |
//! | `markers` | keeps the ledger ahead of markers that are overwritten |
//! | `report` | the wording of every outcome |
//! | `context` | what all of them share |
//! | [`announce`] | webhook mode: posts changes instead |

pub mod announce;
mod context;
pub mod intake;
mod markers;
mod reconcile;
mod report;
mod resume;
mod resumes;
mod round;
mod write;

pub(crate) use context::now;
pub use context::{Context, ContextParts};
pub use reconcile::Worker;
pub use report::Reporter;
