//! The cluster's other clients: users, and the controllers that run pods.
//!
//! Input: what they want. Output: requests to an API server, answered at once. I/O: none.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::server::{Front, Store};

/// The namespace of sources and workloads.
pub const TEAM: &str = "team";
/// The namespace of Reloader.
pub const HOME: &str = "reloader";

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A client of that name.
#[derive(Clone)]
pub struct Client {
    name: &'static str,
    store: Store,
    front: Front,
}

impl Client {
    /// A client that uses an API server which never fails.
    pub fn new(name: &'static str, store: &Store, front: &Front) -> Self {
        Self {
            name,
            store: store.clone(),
            front: front.clone(),
        }
    }

    /// The same access under another name.
    #[must_use]
    pub fn named(&self, name: &'static str) -> Self {
        Self { name, ..self.clone() }
    }

    /// The object, as it is stored now.
    pub fn get(&self, plural: &str, name: &str) -> Option<Arc<Value>> {
        self.store.object(plural, TEAM, name)
    }

    /// Creates an object.
    pub fn create(&self, plural: &str, namespace: &str, object: &Value) -> StatusCode {
        self.send(Method::POST, &collection(plural, namespace), JSON, object)
    }

    /// Replaces an object; its resourceVersion, if it has one, must be the stored one.
    pub fn replace(&self, plural: &str, name: &str, object: &Value) -> StatusCode {
        let path = format!("{}/{name}", collection(plural, TEAM));
        self.send(Method::PUT, &path, JSON, object)
    }

    /// Applies a JSON merge patch.
    pub fn merge(&self, plural: &str, name: &str, patch: &Value) -> StatusCode {
        let url = format!("{}/{name}", collection(plural, TEAM));
        self.send(Method::PATCH, &url, MERGE_PATCH, patch)
    }

    /// Applies a JSON merge patch to the status.
    pub fn merge_status(&self, plural: &str, name: &str, status: &Value) -> StatusCode {
        let url = format!("{}/{name}/status", collection(plural, TEAM));
        let patch = json!({ "status": status });
        self.send(Method::PATCH, &url, MERGE_PATCH, &patch)
    }

    /// Deletes an object at once.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) -> StatusCode {
        let path = format!("{}/{name}", collection(plural, namespace));
        self.send(Method::DELETE, &path, JSON, &Value::Null)
    }

    fn send(&self, method: Method, path: &str, media: &'static str, body: &Value) -> StatusCode {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let uri = format!("{path}?fieldManager={}", self.name);
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(media));
        self.front.handle(self.name, request).status()
    }
}

fn collection(plural: &str, namespace: &str) -> String {
    let group = match plural {
        "namespaces" => return "/api/v1/namespaces".to_owned(),
        "configmaps" | "secrets" => "/api/v1",
        "leases" => "/apis/coordination.k8s.io/v1",
        "cronjobs" | "jobs" => "/apis/batch/v1",
        "rollouts" => "/apis/argoproj.io/v1alpha1",
        _ => "/apis/apps/v1",
    };
    format!("{group}/namespaces/{namespace}/{plural}")
}
