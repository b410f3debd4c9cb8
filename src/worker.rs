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
//! | `gate`, `slots` | asks `admit` whether a restart may happen now; which of these are not seen yet |
//! | `waits` | which restarts are deferred, and when each is looked at again |
//! | `begun` | which changes are being rolled out under a limit |
//! | `outcomes`, `follow` | what becomes of restarts: which rollouts have not ended well yet; tells it |
//! | `write` | the fenced write that both use |
//! | `markers` | keeps the ledger ahead of markers that are overwritten |
//! | `mistakes`, `inspector` | what is wrong with annotations: remembers it, says it once |
//! | `report` | the wording of every outcome |
//! | `context` | what all of them share |
//! | [`announce`] | webhook mode: posts changes instead |

pub mod announce;
mod begun;
mod context;
mod follow;
mod gate;
pub mod intake;
mod markers;
mod mistake_reporter;
mod mistakes;
mod outcomes;
mod reconcile;
mod report;
mod resume;
mod resumes;
mod round;
mod slots;
mod waits;
mod write;

pub(crate) use context::now;
pub use context::{Context, ContextParts};
pub use mistake_reporter::MistakeReporter;
pub use reconcile::Worker;
pub use report::Reporter;
