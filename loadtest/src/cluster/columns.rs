//! The table of a run on a cluster: one column for this chart, one for the baseline. Input: figures; output: text, and a
//! stored run. I/O: writes.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::{Value, json};

use crate::report::{number, store};

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    scenario: String,
    what: String,
    unit: &'static str,
    value: f64,
}

/// What was measured on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// When it began, to the second.
    pub begun: Timestamp,
    /// The API server's version.
    pub kubernetes: String,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// What was asked for, in words.
    pub sizes: String,
    /// How late a watch is by itself: median and 99th percentile, in milliseconds.
    pub lateness: (f64, f64),
}

/// One column: a name and its figures.
pub type Column = (String, Vec<Figure>);

impl Figure {
    /// A figure of a scenario; `unit` is `ms`, `s`, `MiB` or empty for a count.
    pub fn new(scenario: &str, what: &str, unit: &'static str, value: f64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            what: what.to_owned(),
            unit,
            value,
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!("{}: {} {}", self.what, number(self.value), self.unit)
            .trim_end()
            .to_owned()
    }

    fn is(&self, other: &Self) -> bool {
        self.scenario == other.scenario && self.what == other.what
    }
}

impl Surroundings {
    /// The time now, to the second.
    pub fn now() -> Result<Timestamp> {
        Ok(Timestamp::now().round(Unit::Second)?)
    }
}

/// The table and what it was measured on.
pub fn markdown(surroundings: &Surroundings, columns: &[Column]) -> String {
    let (median, late) = surroundings.lateness;
    let mut text = format!(
        "Kubernetes {} with {} node(s), {}; {}.\n\nA latency runs from the answer to a source's write until a watch shows a new \
         template. A watch shows a write {} ms after its answer in the median, {} ms in the 99th percentile: a latency \
         here is too long by that. It was measured before the scenarios; under their load a watch may be later. \
         Processor time and requests are of all replicas together.\n\n",
        surroundings.kubernetes,
        surroundings.nodes,
        surroundings.begun,
        surroundings.sizes,
        number(median),
        number(late)
    );
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| scenario | figure | unit | {} |", names.join(" | "));
    let _ = writeln!(text, "{}|", "|---".repeat(3 + columns.len()));
    for figure in rows(columns) {
        let cell = |(_, figures): &Column| {
            let same = figures.iter().find(|other| other.is(figure));
            same.map(|same| number(same.value)).unwrap_or_default()
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let (scenario, what, unit) = (&figure.scenario, &figure.what, figure.unit);
        let _ = writeln!(text, "| {scenario} | {what} | {unit} | {} |", cells.join(" | "));
    }
    text
}

/// Each figure that any column has, by scenario in the order of the run.
fn rows(columns: &[Column]) -> Vec<&Figure> {
    let mut rows: Vec<&Figure> = Vec::new();
    for figure in columns.iter().flat_map(|(_, figures)| figures) {
        if rows.iter().any(|row| row.is(figure)) {
            continue;
        }
        // Behind the last of its scenario.
        let behind = rows.iter().rposition(|row| row.scenario == figure.scenario);
        rows.insert(behind.map_or(rows.len(), |position| position + 1), figure);
    }
    rows
}

/// Stores a run below `runs`; gives its folder.
pub fn save(surroundings: &Surroundings, columns: &[Column], runs: &Path) -> Result<PathBuf> {
    let figure = |figure: &Figure| {
        let value = figure.value.is_finite().then_some(figure.value);
        json!({ "scenario": figure.scenario, "what": figure.what, "unit": figure.unit, "value": value })
    };
    let column = |(name, figures): &Column| json!({ "name": name, "figures": figures.iter().map(figure).collect::<Vec<Value>>() });
    let columns_json: Vec<Value> = columns.iter().map(column).collect();
    let json = json!({ "surroundings": surroundings, "columns": columns_json });
    let name = surroundings.begun.strftime("%Y-%m-%d-%H%M-cluster").to_string();
    let text = format!("# Load test on a cluster\n\n{}", markdown(surroundings, columns));
    store(&runs.join(name), &json, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_beside_each_other_whatever_figures_they_have() {
        let column = |name: &str, figures: &[(&str, &str, f64)]| -> Column {
            let figures = figures
                .iter()
                .map(|(scenario, what, value)| Figure::new(scenario, what, "ms", *value));
            (name.to_owned(), figures.collect())
        };
        let columns = [
            column("this", &[("s1", "a", 1.0), ("s2", "a", 2.0)]),
            column("baseline", &[("s1", "a", 3.0), ("s1", "b", 4.0)]),
        ];
        let surroundings = Surroundings {
            begun: Timestamp::UNIX_EPOCH,
            kubernetes: "v1.36.3".to_owned(),
            nodes: 1,
            sizes: "small".to_owned(),
            lateness: (0.4, 2.0),
        };
        let text = markdown(&surroundings, &columns);
        let table = "| scenario | figure | unit | this | baseline |\n|---|---|---|---|---|\n\
            | s1 | a | ms | 1 | 3 |\n| s1 | b | ms |  | 4 |\n| s2 | a | ms | 2 |  |\n";
        assert!(text.ends_with(table), "{text}");
        assert!(text.contains("0.40 ms after its answer"), "{text}");
    }
}
