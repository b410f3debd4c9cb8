//! What is kept of a ConfigMap or Secret: never its data.

use super::{Digest, SourceKey};

/// A ConfigMap or Secret as the watch last showed it, reduced to what a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which object this is.
    pub key: SourceKey,
    /// `metadata.uid`: tells a recreated object from an updated one.
    pub uid: Box<str>,
    /// `metadata.resourceVersion` as a number; 0 where the text is not one.
    pub resource_version: u64,
    /// When it was last written, in Unix seconds by the API server's clock (the newest of `managedFields[].time`);
    /// `i64::MAX` where that is not known. Pods of a workload created later started with the present content.
    pub modified_at: i64,
    /// SHA-1 of its data in canonical form ([`super::digest`]).
    pub digest: Digest,
    /// It carries the ignore annotation with exactly `true`: it restarts nothing.
    pub ignored: bool,
    /// It carries the match annotation with exactly `true`: workloads that search find it.
    pub matched: bool,
}
