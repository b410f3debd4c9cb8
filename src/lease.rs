//! Which replica may write, until when: leader election over one `coordination.k8s.io/v1` Lease.
//!
//! Input: the Lease object (through [`store::LeaseStore`]) and a [`clock::Clock`]. Output: [`Leadership`], asked before every
//! write. I/O: reads and writes one object; everything that decides is in [`election`], which does none.
//!
//! ```text
//!            LeaseStore (get, create, replace, watch)
//!                 ▲ request              │ answer, event
//!                 │                      ▼
//!   Clock ─► driver: sleeps, cuts calls off, ─► Leadership: may_write() before every write
//!                 ▲ Step                 │
//!                 └────── election ◄─────┘   pure state machine
//! ```
//!
//! The rules are those of client-go's `leaderelection`, so that a fleet which runs this controller and one built
//! on client-go side by side elects one leader:
//!
//! - A write is a compare-and-swap on `metadata.resourceVersion`; the loser of a race gets a 409 and reads again.
//! - No timestamp in the record is trusted. Another process's lease has expired when its record did not change for
//!   `leaseDurationSeconds` of *local* time since this process first saw it.
//! - A holder's own lease is valid until `renew deadline` after the moment it *sent* the last renewal that succeeded.
//!   Others start counting `lease duration` (longer) when that renewal reaches them, which is later. The difference is
//!   the safety margin; with 15 s and 10 s it survives a clock that runs 1.5 times too slowly.
//! - A lost lease is final: the process must end. It is never acquired again.
//!
//! What it cannot do: a request that left before the deadline can arrive after it. Kubernetes has no fencing tokens,
//! so writes carry what makes a late repeat harmless (the resourceVersion of what they change, or a content hash).
//!
//! Two deliberate differences to client-go: a candidate that finds no Lease waits before creating one (a living
//! leader whose Lease was deleted puts it back first, see [`election`]), and candidates watch the Lease when they
//! are allowed to, so that a release is noticed at once.

pub mod clock;
mod driver;
pub mod election;
mod jitter;
pub mod leadership;
pub mod record;
mod role;
pub mod settings;
pub mod store;
#[cfg(test)]
mod testing;

pub use clock::BootClock;
pub use driver::{Ended, Error, elect};
pub use leadership::Leadership;
pub use role::Role;
pub use settings::{Settings, SettingsError, Timings, unique_identity};
pub use store::KubeLeaseStore;
