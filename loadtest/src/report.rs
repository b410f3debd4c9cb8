//! Figures, the table of a run, and the stored run. Input: [`Figure`]s; output: text and files. I/O: writes.

use std::{
    fmt::{self, Write},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    environment::Environment,
    references::{Goal, Reference},
};

/// One measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    scenario: &'static str,
    what: String,
    unit: &'static str,
    value: f64,
    floor: Option<f64>,
    reference: Reference,
    /// Whatever the machine is like, its goal is to be met.
    has_to_hold: bool,
    /// What it is made of, where that helps to read it.
    note: String,
}

impl Figure {
    /// A figure of a scenario; `unit` is `ms`, `s`, `MiB`, `/s` or empty for a count.
    pub fn new(
        scenario: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        reference: Reference,
    ) -> Self {
        Self {
            scenario,
            what: what.into(),
            unit,
            value,
            floor: None,
            reference,
            has_to_hold: false,
            note: String::new(),
        }
    }

    /// A figure that is a number of things.
    pub fn count(
        scenario: &'static str,
        what: impl Into<String>,
        count: usize,
        reference: Reference,
    ) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let value = count as f64;
        Self::new(scenario, what, "", value, reference)
    }

    /// With what the floor needed in the same run.
    #[must_use]
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Whatever the machine is like, its goal is to be met.
    #[must_use]
    pub const fn has_to_hold(mut self) -> Self {
        self.has_to_hold = true;
        self
    }

    /// With an explanation.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn is_met(&self) -> bool {
        self.reference.goal.is_met(self.value)
    }

    fn wanted(&self) -> String {
        match self.reference.goal {
            Goal::AtMost(limit) if limit.is_infinite() => String::new(),
            Goal::AtMost(limit) => format!("≤ {}", number(limit)),
            Goal::AtLeast(limit) => format!("≥ {}", number(limit)),
        }
    }

    fn row(&self) -> [String; 9] {
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        [
            self.scenario.to_owned(),
            self.what.clone(),
            self.unit.to_owned(),
            number(self.value),
            optional(self.floor),
            optional(self.floor.map(|floor| self.value / floor)),
            optional(self.reference.upstream),
            self.wanted(),
            if self.is_met() { "yes" } else { "**no**" }.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let finite = |value: f64| value.is_finite().then_some(value);
        let (at_most, at_least) = match self.reference.goal {
            Goal::AtMost(limit) => (finite(limit), None),
            Goal::AtLeast(limit) => (None, finite(limit)),
        };
        json!({
            "scenario": self.scenario,
            "what": self.what,
            "unit": self.unit,
            "value": finite(self.value),
            "floor": self.floor.and_then(finite),
            "upstream": self.reference.upstream,
            "wantedAtMost": at_most,
            "wantedAtLeast": at_least,
            "met": self.is_met(),
            "note": self.note,
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.what, number(self.value), self.unit)?;
        if let Some(floor) = self.floor {
            write!(f, " (floor {})", number(floor))?;
        }
        write!(f, ", wanted {}", self.wanted())?;
        if !self.is_met() {
            write!(f, ", MISSED")?;
        }
        if !self.note.is_empty() {
            write!(f, " [{}]", self.note)?;
        }
        Ok(())
    }
}

/// Three significant digits are more than two runs agree on.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "none".to_owned(),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Everything one call measured.
pub struct Run {
    /// Where.
    pub environment: Environment,
    /// What.
    pub figures: Vec<Figure>,
}

impl Run {
    /// The table, and what it was measured on.
    pub fn markdown(&self) -> String {
        let header = [
            "scenario",
            "figure",
            "unit",
            "measured",
            "floor",
            "ratio to floor",
            "upstream v1.4.21",
            "wanted",
            "met",
        ];
        let mut text = format!("{}\n| {} |\n", self.environment.markdown(), header.join(" | "));
        text += &"|---".repeat(header.len());
        text += "|\n";
        for figure in &self.figures {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} |", figure.row().join(" | "));
        }
        let notes = self.figures.iter().filter(|figure| !figure.note.is_empty());
        text += "\n";
        for figure in notes {
            let _ = writeln!(text, "- {}, {}: {}", figure.scenario, figure.what, figure.note);
        }
        text
    }

    /// The figures that have to hold, and do not.
    pub fn broken(&self) -> Vec<String> {
        let broken = self
            .figures
            .iter()
            .filter(|figure| figure.has_to_hold && !figure.is_met());
        broken.map(Figure::to_string).collect()
    }

    /// Writes `README.md` and `run.json` into a new folder below `runs`; returns the folder.
    pub fn store(&self, runs: &Path) -> Result<PathBuf> {
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        let json = json!({ "environment": self.environment, "figures": figures });
        let text = format!("# Load test\n\n{}", self.markdown());
        store(&runs.join(self.environment.folder_name()), &json, &text)
    }
}

/// Writes a run's `README.md` and `run.json` into a folder; returns the folder.
pub fn store(folder: &Path, json: &Value, text: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(folder.join("run.json"), format!("{json:#}\n"))?;
    fs::write(folder.join("README.md"), text)?;
    Ok(folder.to_owned())
}
