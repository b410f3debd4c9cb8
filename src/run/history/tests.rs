use std::time::Duration;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(290);

fn opening(version: Option<u64>) -> Opening {
    Opening {
        path: "/api/v1/secrets".to_owned(),
        version,
        timeout: TIMEOUT,
    }
}

/// Asks for a watch and opens it.
fn open(watches: &mut Watches, version: Option<u64>, now: Instant) -> Trust {
    let trust = watches.trust(&opening(version), now);
    watches.opened(opening(version), now);
    trust
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_trusted_when_nothing_broke_it() {
    let mut watches = Watches::default();
    let start = Instant::now();
    assert_eq!(open(&mut watches, None, start), Trust::Open);
    assert_eq!(open(&mut watches, Some(5), start + TIMEOUT), Trust::Open);
    assert_eq!(open(&mut watches, Some(5), start + 2 * TIMEOUT), Trust::Open);
    // It ends early.
    let early = start + 2 * TIMEOUT + TIMEOUT / 2;
    assert_eq!(open(&mut watches, Some(9), early), Trust::AfterList(9));
    // After a new list.
    assert_eq!(open(&mut watches, Some(8), early + TIMEOUT), Trust::Below(9));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_resumed_is_not_trusted_later_either() {
    let mut watches = Watches::default();
    let start = Instant::now();
    open(&mut watches, None, start);
    let second = std::time::Duration::from_secs(1);
    // The first attempt after its regular end fails, and so do others until long after.
    assert_eq!(watches.trust(&opening(Some(5)), start + TIMEOUT), Trust::Open);
    for after in 1..1000 {
        let now = start + TIMEOUT + after * second;
        assert_eq!(watches.trust(&opening(Some(5)), now), Trust::AfterList(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_was_never_open_is_not_checked() {
    let mut watches = Watches::default();
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(watches.trust(&opening(Some(5)), start), Trust::Open);
    }
    open(&mut watches, None, start);
    // Versions are those of a kind: others may be stored elsewhere.
    let other = Opening {
        path: "/api/v1/configmaps".to_owned(),
        ..opening(Some(3))
    };
    assert_eq!(watches.trust(&other, start), Trust::Open);
    assert_eq!(watches.trust(&opening(Some(5)), start), Trust::AfterList(5));
}

const LIST: &str = "/api/v1/secrets?watch=true&timeoutSeconds=290&sendInitialEvents=true";
const RESUMED: &str = "/api/v1/secrets?watch=true&timeoutSeconds=290&resourceVersion=7&fieldSelector=a%3Db";

/// What comes of a watch that is resumed early, where the list of one object is answered so.
#[rstest::rstest]
#[case::same(200, r#"{"metadata":{"resourceVersion":"7"}}"#, Some(200))]
#[case::newer(200, r#"{"metadata":{"resourceVersion":"8"},"items":[{}]}"#, Some(200))]
#[case::older(200, r#"{"metadata":{"resourceVersion":"6"}}"#, None)]
#[case::no_number(200, r#"{"metadata":{"resourceVersion":"abc"}}"#, Some(200))]
#[case::no_list(200, "text", Some(200))]
// The watch will tell.
#[case::not_installed(404, "{}", Some(200))]
#[case::not_known_to_the_server_of_that_kind(406, "{}", Some(200))]
// Whether the version has been reached is not known.
#[case::forbidden(403, "{}", Some(403))]
#[case::throttled(429, "{}", Some(429))]
#[case::starting(503, "{}", Some(503))]
#[tokio::test(start_paused = true)]
async fn a_watch_is_resumed_where_its_version_has_been_reached(
    #[case] status: u16,
    #[case] list: &'static str,
    #[case] expected: Option<u16>,
) {
    let server = tower::service_fn(move |request: Request<Body>| async move {
        let (status, body) = if request.uri() == "/api/v1/secrets?fieldSelector=a%3Db&limit=1" {
            (status, list)
        } else {
            (200, "")
        };
        let body = http_body_util::Full::<bytes::Bytes>::from(body);
        Ok::<_, BoxError>(Response::builder().status(status).body(body)?)
    });
    let history = History::new();
    let client = history.layer(server);
    let ask = |uri: &str| {
        client
            .clone()
            .oneshot(Request::get(uri).body(Body::empty()).unwrap())
    };
    assert_eq!(ask(LIST).await.unwrap().status(), 200);
    let ended = tokio::select! {
        answer = ask(RESUMED) => Ok(answer.unwrap().status().as_u16()),
        rewound = history.rewound() => Err(rewound),
    };
    match expected {
        Some(status) => assert_eq!(ended, Ok(status)),
        None => assert_eq!(
            ended,
            Err(Rewound {
                path: "/api/v1/secrets".to_owned(),
                seen: 7,
                now: 6
            })
        ),
    }
}
