//! Bodies of JSON.
//!
//! Input: answers, reasons. Output: HTTP responses. I/O: none.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::explain::{Problem, VERSION};

/// A body of JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
        match serde_json::to_vec(&self.0) {
            Ok(body) => (JSON, body).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A request that has no answer.
pub(super) struct Refused {
    status: StatusCode,
    problem: Problem,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

/// The status and, in words, why there is no answer.
pub(super) fn problem(status: StatusCode, error: &str) -> Refused {
    Refused {
        status,
        problem: Problem {
            version: VERSION.to_owned(),
            error: error.to_owned(),
        },
    }
}
