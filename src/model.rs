//! The vocabulary of the whole controller: what flows along its arrows.
//!
//! Input: plain values. Output: plain values. I/O: none; no clock, no client, no environment.

pub mod digest;
pub mod env_name;
pub mod go_duration;
pub mod go_regex;
pub mod go_values;
pub mod key;
pub mod last_reloaded_from;
pub mod limits;
pub mod object_name;
pub mod opt_in;
pub mod pause;
pub mod pod_status;
pub mod policy;
pub mod rollout;
pub mod source;
pub mod uid;
pub mod unix_seconds;
pub mod workload;
pub mod workload_kind;

pub use digest::Digest;
pub use env_name::env_name;
pub use key::{ObjectKey, SourceKey, SourceKind, SourceRef, WorkloadKey};
pub use last_reloaded_from::LastReloadedFrom;
pub use object_name::is_dns_subdomain;
pub use opt_in::{AnnotationKeys, KindKeys, OptIn, Verdict};
pub use pause::Pause;
pub use pod_status::{ClassAnnotations, PodStatus};
pub use policy::Policy;
pub use rollout::{Rollout, RolloutState};
pub use source::{Content, LEDGER_LABEL, Source};
pub use uid::Uid;
pub use unix_seconds::UnixSeconds;
pub use workload::{
    Container, FIELD_MANAGER, Fingerprint, HeldBack, LastWrite, Owed, PodTemplate, Pods, Proof, Replacement,
    Restart, Volume, Workload,
};
pub use workload_kind::{CustomKind, WorkloadKind};
