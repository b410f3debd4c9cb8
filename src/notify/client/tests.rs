//! Against a receiver of the test's own on a local port.

use rstest::rstest;
use testbed::{Answer, Receiver};
use tokio::net::TcpListener;

use super::*;

async fn receiver(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Receiver {
    Receiver::start(answer).await.unwrap()
}

fn payload() -> Payload {
    Payload {
        content_type: "text/plain",
        body: "body".to_owned(),
    }
}

async fn post(url: &str, proxy: Option<&str>, redirects: Redirects) -> Result<String, PostError> {
    let to = Endpoint::parse(url).unwrap();
    let proxy = proxy.map(|proxy| Endpoint::parse_proxy(proxy).unwrap());
    let client = Client::new(&to, proxy.as_ref(), redirects).unwrap();
    client.post(&payload(), None).await
}

#[rstest]
#[case("200 OK", Ok("fine"))]
#[case("201 Created", Ok("fine"))]
#[case("204 No Content", Ok(""))]
#[case("400 Bad Request", Err("error sending msg. status: 400 Bad Request"))]
#[case(
    "500 Internal Server Error",
    Err("error sending msg. status: 500 Internal Server Error")
)]
#[tokio::test]
async fn every_2xx_is_a_success_and_nothing_else(
    #[case] status: &'static str,
    #[case] outcome: Result<&str, &str>,
) {
    let body = if status.starts_with("204") { "" } else { "fine\n" };
    let receiver = receiver(move |_| Answer::full(status, "", body)).await;
    let result = post(&receiver.url("/hook?key=1"), None, Redirects::Refused).await;
    let result = result.map_err(|error| error.to_string());
    assert_eq!(result.as_deref().map_err(String::as_str), outcome);
    let asked = receiver.received();
    assert!(
        asked[0].head.starts_with("POST /hook?key=1 HTTP/1.1\n"),
        "{asked:?}"
    );
    assert!(asked[0].head.contains("content-type: text/plain"), "{asked:?}");
    assert_eq!(asked[0].body, "body");
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_read() {
    let receiver = receiver(|_| Answer::full("429 Too Many Requests", "retry-after: 7\r\n", "")).await;
    let error = post(&receiver.url(""), None, Redirects::Refused)
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Some(Duration::from_secs(7)));
}

/// What a redirect leads to: upstream's error for alerts, Go's rules for webhooks.
#[rstest]
#[case::alerts("307 Temporary Redirect", Redirects::Refused, &["POST"])]
#[case::repeated("307 Temporary Redirect", Redirects::Followed, &["POST", "POST"])]
#[case::repeated_for_good("308 Permanent Redirect", Redirects::Followed, &["POST", "POST"])]
#[case::found("302 Found", Redirects::Followed, &["POST", "GET"])]
#[case::see_other("303 See Other", Redirects::Followed, &["POST", "GET"])]
#[tokio::test]
async fn a_redirect_is_taken_as_upstream_takes_it(
    #[case] status: &'static str,
    #[case] redirects: Redirects,
    #[case] methods: &[&str],
) {
    let receiver = receiver(move |number| match number {
        0 => Answer::full(status, "location: /elsewhere\r\n", ""),
        _ => Answer::full("200 OK", "", "there"),
    })
    .await;
    let result = post(&receiver.url("/hook"), None, redirects).await;
    match redirects {
        Redirects::Refused => assert_eq!(result, Err(PostError::Redirected)),
        Redirects::Followed => assert_eq!(result.as_deref(), Ok("there")),
    }
    let asked = receiver.received();
    let found: Vec<&str> = asked
        .iter()
        .map(|request| request.head.split(' ').next().unwrap())
        .collect();
    assert_eq!(found, methods);
    assert!(
        asked
            .iter()
            .skip(1)
            .all(|request| request.head.contains(" /elsewhere ") && !request.head.contains("/hook"))
    );
}

#[tokio::test]
async fn the_proxy_is_used() {
    let proxy = receiver(|_| Answer::full("200 OK", "", "")).await;
    let url = "http://nowhere.invalid/hook";
    let through = proxy.url("").replace("http://", "http://user:pass@");
    post(url, Some(&through), Redirects::Refused).await.unwrap();
    let asked = proxy.received();
    assert!(
        asked[0].head.starts_with(&format!("POST {url} HTTP/1.1\n")),
        "{asked:?}"
    );
    assert!(
        asked[0]
            .head
            .contains("proxy-authorization: Basic dXNlcjpwYXNz\n"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn errors_do_not_show_the_url() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://user:canary@{closed}/canary?key=canary");
    let error = post(&url, None, Redirects::Refused).await.unwrap_err();
    assert!(matches!(&error, PostError::Transport(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert!(error.to_string().contains("onnection refused"), "{error}");

    let endless = receiver(|_| Answer::full("307 Temporary Redirect", "location: /canary\r\n", "")).await;
    let url = endless.url("/canary");
    let error = post(&url, None, Redirects::Followed).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert_eq!(endless.received().len(), MOST_REDIRECTS + 1);
}

#[tokio::test]
async fn only_the_beginning_of_an_answer_is_read() {
    let receiver = receiver(|_| Answer::full("200 OK", "", "x".repeat(100_000))).await;
    let result = post(&receiver.url(""), None, Redirects::Followed).await;
    assert_eq!(result.map(|answer| answer.len()), Ok(ANSWER));
}
