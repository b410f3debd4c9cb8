//! Statuses of the Secrets Store CSI driver are listed after the classes that they are about.
//!
//! Input: how the streams of classes fare. Output: when the streams of their statuses may begin. I/O: none.
//!
//! The annotations of a class determine which workloads its content concerns. If a status were seen first, its change
//! would miss the workloads that find the class by `search`, and reach others although the class has `ignore`; and that
//! is settled at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Event, StreamId, Watched};

/// How long statuses wait at most: rotations must not go unseen because classes cannot be listed. Three attempts at the
/// longest pause between them.
const PATIENCE: Duration = Duration::from_secs(15);

/// The namespaces whose classes are known, or cannot be known for now: there are none, or they may not be listed. `None`
/// stands for all namespaces, where one stream covers them.
#[derive(Clone, Debug, Default)]
pub struct ClassesKnown(Arc<watch::Sender<BTreeSet<Option<Arc<str>>>>>);

impl ClassesKnown {
    /// Whether the classes of the stream are known after that, or cannot be.
    pub(super) fn after(stream: &StreamId, event: &Event) -> bool {
        let is_known = match event {
            Event::Listed => true,
            Event::Failed(failure) => failure.denied || failure.not_installed,
            _ => false,
        };
        is_known && stream.watched == Watched::Class
    }

    /// The stream's classes are known: every status comes after them.
    pub(super) fn add(&self, classes: &StreamId) {
        self.0
            .send_if_modified(|known| known.insert(classes.namespace.clone()));
    }

    /// Returns when the classes are known that this stream of statuses is about.
    pub(super) async fn wait(&self, statuses: &StreamId) {
        let mut known = self.0.subscribe();
        let is_known = known.wait_for(|known| known.contains(&statuses.namespace));
        // In any case the statuses are listed now.
        let _ = tokio::time::timeout(PATIENCE, is_known).await;
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::time::Instant;

    use super::super::Failure;
    use super::*;
    use crate::model::SourceKind;

    fn stream(watched: Watched, namespace: Option<&str>) -> StreamId {
        StreamId {
            watched,
            namespace: namespace.map(Into::into),
        }
    }

    fn statuses(namespace: Option<&str>) -> StreamId {
        stream(Watched::Source(SourceKind::SecretProviderClass), namespace)
    }

    fn failed(denied: bool, not_installed: bool) -> Event {
        Event::Failed(Failure {
            denied,
            not_installed,
            ..Failure::other("it failed")
        })
    }

    #[rstest]
    #[case::listed(Watched::Class, Event::Listed, true)]
    #[case::refused(Watched::Class, failed(true, false), true)]
    #[case::not_installed(Watched::Class, failed(false, true), true)]
    #[case::begun(Watched::Class, Event::ListStarted, false)]
    #[case::failed(Watched::Class, failed(false, false), false)]
    #[case::other(Watched::Namespace, Event::Listed, false)]
    fn classes_are_known_once_they_are_listed_or_cannot_be(
        #[case] watched: Watched,
        #[case] event: Event,
        #[case] known: bool,
    ) {
        assert_eq!(ClassesKnown::after(&stream(watched, None), &event), known);
    }

    #[rstest]
    #[case::all_namespaces(None)]
    #[case::one_namespace(Some("team"))]
    #[tokio::test(start_paused = true)]
    async fn statuses_wait_for_the_classes_of_their_namespaces(#[case] namespace: Option<&str>) {
        let known = ClassesKnown::default();
        known.add(&stream(Watched::Class, Some("other")));
        let waiting = {
            let (known, statuses) = (known.clone(), statuses(namespace));
            tokio::spawn(async move { known.wait(&statuses).await })
        };
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(!waiting.is_finished());
        let start = Instant::now();
        known.add(&stream(Watched::Class, namespace));
        waiting.await.unwrap();
        known.wait(&statuses(namespace)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn statuses_do_not_wait_for_ever() {
        let start = Instant::now();
        ClassesKnown::default().wait(&statuses(None)).await;
        assert!(start.elapsed() >= PATIENCE && start.elapsed() < PATIENCE * 2);
    }
}
