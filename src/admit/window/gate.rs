//! Windows of a workload, its Namespace and a flag, as one verdict.
//!
//! Input: what each level says, an instant. Output: [`Gate`]. I/O: none.

use std::{collections::HashMap, fmt};

use jiff::{SignedDuration, Timestamp};

use super::{
    error::WindowsError,
    period::{Kind, Window, Windows},
    search::Steps,
};

/// How far a verdict looks ahead for the next opening: as far as robfig/cron does.
const LOOK_AHEAD: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// Local days that a verdict looks at for the next opening. A schedule that matches a 29 February only needs about 200;
/// what needs more than this is a window that denials cover almost completely.
const MAX_STEPS: u32 = 1_000;

/// Where a user wrote something, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The workload's annotation.
    Workload,
    /// The annotation of its Namespace.
    Namespace,
    /// The flag.
    Flag,
}

/// As logs and answers name it.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workload => "workload",
            Self::Namespace => "namespace",
            Self::Flag => "flag",
        })
    }
}

/// What each level says; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Levels<'a> {
    /// The workload's annotation.
    pub workload: Option<&'a Result<Windows, WindowsError>>,
    /// The annotation of its Namespace.
    pub namespace: Option<&'a Result<Windows, WindowsError>>,
    /// The flag.
    pub flag: Option<&'a Result<Windows, WindowsError>>,
}

/// Whether a restart may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// It may not.
    Closed(Closed),
}

/// Why a restart may not begin, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The level that closes; of several with the same reason, the nearest.
    pub level: Level,
    /// Its reason.
    pub why: Why,
    /// When it opens as long as what is written stays the same. `None` if not by itself, not within five years, or if that took
    /// too long to find out; the verdict itself is exact all the same, so ask again later.
    pub until: Option<Timestamp>,
}

/// A level's reason to be closed. Of several that hold at once the first of these is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its text cannot be read, so it may be a denial.
    Unreadable(WindowsError),
    /// A deny window is open.
    Denied,
    /// It never opens by itself.
    Manual,
    /// None of its allow windows is open.
    Outside,
}

/// Whether a restart may begin.
///
/// Cost: for each window at most nine local days, and where it is closed, what `until` takes: for daily and weekly
/// windows some ten days more, never more than 1,000 in all: thousands of workloads of one owner may ask. Where many
/// workloads share what is written, a [`Sweep`] pays that once.
pub fn gate(levels: &Levels<'_>, now: Timestamp) -> Gate {
    levels.gate(now, &mut Steps::up_to(MAX_STEPS))
}

/// Whether a denial, or a text that may be one, is in force: what not even a workload whose rollout has failed passes.
///
/// `until` is the end of all denials, whether allow windows are open then or not.
pub fn deny_active(levels: &Levels<'_>, now: Timestamp) -> Option<Closed> {
    let mut steps = Steps::up_to(MAX_STEPS);
    let (level, why) = levels.denial(now, &mut steps)?;
    let until = match why {
        Why::Denied => levels.end_of_denials(now, horizon(now), &mut steps),
        _ => None,
    };
    Some(Closed { level, why, until })
}

/// The verdicts of one instant, each found once: for many workloads that share what is written.
#[derive(Debug)]
pub struct Sweep<'a> {
    now: Timestamp,
    known: HashMap<Levels<'a>, Gate>,
}

impl<'a> Sweep<'a> {
    /// For one instant.
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            known: HashMap::new(),
        }
    }

    /// As the function [`gate`], from memory where the same was asked before.
    pub fn gate(&mut self, levels: &Levels<'a>) -> &Gate {
        let now = self.now;
        self.known.entry(*levels).or_insert_with(|| gate(levels, now))
    }

    /// How many verdicts were found, not remembered.
    #[cfg(test)]
    pub(super) fn found_out(&self) -> usize {
        self.known.len()
    }
}

impl<'a> Levels<'a> {
    /// Levels that say something, the nearest first.
    fn all(&self) -> impl Iterator<Item = (Level, &'a Result<Windows, WindowsError>)> {
        let levels = [
            (Level::Workload, self.workload),
            (Level::Namespace, self.namespace),
            (Level::Flag, self.flag),
        ];
        levels
            .into_iter()
            .filter_map(|(level, said)| Some((level, said?)))
    }

    /// Levels whose text can be read.
    fn readable(&self) -> impl Iterator<Item = (Level, &'a Windows)> {
        self.all()
            .filter_map(|(level, said)| Some((level, said.as_ref().ok()?)))
    }

    fn deny_windows(&self) -> impl Iterator<Item = (Level, &'a Window)> {
        self.readable()
            .flat_map(|(level, windows)| windows.of(Kind::Deny).map(move |window| (level, window)))
    }

    /// The nearest level that says when restarts are allowed.
    fn allowing(&self) -> Option<(Level, &'a Windows)> {
        self.readable()
            .find(|(_, windows)| windows.is_manual() || windows.of(Kind::Allow).next().is_some())
    }

    pub(super) fn gate(&self, now: Timestamp, steps: &mut Steps) -> Gate {
        let (level, why) = match (self.denial(now, steps), self.allowing()) {
            (Some(denial), _) => denial,
            (None, Some((level, windows))) if windows.is_manual() => (level, Why::Manual),
            (None, Some((level, windows))) if !is_allowed(windows, now, steps) => (level, Why::Outside),
            (None, _) => return Gate::Open,
        };
        let until = match why {
            Why::Denied | Why::Outside => self.opening(now, steps),
            Why::Unreadable(_) | Why::Manual => None,
        };
        Gate::Closed(Closed { level, why, until })
    }

    /// The denial that is in force, if any.
    fn denial(&self, now: Timestamp, steps: &mut Steps) -> Option<(Level, Why)> {
        let unreadable = self.all().find_map(|(level, said)| {
            let error = said.as_ref().err()?;
            Some((level, Why::Unreadable(error.clone())))
        });
        unreadable.or_else(|| {
            let (level, _) = self
                .deny_windows()
                .find(|(_, window)| window.covers(now, steps))?;
            Some((level, Why::Denied))
        })
    }

    /// The first instant from `now` at which no deny window is open.
    fn end_of_denials(&self, now: Timestamp, latest: Timestamp, steps: &mut Steps) -> Option<Timestamp> {
        let mut at = now;
        // What ends may end within another one.
        while let Some((_, window)) = self.deny_windows().find(|(_, window)| window.covers(at, steps)) {
            at = window.covered_until(at, latest, steps)?;
        }
        (at <= latest).then_some(at)
    }

    /// The first instant from `now` at which a restart may begin, as far as every text can be read.
    fn opening(&self, now: Timestamp, steps: &mut Steps) -> Option<Timestamp> {
        let latest = horizon(now);
        let allowing = self.allowing().map(|(_, windows)| windows);
        if allowing.is_some_and(Windows::is_manual) {
            return None;
        }
        let mut at = now;
        loop {
            at = self.end_of_denials(at, latest, steps)?;
            let closed = allowing.filter(|windows| !is_allowed(windows, at, steps));
            let Some(windows) = closed else {
                return Some(at);
            };
            let starts = windows.of(Kind::Allow);
            let next = starts
                .filter_map(|window| window.next_start(at, latest, steps))
                .min();
            // A start that was not found could have been the first.
            at = next.filter(|_| !steps.are_used_up())?;
        }
    }
}

fn is_allowed(windows: &Windows, now: Timestamp, steps: &mut Steps) -> bool {
    windows.of(Kind::Allow).any(|window| window.covers(now, steps))
}

fn horizon(now: Timestamp) -> Timestamp {
    now.checked_add(LOOK_AHEAD).unwrap_or(Timestamp::MAX)
}
