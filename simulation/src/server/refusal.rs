//! What the API server answers when it refuses, word for word.
//!
//! Input: what went wrong. Output: a `Status`. I/O: none.
//!
//! Texts and details are those of
//! [`apimachinery/pkg/api/errors`](https://github.com/kubernetes/apimachinery/blob/master/pkg/api/errors/errors.go).

use serde_json::{Value, json};

use super::kind::Kind;

/// A request that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The header `Retry-After`, seconds.
    pub retry_after: Option<u64>,
    /// The body: a `Status`, or text.
    pub body: Value,
}

impl Refusal {
    /// A `Status` with `details`.
    pub fn new(code: u16, reason: &str, message: impl Into<String>, details: Option<Value>) -> Self {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message.into(),
            "reason": reason,
        });
        if let Some(details) = details {
            body["details"] = details;
        }
        body["code"] = code.into();
        Self {
            code,
            retry_after: None,
            body,
        }
    }

    /// The path is not served: text, no `Status`.
    pub fn no_such_path() -> Self {
        Self {
            code: 404,
            retry_after: None,
            body: Value::from("404 page not found\n"),
        }
    }

    /// 404.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::new(404, "NotFound", message, Some(details(kind, name)))
    }

    /// 409: an object of the name exists. `is_ending`: it is deleted, but held by finalizers.
    pub fn exists(kind: &Kind, name: &str, is_ending: bool) -> Self {
        let prefix = if is_ending {
            "object is being deleted: "
        } else {
            ""
        };
        let message = format!("{prefix}{} \"{name}\" already exists", kind.resource());
        Self::new(409, "AlreadyExists", message, Some(details(kind, name)))
    }

    /// 409: another version is stored.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.resource()
        );
        Self::new(409, "Conflict", message, Some(details(kind, name)))
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message, None)
    }

    /// 400: the object lies in another namespace than the path.
    pub fn other_namespace() -> Self {
        Self::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
    }

    /// 422: an update without the version that it is based on. Unlike others it names the resource.
    pub fn no_version(kind: &Kind, name: &str) -> Self {
        let text = "Invalid value: 0: must be specified for an update";
        let mut refusal = Self::invalid(
            kind,
            name,
            ("FieldValueInvalid", text, "metadata.resourceVersion"),
        );
        let message = format!(
            "{} \"{name}\" is invalid: metadata.resourceVersion: {text}",
            kind.resource()
        );
        refusal.body["message"] = message.into();
        refusal.body["details"]["kind"] = kind.plural.into();
        refusal
    }

    /// 422 with one cause. `cause`: its reason, message and field.
    pub fn invalid(kind: &Kind, name: &str, cause: (&str, &str, &str)) -> Self {
        let (reason, text, field) = cause;
        let message = format!("{} \"{name}\" is invalid: {field}: {text}", kind.qualified_kind());
        let mut details = json!({ "name": name });
        if !kind.group.is_empty() {
            details["group"] = kind.group.into();
        }
        details["kind"] = kind.kind.into();
        details["causes"] = json!([{ "reason": reason, "message": text, "field": field }]);
        Self::new(422, "Invalid", message, Some(details))
    }

    /// The same, found twice: by the rules of all kinds, and by those of the kind.
    #[must_use]
    pub fn twice(mut self) -> Self {
        if let Some(causes) = self.body["details"]["causes"].as_array_mut() {
            causes.extend_from_within(..);
        }
        self
    }

    /// 422 for the parameters of a list or a watch. `causes`: fields that are forbidden, and why.
    pub fn invalid_options(causes: &[(&str, &str)]) -> Self {
        let texts: Vec<String> = causes
            .iter()
            .map(|(field, why)| format!("{field}: Forbidden: {why}"))
            .collect();
        let texts = match &texts[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = causes
            .iter()
            .map(|(field, why)| {
                json!({ "reason": "FieldValueForbidden", "message": format!("Forbidden: {why}"), "field": field })
            })
            .collect();
        let details = json!({ "group": "meta.k8s.io", "kind": "ListOptions", "causes": causes });
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {texts}");
        Self::new(422, "Invalid", message, Some(details))
    }

    /// 409 for an object that is not the one of the precondition. Unlike others it names the kind.
    pub fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.qualified_kind()
        );
        let mut details = details(kind, name);
        details["kind"] = kind.kind.into();
        Self::new(409, "Conflict", message, Some(details))
    }

    /// 403. `name`: empty for a list or a create.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {why}", kind.resource()),
            name => format!("{} \"{name}\" is forbidden: {why}", kind.resource()),
        };
        Self::new(403, "Forbidden", message, Some(details(kind, name)))
    }

    /// 410 for the token of a paged list, with one to go on with.
    pub fn expired_token(next: &str) -> Self {
        let mut refusal = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
             results. Continuing with the provided token results in an inconsistent list - objects that were created, \
             modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        refusal.body["metadata"]["continue"] = next.into();
        refusal
    }

    /// 410: the version is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message, None)
    }

    /// 504: the cache is not as new as what was asked for.
    pub fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let causes = json!([{
            "reason": "ResourceVersionTooLarge",
            "message": "Too large resource version",
        }]);
        let details = json!({ "causes": causes, "retryAfterSeconds": 1 });
        let mut refusal = Self::new(504, "Timeout", message, Some(details));
        refusal.retry_after = Some(1);
        refusal
    }

    /// 429: the watch cache is not there yet.
    pub fn initializing() -> Self {
        let details = json!({ "retryAfterSeconds": 1 });
        let mut refusal = Self::new(
            429,
            "TooManyRequests",
            "storage is (re)initializing",
            Some(details),
        );
        refusal.retry_after = Some(1);
        refusal
    }

    /// 415: the kind knows no such patch.
    pub fn unsupported_patch(kind: &Kind, content_type: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json{}",
            if kind.custom {
                ", application/apply-patch+yaml"
            } else {
                ", application/strategic-merge-patch+json, application/apply-patch+yaml"
            }
        );
        let _ = content_type;
        Self::new(415, "UnsupportedMediaType", message, Some(json!({})))
    }
}

fn details(kind: &Kind, name: &str) -> Value {
    let mut details = json!({});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    details["kind"] = kind.plural.into();
    details
}
