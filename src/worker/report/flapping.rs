//! Which sources return to earlier contents again and again: two writers overwrite each other, or a generator is not
//! deterministic.
//!
//! Input: changes of sources that workloads are restarted for; `now`. Output: what to warn about. I/O: none.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    mailbox::{Bounds, Rank, Waiting},
    model::{Content, SourceKey},
};

/// Returns to an earlier content that make a source one that flaps, if they happen within [`WINDOW`]. A user who takes a
/// change back, and makes it again, causes two.
const RETURNS: usize = 5;
/// The longest time that [`RETURNS`] of them may take.
const WINDOW: Duration = Duration::from_hours(1);
/// How often one source is warned about, at most.
const AGAIN_AFTER: Duration = Duration::from_hours(1);
/// Contents remembered of a source: a cycle of more is not noticed.
const CONTENTS: usize = 8;
/// Sources observed; those that have not changed for the longest time are forgotten first.
const OBSERVED: Bounds = Bounds {
    namespace: 200,
    total: 4000,
};

/// A source that flaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flap {
    /// How often it has returned to an earlier content.
    pub(super) returns: usize,
    /// Within which time.
    pub(super) within: Duration,
}

/// The sources that have changed.
#[derive(Debug)]
pub(super) struct Flapping(Waiting<Observed>);

#[derive(Debug)]
struct Observed {
    source: SourceKey,
    /// Its last contents, the present one last.
    contents: VecDeque<Content>,
    /// When it returned to one of them.
    returns: VecDeque<Instant>,
    warned: Option<Instant>,
}

impl Flapping {
    pub(super) fn new() -> Self {
        Self(Waiting::new(OBSERVED))
    }

    /// The source has another content from now on. One that restarts no workload is observed only once it has.
    pub(super) fn changed(
        &mut self,
        source: &SourceKey,
        content: Content,
        restarts: bool,
        now: Instant,
    ) -> Option<Flap> {
        let namespace = &source.namespace;
        let known = self.0.extract(namespace, |observed| observed.source == *source);
        let new = || Observed {
            source: source.clone(),
            contents: VecDeque::new(),
            returns: VecDeque::new(),
            warned: None,
        };
        let mut observed = known.or_else(|| restarts.then(new))?;
        let flap = observed.changed(content, now);
        drop(self.0.push(&Arc::clone(namespace), Rank::Usual, observed));
        flap
    }
}

impl Observed {
    fn changed(&mut self, content: Content, now: Instant) -> Option<Flap> {
        let before = self.contents.iter().position(|other| *other == content);
        let is_return = before.is_some_and(|at| at + 1 < self.contents.len());
        match before {
            Some(at) => _ = self.contents.remove(at),
            None if self.contents.len() == CONTENTS => _ = self.contents.pop_front(),
            None => {}
        }
        self.contents.push_back(content);
        if is_return {
            self.returns.push_back(now);
        }
        let is_past = |at: &Instant| now.duration_since(*at) > WINDOW;
        while self.returns.len() > RETURNS || self.returns.front().is_some_and(is_past) {
            self.returns.pop_front();
        }
        let was_warned = self.warned.is_some_and(|at| now.duration_since(at) < AGAIN_AFTER);
        if !is_return || self.returns.len() < RETURNS || was_warned {
            return None;
        }
        self.warned = Some(now);
        Some(Flap {
            returns: RETURNS,
            within: now.duration_since(*self.returns.front()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Digest, SourceKind};

    fn content(byte: u8) -> Content {
        Content::Present(Digest::from_bytes([byte; 20]))
    }

    fn source(name: &str) -> SourceKey {
        SourceKey::new(SourceKind::Secret, "shop", name)
    }

    /// The changes, by their number, at which a source is warned about that takes these contents, `apart` from each other.
    fn warned(contents: &str, apart: Duration) -> Vec<(usize, Flap)> {
        let (mut flapping, mut now) = (Flapping::new(), Instant::now());
        let mut warned = Vec::new();
        for (number, letter) in contents.bytes().enumerate() {
            let content = if letter == b'-' {
                Content::Absent
            } else {
                content(letter)
            };
            let flap = flapping.changed(&source("a"), content, true, now);
            warned.extend(flap.map(|flap| (number + 1, flap)));
            now += apart;
        }
        warned
    }

    fn numbers(contents: &str, apart: Duration) -> Vec<usize> {
        warned(contents, apart)
            .into_iter()
            .map(|(number, _)| number)
            .collect()
    }

    #[test]
    fn contents_that_return_are_warned_about_once_whether_fast_or_slow() {
        for (contents, apart) in [
            ("ABABABABABABABABABAB", Duration::from_millis(500)),
            ("ABABABABABAB", Duration::from_mins(5)),
            // Deleted and created again.
            ("A-A-A-A-A-A", Duration::from_secs(1)),
        ] {
            assert_eq!(numbers(contents, apart), [7], "{apart:?}");
        }
        let expected = Flap {
            returns: 5,
            within: Duration::from_secs(2),
        };
        assert_eq!(warned("ABABABA", Duration::from_millis(500)), [(7, expected)]);
        // Three contents in turn.
        assert_eq!(numbers("ABCABCABC", Duration::from_secs(1)), [8]);
    }

    #[test]
    fn what_flaps_for_hours_is_warned_about_each_hour() {
        let contents = "AB".repeat(100);
        assert_eq!(numbers(&contents, Duration::from_mins(1)), [7, 67, 127, 187]);
    }

    #[test]
    fn what_changes_without_returning_or_seldom_is_not_warned_about() {
        let ever_new: String = ('a'..='z').collect();
        for (contents, apart) in [
            (ever_new.as_str(), Duration::from_millis(10)),
            ("AAAAAAAAAAAAAAA", Duration::from_millis(10)),
            // A user who takes a change back, makes it again, and takes it back.
            ("ABABAB", Duration::from_mins(1)),
            ("ABABABABABABABAB", Duration::from_mins(16)),
        ] {
            assert_eq!(warned(contents, apart), [], "{contents}");
        }
    }

    #[test]
    fn only_what_restarts_workloads_is_observed() {
        let (mut flapping, now) = (Flapping::new(), Instant::now());
        let mut change =
            |restarts, number: u8| flapping.changed(&source("a"), content(number % 2), restarts, now);
        assert!((0..40).all(|content| change(false, content).is_none()));
        assert_eq!(change(true, 0), None);
        // A change that is taken back within the coalescing window restarts nothing.
        assert_eq!((1..40).filter_map(|content| change(false, content)).count(), 1);
    }

    #[test]
    fn many_sources_of_one_namespace_forget_their_own() {
        let (mut flapping, now) = (Flapping::new(), Instant::now());
        let calm = SourceKey::new(SourceKind::Secret, "calm", "a");
        let mut flaps = 0;
        for number in 0..7_u8 {
            let content = content(number % 2);
            flaps += usize::from(flapping.changed(&calm, content, true, now).is_some());
            for other in 0..2 * OBSERVED.namespace {
                let other = source(&other.to_string());
                flaps += usize::from(flapping.changed(&other, content, true, now).is_some());
            }
        }
        assert_eq!(flaps, 1);
    }

    proptest! {
        /// Whatever the contents and times: no two warnings within an hour.
        #[test]
        fn warnings_are_an_hour_apart(steps in prop::collection::vec((0_u8..4, 0_u64..600), 0..300)) {
            let (mut flapping, mut now) = (Flapping::new(), Instant::now());
            let mut last: Option<Instant> = None;
            for (number, seconds) in steps {
                now += Duration::from_secs(seconds);
                if flapping.changed(&source("a"), content(number), true, now).is_some() {
                    prop_assert!(last.is_none_or(|last| now.duration_since(last) >= AGAIN_AFTER));
                    last = Some(now);
                }
            }
        }
    }
}
