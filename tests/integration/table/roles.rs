//! Under whose roles the table is run.

use super::cases::CLONE_SET;
use crate::{
    harness::{
        World,
        kinds::{Custom, DEPLOYMENT_CONFIG, ROLLOUT, rule},
    },
    upstream_rbac,
};

/// Of the CSI driver.
const CLASSES: Custom = Custom {
    group: "secrets-store.csi.x-k8s.io",
    version: "v1",
    kind: "SecretProviderClass",
    plural: "secretproviderclasses",
};
const STATUSES: Custom = Custom {
    kind: "SecretProviderClassPodStatus",
    plural: "secretproviderclasspodstatuses",
    ..CLASSES
};

#[derive(Clone, Copy, Debug)]
pub enum Roles {
    /// What ships, with what ships for Argo Rollouts and for the CSI driver.
    Shipped,
    /// Upstream's, which cannot watch workloads.
    Upstreams,
}

impl Roles {
    /// Those who name a kind of their own add a rule for it, and upstream's chart has one for OpenShift.
    pub async fn grant(self, world: &World) {
        match self {
            Self::Shipped => {
                let rules =
                    [CLONE_SET, DEPLOYMENT_CONFIG].map(|kind| rule(kind, &["get", "list", "watch", "patch"]));
                world.permit_also(&rules).await;
                world.grant_csi().await;
            }
            Self::Upstreams => {
                let mut rules = upstream_rbac::watched();
                let further = [
                    rule(ROLLOUT, &["list", "get", "update", "patch"]),
                    rule(DEPLOYMENT_CONFIG, &["list", "get", "update", "patch"]),
                    rule(STATUSES, &["list", "get", "watch"]),
                    rule(CLASSES, &["list", "get", "watch"]),
                    rule(CLONE_SET, &["list", "get", "patch"]),
                ];
                rules.as_array_mut().expect("a list").extend(further);
                world.replace_rules("watched", rules).await;
                world.replace_rules("own", upstream_rbac::own()).await;
            }
        }
    }
}
