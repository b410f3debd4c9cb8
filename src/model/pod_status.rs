//! The objects of the Secrets Store CSI driver, reduced: never what they mount.
//!
//! The driver writes one SecretProviderClassPodStatus for each pod and class: which version of each object the pod's
//! files show at the moment. A rotation updates them one pod after the other.

use std::sync::Arc;

use super::{Digest, SourceKey, SourceKind, UnixSeconds};

/// A SecretProviderClassPodStatus as the watch last showed it, reduced: which content of a class one pod shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStatus {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name` of the status, which is neither the pod's nor the class's.
    pub name: Box<str>,
    /// `metadata.uid`: distinguishes a recreated status, which belongs to a new pod, from an updated one.
    pub uid: Box<str>,
    /// `status.secretProviderClassName`; never empty.
    pub class: Arc<str>,
    /// SHA-1 of the objects' versions in canonical form ([`super::digest`]).
    pub digest: Digest,
    /// `metadata.resourceVersion` as a number; 0 where the text is not one.
    pub resource_version: u64,
    /// When it was last written; `None`: not known.
    pub modified_at: Option<UnixSeconds>,
    /// It was written again after its creation, so that its pod may show another content than it started with. Only a
    /// hint: the driver does not say which fields it wrote.
    pub rewritten: bool,
}

impl PodStatus {
    /// The source that its content belongs to: the class.
    pub fn source(&self) -> SourceKey {
        SourceKey::new(
            SourceKind::SecretProviderClass,
            Arc::clone(&self.namespace),
            Arc::clone(&self.class),
        )
    }
}

/// The annotations of a SecretProviderClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassAnnotations {
    /// The class.
    pub key: SourceKey,
    /// It carries the ignore annotation with exactly `true`: it restarts nothing.
    pub ignored: bool,
    /// It carries the match annotation with exactly `true`: workloads that search find it.
    pub matched: bool,
}
