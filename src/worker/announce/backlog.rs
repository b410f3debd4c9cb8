//! The changes that a standby has seen and may have to post as the next leader.
//!
//! Input: changes, and who leads. Output: the changes that no other replica may have posted. I/O: none; `now` is given.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    lease::Timings,
    mailbox::{Bounds, Rank, Waiting},
};

/// Changes kept at most; the oldest of the namespace that has most are forgotten first.
const KEPT: Bounds = Bounds {
    namespace: 1000,
    total: 4000,
};

/// The holder of the lease, as far as this replica has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This replica.
    Me,
    /// Another one.
    Other,
    /// There is none: the lease was given back, or never held.
    None,
}

/// The changes that a standby has seen.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    holder: Holder,
    /// Since when there is no leader.
    free_since: Instant,
    /// How late this replica may learn that the lease was given back, or lost.
    late: Duration,
    /// How long before its takeover a replica may have lost its leader.
    longest_gap: Duration,
    kept: Waiting<(Instant, T)>,
}

impl<T: PartialEq> Backlog<T> {
    /// An empty backlog; without an election every change is posted at once.
    pub(super) fn new(timings: Option<Timings>, now: Instant) -> Self {
        Self {
            holder: if timings.is_some() {
                Holder::None
            } else {
                Holder::Me
            },
            free_since: now,
            // A replica that may not watch the lease reads it each 1 to 2.2 retry periods. Before the lease is free, its
            // holder posts nothing more for as long as giving it back takes, one request.
            late: timings.map_or(Duration::ZERO, |timings| timings.retry_period() * 4),
            // A lost holder's lease runs out a lease duration after its last renewal was seen.
            longest_gap: timings.map_or(Duration::ZERO, |timings| {
                timings.lease_duration() + timings.retry_period() * 4
            }),
            kept: Waiting::new(KEPT),
        }
    }

    /// Notes the present holder. Returns what is to be posted because this replica leads from now on.
    pub(super) fn follow(&mut self, holder: Holder, now: Instant) -> Vec<T> {
        let before = std::mem::replace(&mut self.holder, holder);
        if holder == Holder::None && before != Holder::None {
            self.free_since = now;
        }
        if holder != Holder::Me {
            return Vec::new();
        }
        let (end, before_it) = match before {
            Holder::None => (self.free_since, self.late),
            Holder::Me | Holder::Other => (now, self.longest_gap),
        };
        std::iter::from_fn(|| self.kept.take())
            .filter(|(seen, _)| *seen + before_it >= end)
            .map(|(_, change)| change)
            .collect()
    }

    /// Takes a change in; gives it back where this replica leads, so that it is posted now. Otherwise it replaces an equal
    /// one.
    pub(super) fn keep(&mut self, namespace: &Arc<str>, change: T, now: Instant) -> Option<T> {
        if self.holder == Holder::Me {
            return Some(change);
        }
        drop(self.kept.extract(namespace, |(_, kept)| *kept == change));
        drop(self.kept.push(namespace, Rank::Usual, (now, change)));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings() -> Timings {
        Timings::new(
            Duration::from_secs(15),
            Duration::from_secs(10),
            Duration::from_secs(2),
        )
        .unwrap()
    }

    fn shop() -> Arc<str> {
        "shop".into()
    }

    /// A standby beside another leader, and the moment it began.
    fn standby() -> (Backlog<u32>, Instant) {
        let begun = Instant::now();
        let mut backlog = Backlog::new(Some(timings()), begun);
        assert!(backlog.follow(Holder::Other, begun).is_empty());
        (backlog, begun)
    }

    #[test]
    fn without_an_election_every_change_is_posted_at_once() {
        let mut backlog = Backlog::new(None, Instant::now());
        assert_eq!(backlog.keep(&shop(), 1, Instant::now()), Some(1));
        assert!(backlog.follow(Holder::Me, Instant::now()).is_empty());
    }

    #[test]
    fn what_changed_without_a_leader_is_posted_by_the_next_one() {
        let (mut backlog, begun) = standby();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(backlog.keep(&shop(), 1, at(1)), None);
        backlog.follow(Holder::None, at(60));
        assert_eq!(backlog.keep(&shop(), 2, at(61)), None);
        backlog.follow(Holder::None, at(62));
        assert_eq!(backlog.keep(&shop(), 3, at(63)), None);
        assert_eq!(backlog.follow(Holder::Me, at(64)), [2, 3]);
        assert_eq!(backlog.keep(&shop(), 4, at(65)), Some(4));
        assert!(backlog.follow(Holder::Me, at(66)).is_empty());
    }

    /// The watch of sources may be faster than reading the lease.
    #[test]
    fn a_change_that_is_seen_before_the_lease_is_known_to_be_free_is_posted() {
        let (mut backlog, begun) = standby();
        let at = |seconds| begun + Duration::from_secs(seconds);
        backlog.keep(&shop(), 1, at(51));
        backlog.keep(&shop(), 2, at(52));
        backlog.follow(Holder::None, at(60));
        assert_eq!(backlog.follow(Holder::Me, at(61)), [2]);
    }

    #[test]
    fn a_lost_leaders_last_changes_are_posted_again() {
        let (mut backlog, begun) = standby();
        let at = |seconds| begun + Duration::from_secs(seconds);
        backlog.keep(&shop(), 1, at(1));
        backlog.keep(&shop(), 2, at(100));
        assert_eq!(backlog.follow(Holder::Me, at(115)), [2]);
    }

    #[test]
    fn what_another_leader_posts_is_not_posted_by_the_next_one() {
        let (mut backlog, begun) = standby();
        let at = |seconds| begun + Duration::from_secs(seconds);
        backlog.follow(Holder::None, at(1));
        backlog.keep(&shop(), 1, at(2));
        backlog.follow(Holder::Other, at(3));
        backlog.follow(Holder::None, at(60));
        assert!(backlog.follow(Holder::Me, at(61)).is_empty());
    }

    #[test]
    fn the_first_leader_posts_what_changed_before_there_was_one() {
        let begun = Instant::now();
        let mut backlog = Backlog::new(Some(timings()), begun);
        assert_eq!(backlog.keep(&shop(), 1, begun), None);
        assert_eq!(backlog.follow(Holder::Me, begun), [1]);
    }

    #[test]
    fn a_flood_of_one_namespace_forgets_its_own_oldest() {
        let (mut backlog, begun) = standby();
        assert_eq!(backlog.keep(&"calm".into(), u32::MAX, begun), None);
        let count = u32::try_from(KEPT.namespace).unwrap() + 2;
        (0..count).for_each(|number| assert_eq!(backlog.keep(&shop(), number, begun), None));
        let posted = backlog.follow(Holder::Me, begun);
        assert_eq!(posted[..2], [u32::MAX, 2]);
        assert_eq!(posted.len(), KEPT.namespace + 1);
    }

    #[test]
    fn a_change_that_repeats_is_kept_once_as_the_last_one() {
        let (mut backlog, begun) = standby();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (second, change) in [(1, 1), (2, 2), (100, 1)] {
            assert_eq!(backlog.keep(&shop(), change, at(second)), None);
        }
        assert_eq!(backlog.follow(Holder::Me, at(101)), [1]);
    }
}
