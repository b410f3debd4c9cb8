//! Which pods are replicas of Reloader, and how each is asked.
//!
//! Input: pods, the Lease's holder. Output: [`ReplicaPod`]s, the one to ask first at the front. I/O: none.

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;

/// The labels that the pods of a chart's release carry, and those of upstream's plain manifests.
pub(super) const LABELS: [&str; 2] = ["app.kubernetes.io/name=reloader", "app=reloader-reloader"];
/// The port of the inspection endpoint unless the pod says otherwise.
const PORT: u16 = 9092;

/// A pod of Reloader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicaPod {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Its user for the API server.
    pub(super) service_account: String,
    /// The tag of its image.
    pub(super) tag: Option<String>,
    /// The port of its inspection endpoint; none: it is turned off.
    pub(super) port: Option<u16>,
    /// The Lease's name.
    pub(super) lease: Option<String>,
    pub(super) is_ready: bool,
    pub(super) leads: bool,
}

/// The running ones among these, the holder of the Lease first, then those that are ready, by name. `holder`: the identity in
/// the Lease.
pub(super) fn replicas(pods: &[Pod], holder: Option<&str>) -> Vec<ReplicaPod> {
    let mut replicas: Vec<ReplicaPod> = pods.iter().filter_map(|pod| replica(pod, holder)).collect();
    replicas.sort_by(|one, other| {
        let rank = |replica: &ReplicaPod| (!replica.leads, !replica.is_ready);
        let place = |replica: &ReplicaPod| (replica.namespace.clone(), replica.name.clone());
        rank(one)
            .cmp(&rank(other))
            .then_with(|| place(one).cmp(&place(other)))
    });
    replicas.dedup();
    replicas
}

fn replica(pod: &Pod, holder: Option<&str>) -> Option<ReplicaPod> {
    let spec = pod.spec.as_ref()?;
    let container = spec.containers.iter().find(|container| is_reloaders(container));
    let is_labelled = LABELS.iter().any(|label| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        pod.labels().get(key).is_some_and(|own| own == value)
    });
    let container = match container {
        Some(container) => container,
        None if is_labelled => spec.containers.first()?,
        None => return None,
    };
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if phase != Some("Running") || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = pod.name_any();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let is_ready = conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let pod_of_holder = holder.map(pod_of);
    Some(ReplicaPod {
        leads: pod_of_holder == Some(&name),
        namespace: pod.namespace().unwrap_or_default(),
        name,
        service_account: spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        tag: container.image.as_deref().and_then(tag).map(str::to_owned),
        port: port(container),
        lease: setting(container, "--lease-name", "RELOADER_LEASE_NAME").map(str::to_owned),
        is_ready,
    })
}

/// The pod of an identity in the Lease: the rest makes it unique.
pub(super) fn pod_of(identity: &str) -> &str {
    identity.split_once('_').map_or(identity, |(pod, _)| pod)
}

/// By the last part of its image's name.
fn is_reloaders(container: &Container) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    let repository = image.split('@').next().unwrap_or_default();
    let last = repository.rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    matches!(name, "reloader" | "reloader-rs" | "reloader-enterprise")
}

fn tag(image: &str) -> Option<&str> {
    let last = image.split('@').next()?.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

/// The port of `--inspect-address`; none where that is empty.
fn port(container: &Container) -> Option<u16> {
    match setting(container, "--inspect-address", "RELOADER_INSPECT_ADDRESS") {
        None => Some(PORT),
        Some(address) => address.rsplit_once(':')?.1.parse().ok(),
    }
}

/// The last value of a flag on the container's command line; else that of its variable.
fn setting<'a>(container: &'a Container, flag: &str, variable: &str) -> Option<&'a str> {
    let words = || {
        let command = container.command.iter().flatten();
        command.chain(container.args.iter().flatten()).map(String::as_str)
    };
    let joined = words().filter_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
    let apart = words()
        .zip(words().skip(1))
        .filter(|(word, _)| *word == flag)
        .map(|(_, value)| value);
    let by_variable = || {
        let mut variables = container.env.iter().flatten();
        variables
            .find(|other| other.name == variable)
            .and_then(|found| found.value.as_deref())
    };
    joined.chain(apart).last().or_else(by_variable)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, image: &str, extra: &Value) -> Pod {
        let mut container = json!({ "name": "main", "image": image });
        for (key, value) in extra.as_object().into_iter().flatten() {
            container[key] = value.clone();
        }
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "ops", "labels": { "app": "any" } },
            "spec": { "containers": [container], "serviceAccountName": "reloader" },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        }))
        .unwrap()
    }

    fn names(pods: &[Pod], holder: Option<&str>) -> Vec<String> {
        let replicas = replicas(pods, holder);
        replicas.into_iter().map(|replica| replica.name).collect()
    }

    #[test]
    fn the_holder_of_the_lease_is_asked_first_then_who_is_ready() {
        let mut starting = pod("a", "example.com/reloader:1", &json!({}));
        starting.status.as_mut().unwrap().conditions = None;
        let pods = [
            starting,
            pod("b", "reloader", &json!({})),
            pod("c", "x/reloader@sha256:0", &json!({})),
        ];
        assert_eq!(names(&pods, Some("c_5f")), ["c", "b", "a"]);
        assert_eq!(names(&pods, None), ["b", "c", "a"]);
    }

    #[test]
    fn what_does_not_run_or_is_another_program_is_left_out() {
        let mut ending = pod("a", "reloader", &json!({}));
        ending.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let mut pending = pod("b", "reloader", &json!({}));
        pending.status.as_mut().unwrap().phase = Some("Pending".to_owned());
        let other = pod("c", "example.com/reloader/sidecar:1", &json!({}));
        let mut labelled = pod("d", "mirror/any:2.0", &json!({}));
        let label = ("app.kubernetes.io/name".to_owned(), "reloader".to_owned());
        labelled.metadata.labels = Some([label].into());
        let found = replicas(&[ending, pending, other, labelled], None);
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].name, found[0].tag.as_deref()), ("d", Some("2.0")));
    }

    #[rstest]
    #[case::default(&json!({}), Some(9092))]
    #[case::joined(&json!({ "args": ["--inspect-address=127.0.0.1:7000"] }), Some(7000))]
    #[case::apart(&json!({ "args": ["--inspect-address", "[::1]:7001"] }), Some(7001))]
    #[case::off(&json!({ "args": ["--inspect-address="] }), None)]
    #[case::variable(&json!({ "env": [{ "name": "RELOADER_INSPECT_ADDRESS", "value": "localhost:7002" }] }), Some(7002))]
    #[case::last(&json!({ "args": ["--inspect-address=:1", "--inspect-address=:2"] }), Some(2))]
    fn the_port_is_the_pods(#[case] extra: &Value, #[case] port: Option<u16>) {
        assert_eq!(replicas(&[pod("a", "reloader:1", extra)], None)[0].port, port);
    }
}
