//! Looks for Reloader in the cluster, with the user's own permissions.
//!
//! Input: the cluster, where the user says that Reloader is. Output: [`Found`]. I/O: reads pods, the Lease and
//! `reloader-meta-info`; a look-up that is refused is left out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod},
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::{
    cluster::within,
    home::{Home, LEASE, USUAL, home},
    pods::{LABELS, ReplicaPod, replicas},
    settings::{LABEL, NAME, Settings},
};
use crate::api_error::ApiError;

/// What is known of the Lease.
#[derive(Clone, Debug)]
pub(super) struct LeaseFacts {
    /// `NAMESPACE/NAME`.
    pub(super) name: String,
    /// `holderIdentity`; none: it was given back.
    pub(super) holder: Option<String>,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    /// In seconds.
    pub(super) duration: Option<i32>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) pods: Vec<ReplicaPod>,
    pub(super) lease: Option<LeaseFacts>,
    pub(super) settings: Settings,
    /// Further namespaces that it runs in: other installations.
    pub(super) others: BTreeSet<String>,
    /// The namespaces that are equally good, this one among them; empty where it is certain which one is meant.
    pub(super) rivals: BTreeSet<String>,
    /// The look-ups that were refused, in words.
    pub(super) refused: Vec<String>,
}

impl Found {
    fn note(&mut self, what: &str, error: &ApiError) {
        let text = if error.is_forbidden() {
            format!("you may not {what}")
        } else {
            format!("cannot {what}: {error}")
        };
        self.refused.push(text);
    }
}

/// Looks for Reloader: in the namespace that the user names; else in all, else in the usual one and in that of the question,
/// which is `own`.
pub(super) async fn find(client: &Client, named: Option<&str>, own: &str) -> Found {
    let mut found = Found::default();
    let mut search = Search::default();
    let mut namespaces: Vec<String> = Vec::new();
    if let Some(named) = named {
        namespaces.push(named.to_owned());
    } else {
        // Large: it decodes whole pods.
        Box::pin(search.everywhere(client, &mut found)).await;
        namespaces.extend(search.namespaces());
        namespaces.extend([USUAL.to_owned(), own.to_owned()]);
    }
    let mut seen = BTreeSet::new();
    namespaces.retain(|namespace| seen.insert(namespace.clone()));
    for namespace in namespaces {
        // Where every pod is known, traces alone count only if there is none.
        if search.knows_all_pods && !search.replicas().is_empty() && !search.has_pods(&namespace) {
            continue;
        }
        search
            .within(client, &namespace, named.is_some(), &mut found)
            .await;
    }
    let Home {
        namespace: home,
        rivals,
    } = home(&search.replicas(), &search.leases, &search.metas, own);
    found.rivals = rivals;
    let is_home = |object: Option<String>| home.is_some() && object == home;
    search.leases.retain(|lease| is_home(lease.namespace()));
    search.metas.retain(|meta| is_home(meta.namespace()));
    let name = search.lease_name(home.as_deref().unwrap_or_default());
    let by_name = search.leases.iter().find(|lease| lease.name_any() == name);
    let lease = by_name.or_else(|| search.leases.first()).map(facts);
    let holder = lease.as_ref().and_then(|lease| lease.holder.as_deref());
    let (pods, others): (Vec<_>, Vec<_>) = replicas(&search.pods, holder)
        .into_iter()
        .partition(|pod| home.as_ref().is_none_or(|home| *home == pod.namespace));
    found.pods = pods;
    found.others = others.into_iter().map(|pod| pod.namespace).collect();
    found.lease = lease;
    if let Some(data) = search.metas.first().and_then(|meta| meta.data.as_ref()) {
        found.settings = Settings::read(data);
    }
    found
}

/// What look-ups have shown so far.
#[derive(Default)]
struct Search {
    pods: Vec<Pod>,
    leases: Vec<Lease>,
    metas: Vec<ConfigMap>,
    /// The labelled pods of all namespaces are among them.
    knows_all_pods: bool,
}

impl Search {
    async fn everywhere(&mut self, client: &Client, found: &mut Found) {
        let (pods, leases, metas) = (
            Api::<Pod>::all(client.clone()),
            Api::<Lease>::all(client.clone()),
            Api::<ConfigMap>::all(client.clone()),
        );
        let by_name = ListParams::default().fields(&format!("metadata.name={LEASE}"));
        let by_label = ListParams::default().labels(LABEL);
        let of_chart = ListParams::default().labels(LABELS[0]);
        let of_manifests = ListParams::default().labels(LABELS[1]);
        let (leases, metas, chart, manifests) = tokio::join!(
            within(leases.list(&by_name)),
            within(metas.list(&by_label)),
            within(pods.list(&of_chart)),
            within(pods.list(&of_manifests)),
        );
        match leases {
            Ok(list) => self.leases = list.items,
            Err(error) => found.note("list Leases in all namespaces", &error),
        }
        match metas {
            Ok(list) => self.metas = list.items,
            Err(error) => found.note("list ConfigMaps in all namespaces", &error),
        }
        match (chart, manifests) {
            (Ok(chart), Ok(manifests)) => {
                self.pods = [chart.items, manifests.items].concat();
                self.knows_all_pods = true;
            }
            (Err(error), _) | (_, Err(error)) => found.note("list pods in all namespaces", &error),
        }
    }

    /// Looks into one namespace for what is not known yet. `all`: at every pod.
    async fn within(&mut self, client: &Client, namespace: &str, all: bool, found: &mut Found) {
        if !self.has_pods(namespace) {
            let api = Api::<Pod>::namespaced(client.clone(), namespace);
            let selectors: &[&str] = if all { &[""] } else { &LABELS };
            for selector in selectors {
                match within(api.list(&ListParams::default().labels(selector))).await {
                    Ok(list) => self.pods.extend(list.items),
                    Err(error) => {
                        found.note(&format!("list pods in namespace {namespace}"), &error);
                        break;
                    }
                }
            }
        }
        let of_namespace = |object: Option<String>| object.as_deref() == Some(namespace);
        if !self.metas.iter().any(|meta| of_namespace(meta.namespace())) {
            let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
            match within(api.get_opt(NAME)).await {
                Ok(meta) => self.metas.extend(meta),
                Err(error) => found.note(&format!("read ConfigMap {namespace}/{NAME}"), &error),
            }
        }
        let name = self.lease_name(namespace);
        let is_it = |lease: &Lease| of_namespace(lease.namespace()) && lease.name_any() == name;
        if !self.leases.iter().any(is_it) {
            let api = Api::<Lease>::namespaced(client.clone(), namespace);
            match within(api.get_opt(&name)).await {
                Ok(lease) => self.leases.extend(lease),
                Err(error) => found.note(&format!("read Lease {namespace}/{name}"), &error),
            }
        }
    }

    fn namespaces(&self) -> Vec<String> {
        let pods = self.pods.iter().filter_map(kube::ResourceExt::namespace);
        let leases = self.leases.iter().filter_map(kube::ResourceExt::namespace);
        let metas = self.metas.iter().filter_map(kube::ResourceExt::namespace);
        pods.chain(leases).chain(metas).collect()
    }

    fn replicas(&self) -> Vec<ReplicaPod> {
        replicas(&self.pods, None)
    }

    fn has_pods(&self, namespace: &str) -> bool {
        self.replicas().iter().any(|pod| pod.namespace == namespace)
    }

    /// The Lease of that namespace's pods.
    fn lease_name(&self, namespace: &str) -> String {
        let mut pods = self
            .replicas()
            .into_iter()
            .filter(|pod| pod.namespace == namespace);
        pods.find_map(|pod| pod.lease).unwrap_or_else(|| LEASE.to_owned())
    }
}

fn facts(lease: &Lease) -> LeaseFacts {
    let spec = lease.spec.as_ref();
    LeaseFacts {
        name: format!("{}/{}", lease.namespace().unwrap_or_default(), lease.name_any()),
        holder: spec
            .and_then(|spec| spec.holder_identity.clone())
            .filter(|holder| !holder.is_empty()),
        acquired: spec
            .and_then(|spec| spec.acquire_time.as_ref())
            .map(|time| time.0),
        renewed: spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0),
        duration: spec.and_then(|spec| spec.lease_duration_seconds),
    }
}
