use rstest::rstest;

use super::*;

const FIRST: Option<Duration> = Some(FIRST_PAUSE);

/// A stream whose first list is still being streamed.
fn streaming() -> Course {
    Course::new(backoff())
}

/// A stream whose first list has begun.
fn streaming_objects() -> Course {
    let mut course = streaming();
    course.on(Item::ListStarted);
    course.on(object());
    course
}

/// A stream that watches after a complete list.
fn watching() -> Course {
    let mut course = streaming();
    course.on(Item::ListStarted);
    course.on(Item::Listed);
    course
}

/// A stream whose streamed list was refused.
fn paging() -> Course {
    let mut course = streaming();
    course.on(failed(Point::Open(Some(403))));
    course
}

fn object() -> Item {
    Item::Object(Event::NamespaceSeen {
        name: "team".into(),
        policy: None,
    })
}

fn failed(at: Point) -> Item {
    let status = match at {
        Point::Open(status) => status,
        Point::Sent(status) => Some(status),
        Point::ListExpired => Some(410),
        Point::List | Point::Connection | Point::Line => None,
    };
    let failure = Failure {
        denied: status == Some(403),
        not_installed: status == Some(404),
        ..Failure::other("it failed")
    };
    Item::Failed { failure, at }
}

/// The step's event by name, and the rest of it.
fn shown(step: &Step) -> (&'static str, Option<Duration>, Then) {
    let name = match &step.event {
        None => "",
        Some(Event::ListStarted) => "list started",
        Some(Event::Listed) => "listed",
        Some(Event::NamespaceSeen { .. }) => "seen",
        Some(Event::Failed(_)) => "failed",
        Some(Event::Resumed) => "resumed",
        other => panic!("{other:?}"),
    };
    (name, step.pause, step.then)
}

#[rstest]
// A complete list, by either way.
#[case::list_starts(streaming(), Item::ListStarted, ("list started", None, Then::Continue))]
#[case::list_object(streaming(), object(), ("seen", None, Then::Continue))]
#[case::list_complete(streaming(), Item::Listed, ("listed", None, Then::Continue))]
#[case::event(watching(), object(), ("seen", None, Then::Continue))]
// What begins as a watcher's own list, after a 410 within the stream.
#[case::list_starts_again(watching(), Item::ListStarted, ("list started", None, Then::Continue))]
// Streaming is not possible: at once in pages, and without a word.
#[case::streaming_bad_request(streaming(), failed(Point::Open(Some(400))), ("", None, Then::StartOver))]
#[case::streaming_forbidden(streaming(), failed(Point::Open(Some(403))), ("", None, Then::StartOver))]
#[case::streaming_not_allowed(streaming(), failed(Point::Open(Some(405))), ("", None, Then::StartOver))]
#[case::streaming_invalid(streaming(), failed(Point::Open(Some(422))), ("", None, Then::StartOver))]
#[case::streaming_silent(streaming(), Item::Silence, ("", None, Then::StartOver))]
// The API server has ended it: it would do so again.
#[case::streaming_ended(streaming_objects(), Item::ListStarted, ("failed", None, Then::StartOver))]
// A streamed list that fails is streamed again; one that starts over is asked for in pages.
#[case::streaming_unavailable(streaming(), failed(Point::Open(Some(500))), ("failed", FIRST, Then::Continue))]
#[case::streaming_unreachable(streaming(), failed(Point::Open(None)), ("failed", FIRST, Then::Continue))]
#[case::streaming_cut(streaming(), failed(Point::Connection), ("failed", FIRST, Then::Continue))]
#[case::streaming_not_installed(streaming(), failed(Point::Open(Some(404))), ("failed", FIRST, Then::StartOver))]
#[case::streaming_expired(streaming(), failed(Point::Sent(410)), ("failed", FIRST, Then::StartOver))]
// A watch that cannot be resumed.
#[case::open_expired(watching(), failed(Point::Open(Some(410))), ("failed", FIRST, Then::StartOver))]
#[case::open_not_installed(watching(), failed(Point::Open(Some(404))), ("failed", FIRST, Then::StartOver))]
#[case::sent_expired(watching(), failed(Point::Sent(410)), ("failed", FIRST, Then::StartOver))]
#[case::unreadable(watching(), failed(Point::Line), ("failed", FIRST, Then::StartOver))]
// A watch that is resumed.
#[case::open_forbidden(watching(), failed(Point::Open(Some(403))), ("failed", FIRST, Then::Continue))]
#[case::open_unavailable(watching(), failed(Point::Open(Some(503))), ("failed", FIRST, Then::Continue))]
#[case::sent_unavailable(watching(), failed(Point::Sent(500)), ("failed", FIRST, Then::Continue))]
#[case::cut(watching(), failed(Point::Connection), ("failed", FIRST, Then::Continue))]
#[case::page(paging(), failed(Point::List), ("failed", FIRST, Then::Continue))]
#[case::page_expired(paging(), failed(Point::ListExpired), ("failed", FIRST, Then::StartOver))]
#[case::ended(watching(), Item::Ended, ("", None, Then::StartOver))]
fn an_item_leads_to(
    #[case] mut course: Course,
    #[case] item: Item,
    #[case] expected: (&'static str, Option<Duration>, Then),
) {
    assert_eq!(shown(&course.on(item)), expected);
}

/// A list that takes longer than the API server keeps the state of its first page would start over without end.
#[test]
fn a_list_that_outlasts_its_state_is_asked_for_in_larger_pages() {
    let mut course = paging();
    let mut factors = vec![course.page_factor()];
    for item in [
        failed(Point::List),
        failed(Point::ListExpired),
        failed(Point::ListExpired),
        Item::Listed,
    ] {
        course.on(item);
        factors.push(course.page_factor());
    }
    assert_eq!(factors, [1, 1, 4, 16, 1]);
    for _ in 0..100 {
        course.on(failed(Point::ListExpired));
    }
    assert_eq!(course.page_factor(), u32::MAX);
}

/// Whatever makes it start over, and each complete list, ends the streaming of lists.
#[rstest]
#[case::before(vec![], Listing::Streamed)]
#[case::started(vec![Item::ListStarted, object()], Listing::Streamed)]
#[case::ended(vec![Item::ListStarted, object(), Item::ListStarted], Listing::Paged)]
#[case::failed(vec![Item::ListStarted, failed(Point::Connection), Item::ListStarted], Listing::Streamed)]
#[case::unavailable(vec![failed(Point::Open(None))], Listing::Streamed)]
#[case::complete(vec![Item::Listed], Listing::Paged)]
#[case::refused(vec![failed(Point::Open(Some(403)))], Listing::Paged)]
#[case::silent(vec![Item::Silence], Listing::Paged)]
#[case::not_installed(vec![failed(Point::Open(Some(404)))], Listing::Paged)]
#[case::unreadable(vec![failed(Point::Line)], Listing::Paged)]
fn the_next_list_is_asked_for(#[case] items: Vec<Item>, #[case] expected: Listing) {
    let mut course = streaming();
    for item in items {
        course.on(item);
    }
    assert_eq!(course.listing(), expected);
}

#[rstest]
#[case::streaming(streaming(), vec![], Some(STREAMED_SILENCE))]
#[case::streaming_failed(streaming(), vec![failed(Point::Open(None))], Some(STREAMED_SILENCE))]
#[case::paging(paging(), vec![Item::ListStarted], None)]
#[case::page_failed(paging(), vec![failed(Point::List)], None)]
#[case::watching(watching(), vec![], None)]
#[case::resuming(watching(), vec![failed(Point::Connection)], Some(RESUMED_SILENCE))]
#[case::refused(watching(), vec![failed(Point::Open(Some(403)))], Some(RESUMED_SILENCE))]
#[case::starting_over(watching(), vec![failed(Point::Open(Some(410)))], None)]
#[case::event_since(watching(), vec![failed(Point::Connection), object()], None)]
#[case::resumed(watching(), vec![failed(Point::Connection), Item::Silence], None)]
fn an_item_may_take(
    #[case] mut course: Course,
    #[case] items: Vec<Item>,
    #[case] expected: Option<Duration>,
) {
    for item in items {
        course.on(item);
    }
    assert_eq!(course.patience(), expected);
}

#[test]
fn a_watch_that_does_not_fail_again_is_resumed_once() {
    let mut course = watching();
    course.on(failed(Point::Connection));
    course.on(failed(Point::Connection));
    assert_eq!(
        shown(&course.on(Item::Silence)),
        ("resumed", None, Then::Continue)
    );
    assert_eq!(course.patience(), None);
}

fn pauses(course: &mut Course, at: Point, count: usize) -> Vec<u64> {
    let pause = |_| course.on(failed(at)).pause.unwrap();
    (0..count)
        .map(pause)
        .map(|pause| u64::try_from(pause.as_millis()).unwrap())
        .collect()
}

#[rstest]
#[case::unavailable(Point::Open(Some(500)), [200, 400, 800, 1600, 3200, 5000, 5000])]
#[case::forbidden(Point::Open(Some(403)), [200, 400, 800, 1600, 3200, 20_000, 20_000])]
#[case::not_installed(Point::Open(Some(404)), [200, 400, 800, 1600, 3200, 20_000, 20_000])]
fn pauses_grow_up_to_a_limit(#[case] at: Point, #[case] expected: [u64; 7]) {
    assert_eq!(pauses(&mut watching(), at, 7), expected);
}

/// An API server that throttles is not asked again before its pause is over; the backoff on top spreads the streams.
#[rstest]
#[case::opening(Point::Open(Some(429)))]
#[case::listing(Point::List)]
#[case::shutting_down(Point::Sent(503))]
fn a_requested_pause_is_obeyed(#[case] at: Point) {
    let throttled = || {
        let failure = Failure {
            retry_after: Duration::from_secs(30),
            ..Failure::other("too many requests")
        };
        Item::Failed { failure, at }
    };
    let mut course = watching();
    let pauses: Vec<_> = (0..3)
        .map(|_| course.on(throttled()).pause.unwrap().as_millis())
        .collect();
    assert_eq!(pauses, [30_200, 30_400, 30_800]);

    let mut jittered = Course::new(backoff().with_jitter());
    let pause = jittered.on(throttled()).pause.unwrap();
    assert!(
        pause > Duration::from_secs(30) && pause <= Duration::from_secs(31),
        "{pause:?}"
    );
}

#[rstest]
#[case::object(object(), 200)]
#[case::list(Item::Listed, 200)]
#[case::list_that_only_starts(Item::ListStarted, 800)]
#[case::silence(Item::Silence, 800)]
fn pauses_begin_again_after_an_answer(#[case] item: Item, #[case] expected: u64) {
    let mut course = watching();
    pauses(&mut course, Point::Connection, 2);
    course.on(item);
    assert_eq!(pauses(&mut course, Point::Connection, 1), [expected]);
}
