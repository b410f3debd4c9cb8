//! The answers about the whole replica: status, what is owed, what was restarted, what there is.
//!
//! Input: parameters. Output: [`Status`], [`OwedPage`], [`RestartsAnswer`], [`SearchAnswer`]. I/O: reads the clock.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::task::yield_now;

use super::about::{Inspector, time};
use crate::{
    admin::health::CheckResult,
    explain::{
        Found, ObjectName, OwedPage, OwedRow, Restart, RestartsAnswer, SearchAnswer, SourceName, Status,
        Totals, VERSION, Watched,
    },
    lease::Role,
    model::{SourceRef, Workload, WorkloadKey},
};

/// Objects that a search finds at most.
const MAX_FOUND: usize = 50;
/// Sources that a row names at most.
const MAX_SOURCES: usize = 20;
/// Workloads that are looked up before other tasks may run.
const SLICE: usize = 256;

impl Inspector {
    /// How this replica is doing, with so many rows of what is owed.
    pub(super) async fn status(&self, rows: usize) -> Status {
        let state = self.context().leadership().state().borrow().clone();
        let is_leader = state.role == Role::Leader;
        let checks = self.health().ready(tokio::time::Instant::now());
        let (streams, others): (Vec<_>, Vec<_>) = checks
            .into_iter()
            .partition(|check| check.name.starts_with(WATCH));
        let failed = |outcome: &CheckResult| match outcome {
            CheckResult::Failed(reason) => Some(reason.clone()),
            CheckResult::Ok | CheckResult::Absent | CheckResult::Degraded(_) => None,
        };
        let not_ready = streams.iter().chain(&others).filter_map(|check| {
            let reason = failed(&check.outcome)?;
            Some(format!("{}: {reason}", check.name))
        });
        let not_ready_because: Vec<String> = not_ready.collect();
        let watched = streams.into_iter().map(|check| Watched {
            resource: check.name[WATCH.len()..].to_owned(),
            synced: matches!(check.outcome, CheckResult::Ok | CheckResult::Absent),
            error: match check.outcome {
                CheckResult::Ok => None,
                CheckResult::Absent => Some("not installed".to_owned()),
                CheckResult::Degraded(reason) | CheckResult::Failed(reason) => Some(reason),
            },
        });
        let owing = self.owing().await;
        let totals = self.totals(&owing).await;
        Status {
            version: VERSION.to_owned(),
            replica: self.replica(),
            lease: self.lease().map(str::to_owned),
            leader: state.holder.as_deref().map(str::to_owned),
            leads_since: is_leader.then(|| state.since.unwrap_or(self.started())),
            started: self.started(),
            ready: not_ready_because.is_empty(),
            not_ready_because,
            watched: watched.collect(),
            owed: self.page(&owing, 0, rows),
            totals,
            notes: self.notes(),
        }
    }

    /// Rows of what is owed.
    pub(super) async fn owed(&self, offset: usize, limit: usize, namespace: Option<&str>) -> OwedPage {
        let mut owing = self.owing().await;
        if let Some(namespace) = namespace {
            owing.retain(|(key, _)| *key.namespace == *namespace);
        }
        self.page(&owing, offset, limit)
    }

    /// The restarts that this replica wrote last.
    pub(super) fn restarts(&self) -> RestartsAnswer {
        let restarts = self.context().recent_restarts().into_iter();
        RestartsAnswer {
            version: VERSION.to_owned(),
            replica: self.replica(),
            restarts: restarts
                .map(|past| Restart {
                    workload: ObjectName::from(&past.workload),
                    sources: past.sources.iter().map(|key| name(&key.reference())).collect(),
                    at: past.at,
                    latency_ms: u64::try_from(past.latency.as_millis()).unwrap_or(u64::MAX),
                })
                .collect(),
        }
    }

    /// The objects of whose kind, namespace and name each word of the text is a part. Without a word none.
    pub(super) async fn search(&self, query: &str) -> SearchAnswer {
        let index = self.context().index();
        let query_lower = query.to_lowercase();
        let words: Vec<&str> = query_lower
            .split([' ', '/'])
            .filter(|word| !word.is_empty())
            .collect();
        let mut found = Vec::new();
        let namespaces = if words.is_empty() {
            Vec::new()
        } else {
            index.namespaces()
        };
        for namespace in namespaces {
            let is_meant = |kind: &str, name: &str| {
                let kind = kind.to_ascii_lowercase();
                words
                    .iter()
                    .all(|word| name.contains(word) || namespace.contains(word) || kind.contains(word))
            };
            let is_workload =
                |workload: &Arc<Workload>| is_meant(workload.key.kind.as_str(), &workload.key.name);
            let mut workloads: Vec<_> = index.workloads_of(&namespace);
            workloads.retain(is_workload);
            workloads.truncate(MAX_FOUND + 1);
            found.extend(workloads.iter().map(|workload| self.found(workload)));
            yield_now().await;
            let mut sources = index.sources_in(&namespace);
            sources.retain(|source| is_meant(source.kind.as_str(), &source.name));
            sources.truncate(MAX_FOUND + 1);
            found.extend(sources.iter().map(|source| Found {
                object: ObjectName::from(&source.in_namespace(&namespace)),
                is_source: true,
                opted_in: false,
                owes: false,
            }));
            if found.len() > MAX_FOUND {
                break;
            }
            yield_now().await;
        }
        let is_cut = found.len() > MAX_FOUND;
        found.sort_by(|one, other| (one.is_source, &one.object).cmp(&(other.is_source, &other.object)));
        found.truncate(MAX_FOUND);
        SearchAnswer {
            version: VERSION.to_owned(),
            query: query.to_owned(),
            found,
            is_cut,
        }
    }

    fn found(&self, workload: &Workload) -> Found {
        Found {
            object: ObjectName::from(&workload.key),
            is_source: false,
            opted_in: !workload.opt_in.is_empty() || self.flags().options.auto_reload_all,
            owes: self.context().index().pending(&workload.key).is_some(),
        }
    }

    /// Every workload that owes a restart, the oldest debt first.
    async fn owing(&self) -> Vec<(WorkloadKey, Instant)> {
        let index = self.context().index();
        let mut owing = Vec::new();
        for namespace in index.namespaces() {
            owing.extend(index.owing_in(&namespace));
            yield_now().await;
        }
        owing.sort_unstable_by(|one, other| one.1.cmp(&other.1).then_with(|| one.0.cmp(&other.0)));
        owing
    }

    async fn totals(&self, owing: &[(WorkloadKey, Instant)]) -> Totals {
        let index = self.context().index();
        let mut totals = Totals {
            owing: owing.len(),
            ..Totals::default()
        };
        for namespace in index.namespaces() {
            let tally = index.tally(&namespace);
            totals.namespaces += 1;
            totals.workloads += tally.workloads;
            totals.opted_in += tally.opted_in;
            totals.sources += tally.sources;
            yield_now().await;
        }
        for slice in owing.chunks(SLICE) {
            let standing = |(key, _): &(WorkloadKey, Instant)| self.context().queue().standing(key);
            let failing = slice.iter().filter_map(standing);
            totals.failing += failing.filter(|standing| standing.failures > 0).count();
            yield_now().await;
        }
        totals
    }

    fn page(&self, owing: &[(WorkloadKey, Instant)], offset: usize, limit: usize) -> OwedPage {
        let now = Timestamp::now();
        let rows = owing.iter().skip(offset).take(limit).filter_map(|(key, since)| {
            // One that is settled meanwhile is left out.
            let pending = self.context().index().pending(key)?;
            let work = self.work(key, Some(&pending), now);
            let sources = pending.owed.iter().take(MAX_SOURCES);
            Some(OwedRow {
                workload: ObjectName::from(key),
                sources: sources.map(|owed| name(&owed.source.key.reference())).collect(),
                since: time(*since, now),
                attempts: work.attempts,
                last_error: work.last_error,
                next_try: work.next_try,
                deferred: work.deferred,
            })
        });
        let end = offset.saturating_add(limit);
        OwedPage {
            rows: rows.collect(),
            total: owing.len(),
            next_offset: (end < owing.len()).then_some(end),
        }
    }
}

/// What the names of the checks of watches begin with.
const WATCH: &str = "watch-";

fn name(source: &SourceRef) -> SourceName {
    SourceName::from(source)
}
