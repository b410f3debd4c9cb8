//! A scenario's rows of the table. Input: counts and costs; output: figures. I/O: none.

use super::{columns::Figure, counting::Count, metrics::Cost, shapes::Scenario};
use crate::statistics::percentile;

/// `unseen`: generations that the watch did not show.
pub fn figures(scenario: Scenario, changes: usize, counted: &Count, cost: Cost, unseen: i64) -> Vec<Figure> {
    let figure = |what: &str, unit, value| Figure::new(&scenario.name(), what, unit, value);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let number = |what: &str, count: usize| figure(what, "", count as f64);
    let mut figures = vec![
        number("changes", changes),
        number("reloads", counted.rollouts),
        number("reloads missed", counted.missed),
        number("reloads twice", counted.twice),
    ];
    if !counted.latencies.is_empty() {
        for (what, percent) in [
            ("latency, median", 50.0),
            ("latency, 99th", 99.0),
            ("latency, longest", 100.0),
        ] {
            figures.push(figure(what, "ms", percentile(&counted.latencies, percent)));
        }
    }
    if !counted.rollout_times.is_empty() {
        for (what, percent) in [("rollout, median", 50.0), ("rollout, 99th", 99.0)] {
            figures.push(figure(what, "ms", percentile(&counted.rollout_times, percent)));
        }
    }
    if counted.unfinished > 0 {
        figures.push(number("rollouts not over in time", counted.unfinished));
    }
    figures.extend([
        figure("API requests", "", cost.requests),
        figure("processor time", "s", cost.cpu),
        figure("memory, largest pod", "MiB", cost.memory),
        figure("measured for", "s", cost.time.as_secs_f64()),
    ]);
    if unseen > 0 {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        figures.push(figure("generations the watch did not show", "", unseen as f64));
    }
    figures
}
