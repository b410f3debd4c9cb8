//! Reloader restarts Kubernetes workloads when a ConfigMap or Secret they use changes.
//!
//! ```text
//!            every replica (warm standby)                          leader only
//! ┌────────────────────────────────────────┐  ┌─────────────────────────────────────────────┐
//! API ─► watch ─► index ─────────────────────► queue ─────────► decide ────────► patch ─► API
//!        digests  source ⇄ workloads           per namespace    pure: state →    one write
//!        only     what each workload owes      fair, coalescing Patch | Skip     per rollout
//!
//!        lease: who may write, until when (checked before every write)
//! ```
//!
//! Data goes one way. Each arrow is a type of [`model`] or of the box it leaves; each box is one module. Only
//! [`worker`] and [`run`] see two boxes at once.
//!
//! | module | takes | gives | I/O |
//! |---|---|---|---|
//! | [`args`], [`config`] | command line, environment | validated settings | none |
//! | [`model`] | – | the vocabulary: keys, digests, sources, workloads, opt-in rules | none |
//! | [`watch`] | API watch streams | `watch::Observation` | reads |
//! | [`index`] | observations | which workloads owe a reload for which sources | none |
//! | [`queue`] | workload keys | one key at a time, fairly, when it is due | none |
//! | [`decide`] | a workload and what it owes | `decide::Decision` | none |
//! | [`patch`] | a plan | one PATCH, one Event | writes |
//! | [`notify`] | what was restarted, or what changed | POSTs to a chat system or a webhook | writes |
//! | [`meta_info`] | settings, build | the ConfigMap `reloader-meta-info` | reads and writes |
//! | [`lease`] | the Lease object and a clock | who may write, until when | reads and writes |
//! | [`worker`], [`run`] | all of the above | the running controller | – |
//! | [`admin`], [`metrics`], [`telemetry`] | – | `/live`, `/ready`, `/metrics`, logs, traces | serves |

pub mod admin;
pub mod api_error;
pub mod args;
pub mod config;
pub mod decide;
pub mod index;
pub mod lease;
pub mod ledger;
pub mod meta_info;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod patch;
pub mod queue;
pub mod run;
pub mod telemetry;
pub mod watch;
pub mod worker;
