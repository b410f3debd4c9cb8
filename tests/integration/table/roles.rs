//! Under whose roles the table is run.

use serde_json::{Value, json};

use super::cases::CLONE_SET;
use crate::{harness::World, upstream_rbac};

#[derive(Clone, Copy, Debug)]
pub enum Roles {
    /// What ships, with what ships for Argo Rollouts and for the CSI driver.
    Shipped,
    /// Upstream's, which cannot watch workloads.
    Upstreams,
}

impl Roles {
    /// Those who name a kind of their own add a rule for it.
    pub async fn grant(self, world: &World) {
        let clone_sets = |verbs: &[&str]| rule(CLONE_SET.group, &[CLONE_SET.plural], verbs);
        match self {
            Self::Shipped => {
                world
                    .permit_also(clone_sets(&["get", "list", "watch", "patch"]))
                    .await;
                world.grant_csi().await;
            }
            Self::Upstreams => {
                let mut rules = upstream_rbac::watched();
                let classes = ["secretproviderclasspodstatuses", "secretproviderclasses"];
                let further = [
                    rule("argoproj.io", &["rollouts"], &["list", "get", "update", "patch"]),
                    rule("secrets-store.csi.x-k8s.io", &classes, &["list", "get", "watch"]),
                    clone_sets(&["list", "get", "patch"]),
                ];
                rules.as_array_mut().expect("a list").extend(further);
                world.replace_rules("watched", rules).await;
                world.replace_rules("own", upstream_rbac::own()).await;
            }
        }
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}
