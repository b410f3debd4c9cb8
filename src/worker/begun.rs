//! Which changes are being rolled out under a limit, so that the end of it is said as well.
//!
//! Input: restarts, time. Output: the sources to look at. I/O: none but a timer.
//!
//! Lost with the process: the next leader says the end of what it restarts the last workload for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use crate::model::SourceKey;

/// How often each is looked at.
const EACH: Duration = Duration::from_secs(10);
/// Sources that are remembered at most: of others the end is not said.
const MOST: usize = 1024;

/// The sources, and the resourceVersion of the change of each.
#[derive(Debug, Default)]
pub(super) struct Begun {
    sources: Mutex<BTreeMap<SourceKey, u64>>,
    news: Notify,
}

impl Begun {
    /// A workload was restarted for that change of the source. Returns whether it is the first.
    pub(super) fn note(&self, source: &SourceKey, version: u64) -> bool {
        let mut sources = self.lock();
        if sources.len() >= MOST && !sources.contains_key(source) {
            return false;
        }
        let is_first = sources.insert(source.clone(), version) != Some(version);
        drop(sources);
        self.news.notify_one();
        is_first
    }

    /// Whether that change of the source was noted.
    pub(super) fn has(&self, source: &SourceKey, version: u64) -> bool {
        self.lock().get(source) == Some(&version)
    }

    /// Those to be looked at, when it is time for that.
    pub(super) async fn due(&self) -> Vec<(SourceKey, u64)> {
        while self.lock().is_empty() {
            self.news.notified().await;
        }
        sleep(EACH).await;
        self.lock()
            .iter()
            .map(|(key, version)| (key.clone(), *version))
            .collect()
    }

    /// That change has come to its end. Returns whether it was looked at still.
    pub(super) fn end(&self, source: &SourceKey, version: u64) -> bool {
        let mut sources = self.lock();
        let is_same = sources.get(source) == Some(&version);
        if is_same {
            sources.remove(source);
        }
        is_same
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceKey, u64>> {
        // A panic while the lock was held ends the process through supervision; until then the data is still whole.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceKind;

    fn source(name: &str) -> SourceKey {
        SourceKey::new(SourceKind::Secret, "shop", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_begins_once_and_is_looked_at_until_it_ends() {
        let begun = Begun::default();
        assert!(begun.note(&source("db"), 1));
        assert!(!begun.note(&source("db"), 1));
        assert!(begun.has(&source("db"), 1) && !begun.has(&source("db"), 2));
        assert_eq!(begun.due().await, [(source("db"), 1)]);
        assert!(begun.note(&source("db"), 2), "another change");
        assert!(!begun.end(&source("db"), 1), "the one before");
        assert_eq!(begun.due().await, [(source("db"), 2)]);
        assert!(begun.end(&source("db"), 2));
        assert!(!begun.end(&source("db"), 2));
        assert!(begun.lock().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let begun = Begun::default();
        for number in 0..MOST {
            assert!(begun.note(&source(&number.to_string()), 1));
        }
        assert!(!begun.note(&source("more"), 1));
        assert!(begun.note(&source("0"), 2));
    }
}
