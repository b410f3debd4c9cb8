//! Everything that there is in a cluster. Input: a client; output: names. I/O: lists every kind.

use std::collections::BTreeSet;

use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client, ResourceExt};

use crate::error::{Error, Result};

/// `Kind namespace/name` of every object, but for what comes by itself, sooner or later: Events, what the controller manager puts into
/// every namespace, and the control plane's own namespaces.
///
/// # Errors
/// [`Error::Kubernetes`] if a kind cannot be listed.
pub async fn inventory(client: &Client) -> Result<BTreeSet<String>> {
    let discovery = Discovery::new(client.clone())
        .run()
        .await
        .map_err(Error::kubernetes("discover kinds"))?;
    let mut found = BTreeSet::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let objects = api
                .list_metadata(&ListParams::default())
                .await
                .map_err(Error::kubernetes(format!("list {}", resource.plural)))?;
            for object in objects {
                let namespace = object.namespace().unwrap_or_default();
                found.insert(format!("{} {namespace}/{}", resource.kind, object.name_any()));
            }
        }
    }
    found.retain(|object| !comes_by_itself(object));
    Ok(found)
}

fn comes_by_itself(object: &str) -> bool {
    let namespaced = object.split_once(' ').map_or("", |(_, name)| name);
    object.starts_with("Event ")
        || namespaced.starts_with("kube-")
        || object.starts_with("ServiceAccount ") && object.ends_with("/default")
        || object.ends_with("/kube-root-ca.crt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_user_made_comes_by_itself() {
        for object in [
            "Event shop/web.1",
            "Lease kube-node-lease/kubelet-1",
            "ServiceAccount shop/default",
            "ConfigMap shop/kube-root-ca.crt",
        ] {
            assert!(comes_by_itself(object), "{object}");
        }
        for object in ["ConfigMap shop/web", "ServiceAccount shop/web", "Namespace /shop"] {
            assert!(!comes_by_itself(object), "{object}");
        }
    }
}
