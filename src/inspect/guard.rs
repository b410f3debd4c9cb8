//! What every request must be, and what every answer says.
//!
//! Input: requests. Output: refusals; headers. I/O: none.
//!
//! A page of another site that is open in the user's browser can send requests to a loopback port, and read the answers
//! once its own name resolves to 127.0.0.1 (DNS rebinding). The browser still sends that name as `Host`: it is refused.
//! Without CORS headers no other site reads an answer either.

use std::net::IpAddr;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header, uri::Authority};

use super::body::problem;

/// Only files of this endpoint, and nothing that is written into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Refuses a request for another host than this machine.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut answer = if is_for_this_machine(&request) {
        next.run(request).await
    } else {
        problem(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host header must be localhost or a loopback address",
        )
        .into_response()
    };
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Every name by which the request calls this server is one of this machine alone, and there is one.
fn is_for_this_machine(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let Some(host) = hosts.next().filter(|_| hosts.next().is_none()) else {
        return false;
    };
    let host: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
    let target = request.uri().authority();
    host.as_ref().is_some_and(is_loopback) && target.is_none_or(is_loopback)
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_plain = !authority.as_str().contains('@');
    is_plain
        && (host.eq_ignore_ascii_case("localhost")
            || address
                .unwrap_or(host)
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(Body::empty()).unwrap()
    }

    #[rstest]
    #[case::name("localhost")]
    #[case::another_port("LOCALHOST:18080")]
    #[case::v4("127.0.0.1:9092")]
    #[case::other_loopback("127.3.2.1")]
    #[case::v6("[::1]:9092")]
    fn a_name_of_this_machine_is_served(#[case] host: &str) {
        assert!(is_for_this_machine(&request("/", &[host])));
        assert!(is_for_this_machine(&request("http://localhost/", &[host])));
    }

    #[rstest]
    #[case::site(&["evil.example"])]
    #[case::looks_like_it(&["localhost.evil.example:9092"])]
    #[case::starts_like_an_address(&["127.0.0.1.evil.example"])]
    #[case::dot(&["localhost."])]
    #[case::address(&["10.0.0.1:9092"])]
    #[case::any(&["0.0.0.0:9092"])]
    #[case::user(&["localhost@evil.example"])]
    #[case::user_before(&["evil.example@localhost"])]
    #[case::none(&[])]
    #[case::empty(&[""])]
    #[case::two(&["localhost", "evil.example"])]
    #[case::two_alike(&["localhost", "localhost"])]
    fn other_names_are_not(#[case] hosts: &[&str]) {
        assert!(!is_for_this_machine(&request("/", hosts)));
    }

    #[test]
    fn the_target_counts_as_well() {
        assert!(!is_for_this_machine(&request(
            "http://evil.example/",
            &["localhost"]
        )));
    }

    proptest! {
        #[test]
        fn whatever_is_served_names_this_machine(host in r"[ -~]{0,40}|(localhost|127\.0\.0\.1|\[::1\])[ -~]{0,9}") {
            let value = HeaderValue::from_str(&host).unwrap();
            let request = Request::builder().header(header::HOST, value).body(Body::empty()).unwrap();
            if is_for_this_machine(&request) {
                let name = host.to_ascii_lowercase();
                let is_ours = |own: &str| name.starts_with(own);
                prop_assert!(["localhost", "127.", "[::1]", "[::ffff:127."].into_iter().any(is_ours), "{host}");
                prop_assert!(!host.contains(['@', '/', ' ']), "{host}");
            }
        }
    }
}
