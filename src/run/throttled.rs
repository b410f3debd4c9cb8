//! Pauses that the API server requests in a header only.
//!
//! Input: answers. Output: answers that kube's client understands. I/O: none.
//!
//! [API Priority and Fairness](https://kubernetes.io/docs/concepts/cluster-administration/flow-control/) and a server
//! that is shutting down refuse with a line of text and the header `Retry-After`. kube's client keeps the text only; of
//! a JSON `Status` it keeps the seconds, too.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde_json::json;

use crate::api_error::retry_after;

/// Copies the requested pause into the body, unless the API server has done so.
pub(super) fn with_status<B>(answer: Response<B>) -> Response<Either<Full<Bytes>, B>> {
    let Some(seconds) = wanted_pause(&answer) else {
        return answer.map(Either::Right);
    };
    let code = answer.status();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "message": format!("the API server asks to try again in {seconds} s"),
        "reason": code.canonical_reason().unwrap_or_default(), "details": { "retryAfterSeconds": seconds },
    });
    answer.map(|_| Either::Left(Full::from(status.to_string())))
}

/// The seconds that a refusal without a `Status` asks for.
fn wanted_pause<B>(answer: &Response<B>) -> Option<u32> {
    let is_refusal =
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status());
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let is_status = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let seconds = u32::try_from(retry_after(answer.headers())?.as_secs()).ok()?;
    (is_refusal && !is_status && seconds > 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fairness(429, "text/plain; charset=utf-8", Some("3"), Some(3))]
    #[case::shutting_down(503, "", Some("1"), Some(1))]
    #[case::status(429, "application/json", Some("3"), None)]
    #[case::no_pause(429, "text/plain", None, None)]
    #[case::nothing(429, "text/plain", Some("0"), None)]
    #[case::a_date(429, "text/plain", Some("Wed, 21 Oct 2026 07:28:00 GMT"), None)]
    #[case::another_code(500, "text/plain", Some("3"), None)]
    fn the_pause_is_read_from_the_header(
        #[case] code: u16,
        #[case] kind: &str,
        #[case] pause: Option<&str>,
        #[case] wanted: Option<u32>,
    ) {
        let mut answer = Response::builder()
            .status(code)
            .header(header::CONTENT_TYPE, kind);
        if let Some(pause) = pause {
            answer = answer.header(header::RETRY_AFTER, pause);
        }
        assert_eq!(wanted_pause(&answer.body(()).unwrap()), wanted);
    }
}
