//! A ConfigMap or Secret, reduced: never its data.

use super::{Digest, Policy, SourceKey, Uid, UnixSeconds};

/// The label of the ConfigMaps that hold Reloader's own ledger; its value is the ledger's name.
pub const LEDGER_LABEL: &str = "reloader.stakater.com/ledger";

/// The content of a source: what it holds, or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It exists, with data of this digest.
    Present(Digest),
    /// It does not exist.
    Absent,
}

impl Content {
    /// The digest that the annotations strategy's marker shows.
    pub const fn shown(self) -> Digest {
        match self {
            Self::Present(digest) => digest,
            Self::Absent => Digest::OF_NOTHING,
        }
    }
}

/// A ConfigMap or Secret as the watch last showed it, reduced to what a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which object this is.
    pub key: SourceKey,
    /// `metadata.uid`: distinguishes a recreated object from an updated one.
    pub uid: Uid,
    /// `metadata.resourceVersion` as a number; 0 where the text is not one.
    pub resource_version: u64,
    /// When its data was last written, by the API server's clock (the newest of `managedFields[].time` among the entries
    /// that own data); `None`: not known.
    /// Pods of a workload created later started with the present content.
    pub modified_at: Option<UnixSeconds>,
    /// That was certainly after its creation: times have whole seconds.
    pub rewritten: bool,
    /// SHA-1 of its data in canonical form ([`super::digest`]).
    pub digest: Digest,
    /// It carries the ignore annotation with exactly `true`: it restarts nothing.
    pub ignored: bool,
    /// It carries the match annotation with exactly `true`: workloads that search find it.
    pub matched: bool,
    /// What its annotations say about when restarts for it may happen; `None` of most sources.
    pub policy: Option<Box<Policy>>,
}
