//! Which namespace's Reloader is asked.
//!
//! Input: what was found of Reloader in namespaces. Output: [`Home`]. I/O: none.
//!
//! A user who may create a pod may label it as one of Reloader's. So what runs in the namespace of the question is no better than
//! what runs elsewhere; a Lease that one of the pods holds, or settings published there, are.

use std::collections::BTreeSet;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::ResourceExt as _;
use serde::Deserialize;

use super::pods::{ReplicaPod, pod_of};

/// The Lease's name unless the pods say otherwise; upstream's.
pub(super) const LEASE: &str = "stakater-reloader-lock";
/// The namespace that Reloader usually runs in.
pub(super) const USUAL: &str = "reloader";

/// The namespace of the installation to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// `None`: there is no installation, or only traces of several.
    pub(super) namespace: Option<String>,
    /// That one and those that it may as well be; empty where it is certain.
    pub(super) rivals: BTreeSet<String>,
}

/// The namespace with the best reasons. `own` is that of the question: the last of several that are equally good.
pub(super) fn home(pods: &[ReplicaPod], leases: &[Lease], metas: &[ConfigMap], own: &str) -> Home {
    let with_pods: BTreeSet<&str> = pods.iter().map(|pod| &*pod.namespace).collect();
    if with_pods.is_empty() {
        return Home {
            namespace: of_traces(leases, metas),
            rivals: BTreeSet::new(),
        };
    }
    let standing = |namespace: &str| {
        let is_attested = attests(leases, pods, namespace) || publishes(metas, namespace);
        let has_lease = leases.iter().any(|lease| is_in(lease, namespace));
        // Of two that are attested, one kind of proof is as good as the other.
        (is_attested, namespace == USUAL, has_lease && !is_attested)
    };
    let best = with_pods.iter().map(|namespace| standing(namespace)).max();
    let mut equal: Vec<&str> = with_pods
        .into_iter()
        .filter(|namespace| Some(standing(namespace)) == best)
        .collect();
    equal.sort_by_key(|namespace| *namespace == own);
    Home {
        namespace: equal.first().map(|namespace| (*namespace).to_owned()),
        rivals: if equal.len() > 1 {
            equal.into_iter().map(str::to_owned).collect()
        } else {
            BTreeSet::new()
        },
    }
}

/// Where nothing runs: the one namespace that something was left in, or the usual one.
fn of_traces(leases: &[Lease], metas: &[ConfigMap]) -> Option<String> {
    let of_leases = leases.iter().filter_map(kube::ResourceExt::namespace);
    let of_metas = metas.iter().filter_map(kube::ResourceExt::namespace);
    let mut left: BTreeSet<String> = of_leases.chain(of_metas).collect();
    if left.len() > 1 {
        return left.take(USUAL);
    }
    left.pop_first()
}

/// Whether a pod of the namespace holds its Lease.
fn attests(leases: &[Lease], pods: &[ReplicaPod], namespace: &str) -> bool {
    let holder = |lease: &Lease| lease.spec.as_ref()?.holder_identity.clone();
    let holds = |pod: &ReplicaPod, lease: &Lease| {
        let is_its = pod.lease.as_deref().unwrap_or(LEASE) == lease.name_any();
        is_its && holder(lease).is_some_and(|holder| pod_of(&holder) == pod.name)
    };
    let leases = leases.iter().filter(|lease| is_in(*lease, namespace));
    let mut pods_of_leases = leases.flat_map(|lease| pods.iter().map(move |pod| (pod, lease)));
    pods_of_leases.any(|(pod, lease)| pod.namespace == namespace && holds(pod, lease))
}

#[derive(Deserialize)]
struct Deployment {
    namespace: String,
}

/// Whether the settings that are published there are said to be of that namespace.
fn publishes(metas: &[ConfigMap], namespace: &str) -> bool {
    let names_it = |meta: &ConfigMap| {
        let text = meta.data.as_ref()?.get("deploymentInfo")?;
        let named: Deployment = serde_json::from_str(text).ok()?;
        Some(named.namespace == namespace)
    };
    metas
        .iter()
        .any(|meta| is_in(meta, namespace) && names_it(meta) == Some(true))
}

fn is_in(object: &impl kube::ResourceExt, namespace: &str) -> bool {
    object.meta().namespace.as_deref() == Some(namespace)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::cli::verbs::pods::replicas;

    fn pods(namespaces: &[&str]) -> Vec<ReplicaPod> {
        let pods: Vec<_> = namespaces
            .iter()
            .map(|namespace| {
                serde_json::from_value(json!({
                    "metadata": {
                        "name": format!("reloader-{namespace}"), "namespace": namespace,
                        "labels": { "app.kubernetes.io/name": "reloader" },
                    },
                    "spec": { "containers": [{ "name": "main", "image": "any" }] },
                    "status": { "phase": "Running" },
                }))
                .unwrap()
            })
            .collect();
        replicas(&pods, None)
    }

    fn meta(namespace: &str, named: &str) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": { "name": "reloader-meta-info", "namespace": namespace },
            "data": { "deploymentInfo": json!({ "namespace": named }).to_string() },
        }))
        .unwrap()
    }

    fn lease(namespace: &str, holder: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": { "name": LEASE, "namespace": namespace },
            "spec": { "holderIdentity": holder },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::alone(&["shop"], Some("shop"), &[])]
    #[case::usual_first(&["shop", "reloader"], Some("reloader"), &[])]
    #[case::own_is_last_of_equals(&["shop", "zoo"], Some("zoo"), &["shop", "zoo"])]
    #[case::several(&["b", "a"], Some("a"), &["a", "b"])]
    #[case::nothing(&[], None, &[])]
    fn pods_of_the_namespace_that_is_asked_about_prove_nothing(
        #[case] namespaces: &[&str],
        #[case] namespace: Option<&str>,
        #[case] rivals: &[&str],
    ) {
        let found = home(&pods(namespaces), &[], &[], "shop");
        assert_eq!(found.namespace.as_deref(), namespace);
        assert!(found.rivals.iter().eq(rivals), "{found:?}");
    }

    #[rstest]
    #[case::held(&[("ops", "reloader-ops_5f")], &[], Some("ops"), true)]
    #[case::held_by_another_pod(&[("shop", "reloader-ops_5f")], &[("ops", "ops")], Some("ops"), true)]
    #[case::published(&[], &[("ops", "ops")], Some("ops"), true)]
    #[case::published_for_elsewhere(&[], &[("shop", "ops"), ("ops", "ops")], Some("ops"), true)]
    #[case::has_a_lease(&[("ops", "")], &[], Some("ops"), true)]
    #[case::attested_own(&[], &[("shop", "shop")], Some("shop"), true)]
    #[case::both_attested(&[("shop", "reloader-shop_1")], &[("ops", "ops")], Some("ops"), false)]
    fn what_attests_an_installation_wins(
        #[case] leases: &[(&str, &str)],
        #[case] metas: &[(&str, &str)],
        #[case] namespace: Option<&str>,
        #[case] is_certain: bool,
    ) {
        let leases: Vec<Lease> = leases
            .iter()
            .map(|(namespace, holder)| lease(namespace, holder))
            .collect();
        let metas: Vec<ConfigMap> = metas
            .iter()
            .map(|(namespace, named)| meta(namespace, named))
            .collect();
        let found = home(&pods(&["shop", "ops"]), &leases, &metas, "shop");
        assert_eq!(found.namespace.as_deref(), namespace);
        assert_eq!(found.rivals.is_empty(), is_certain, "{found:?}");
    }

    #[rstest]
    #[case::only_one(&["ops"], Some("ops"))]
    #[case::usual(&["ops", "reloader"], Some("reloader"))]
    #[case::not_certain(&["ops", "shop"], None)]
    fn traces_count_where_nothing_runs(#[case] metas: &[&str], #[case] namespace: Option<&str>) {
        let metas: Vec<ConfigMap> = metas.iter().map(|namespace| meta(namespace, namespace)).collect();
        assert_eq!(home(&[], &[], &metas, "shop").namespace.as_deref(), namespace);
    }
}
