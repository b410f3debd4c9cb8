//! Everything that there is in a cluster. Input: a client; output: names. I/O: lists every kind.

use std::collections::BTreeSet;

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{Discovery, verbs},
};

use super::Cluster;

/// What comes by itself, sooner or later: records of what happened, what the controller manager puts into every namespace, and
/// the control plane's own namespaces.
fn is_unowned(object: &str) -> bool {
    let namespaced = object.split_once(' ').map_or("", |(_, name)| name);
    object.starts_with("Event ")
        || namespaced.starts_with("kube-")
        || object.starts_with("ServiceAccount ") && object.ends_with("/default")
        || object.ends_with("/kube-root-ca.crt")
}

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
        found.retain(|object| !is_unowned(object));
        found
    }
}
