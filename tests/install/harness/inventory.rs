//! Everything that there is in a cluster. Input: a client; output: names. I/O: lists every kind.

use std::collections::BTreeSet;

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{Discovery, verbs},
};

use super::Cluster;

/// What comes and goes by itself: records of what happened, and the heartbeats of the node.
const PASSING: [&str; 2] = ["Event", "Lease kube-node-lease/"];

impl Cluster {
    /// `Kind namespace/name` of every object.
    pub async fn inventory(&self) -> BTreeSet<String> {
        let discovery = Discovery::new(self.client.clone()).run().await.unwrap();
        let mut found = BTreeSet::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                if !capabilities.supports_operation(verbs::LIST) {
                    continue;
                }
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                for object in api.list_metadata(&ListParams::default()).await.unwrap() {
                    let namespace = object.namespace().unwrap_or_default();
                    found.insert(format!("{} {namespace}/{}", resource.kind, object.name_any()));
                }
            }
        }
        found.retain(|object| !PASSING.iter().any(|passing| object.starts_with(passing)));
        found
    }
}
