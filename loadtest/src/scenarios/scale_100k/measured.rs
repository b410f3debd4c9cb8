//! What is measured of one size, and the rows that two of them make. Input: numbers; output: [`Figure`]s. I/O: none.

use super::{Takeover, count};
use crate::{
    references::{
        LARGE_EVENTS, LARGE_GROWTH, LARGE_LEADER, LARGE_P99_GROWTH, LARGE_STANDBY, LARGE_START,
        LARGE_TAKEOVER, LARGE_THREE, LARGE_TWICE, LARGE_WRONG, NO_GOAL, Reference,
    },
    replicas::LedgerSize,
    report::Figure,
};

const SCENARIO: &str = "scale-100k";

/// The numbers of one size; times in seconds and memory in MiB, unless another unit is named.
#[derive(Debug, Default)]
pub struct Measured {
    /// Processes that wanted a processor before the starts, in the minute before.
    pub load: f64,
    pub start: f64,
    pub start_cpu: f64,
    pub three_at_once: f64,
    pub standby: f64,
    pub leader: f64,
    pub ledger: LedgerSize,
    /// Of `/metrics`, ms.
    pub metrics: f64,
    /// From change to PATCH, ms.
    pub median: f64,
    pub p99: f64,
    pub terminated: Takeover,
    pub killed: Takeover,
    /// PATCHes a second.
    pub burst_rate: f64,
    /// From the last change to the last PATCH.
    pub burst_tail: f64,
    /// A restart, ms.
    pub leader_cpu: f64,
    pub standby_cpu: f64,
    pub standby_after: f64,
    pub leader_after: f64,
    pub restarts: usize,
    /// Deployments with an Event about a restart.
    pub events: usize,
    pub warnings_lost: usize,
    /// To take in the workloads that list sources by patterns.
    pub patterns_cpu: f64,
    pub terminated_with_patterns: Takeover,
    pub wrong: usize,
    pub twice: usize,
}

/// What both sizes are compared by: a figure, its unit, its goal at the large size, and the goal of its growth.
const ROWS: [Row; 24] = [
    Row(
        "load of the machine before the starts",
        "",
        |m| m.load,
        NO_GOAL,
        NO_GOAL,
    ),
    Row("start alone → ready", "s", |m| m.start, LARGE_START, LARGE_GROWTH),
    Row(
        "processor time until then",
        "s",
        |m| m.start_cpu,
        NO_GOAL,
        LARGE_GROWTH,
    ),
    Row(
        "start of three at once → all ready",
        "s",
        |m| m.three_at_once,
        LARGE_THREE,
        NO_GOAL,
    ),
    Row("resident, standby", "MiB", |m| m.standby, LARGE_STANDBY, NO_GOAL),
    Row("resident, leader", "MiB", |m| m.leader, LARGE_LEADER, NO_GOAL),
    Row(
        "ledger, ConfigMaps",
        "",
        |m| count(m.ledger.config_maps),
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "ledger, size",
        "KiB",
        |m| count(m.ledger.bytes) / 1024.0,
        NO_GOAL,
        NO_GOAL,
    ),
    Row("ledger, lines", "", |m| count(m.ledger.lines), NO_GOAL, NO_GOAL),
    Row("/metrics", "ms", |m| m.metrics, NO_GOAL, NO_GOAL),
    Row("change → PATCH, p50", "ms", |m| m.median, NO_GOAL, NO_GOAL),
    Row("change → PATCH, p99", "ms", |m| m.p99, NO_GOAL, NO_GOAL),
    Row(
        "SIGTERM → first PATCH",
        "s",
        |m| m.terminated.all(),
        LARGE_TAKEOVER,
        NO_GOAL,
    ),
    Row(
        "SIGTERM: Lease → first PATCH",
        "s",
        |m| m.terminated.first_patch,
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "SIGKILL: Lease → first PATCH",
        "s",
        |m| m.killed.first_patch,
        NO_GOAL,
        NO_GOAL,
    ),
    Row("SIGKILL → Lease", "s", |m| m.killed.lease, NO_GOAL, NO_GOAL),
    Row(
        "burst of a change each Deployment",
        "/s",
        |m| m.burst_rate,
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "burst: last change → last PATCH",
        "s",
        |m| m.burst_tail,
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "burst: leader's processor time a restart",
        "ms",
        |m| m.leader_cpu,
        NO_GOAL,
        NO_GOAL,
    ),
    Row("burst: a standby's", "ms", |m| m.standby_cpu, NO_GOAL, NO_GOAL),
    Row(
        "resident after it, standby",
        "MiB",
        |m| m.standby_after,
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "resident after it, leader",
        "MiB",
        |m| m.leader_after,
        NO_GOAL,
        NO_GOAL,
    ),
    Row(
        "processor time to take in the workloads with patterns",
        "s",
        |m| m.patterns_cpu,
        NO_GOAL,
        LARGE_GROWTH,
    ),
    Row(
        "SIGTERM → first PATCH, with them",
        "s",
        |m| m.terminated_with_patterns.all(),
        LARGE_TAKEOVER,
        NO_GOAL,
    ),
];

struct Row(
    &'static str,
    &'static str,
    fn(&Measured) -> f64,
    Reference,
    Reference,
);

/// The rows.
pub fn figures(small: &Measured, large: &Measured) -> Vec<Figure> {
    let grown =
        |Row(what, unit, of, goal, growth): &Row| grown(what, unit, (of(small), of(large)), *goal, *growth);
    let mut rows: Vec<Figure> = ROWS.iter().flat_map(grown).collect();
    rows.push(Figure::new(
        SCENARIO,
        "change → PATCH, p99, more than the small one's",
        "ms",
        large.p99 - small.p99,
        LARGE_P99_GROWTH,
    ));
    let sum = |what: &str, of: &dyn Fn(&Measured) -> usize, goal| {
        Figure::count(SCENARIO, what, of(small) + of(large), goal)
    };
    rows.push(sum(
        "Warnings lost in the bursts",
        &|m| m.warnings_lost,
        LARGE_EVENTS,
    ));
    rows.push(sum(
        "restarts without an Event in the bursts",
        &|m| m.restarts - m.events.min(m.restarts),
        NO_GOAL,
    ));
    rows.push(sum(
        "Deployments without their last content",
        &|m| m.wrong,
        LARGE_WRONG,
    ));
    rows.push(sum("rollouts for a content twice", &|m| m.twice, LARGE_TWICE));
    rows
}

/// A figure of both sizes, and its growth.
fn grown(
    what: &str,
    unit: &'static str,
    (small, large): (f64, f64),
    goal: Reference,
    growth: Reference,
) -> [Figure; 3] {
    [
        Figure::new(SCENARIO, format!("{what}, a tenth"), unit, small, NO_GOAL),
        Figure::new(SCENARIO, what, unit, large, goal),
        Figure::new(SCENARIO, format!("{what}, growth"), "×", large / small, growth),
    ]
}
