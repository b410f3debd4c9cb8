//! A server's watch caches: how far each has come behind the store.
//!
//! As [`watch_cache.go`](https://github.com/kubernetes/apiserver/blob/v0.36.3/pkg/storage/cacher/watch_cache.go) does it.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{kind::Kind, refusal::Refusal, store::State};

/// How many events of a kind are kept at least.
const KEPT_EVENTS: usize = 100;
/// How long events are kept at least.
const KEPT_FOR: Duration = Duration::from_secs(75);
/// How long a server that has restarted fills its caches.
const FILLING: Duration = Duration::from_secs(1);

/// The caches of one server.
#[derive(Debug, Default)]
pub(super) struct Cache {
    lags: BTreeMap<&'static str, Duration>,
    /// The newest revision that the cache of a kind has shown.
    shown: BTreeMap<&'static str, u64>,
    /// The revision that the caches were filled at.
    filled_at: u64,
    /// When they are filled; `None`: they are.
    filling_until: Option<Instant>,
}

impl Cache {
    pub(super) fn new(revision: u64) -> Self {
        Self {
            filled_at: revision,
            ..Self::default()
        }
    }

    pub(super) fn set_lag(&mut self, state: &State, kind: &'static Kind, lag: Duration) {
        // What was shown stays shown.
        self.revision(state, kind);
        self.lags.insert(kind.plural, lag);
    }

    pub(super) fn lag(&self, kind: &Kind) -> Duration {
        self.lags.get(kind.plural).copied().unwrap_or_default()
    }

    pub(super) fn restart(&mut self) {
        self.shown.clear();
        self.filling_until = Some(Instant::now() + FILLING);
    }

    /// Whether the caches are filled.
    pub(super) fn is_ready(&mut self, state: &State) -> bool {
        if let Some(until) = self.filling_until {
            if Instant::now() < until {
                return false;
            }
            self.filled_at = state.log.revision_at(until);
            self.filling_until = None;
        }
        true
    }

    /// The revision that the cache of a kind shows.
    pub(super) fn revision(&mut self, state: &State, kind: &'static Kind) -> u64 {
        let lag = self.lag(kind);
        let arrived = Instant::now()
            .checked_sub(lag)
            .map_or(self.filled_at, |moment| state.log.revision_at(moment));
        let shown = self.shown.entry(kind.plural).or_default();
        *shown = arrived.max(*shown).max(self.filled_at);
        *shown
    }

    /// Whether the events since a revision are all kept.
    pub(super) fn has_since(
        &mut self,
        state: &State,
        kind: &'static Kind,
        revision: u64,
    ) -> Result<(), Refusal> {
        let shown = self.revision(state, kind);
        let now = Instant::now();
        let events = state.log.since(self.filled_at).iter();
        let events: Vec<_> = events
            .filter(|commit| commit.revision <= shown && commit.is_of(kind))
            .collect();
        let old = events.len().saturating_sub(KEPT_EVENTS);
        let removed = events[..old]
            .iter()
            .take_while(|commit| now - commit.at > KEPT_FOR)
            .count();
        let oldest = match removed {
            0 => self.filled_at,
            removed => events.get(removed).map_or(shown, |commit| commit.revision - 1),
        };
        if revision < oldest {
            return Err(Refusal::expired(format!(
                "too old resource version: {revision} ({oldest})"
            )));
        }
        Ok(())
    }
}
