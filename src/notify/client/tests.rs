//! Against a receiver of the test's own on a local port.

use std::sync::{Arc, Mutex};

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A receiver that gives one answer to each request and keeps what was asked.
struct Receiver {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(answer: impl Fn(usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let receiver = Self {
            address,
            asked: Arc::clone(&asked),
        };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let number = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(request);
                    asked.len() - 1
                };
                stream.write_all(answer(number).as_bytes()).await.unwrap();
            }
        });
        receiver
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        if read == 0 || body.len() >= length {
            return request;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
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
    client.post(&payload()).await
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
    let receiver = Receiver::start(move |_| answer(status, "", body)).await;
    let result = post(
        &format!("http://{}/hook?key=1", receiver.address),
        None,
        Redirects::Refused,
    )
    .await;
    let result = result.map_err(|error| error.to_string());
    assert_eq!(
        result.as_deref().map_err(String::as_str),
        outcome.map_err(|text| text)
    );
    let asked = receiver.asked();
    assert!(asked[0].starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].contains("content-type: text/plain\r\n"), "{asked:?}");
    assert!(asked[0].ends_with("\r\n\r\nbody"), "{asked:?}");
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_read() {
    let receiver = Receiver::start(|_| answer("429 Too Many Requests", "retry-after: 7\r\n", "")).await;
    let error = post(&format!("http://{}", receiver.address), None, Redirects::Refused)
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
    let receiver = Receiver::start(move |number| match number {
        0 => answer(status, "location: /elsewhere\r\n", ""),
        _ => answer("200 OK", "", "there"),
    })
    .await;
    let result = post(&format!("http://{}/hook", receiver.address), None, redirects).await;
    match redirects {
        Redirects::Refused => assert_eq!(result, Err(PostError::Redirected)),
        Redirects::Followed => assert_eq!(result.as_deref(), Ok("there")),
    }
    let asked = receiver.asked();
    let found: Vec<&str> = asked
        .iter()
        .map(|request| request.split(' ').next().unwrap())
        .collect();
    assert_eq!(found, methods);
    assert!(
        asked
            .iter()
            .skip(1)
            .all(|request| request.contains(" /elsewhere "))
    );
}

#[tokio::test]
async fn the_proxy_is_used() {
    let proxy = Receiver::start(|_| answer("200 OK", "", "")).await;
    let url = "http://nowhere.invalid/hook";
    let through = format!("http://user:pass@{}", proxy.address);
    post(url, Some(&through), Redirects::Refused).await.unwrap();
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with(&format!("POST {url} HTTP/1.1\r\n")),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"),
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

    let endless = Receiver::start(|_| answer("307 Temporary Redirect", "location: /canary\r\n", "")).await;
    let url = format!("http://{}/canary", endless.address);
    let error = post(&url, None, Redirects::Followed).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert_eq!(endless.asked().len(), MOST_REDIRECTS + 1);
}

#[tokio::test]
async fn only_the_beginning_of_an_answer_is_read() {
    let receiver = Receiver::start(|_| answer("200 OK", "", &"x".repeat(100_000))).await;
    let result = post(&format!("http://{}", receiver.address), None, Redirects::Followed).await;
    assert_eq!(result.map(|answer| answer.len()), Ok(ANSWER));
}
