//! Every kind of workload, every kind of source, every way to use it, both strategies: one change is one patch, with
//! upstream's bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
};
use rstest::rstest;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use testbed::{Entry, Stage};

use crate::harness::{
    World,
    controller::Controller,
    ledger::is_ledger,
    objects::{daemon_set, deployment, from, stateful_set},
    run,
    sentinel::Sentinel,
    sources::SourceType,
    usage::Usage,
};

/// SHA-1 of `bintest=dGVzdA==;test=test`: the ConfigMaps' content after the change.
const CONFIG_MAP_DIGEST: &str = "0d58150de76a895b24f4ca213f590766160c4349";
/// SHA-1 of `password=s3cr3t;token=` and the bytes 00 FF 10 80: the Secrets' content after the change.
const SECRET_DIGEST: &str = "a7af69c8e47e67ff2c3e99c1e39c4d4ff67311c4";
const LAST_RELOADED_FROM: &str = "reloader.stakater.com/last-reloaded-from";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    EnvVars,
    Annotations,
}

#[derive(Clone, Copy, Debug)]
enum Workload {
    Deployment,
    StatefulSet,
    DaemonSet,
}

/// One workload with a source of its own; both have the same name.
#[derive(Clone, Copy, Debug)]
struct Case {
    workload: Workload,
    source: SourceType,
    usage: Usage,
}

#[rstest]
#[case::env_vars(Strategy::EnvVars)]
#[case::annotations(Strategy::Annotations)]
fn one_change_is_one_patch_with_upstreams_bytes(#[case] strategy: Strategy) {
    run(async move {
        let world = World::new("matrix").await;
        let cases = Case::all();
        for case in &cases {
            case.create(&world).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(strategy.flag()).start().await;

        let before = unix_seconds();
        for case in &cases {
            case.change(&world).await;
        }
        for case in &cases {
            world
                .wait_for_rollouts(case.workload.resource(), &case.name(), 1)
                .await;
        }
        let after = unix_seconds();
        sentinel.pass().await;

        for case in &cases {
            let patch = case.the_only_write(&world);
            let sent = &patch.request_object.as_ref().expect("a body")["spec"]["template"];
            let (body, observed_at) = match strategy {
                Strategy::EnvVars => (case.env_vars_body(), before),
                Strategy::Annotations => {
                    let marker = sent["metadata"]["annotations"][LAST_RELOADED_FROM].as_str();
                    let marker: Value = serde_json::from_str(marker.expect("a marker")).expect("JSON");
                    let observed_at = marker["observedAt"].as_u64().expect("a number");
                    (case.annotations_body(&world, observed_at), observed_at)
                }
            };
            assert_eq!(
                after_precondition(&body_as_sent(&world, &patch)),
                body,
                "{case:?}"
            );
            assert!((before..=after).contains(&observed_at), "{case:?}: {observed_at}");
            case.check_object(&world, strategy).await;
            case.check_log(&world, &controller).await;
        }
        assert_nothing_else_was_written(&world, &cases);
    });
}

/// The body without the resourceVersion in front of it, which must be there (ADR 9).
fn after_precondition(body: &str) -> String {
    let rest = body
        .strip_prefix(r#"{"metadata":{"resourceVersion":""#)
        .unwrap_or_else(|| panic!("no resourceVersion: {body}"));
    let (version, rest) = rest.split_once(r#""},"#).expect("its end");
    assert!(version.parse::<u64>().is_ok_and(|version| version > 0), "{body}");
    format!("{{{rest}")
}

impl Strategy {
    fn flag(self) -> &'static str {
        match self {
            Self::EnvVars => "--reload-strategy=env-vars",
            Self::Annotations => "--reload-strategy=annotations",
        }
    }
}

impl Workload {
    const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    fn api(self, world: &World) -> Api<DynamicObject> {
        let resource = match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
        };
        Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for workload in Workload::ALL {
            for source in SourceType::ALL {
                cases.extend(Usage::ALL.map(|usage| Self {
                    workload,
                    source,
                    usage,
                }));
            }
        }
        assert_eq!(cases.len(), 30);
        cases
    }

    fn name(self) -> String {
        format!("{:?}-{}-{:?}", self.workload, self.source.word(), self.usage).to_lowercase()
    }

    async fn create(self, world: &World) {
        let name = self.name();
        let annotations = [("reloader.stakater.com/auto", "true")];
        let pod = self.usage.pod(self.source, &name);
        world.create_source(self.source, &name, &[], "before").await;
        match self.workload {
            Workload::Deployment => drop(world.create(&deployment(&name, &annotations, &pod)).await),
            Workload::StatefulSet => drop(world.create(&stateful_set(&name, &annotations, &pod)).await),
            Workload::DaemonSet => drop(world.create(&daemon_set(&name, &annotations, &pod)).await),
        }
    }

    /// Replaces the source's content by one of several keys, text and bytes.
    async fn change(self, world: &World) {
        let (name, params) = (self.name(), PostParams::default());
        let metadata = json!({ "name": name });
        match self.source {
            SourceType::ConfigMap => {
                let object: ConfigMap = from(json!({
                    "metadata": metadata, "data": { "test": "test" }, "binaryData": { "bintest": "dGVzdA==" },
                }));
                world.api().replace(&name, &params, &object).await.map(drop)
            }
            SourceType::Secret => {
                let object: Secret = from(json!({
                    "metadata": metadata, "data": { "token": "AP8QgA==", "password": "czNjcjN0" },
                }));
                world.api().replace(&name, &params, &object).await.map(drop)
            }
        }
        .expect("the source is replaced");
    }

    fn digest(self) -> &'static str {
        match self.source {
            SourceType::ConfigMap => CONFIG_MAP_DIGEST,
            SourceType::Secret => SECRET_DIGEST,
        }
    }

    fn env_vars_body(self) -> String {
        let (container, variable) = (self.usage.marked(), self.source.marker(&self.name()));
        let digest = self.digest();
        format!(
            r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"{container}","env":[{{"name":"{variable}","value":"{digest}"}}]}}]}}}}}}}}"#
        )
    }

    fn annotation(self, world: &World, observed_at: &str) -> String {
        let (kind, name, namespace) = (self.source.word().to_uppercase(), self.name(), &world.namespace);
        let (digest, container) = (self.digest(), self.usage.marked());
        format!(
            r#"{{"type":"{kind}","name":"{name}","namespace":"{namespace}","hash":"{digest}","containerRefs":["{container}"],"observedAt":{observed_at}}}"#
        )
    }

    fn annotations_body(self, world: &World, observed_at: u64) -> String {
        let value = self
            .annotation(world, &observed_at.to_string())
            .replace('"', r#"\""#);
        format!(
            r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"{LAST_RELOADED_FROM}":"{value}"}}}}}}}}}}"#
        )
    }

    /// The controller's write to the workload: one PATCH, which rolled it, and nothing before or after.
    fn the_only_write(self, world: &World) -> Entry {
        let (resource, name) = (self.workload.resource(), self.name());
        let requests = world
            .plane
            .audit()
            .matching(|entry| entry.user == world.user() && entry.is_about(resource, &world.namespace, &name))
            .expect("the audit log");
        let [patch] = requests.as_slice() else {
            panic!("{self:?}: {} requests", requests.len());
        };
        assert_eq!(world.rollouts(resource, &name), 1, "{self:?}");
        assert_eq!(
            (patch.verb.as_str(), patch.subresource.as_str(), patch.code),
            ("patch", "", 200),
            "{self:?}"
        );
        Entry::clone(patch)
    }

    /// The stored workload: the marker where it belongs, nowhere else, and whose it is.
    async fn check_object(self, world: &World, strategy: Strategy) {
        let object = self
            .workload
            .api(world)
            .get(&self.name())
            .await
            .expect("the workload");
        let manager = object
            .metadata
            .managed_fields
            .iter()
            .flatten()
            .find(|entry| entry.manager.as_deref() == Some("Reloader"));
        assert_eq!(
            manager.and_then(|entry| entry.operation.as_deref()),
            Some("Update"),
            "{self:?}"
        );

        let template = &object.data["spec"]["template"];
        let containers = template["spec"]["containers"].as_array().expect("containers");
        let names: Vec<_> = containers.iter().map(|container| &container["name"]).collect();
        assert_eq!(names, ["first", "user"], "{self:?}");
        let variable = self.source.marker(&self.name());
        let marked = containers.iter().chain(
            template["spec"]["initContainers"]
                .as_array()
                .into_iter()
                .flatten(),
        );
        let marked: Vec<_> = marked
            .flat_map(|container| {
                let env = container["env"].as_array().into_iter().flatten();
                env.map(move |variable| (&container["name"], variable))
            })
            .filter(|(_, found)| found["name"] == *variable)
            .map(|(container, found)| (container.as_str().unwrap(), found["value"].as_str().unwrap()))
            .collect();
        let annotation = &template["metadata"]["annotations"][LAST_RELOADED_FROM];
        match strategy {
            Strategy::EnvVars => {
                assert_eq!(marked, [(self.usage.marked(), self.digest())], "{self:?}");
                assert_eq!(annotation, &Value::Null, "{self:?}");
            }
            Strategy::Annotations => {
                assert_eq!(marked, [], "{self:?}");
                let expected = self.annotation(world, "");
                let expected = expected.trim_end_matches('}');
                assert!(annotation.as_str().unwrap().starts_with(expected), "{self:?}");
            }
        }
    }

    /// What users of upstream grep for.
    async fn check_log(self, world: &World, controller: &Controller) {
        let (name, namespace) = (self.name(), &world.namespace);
        let source = self.source.word().to_uppercase();
        let workload = format!("{:?}", self.workload);
        controller
            .wait_log(&format!(
                "Changes detected in '{name}' of type '{source}' in namespace '{namespace}'; \
                 updated '{name}' of type '{workload}' in namespace '{namespace}'"
            ))
            .await;
    }
}

fn assert_nothing_else_was_written(world: &World, cases: &[Case]) {
    let writes = world
        .plane
        .audit()
        .writes_by(&world.user())
        .expect("the audit log");
    let others: Vec<_> = writes
        .iter()
        .filter(|write| {
            !is_ledger(write) && write.resource != "events" && !write.name.starts_with(Sentinel::NAME)
        })
        .filter(|write| {
            !cases
                .iter()
                .any(|case| write.is_about(case.workload.resource(), &world.namespace, &case.name()))
        })
        .map(|write| (&write.verb, &write.uri))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// The body of a request to the byte. The audit log keeps it as it was sent; reading it as JSON would lose the order.
fn body_as_sent(world: &World, request: &Entry) -> String {
    const FIELD: &str = r#""requestObject":"#;
    assert_eq!(request.stage, Stage::ResponseComplete);
    let log = std::fs::read_to_string(world.plane.audit().path()).expect("the audit log");
    let line = log
        .lines()
        .find(|line| line.contains(&request.audit_id) && line.contains(FIELD))
        .expect("the request's line");
    let body = &line[line.find(FIELD).expect("the field") + FIELD.len()..];
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<IgnoredAny>();
    values.next().expect("a body").expect("JSON");
    body[..values.byte_offset()].to_owned()
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}
