//! Which contents arrived, when, how often. Input: changes of sources, each workload's sources and rollouts; output: counts.
//! I/O: none.
//!
//! A content is known by its digest, so a rollout shows which contents it is for, whatever the strategy. A content that a
//! newer one overtook has arrived with the newer one: restarts may be gathered.

use std::{collections::HashMap, time::Instant};

use super::record::{History, Id, Record};

/// A source's namespace, kind and name.
pub type Source = String;

/// A change of a source's content.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which source.
    pub source: Source,
    /// The new content's digest.
    pub marker: String,
    /// When the write was sent.
    pub begun: Instant,
    /// When the write was answered.
    pub answered: Instant,
}

/// A workload and the sources that it uses.
pub type Use = (Id, Vec<Source>);

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    /// For each workload and each change of one of its sources: milliseconds until the watch showed this content or a newer
    /// one in its template.
    pub latencies: Vec<f64>,
    /// Workloads that do not show the last content of a source of theirs, by source.
    pub missed: usize,
    /// Rollouts that brought no newer content: for a content twice, for an older one after a newer one, or without any.
    pub twice: usize,
    /// Rollouts.
    pub rollouts: usize,
    /// Milliseconds from a rollout's sight to its end, where there are pods.
    pub rollout_times: Vec<f64>,
    /// Workloads whose last rollout was not over when the wait ended.
    pub unfinished: usize,
}

/// Counts for these workloads.
pub fn count(changes: &[Change], uses: &[Use], record: &Record) -> Count {
    let mut by_source: HashMap<&str, Vec<&Change>> = HashMap::new();
    for change in changes {
        by_source.entry(&change.source).or_default().push(change);
    }
    for of_source in by_source.values_mut() {
        of_source.sort_by_key(|change| change.answered);
    }
    let mut count = Count::default();
    for (id, sources) in uses {
        let of_sources: Vec<&[&Change]> = sources
            .iter()
            .filter_map(|source| by_source.get(source.as_str()).map(Vec::as_slice))
            .collect();
        match record.get(id) {
            Some(history) if !history.deleted => count_one(&mut count, history, &of_sources),
            Some(_) => {}
            None => count.missed += of_sources.len(),
        }
    }
    count
}

fn count_one(count: &mut Count, history: &History, sources: &[&[&Change]]) {
    count.rollouts += history.rollouts.len();
    // For each source how many of its contents have arrived: the position behind the newest one shown.
    let mut arrived = vec![0; sources.len()];
    for rollout in &history.rollouts {
        let mut is_news = false;
        for (changes, arrived) in sources.iter().zip(&mut arrived) {
            let newest = changes
                .iter()
                .rposition(|change| rollout.markers.contains(&change.marker));
            let newest = newest.map_or(0, |position| position + 1);
            if newest > *arrived {
                is_news = true;
                let late = changes[*arrived..newest]
                    .iter()
                    .filter(|change| change.begun >= history.first_seen);
                let after = |change: &&Change| milliseconds(change.answered, rollout.seen);
                count.latencies.extend(late.map(after));
                *arrived = newest;
            }
        }
        count.twice += usize::from(!is_news);
        if history.has_pods
            && let Some(complete) = rollout.complete
        {
            count.rollout_times.push(milliseconds(rollout.seen, complete));
        }
    }
    // A workload that was made while the write was on its way may have started with the new content.
    let is_missed = |(changes, arrived): (&&[&Change], &usize)| {
        let last = changes.last();
        *arrived < changes.len() && last.is_some_and(|last| last.begun >= history.first_seen)
    };
    count.missed += sources
        .iter()
        .zip(&arrived)
        .filter(|pair| is_missed(*pair))
        .count();
}

/// From one moment to a later one; 0 if it was not later: a watch can overtake the answer to the write that it shows.
pub fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;
    use testbed::digest_of;

    use super::*;

    const SOURCE: &str = "ns/ConfigMap/a";
    /// How long a write is on its way, in milliseconds.
    const SENT: u64 = 5;

    fn id() -> Id {
        Id {
            kind: "Deployment".to_owned(),
            namespace: "ns".to_owned(),
            name: "a".to_owned(),
        }
    }

    /// A record with a workload seen at 0 ms and rollouts that show the content of a number at a time.
    fn record(begun: Instant, rollouts: &[(u64, usize)]) -> Record {
        let mut record = Record::default();
        let object = |generation: usize, marker: &str| {
            json!({
                "metadata": { "generation": generation },
                "spec": { "replicas": 0, "template": { "marker": marker, "generation": generation } },
            })
        };
        record.apply(id(), &object(1, ""), begun);
        for (number, (at, content)) in rollouts.iter().enumerate() {
            let object = object(number + 2, &digest_of(&content.to_string()));
            record.apply(id(), &object, begun + Duration::from_millis(*at));
        }
        record
    }

    /// Contents 0, 1, 2, ... written at these times.
    fn changes(begun: Instant, times: &[u64]) -> Vec<Change> {
        let change = |(content, at): (usize, &u64)| Change {
            source: SOURCE.to_owned(),
            marker: digest_of(&content.to_string()),
            begun: begun + Duration::from_millis(at.saturating_sub(SENT)),
            answered: begun + Duration::from_millis(*at),
        };
        times.iter().enumerate().map(change).collect()
    }

    fn counted(times: &[u64], rollouts: &[(u64, usize)]) -> Count {
        let begun = Instant::now();
        let uses = [(id(), vec![SOURCE.to_owned()])];
        count(&changes(begun, times), &uses, &record(begun, rollouts))
    }

    #[test]
    fn each_content_in_its_own_rollout() {
        let count = counted(&[10, 20], &[(15, 0), (50, 1)]);
        assert_eq!(count.latencies, [5.0, 30.0]);
        assert_eq!((count.missed, count.twice, count.rollouts), (0, 0, 2));
    }

    #[test]
    fn a_content_that_was_overtaken_arrives_with_the_newer_one() {
        let count = counted(&[10, 20], &[(50, 1)]);
        assert_eq!(count.latencies, [40.0, 30.0]);
        assert_eq!((count.missed, count.twice, count.rollouts), (0, 0, 1));
    }

    #[test]
    fn the_last_content_must_arrive() {
        assert_eq!(counted(&[10, 20], &[(15, 0)]).missed, 1);
        assert_eq!(counted(&[10], &[]).missed, 1);
        assert_eq!(counted(&[], &[]), Count::default());
    }

    #[test]
    fn a_workload_that_was_made_during_the_write_misses_nothing() {
        let begun = Instant::now();
        let uses = [(id(), vec![SOURCE.to_owned()])];
        let seen = begun + Duration::from_millis(8);
        let missed = |at| count(&changes(begun, &[at]), &uses, &record(seen, &[])).missed;
        assert_eq!((missed(10), missed(8 + SENT)), (0, 1));
    }

    #[test]
    fn a_rollout_without_news_counts_as_twice() {
        assert_eq!(counted(&[10, 20], &[(25, 1), (30, 1)]).twice, 1);
        // An older content after a newer one.
        let count = counted(&[10, 20], &[(25, 1), (30, 0)]);
        assert_eq!((count.twice, count.missed), (1, 0));
        // Without any change.
        assert_eq!(counted(&[], &[(30, 7)]).twice, 1);
    }

    #[test]
    fn a_workload_that_the_watch_never_showed_misses_everything() {
        let uses = [(id(), vec![SOURCE.to_owned()])];
        let count = count(&changes(Instant::now(), &[1]), &uses, &Record::default());
        assert_eq!(count.missed, 1);
    }

    proptest! {
        /// Every change is a latency unless it is missed, and every rollout is either news or counted as twice.
        #[test]
        fn nothing_is_lost_and_nothing_counted_twice(
            shown in prop::collection::vec(0_usize..8, 0..12),
            written in 0_usize..8,
        ) {
            let times: Vec<u64> = (0..written).map(|number| number as u64).collect();
            let rollouts: Vec<(u64, usize)> =
                shown.iter().enumerate().map(|(number, content)| (100 + number as u64, *content)).collect();
            let count = counted(&times, &rollouts);
            let newest = shown.iter().filter(|content| **content < written).max();
            prop_assert_eq!(count.latencies.len(), newest.map_or(0, |newest| newest + 1));
            prop_assert_eq!(count.missed, usize::from(count.latencies.len() < written));
            prop_assert_eq!(count.rollouts, shown.len());
            let mut highest = None;
            let mut news = 0;
            for content in shown.iter().filter(|content| **content < written) {
                if Some(*content) > highest {
                    highest = Some(*content);
                    news += 1;
                }
            }
            prop_assert_eq!(count.twice, shown.len() - news);
        }
    }
}
