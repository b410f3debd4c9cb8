//! Reloader restarts Kubernetes workloads when a ConfigMap or Secret they use changes.
//!
//! Data flows one way, as the picture in `docs/architecture.md` shows. Each arrow is a type of [`model`] or of the box it
//! leaves, and each box is one module. Only `worker`, `inspect` and [`run`] see two boxes at once.
//!
//! | module | takes | gives | I/O |
//! |---|---|---|---|
//! | [`args`], [`config`] | command line, environment | validated settings | none |
//! | [`model`] | – | the vocabulary: keys, digests, times, sources, workloads, opt-in rules | none |
//! | `api_error` | failures of requests | classes: what to do next | none |
//! | [`diagnose`] | annotations as text | what is wrong with them | none |
//! | [`watch`] | API watch streams | `watch::Observation` | reads |
//! | [`index`] | observations | which workloads owe a restart for which sources | none |
//! | [`ledger`] | the state of the index | ConfigMaps of what is settled, for the next leader | reads and writes |
//! | [`queue`] | workload keys | one key at a time, fairly, when it is due | none |
//! | [`decide`] | a workload and what it owes | `decide::Decision` | none |
//! | [`admit`] | a workload that a write would restart | now, or why not and until when | none |
//! | [`explain`] | a workload, what is known of its sources | why it restarts or not, and what happens next | none |
//! | `mailbox` | items of namespaces | one at a time, in turns; what exceeds the bounds is dropped | none |
//! | `patch` | a plan | one PATCH, one Event | writes |
//! | `notify` | restarts, or changes | POSTs to a chat system or a webhook | writes |
//! | `meta_info` | settings, build | the ConfigMap `reloader-meta-info` | reads and writes |
//! | `lease` | the Lease object and a clock | which replica may write, until when | reads and writes |
//! | `worker`, [`run`] | all of the above | the running controller | – |
//! | `inspect` | what `worker` knows | the answers of [`explain`] on a loopback address, a page | serves |
//! | [`cli`] | a command | what it prints, an exit status | reads files and, as the user, the cluster; prints |
//! | `admin`, [`metrics`], [`telemetry`] | – | `/live`, `/ready`, `/metrics`, logs, traces | serves |
//!
//! Public is what the binary, the benchmarks and the tests of the package use. There is no API for others.

pub(crate) mod admin;
pub mod admit;
pub(crate) mod api_error;
pub mod args;
pub mod cli;
pub mod config;
pub mod decide;
pub mod diagnose;
pub mod explain;
pub mod index;
pub(crate) mod inspect;
pub(crate) mod lease;
pub mod ledger;
pub(crate) mod mailbox;
pub(crate) mod meta_info;
pub mod metrics;
pub mod model;
pub(crate) mod notify;
pub(crate) mod patch;
pub mod queue;
pub mod run;
pub mod telemetry;
pub mod watch;
pub(crate) mod worker;
