//! One entry of the audit log. Input: a JSON object of `audit.k8s.io/v1` kind Event; output: [`Entry`]. I/O: none.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;
use serde_json::Value;

/// The moment in a request's life an entry speaks of. Requests are not logged when they arrive, only when they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// A watch was accepted and its stream is open.
    ResponseStarted,
    /// The request is answered; for a watch, its stream has ended.
    ResponseComplete,
    /// The server panicked over the request.
    Panic,
}

/// One entry of the audit log (<https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event>).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Event")]
pub struct Entry {
    /// Unique to a request; the two entries of a watch share it.
    pub audit_id: String,
    /// What moment the entry speaks of.
    pub stage: Stage,
    /// get, list, watch, create, update, patch, delete, deletecollection; for a path that is no resource the HTTP method.
    pub verb: String,
    /// The path and query.
    pub uri: String,
    /// Who sent it; a `ServiceAccount` is `system:serviceaccount:<namespace>:<name>`. Empty if the server did not know (401).
    pub user: String,
    /// What the client calls itself; empty if it does not say.
    pub user_agent: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, "deployments"; empty for a path that is no resource.
    pub resource: String,
    /// "status", "token", ...; empty for the object itself.
    pub subresource: String,
    /// Namespace of the object; empty for a request over all namespaces.
    pub namespace: String,
    /// Name of the object; empty for a list and for a create with a generated name.
    pub name: String,
    /// HTTP status of the answer; 0 if there was none.
    pub code: u16,
    /// When the server received the request, to the microsecond.
    pub request_received: Timestamp,
    /// When the stage was reached, to the microsecond.
    pub stage_timestamp: Timestamp,
    /// What was sent, for writes to workloads and leases; a patch is here as it was sent.
    pub request_object: Option<Value>,
    /// What came back, for writes to workloads and leases.
    pub response_object: Option<Value>,
}

impl Entry {
    /// Whether the request meant to change something.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }

    /// Whether the answer was a 2xx.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether it is about this object; an empty `namespace` is that of a cluster-wide object.
    pub fn is_about(&self, resource: &str, namespace: &str, name: &str) -> bool {
        self.resource == resource && self.namespace == namespace && self.name == name
    }

    /// "deployments", "deployments/status", or the path for what is no resource.
    pub fn full_resource(&self) -> String {
        if self.resource.is_empty() {
            self.uri.split('?').next().unwrap_or_default().to_owned()
        } else if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The pod template of the object in the answer, for a successful write to a workload.
    ///
    /// Two writes with equal templates are no rollout. `metadata.generation` would not do: the API server counts it up for a
    /// Deployment's annotations, too.
    pub fn pod_template(&self) -> Option<&Value> {
        let object = self.response_object.as_ref().filter(|_| self.succeeded())?;
        object
            .pointer("/spec/jobTemplate/spec/template")
            .or_else(|| object.pointer("/spec/template"))
    }

    /// `metadata.<field>` of the object in the answer.
    pub(super) fn answered_metadata(&self, field: &str) -> Option<&str> {
        self.response_object
            .as_ref()?
            .get("metadata")?
            .get(field)?
            .as_str()
    }
}

/// The entry as the server writes it, reduced to what is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: MicroTime,
    stage_timestamp: MicroTime,
    request_object: Option<Value>,
    response_object: Option<Value>,
}

#[derive(Deserialize)]
struct User {
    /// Missing where the server does not know who it is: 401.
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self {
            audit_id: event.audit_id,
            stage: event.stage,
            verb: event.verb,
            uri: event.request_uri,
            user: event.user.username,
            user_agent: event.user_agent,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            request_received: event.request_received_timestamp.0,
            stage_timestamp: event.stage_timestamp.0,
            request_object: event.request_object,
            response_object: event.response_object,
        }
    }
}
