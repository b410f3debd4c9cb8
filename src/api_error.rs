//! Classifies errors of the API client by what to do next.
//!
//! Input: [`kube::Error`], or a request that may give one. Output: [`ApiError`], plain data. I/O: none of its own.

use std::{error::Error, time::Duration};

use http::{HeaderMap, header::RETRY_AFTER};

/// The longest pause that an API server may ask for: ten minutes of no progress are enough, whatever the header says.
const LONGEST_THROTTLE: Duration = Duration::from_mins(10);

/// How to retry a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The API server was not reached, was overloaded or broke down (no answer, 5xx): soon, and by itself.
    Unavailable,
    /// The API server asked for a pause (429 or 503 with Retry-After): not before it is over.
    Throttled(Duration),
    /// The object changed meanwhile, or something it counts towards did, such as a quota (409): at once, on the newer
    /// state.
    Conflict,
    /// There is an object of that name (409 with the reason `AlreadyExists`).
    Exists,
    /// The object does not exist, or no longer.
    NotFound,
    /// The request was understood and refused (403, 422, other 4xx): later, in case the reason goes away.
    Rejected,
}

/// A failed request, reduced to what is logged, counted and decided upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// How to retry.
    pub class: Class,
    /// HTTP status, where there was an answer.
    pub code: Option<u16>,
    /// The API server's message, or why it was not reached. Never holds object data.
    pub message: String,
}

impl ApiError {
    /// Reads the client's error.
    pub fn from_client(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(status),
            other => Self {
                class: Class::Unavailable,
                code: None,
                message: describe(other),
            },
        }
    }

    /// Reads a `Status` answer of the API server.
    pub fn from_status(status: &kube::core::Status) -> Self {
        let retry_after = status
            .details
            .as_ref()
            .map(|details| details.retry_after_seconds)
            .filter(|seconds| *seconds > 0);
        let class = match (status.code, retry_after) {
            (_, Some(seconds)) => Class::Throttled(Duration::from_secs(u64::from(seconds))),
            (409, _) if status.reason == "AlreadyExists" => Class::Exists,
            (409, _) => Class::Conflict,
            (404, _) => Class::NotFound,
            // 401 comes and goes with token rotation, 408 and 429 with load.
            (401 | 408 | 429 | 500.., _) => Class::Unavailable,
            _ => Class::Rejected,
        };
        Self {
            class,
            code: Some(status.code),
            message: format!("{} ({})", status.message, status.code),
        }
    }

    /// No answer within the time allowed.
    pub fn timed_out(after: Duration) -> Self {
        let message = format!("the API server did not answer within {} s", after.as_secs_f32());
        Self {
            class: Class::Unavailable,
            code: None,
            message,
        }
    }

    /// Sends a request, and gives up on its answer after `limit`.
    pub async fn within<T>(
        limit: Duration,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Self> {
        match tokio::time::timeout(limit, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Self::from_client(&error)),
            Err(_) => Err(Self::timed_out(limit)),
        }
    }

    /// How long to wait before the next attempt: as long as the API server asked for, up to a limit, and at least `least`.
    pub fn pause(&self, least: Duration) -> Duration {
        match self.class {
            Class::Throttled(wanted) => least.max(wanted.min(LONGEST_THROTTLE)),
            _ => least,
        }
    }

    /// A static label for metrics: bounded, whatever the API server answers.
    pub const fn category(&self) -> &'static str {
        match (self.class, self.code) {
            (Class::Unavailable, None) => "unreachable",
            (Class::Unavailable, Some(_)) => "unavailable",
            (Class::Throttled(_), _) => "throttled",
            (Class::Conflict | Class::Exists, _) => "conflict",
            (Class::NotFound, _) => "not_found",
            (Class::Rejected, Some(403)) => "forbidden",
            (Class::Rejected, Some(422)) => "invalid",
            (Class::Rejected, _) => "rejected",
        }
    }

    /// Whether the API server has answered that it did nothing (4xx; a 408 comes from a proxy, too, which does not know).
    pub const fn is_refusal(&self) -> bool {
        matches!(self.code, Some(400..=407 | 409..=499))
    }

    /// The ServiceAccount may not do this (403).
    pub const fn is_forbidden(&self) -> bool {
        matches!(self.code, Some(403))
    }

    /// A permission is missing. An admission plugin that refuses answers 403 as well, but does not name the API group
    /// of what was asked for.
    pub fn is_missing_permission(&self) -> bool {
        self.is_forbidden() && self.message.contains(" in API group ")
    }

    /// Advice to append to the message; empty where it depends on the message.
    pub fn advice(&self) -> &'static str {
        if self.is_missing_permission() {
            "; grant that to Reloader's ServiceAccount, as its chart does"
        } else {
            ""
        }
    }

    /// The API server knows no such object, or no such kind (404).
    pub const fn is_not_found(&self) -> bool {
        matches!(self.code, Some(404))
    }
}

/// The header `Retry-After` in seconds; a date is not read.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn describe(error: &kube::Error) -> String {
    if matches!(error, kube::Error::SerdeError(_)) {
        // serde quotes what it cannot decode, and that may be a Secret's value.
        return "the answer of the API server could not be decoded".to_owned();
    }
    with_causes(error)
}

/// The error with its causes, once each: "error trying to connect: connection refused" instead of "service error".
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, retry_after: u32) -> ApiError {
        let body = serde_json::json!({
            "status": "Failure", "message": "no", "code": code, "details": { "retryAfterSeconds": retry_after },
        });
        ApiError::from_status(&serde_json::from_value(body).unwrap())
    }

    #[test]
    fn status_codes_say_how_to_go_on() {
        for (code, class, category) in [
            (401, Class::Unavailable, "unavailable"),
            (403, Class::Rejected, "forbidden"),
            (404, Class::NotFound, "not_found"),
            (409, Class::Conflict, "conflict"),
            (422, Class::Rejected, "invalid"),
            (429, Class::Unavailable, "unavailable"),
            (500, Class::Unavailable, "unavailable"),
            (503, Class::Unavailable, "unavailable"),
        ] {
            assert_eq!(
                (status(code, 0).class, status(code, 0).category()),
                (class, category),
                "{code}"
            );
        }
        assert_eq!(status(429, 30).class, Class::Throttled(Duration::from_secs(30)));
    }

    #[test]
    fn the_api_server_may_lengthen_a_pause_up_to_a_limit() {
        let least = Duration::from_secs(1);
        for (retry_after, expected) in [(0, 1), (1, 1), (30, 30), (u32::MAX, 600)] {
            assert_eq!(
                status(429, retry_after).pause(least),
                Duration::from_secs(expected)
            );
            assert_eq!(
                status(503, retry_after).pause(least),
                Duration::from_secs(expected)
            );
        }
    }

    #[test]
    fn an_object_that_exists_is_distinguished_from_a_conflict() {
        let class =
            |reason| ApiError::from_status(&kube::core::Status::failure("no", reason).with_code(409)).class;
        assert_eq!(class("AlreadyExists"), Class::Exists);
        // Of a ResourceQuota that another creation has just changed: nothing was created.
        assert_eq!(class("Conflict"), Class::Conflict);
    }

    #[test]
    fn a_decoding_error_never_quotes_the_answer() {
        let error = kube::Error::SerdeError(serde_json::from_str::<u8>("\"canary\"").unwrap_err());
        assert!(!ApiError::from_client(&error).message.contains("canary"));
    }

    #[test]
    fn a_missing_permission_is_distinguished_from_a_refusal_by_admission() {
        let is_forbidden = |code, message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(code);
            ApiError::from_status(&status).is_missing_permission()
        };
        let permissions = "deployments.apps \"web\" is forbidden: User \"a\" cannot patch resource \"deployments\" in API \
                      group \"apps\" in the namespace \"b\"";
        assert!(is_forbidden(403, permissions));
        assert!(!is_forbidden(
            403,
            "admission webhook \"policy\" denied the request: no"
        ));
        assert!(!is_forbidden(
            403,
            "unable to create new content in namespace b because it is being terminated"
        ));
    }
}
