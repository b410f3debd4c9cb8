//! Whether the API server serves a kind that is watched only where it does.
//!
//! Input: an API client. Output: what is known, for every stream of the kind. I/O: reads.
//!
//! A list of the kind would show it too, but only where listing is permitted: elsewhere the answer is 403, whether the kind
//! is there or not. Discovery is open to every account (the role `system:discovery`), and one request answers for the streams
//! of all namespaces.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff};
use kube::Client;
use tokio::{sync::watch, time::Instant};

use super::course::{self, LONGEST_PAUSE, REFUSED_PAUSE};
use crate::{api_error::ApiError, model::WorkloadKind, watch::Failure};

/// How often a cluster is asked that has not served the kind for [`SOON`]: most never will.
const SELDOM: Duration = Duration::from_mins(5);
/// So long it may be that the definition is still to be applied, as with a cluster that is being set up.
const SOON: Duration = Duration::from_mins(10);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What discovery shows about a kind. Clones share it.
#[derive(Clone, Debug)]
pub struct Discovery {
    kind: WorkloadKind,
    found: Arc<watch::Sender<Found>>,
}

/// Whether a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There has been no answer yet.
    Unknown,
    /// It is not served; the question is repeated.
    Absent,
    /// The last question failed.
    Failed(Failure),
    /// It is served: its streams may begin.
    Served,
}

impl Discovery {
    /// Nothing is known of that kind yet.
    pub fn of(kind: WorkloadKind) -> Self {
        Self {
            kind,
            found: Arc::new(watch::Sender::new(Found::Unknown)),
        }
    }

    /// The kind.
    pub const fn kind(&self) -> WorkloadKind {
        self.kind
    }

    /// What is known, and what becomes known.
    pub(super) fn found(&self) -> watch::Receiver<Found> {
        self.found.subscribe()
    }

    /// Asks until the kind is served. Never ends by itself.
    pub async fn run(self, client: Client) {
        // Soon again at first: an API server does not know a kind at once whose definition has just been applied, nor one of
        // another server behind it after its own start.
        let mut pauses = course::backoff().with_jitter().build();
        let begun = Instant::now();
        loop {
            let answer = ask(&client, self.kind).await;
            let pause = pause(&mut pauses, answer.as_ref().err(), begun.elapsed());
            let found = match answer {
                Ok(true) => Found::Served,
                Ok(false) => Found::Absent,
                Err(error) if error.is_not_found() => Found::Absent,
                // Without discovery it cannot be told, and most clusters do not have it.
                Err(error) if error.is_forbidden() => {
                    if pause >= REFUSED_PAUSE {
                        self.report_refusal(&error);
                    }
                    Found::Absent
                }
                Err(error) => Found::Failed(failure(&error)),
            };
            let is_served = found == Found::Served;
            self.learn(found);
            if is_served {
                return std::future::pending().await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// A failure that repeats is one.
    fn learn(&self, found: Found) {
        self.found.send_if_modified(|known| {
            let is_news = std::mem::discriminant(known) != std::mem::discriminant(&found);
            *known = found;
            is_news
        });
    }

    fn report_refusal(&self, error: &ApiError) {
        let (kind, api) = (self.kind.plural(), self.kind.api_version());
        tracing::debug!(
            "It is not known whether the cluster has {kind}: asking for the resources of {api} is refused: {}",
            error.message
        );
    }
}

async fn ask(client: &Client, kind: WorkloadKind) -> Result<bool, ApiError> {
    let api = kind.api_version();
    let list = ApiError::within(TIMEOUT, client.list_api_group_resources(&api)).await?;
    Ok(list
        .resources
        .iter()
        .any(|resource| resource.name == kind.plural()))
}

/// `asking`: since when the question is asked.
fn pause(pauses: &mut ExponentialBackoff, error: Option<&ApiError>, asking: Duration) -> Duration {
    let next = pauses.next().unwrap_or(LONGEST_PAUSE);
    match error {
        Some(error) if !error.is_not_found() && !error.is_forbidden() => error.pause(next),
        _ if asking >= SOON => SELDOM,
        _ if next >= LONGEST_PAUSE => REFUSED_PAUSE,
        _ => next,
    }
}

fn failure(error: &ApiError) -> Failure {
    Failure {
        category: "discovery",
        code: error.code,
        retry_after: error.pause(Duration::ZERO),
        ..Failure::other(&error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16) -> ApiError {
        ApiError::from_status(&kube::core::Status::failure("no", "").with_code(code))
    }

    fn pauses_without_jitter() -> ExponentialBackoff {
        course::backoff().build()
    }

    #[test]
    fn a_kind_that_is_not_served_is_asked_for_often_at_first_and_then_seldom() {
        for absent in [None, Some(error(404)), Some(error(403))] {
            let mut pauses = pauses_without_jitter();
            let mut next = || pause(&mut pauses, absent.as_ref(), Duration::ZERO);
            let first: Duration = (0..5).map(|_| next()).sum();
            assert!(first < Duration::from_secs(10), "{first:?}");
            assert_eq!([next(), next()], [REFUSED_PAUSE; 2]);
            assert_eq!(pause(&mut pauses, absent.as_ref(), SOON), SELDOM);
        }
    }

    #[test]
    fn a_failure_is_retried_as_that_of_a_watch() {
        let mut pauses = pauses_without_jitter();
        let longest = (0..20).map(|_| pause(&mut pauses, Some(&error(503)), SOON)).max();
        assert_eq!(longest, Some(LONGEST_PAUSE));
    }

    #[test]
    fn a_failure_that_repeats_is_no_news() {
        let discovery = Discovery::of(WorkloadKind::DeploymentConfig);
        let mut found = discovery.found();
        let failed = |message| Found::Failed(Failure::other(message));
        for (learned, is_news) in [
            (failed("one"), true),
            (failed("two"), false),
            (Found::Absent, true),
            (Found::Absent, false),
            (Found::Served, true),
        ] {
            discovery.learn(learned.clone());
            assert_eq!(found.has_changed().unwrap(), is_news, "{learned:?}");
            assert_eq!(*found.borrow_and_update(), learned);
        }
    }
}
