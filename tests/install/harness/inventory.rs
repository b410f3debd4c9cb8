//! Everything that there is in a cluster. Input: a cluster; output: names. I/O: lists every kind.

use std::collections::BTreeSet;

use super::Cluster;

impl Cluster {
    /// `Kind namespace/name` of every object.
    pub async fn inventory(&self) -> BTreeSet<String> {
        testbed::inventory(&self.client).await.unwrap()
    }
}
