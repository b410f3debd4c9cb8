//! Writes Events, several at a time.
//!
//! Input: what waits. Output: core/v1 Events; what became of each. I/O: writes, through what it is given.

use std::time::Duration;

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

use super::{
    notice::{Fate, Notice, Queued},
    written::{Memory, Written},
};
use crate::{
    api_error::{ApiError, Class},
    mailbox::Receiver,
};

/// Events written at the same time about the objects of one namespace.
const AT_ONCE_IN_NAMESPACE: usize = 8;
/// Events written at the same time, so that a namespace whose writes hang leaves room for others.
const AT_ONCE: usize = 12;
/// How often a write is tried that the API server does not answer, or puts off.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt, doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that the API server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Writes what waits until every sender is gone and nothing is left.
pub(super) async fn write_all<W>(
    mut waiting: Receiver<Queued>,
    write: impl Fn(Queued, Option<Written>) -> W + Sync,
    report: impl Fn(Fate) + Send,
) where
    W: Future<Output = Result<Written, ApiError>> + Send,
{
    let mut memory = Memory::new();
    // Logged once: there are many Events.
    let mut refusals = 0_u32;
    let mut under_way: Vec<Notice> = Vec::new();
    let mut writes = FuturesUnordered::new();
    let mut is_open = true;
    loop {
        while under_way.len() < AT_ONCE
            && let Some(queued) = next(&waiting, &under_way)
        {
            under_way.push(queued.notice.clone());
            let earlier = memory.recall(&queued.notice, Instant::now());
            let attempts = attempts(&write, queued.clone(), earlier);
            writes.push(attempts.map(move |result| (queued.notice, result)));
        }
        if writes.is_empty() && !is_open {
            return;
        }
        tokio::select! {
            Some((notice, result)) = writes.next() => {
                under_way.retain(|other| *other != notice);
                match result {
                    Ok(written) => {
                        memory.remember(notice, written);
                        report(Fate::Written);
                    }
                    Err(error) => {
                        log_failure(&notice, &error, &mut refusals);
                        report(if is_moot(&error) { Fate::Moot } else { Fate::Failed });
                    }
                }
            }
            arrived = waiting.arrived(), if is_open => is_open = arrived,
        }
    }
}

/// The next one that may be written while others are.
///
/// One that repeats another raises its count, so both are written one after the other. So are those about one object whose
/// reasons differ: a failure and the success that follows it.
fn next(waiting: &Receiver<Queued>, under_way: &[Notice]) -> Option<Queued> {
    let has_room = |namespace: &str| {
        let is_same = |other: &&Notice| **other.about.namespace() == *namespace;
        under_way.iter().filter(is_same).count() < AT_ONCE_IN_NAMESPACE
    };
    let follows = |notice: &Notice, other: &Notice| {
        other.about == notice.about && (other.reason != notice.reason || other == notice)
    };
    waiting.take_where(has_room, |Queued { notice, .. }| {
        !under_way.iter().any(|other| follows(notice, other))
    })
}

/// Tries again where the API server is overloaded: in a storm of restarts it puts requests off.
async fn attempts<W>(
    write: &impl Fn(Queued, Option<Written>) -> W,
    queued: Queued,
    earlier: Option<Written>,
) -> Result<Written, ApiError>
where
    W: Future<Output = Result<Written, ApiError>> + Send,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match write(queued.clone(), earlier.clone()).await {
            Err(error) if matches!(error.class, Class::Unavailable | Class::Throttled(_)) => {
                sleep(error.pause(pause).min(LONGEST_PAUSE)).await;
                pause *= 2;
            }
            result => return result,
        }
    }
    write(queued, earlier).await
}

/// The namespace is gone, or going: no one misses the Event.
fn is_moot(error: &ApiError) -> bool {
    error.is_not_found() || error.message.contains("because it is being terminated")
}

fn log_failure(notice: &Notice, error: &ApiError, refusals: &mut u32) {
    if error.is_missing_permission() {
        *refusals = refusals.saturating_add(1);
        // Not the first: an API server that has just started refuses all requests until it knows its roles.
        if *refusals == 2 {
            tracing::warn!(
                category = error.category(),
                "Kubernetes Events are not written: {error}. Reloader works without them; to have them, grant create and \
                 patch on events in the namespaces of the workloads"
            );
        }
    }
    tracing::debug!(
        err = %error, category = error.category(), about = %notice.about, reason = notice.reason,
        "Kubernetes Event was not written"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{
        mailbox::{Rank, mailbox},
        model::{SourceKind, WorkloadKey, WorkloadKind},
        patch::events::notice::{Severity, Subject, WAITING},
    };

    fn notice(namespace: &str, name: &str, reason: &'static str, message: &str) -> Notice {
        Notice {
            about: Subject::Workload(WorkloadKey::new(WorkloadKind::Deployment, namespace, name)),
            uid: "u".into(),
            related: None,
            once: None,
            source: SourceKind::ConfigMap,
            severity: Severity::Normal,
            reason,
            message: message.to_owned(),
        }
    }

    /// An API server that answers each write after a second.
    #[derive(Default)]
    struct Server {
        /// What the first writes get.
        errors: Mutex<Vec<ApiError>>,
        under_way: AtomicUsize,
        most_under_way: AtomicUsize,
        /// Messages in the order in which they were stored, with their counts.
        stored: Mutex<Vec<(String, i32)>>,
        fates: Mutex<Vec<Fate>>,
    }

    impl Server {
        async fn write(&self, queued: Queued, earlier: Option<Written>) -> Result<Written, ApiError> {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_under_way.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if let Some(error) = self.errors.lock().unwrap().pop() {
                return Err(error);
            }
            let count = earlier.map_or(1, |earlier| earlier.count + 1);
            self.stored.lock().unwrap().push((queued.notice.message, count));
            Ok(Written {
                name: String::new(),
                count,
                last: Instant::now(),
            })
        }

        fn messages(&self) -> Vec<String> {
            let stored = self.stored.lock().unwrap();
            stored.iter().map(|(message, _)| message.clone()).collect()
        }

        fn fate(&self, fate: Fate) -> usize {
            let fates = self.fates.lock().unwrap();
            fates.iter().filter(|other| **other == fate).count()
        }
    }

    /// Lets the notices be written, and waits until all are.
    async fn write_notices(server: &Server, notices: impl IntoIterator<Item = Notice>) {
        let (sender, receiver) = mailbox(WAITING);
        for notice in notices {
            let namespace = Arc::clone(notice.about.namespace());
            let dropped = sender.send(&namespace, Rank::Usual, Queued::now(notice));
            assert!(dropped.is_none());
        }
        drop(sender);
        let report = |fate| server.fates.lock().unwrap().push(fate);
        write_all(receiver, |queued, earlier| server.write(queued, earlier), report).await;
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_written_several_at_a_time_and_one_namespace_leaves_room() {
        let server = Server::default();
        let flood = (0..100).map(|number| notice("flood", &format!("web-{number}"), "Reloaded", "flood"));
        let calm = notice("calm", "web", "Reloaded", "calm");
        write_notices(&server, flood.chain([calm])).await;
        assert_eq!(
            server.most_under_way.load(Ordering::SeqCst),
            AT_ONCE_IN_NAMESPACE + 1
        );
        assert!(server.messages()[..=AT_ONCE_IN_NAMESPACE].contains(&"calm".to_owned()));
        assert_eq!(server.fate(Fate::Written), 101);
    }

    #[tokio::test(start_paused = true)]
    async fn what_repeats_raises_the_count_and_reasons_keep_their_order() {
        let server = Server::default();
        let failed = || notice("a", "web", "ReloadFail", "failed");
        write_notices(
            &server,
            [failed(), notice("a", "web", "Reloaded", "done"), failed()],
        )
        .await;
        let stored = server.stored.lock().unwrap().clone();
        let expected = [("failed", 1), ("done", 1), ("failed", 2)];
        assert_eq!(
            stored,
            expected.map(|(message, count)| (message.to_owned(), count))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_put_off_is_tried_again() {
        let server = Server::default();
        let error = |code| ApiError::from_status(&kube::core::Status::failure("no", "").with_code(code));
        // From the last to the first: twice overloaded, then refused, then of a namespace that is gone.
        *server.errors.lock().unwrap() = vec![error(404), error(422), error(429), error(503)];
        let web = |name| notice("a", "web", "Reloaded", name);
        for name in ["1", "2", "3"] {
            write_notices(&server, [web(name)]).await;
        }
        assert_eq!(server.messages(), ["3"]);
        let fates = [Fate::Written, Fate::Failed, Fate::Moot].map(|fate| server.fate(fate));
        assert_eq!(fates, [1, 1, 1]);
    }
}
