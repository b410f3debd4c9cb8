//! What passes from the one that reads the ledger to the one that writes it.
//!
//! I/O: none.

use super::{
    Ledger,
    chunks::{Chunks, MOST_CHUNKS},
    cipher::Cipher,
    store::{Header, Store},
    writer::Part,
};
use crate::{
    lease::Leadership,
    model::{UnixSeconds, WorkloadKind},
};

/// Where the ledger is kept, and for whom.
pub(super) struct Place {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) leadership: Leadership,
    /// The kinds of workloads that can owe a restart.
    pub(super) kinds: Vec<WorkloadKind>,
}

impl Place {
    /// An empty ledger with the key and the number of chunks that are stored; `None` where they are of no use.
    pub(super) fn chunks_of(&self, header: &Header) -> Option<Chunks> {
        let is_count = (1..=MOST_CHUNKS).contains(&header.count) && header.count.is_power_of_two();
        let cipher = Cipher::from_stored(&header.key).filter(|_| is_count)?;
        Some(Chunks::new(cipher, header.count, self.kinds.clone()))
    }
}

/// What is stored, as a writer needs to know it.
pub(super) struct OnStore {
    pub(super) chunks: Chunks,
    pub(super) parts: Vec<Part>,
    /// Chunk 0 says that these chunks count.
    pub(super) in_force: bool,
    /// ConfigMaps of the first format, with their versions.
    pub(super) leftovers: Vec<(String, String)>,
    /// Every restart before then is in it, by the API server's clock.
    pub(super) complete: Option<UnixSeconds>,
}

impl OnStore {
    /// Nothing that counts.
    pub(super) fn new(chunks: Chunks, parts: Vec<Part>) -> Self {
        Self {
            chunks,
            parts,
            in_force: false,
            leftovers: Vec::new(),
            complete: None,
        }
    }
}
