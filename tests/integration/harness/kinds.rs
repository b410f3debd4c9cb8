//! Kinds of workloads beside Deployments, StatefulSets and DaemonSets: custom resources, CronJobs and Jobs.

use std::sync::Arc;

use k8s_openapi::{
    api::batch::v1::{CronJob, Job},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testbed::{Entry, Stage, eventually};

use super::{
    PATIENCE, World,
    manifests::Shipped,
    objects::{from, workload},
};

/// A kind of custom resource.
#[derive(Clone, Copy)]
pub struct Custom {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

/// Argo's Rollout, as far as a test needs it: any field is kept.
pub const ROLLOUT: Custom = Custom {
    group: "argoproj.io",
    version: "v1alpha1",
    kind: "Rollout",
    plural: "rollouts",
};

/// OpenShift's DeploymentConfig.
pub const DEPLOYMENT_CONFIG: Custom = Custom {
    group: "apps.openshift.io",
    version: "v1",
    kind: "DeploymentConfig",
    plural: "deploymentconfigs",
};

/// Whether the request asks if the cluster has DeploymentConfigs, as every controller does each 20 s where it has none.
pub fn is_discovery(entry: &Entry) -> bool {
    entry.resource.is_empty() && entry.uri == "/apis/apps.openshift.io/v1"
}

/// What a controller has to be permitted, beside what ships, to restart custom resources of that kind.
pub fn rule(custom: Custom, verbs: &[&str]) -> Value {
    json!({ "apiGroups": [custom.group], "resources": [custom.plural], "verbs": verbs })
}

impl World {
    /// Makes the API server know the kind; returns when it does.
    pub async fn define(&self, custom: Custom) {
        let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        self.define_as(custom, any, json!({})).await;
    }

    /// The same for a kind whose status is a subresource: writes of it leave the generation as it is.
    pub async fn define_with_status(&self, custom: Custom) {
        let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        self.define_as(custom, any, json!({ "status": {} })).await;
    }

    /// Makes the API server know DeploymentConfigs; returns when it does. Of pod templates every field is kept.
    pub async fn define_deployment_configs(&self) {
        let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let mut template = any.clone();
        template["nullable"] = true.into();
        let schema = json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "minReadySeconds": { "type": "integer" },
                "paused": { "type": "boolean" },
                "replicas": { "type": "integer" },
                "revisionHistoryLimit": { "type": "integer" },
                "selector": { "type": "object", "additionalProperties": { "type": "string" } },
                "strategy": any,
                "template": template,
                "test": { "type": "boolean" },
                "triggers": { "type": "array", "nullable": true, "items": any },
            } },
            "status": any,
        } });
        self.define_as(DEPLOYMENT_CONFIG, schema, json!({ "status": {} }))
            .await;
    }

    async fn define_as(&self, custom: Custom, schema: Value, subresources: Value) {
        let Custom {
            group,
            version,
            kind,
            plural,
        } = custom;
        let definition: CustomResourceDefinition = from(json!({
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind },
                "versions": [{
                    "name": version, "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": schema }, "subresources": subresources,
                }],
            },
        }));
        let api = Api::<CustomResourceDefinition>::all(self.client.clone());
        match api.create(&PostParams::default(), &definition).await {
            // Another test was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            created => _ = created.expect("the definition is accepted"),
        }
        let objects = self.custom(custom);
        eventually(PATIENCE, "the kind to be served", async || {
            objects.list(&ListParams::default()).await.ok()
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The custom resources in the test's namespace.
    pub fn custom(&self, custom: Custom) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(custom.group, custom.version, custom.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, custom.plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Creates a custom resource from JSON.
    pub async fn create_custom(&self, custom: Custom, mut object: Value) -> DynamicObject {
        object["apiVersion"] = format!("{}/{}", custom.group, custom.version).into();
        object["kind"] = custom.kind.into();
        self.custom(custom)
            .create(&PostParams::default(), &from(object))
            .await
            .expect("the object is accepted")
    }

    /// The custom resource as JSON, without what every write changes.
    pub async fn custom_spec(&self, custom: Custom, name: &str) -> Value {
        let object = self.custom(custom).get(name).await.expect("the object");
        object.data["spec"].clone()
    }

    /// Lets the controllers do this on top of what ships.
    pub async fn permit_also(&self, further: &[Value]) {
        let rules = Shipped::read().cluster_role.rules.unwrap_or_default();
        let mut rules = serde_json::to_value(rules).expect("JSON");
        rules.as_array_mut().expect("a list").extend_from_slice(further);
        self.replace_rules("watched", rules).await;
    }

    /// The controllers' finished writes to a kind ("jobs"), refused ones included, in the order of their arrival.
    pub fn writes_to(&self, resource: &str) -> Vec<Arc<Entry>> {
        let by_controller = |entry: &Entry| {
            entry.user == self.user()
                && entry.resource == resource
                && entry.namespace == self.namespace
                && entry.is_write()
                && entry.stage == Stage::ResponseComplete
        };
        let mut writes = self.plane.audit().matching(by_controller).expect("the audit log");
        writes.sort_by_key(|entry| entry.request_received);
        writes
    }

    /// Every Job of the test's namespace.
    pub async fn jobs(&self) -> Vec<Job> {
        let list = self.api::<Job>().list(&ListParams::default()).await;
        list.expect("Jobs").items
    }

    /// Waits until the namespace has that many Jobs.
    pub async fn wait_for_jobs(&self, count: usize) -> Vec<Job> {
        let what = format!("{count} Job(s)");
        eventually(PATIENCE, &what, async || -> Result<_, String> {
            let jobs = self.jobs().await;
            if jobs.len() == count {
                Ok(Some(jobs))
            } else {
                Err(format!("{:?}", names(&jobs)))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the Job of that name is another one than `old`, and alone.
    pub async fn wait_for_successor(&self, old: &Job) -> Job {
        eventually(PATIENCE, "the Job's successor", async || -> Result<_, String> {
            let jobs = self.jobs().await;
            match &jobs[..] {
                [job] if job.metadata.name == old.metadata.name && job.metadata.uid != old.metadata.uid => {
                    Ok(Some(job.clone()))
                }
                _ => Err(format!("{:?}", names(&jobs))),
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a Job look as the Job controller leaves one that has succeeded.
    pub async fn complete(&self, name: &str) {
        let time = "2026-01-02T03:04:05Z";
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": time, "lastProbeTime": time });
        let status = json!({ "status": {
            "startTime": time, "completionTime": time, "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        } });
        self.api::<Job>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the Job completes");
    }
}

fn names(jobs: &[Job]) -> Vec<&Option<String>> {
    jobs.iter().map(|job| &job.metadata.name).collect()
}

/// A Job with these annotations and this pod spec.
pub fn job(name: &str, annotations: &[(&str, &str)], pod: &Value) -> Job {
    let mut object = workload(name, annotations, &[], pod);
    let spec = object["spec"].as_object_mut().expect("a spec");
    // The API server chooses it.
    spec.remove("selector");
    spec["template"]["spec"]["restartPolicy"] = "Never".into();
    from(object)
}

/// A CronJob with these annotations and this pod spec.
pub fn cron_job(name: &str, annotations: &[(&str, &str)], pod: &Value) -> CronJob {
    let job = job(name, &[], pod);
    let mut object = workload(name, annotations, &[], pod);
    object["spec"] = json!({
        "schedule": "0 0 1 1 *",
        "jobTemplate": {
            "metadata": { "labels": { "made-by": name }, "annotations": { "team": "a" } },
            "spec": job.spec,
        },
    });
    from(object)
}

/// A DeploymentConfig as JSON, with these annotations and this pod spec, and what `oc` gives one.
pub fn deployment_config(name: &str, annotations: &[(&str, &str)], pod: &Value) -> Value {
    let mut object = workload(name, annotations, &[], pod);
    let spec = object["spec"].as_object_mut().expect("a spec");
    spec.insert("selector".to_owned(), json!({ "app": name }));
    spec.insert("replicas".to_owned(), json!(1));
    spec.insert("strategy".to_owned(), json!({ "type": "Rolling" }));
    spec.insert("triggers".to_owned(), json!([{ "type": "ConfigChange" }]));
    object
}

/// The value of a marker in the first container of a pod template, as JSON.
pub fn variable(template: &Value, name: &str) -> Option<String> {
    let variables = template["spec"]["containers"][0]["env"].as_array()?;
    let marker = variables.iter().find(|variable| variable["name"] == name)?;
    marker["value"].as_str().map(str::to_owned)
}
