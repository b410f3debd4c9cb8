//! The course of one watch stream: what each item of the watcher leads to.
//!
//! Input: what kube's watcher yields, or that it yields nothing in time. Output: the event to send, the pause before the
//! next request, and whether the watcher starts over from a fresh list. I/O: none; no clock, and the jitter comes with
//! the backoff.
//!
//! ```text
//!  streamed list ──complete──► watch ◄──resumed── failed
//!     │ refused, silent          │ 404, 410, unreadable │ 404, 410
//!     ▼                          ▼                      ▼
//!  list in pages ◄──────────── start over ◄─────────────┘
//! ```

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::watch::{Event, Failure};

/// The first pause after a failure, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two attempts, without its jitter. client-go allows itself 30 s; a restart should not wait
/// that long once the API server is back, and five streams a replica at one attempt each 5 s are no burden.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a refusal (403), and while the kind is not installed (404): a permission that is granted, or a
/// `CustomResourceDefinition` that is installed, is expected to work within a minute.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(20);

/// How long a streamed list may be silent before it is asked for in pages: an API server that does not know such lists
/// ignores the parameter and never says that the list is complete.
const STREAMED_SILENCE: Duration = Duration::from_secs(20);

/// After so long without another failure, a watch that was asked for again is open: twice the time that connecting may
/// take. kube's watcher does not say that a watch begins, and keeps bookmarks to itself; without an object that changes,
/// nothing would ever show that the failure is over.
const RESUMED_SILENCE: Duration = Duration::from_secs(10);

/// How much larger pages become when a list has taken longer than the API server keeps the state of its first page (five
/// minutes by default): fewer requests for the same objects.
const PAGE_GROWTH: u32 = 4;

/// The pauses after failures in a row, without jitter.
pub(super) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
}

/// How the next complete list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// As the beginning of a watch, object by object: neither side ever holds a page. The first list of a process, when
    /// all objects come at once.
    /// [Reference](https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists); in Kubernetes since
    /// 1.32 by default.
    Streamed,
    /// Page by page: after a failure, and where streaming is not possible.
    Paged,
}

/// What the watcher yields.
#[derive(Debug)]
pub(super) enum Item {
    /// It begins a list. The request is not sent yet, so that this proves nothing.
    ListStarted,
    /// The list is complete; the watch follows.
    Listed,
    /// An object, of the list or of the watch.
    Object(Event),
    /// A request failed; the watcher tries again when it is polled.
    Failed {
        /// What is reported.
        failure: Failure,
        /// Where the watcher was.
        at: Point,
    },
    /// It yielded nothing for [`Course::patience`].
    Silence,
    /// It ended, which kube's watcher never does.
    Ended,
}

/// Where the watcher was when it failed, and the HTTP status where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// A page of a list, or its resourceVersion.
    List,
    /// A page of a list of which the API server no longer has the state (410).
    ListExpired,
    /// The request that opens a watch or a streamed list; `None`: no answer.
    Open(Option<u16>),
    /// The connection of an open watch.
    Connection,
    /// A line of an open watch that could not be decoded.
    Line,
    /// An error that the API server sent within an open watch.
    Sent(u16),
}

/// What an item leads to.
#[derive(Debug)]
pub(super) struct Step {
    /// What is sent.
    pub(super) event: Option<Event>,
    /// How long to wait afterwards.
    pub(super) pause: Option<Duration>,
    /// How it goes on after that.
    pub(super) then: Then,
}

/// How the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// With the same watcher.
    Continue,
    /// With another one, from a fresh list as [`Course::listing`] says.
    StartOver,
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Course {
    listing: Listing,
    /// A list has begun and not failed.
    streaming: bool,
    /// How much larger than usual pages are.
    page_factor: u32,
    watch: Watch,
    backoff: ExponentialBuilder,
    /// The pauses of the present failures in a row.
    pauses: ExponentialBackoff,
}

/// Whether the watch of a complete list is known to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// It has not failed, or has shown an event since.
    Undisturbed,
    /// It failed and is asked for again from where it was.
    Resuming,
}

impl Course {
    /// A stream that begins with a streamed list. `backoff` is [`backoff`], with jitter where several streams and
    /// replicas must not come back at the same instant after a restart of the API server.
    pub(super) fn new(backoff: ExponentialBuilder) -> Self {
        Self {
            listing: Listing::Streamed,
            streaming: false,
            page_factor: 1,
            watch: Watch::Undisturbed,
            backoff,
            pauses: backoff.build(),
        }
    }

    /// How a watcher that begins now lists.
    pub(super) const fn listing(&self) -> Listing {
        self.listing
    }

    /// How much larger than usual the pages of a watcher that begins now are.
    pub(super) const fn page_factor(&self) -> u32 {
        self.page_factor
    }

    /// How long the next item may take before it is [`Item::Silence`]; `None`: as long as it takes.
    pub(super) const fn patience(&self) -> Option<Duration> {
        match (self.listing, self.watch) {
            (Listing::Streamed, _) => Some(STREAMED_SILENCE),
            (Listing::Paged, Watch::Resuming) => Some(RESUMED_SILENCE),
            (Listing::Paged, Watch::Undisturbed) => None,
        }
    }

    /// Takes in an item.
    pub(super) fn on(&mut self, item: Item) -> Step {
        let watch = std::mem::replace(&mut self.watch, Watch::Undisturbed);
        match item {
            Item::ListStarted if self.listing == Listing::Streamed && self.streaming => self.start_over(
                Some(Event::Failed(Failure::other(
                    "the API server ended the streamed list before it was complete, as it does when --watch-timeout is \
                     over; asking for it in pages",
                ))),
                None,
            ),
            Item::ListStarted => {
                self.streaming = true;
                send(Event::ListStarted)
            }
            Item::Listed => {
                self.listing = Listing::Paged;
                self.page_factor = 1;
                self.recovered(Event::Listed)
            }
            Item::Object(event) => self.recovered(event),
            // Silence is not proof enough to begin with short pauses again.
            Item::Silence if watch == Watch::Resuming => send(Event::Resumed),
            Item::Silence | Item::Ended => self.start_over(None, None),
            // The same request in pages will tell whether that is a failure.
            Item::Failed { at, .. } if self.listing == Listing::Streamed && at.refuses_streaming() => {
                self.start_over(None, None)
            }
            Item::Failed { failure, at } => {
                self.streaming = false;
                let pause = Some(self.pause_after(&failure));
                let event = Some(Event::Failed(failure));
                if at == Point::ListExpired {
                    self.page_factor = self.page_factor.saturating_mul(PAGE_GROWTH);
                }
                if at == Point::ListExpired || at.may_skip_changes() {
                    return self.start_over(event, pause);
                }
                if self.listing == Listing::Paged && at != Point::List {
                    self.watch = Watch::Resuming;
                }
                Step {
                    event,
                    pause,
                    then: Then::Continue,
                }
            }
        }
    }

    /// The API server has answered: the next failure is the first of its row.
    fn recovered(&mut self, event: Event) -> Step {
        self.pauses = self.backoff.build();
        send(event)
    }

    fn start_over(&mut self, event: Option<Event>, pause: Option<Duration>) -> Step {
        self.listing = Listing::Paged;
        Step {
            event,
            pause,
            then: Then::StartOver,
        }
    }

    fn pause_after(&mut self, failure: &Failure) -> Duration {
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        // Not at the very moment that was asked for: every other stream and client was asked for the same.
        if !failure.retry_after.is_zero() {
            return failure.retry_after + pause;
        }
        // An API server that has just started refuses all requests until it knows its roles, and does not know a kind at
        // once whose definition has just been applied. So the first attempts come soon after each other.
        if (failure.denied || failure.not_installed) && pause >= LONGEST_PAUSE {
            return REFUSED_PAUSE;
        }
        pause
    }
}

impl Point {
    /// Whether this answer means that lists cannot be streamed: from an older API server, or to a role that may list but
    /// not watch.
    const fn refuses_streaming(self) -> bool {
        matches!(self, Self::Open(Some(400 | 403 | 405 | 422)))
    }

    /// Whether the watcher would go on from a place that may have skipped a change.
    ///
    /// kube's watcher keeps its resourceVersion when the *start* of a watch is answered with HTTP 410 (it expects 410
    /// inside the stream) or with 404 (the kind may be installed anew meanwhile), and reads on past a line that it cannot
    /// decode. Each would lose a change for good. After a 410 inside the stream it starts over by itself, with the kind of
    /// list that it was made with.
    const fn may_skip_changes(self) -> bool {
        matches!(self, Self::Open(Some(404 | 410)) | Self::Line | Self::Sent(410))
    }
}

const fn send(event: Event) -> Step {
    Step {
        event: Some(event),
        pause: None,
        then: Then::Continue,
    }
}

#[cfg(test)]
mod tests;
