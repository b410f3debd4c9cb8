//! Which failures of streams are one and the same: one line for an outage, however many streams it hits.
//!
//! Input: how each stream failed or recovered. Output: whether that is worth a line. I/O: none.
//!
//! Streams fail together when they fail alike: with the same HTTP status, or without an answer. The first is logged, and
//! the end of the last.

use std::collections::BTreeMap;

use crate::watch::StreamId;

/// The streams that fail at present.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// By the HTTP status of their first failure; without, no answer came.
    failing: BTreeMap<Option<u16>, Outage>,
}

#[derive(Debug, Default)]
struct Outage {
    streams: Vec<StreamId>,
    /// How many it has hit, those that work again included.
    hit: usize,
}

/// Whether a change of one stream is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It belongs to an outage that was logged, or that still lasts.
    Known,
    /// It is the first failure of an outage.
    Begins,
    /// It is the last recovery of an outage that hit so many streams besides.
    Ends {
        /// The other streams.
        others: usize,
    },
}

impl Outages {
    /// The stream, which worked, has failed with that status.
    pub(super) fn failed(&mut self, stream: &StreamId, code: Option<u16>) -> News {
        self.recovered(stream);
        let outage = self.failing.entry(code).or_default();
        outage.streams.push(stream.clone());
        outage.hit += 1;
        if outage.hit == 1 {
            News::Begins
        } else {
            News::Known
        }
    }

    /// The stream no longer fails.
    pub(super) fn recovered(&mut self, stream: &StreamId) -> News {
        let of_stream =
            |(code, outage): (&Option<u16>, &Outage)| outage.streams.contains(stream).then_some(*code);
        let Some(code) = self.failing.iter().find_map(of_stream) else {
            return News::Ends { others: 0 };
        };
        let Some(outage) = self.failing.get_mut(&code) else {
            return News::Ends { others: 0 };
        };
        outage.streams.retain(|other| other != stream);
        let others = outage.hit - 1;
        if !outage.streams.is_empty() {
            return News::Known;
        }
        self.failing.remove(&code);
        News::Ends { others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{SourceKind, WorkloadKind},
        watch::Watched,
    };

    const UNREACHABLE: Option<u16> = None;

    fn streams() -> [StreamId; 3] {
        [
            Watched::Source(SourceKind::ConfigMap),
            Watched::Source(SourceKind::Secret),
            Watched::Workload(WorkloadKind::Deployment),
        ]
        .map(|watched| StreamId {
            watched,
            namespace: None,
        })
    }

    #[test]
    fn an_outage_of_all_streams_begins_and_ends_once() {
        let mut outages = Outages::default();
        for _ in 0..2 {
            let failed = streams().map(|stream| outages.failed(&stream, UNREACHABLE));
            assert_eq!(failed, [News::Begins, News::Known, News::Known]);
            let recovered = streams().map(|stream| outages.recovered(&stream));
            assert_eq!(recovered, [News::Known, News::Known, News::Ends { others: 2 }]);
        }
    }

    #[test]
    fn a_stream_that_fails_in_its_own_way_hides_no_outage() {
        let [broken, one, other] = streams();
        let mut outages = Outages::default();
        assert_eq!(outages.failed(&broken, Some(500)), News::Begins);
        assert_eq!(outages.failed(&one, UNREACHABLE), News::Begins);
        assert_eq!(outages.failed(&other, UNREACHABLE), News::Known);
        assert_eq!(outages.recovered(&one), News::Known);
        assert_eq!(outages.recovered(&other), News::Ends { others: 1 });
        assert_eq!(outages.recovered(&broken), News::Ends { others: 0 });
    }

    #[test]
    fn a_stream_that_was_denied_recovers_on_its_own() {
        let [stream, ..] = streams();
        assert_eq!(Outages::default().recovered(&stream), News::Ends { others: 0 });
    }
}
