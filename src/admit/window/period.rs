//! Windows as values: which are open at an instant, and what comes next.
//!
//! Input: parsed windows, an instant. Output: [`Windows`], [`Window`]. I/O: none.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    cron::Schedule,
    search::{Search, Steps},
    zone::Zone,
};
use crate::model::go_duration::GoDuration;

/// Nanoseconds of a minute.
const MINUTE: i128 = 60_000_000_000;

/// What a workload, a Namespace or a flag says about when restarts may begin. By default, nothing. Clones share the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Windows {
    manual: bool,
    list: Arc<[Window]>,
}

impl Windows {
    /// Never opens by itself.
    pub(super) fn manual() -> Self {
        Self {
            manual: true,
            list: Arc::default(),
        }
    }

    pub(super) fn listed(windows: Vec<Window>) -> Self {
        Self {
            manual: false,
            list: windows.into(),
        }
    }

    /// Whether it never opens by itself.
    pub const fn is_manual(&self) -> bool {
        self.manual
    }

    /// The windows, in the user's order; none if it is manual.
    pub fn list(&self) -> &[Window] {
        &self.list
    }

    /// Those of a kind that are open at an instant. Each costs at most nine local days looked at.
    pub fn open_at(&self, now: Timestamp, kind: Kind) -> impl Iterator<Item = &Window> {
        self.of(kind).filter(move |window| window.is_open(now))
    }

    /// Those of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Window> {
        self.list.iter().filter(move |window| window.kind == kind)
    }
}

/// What an open window means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Restarts may begin.
    Allow,
    /// No restart may begin.
    Deny,
}

/// One window: open from each start of its schedule for its duration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub(super) kind: Kind,
    pub(super) schedule: Schedule,
    /// At most seven days.
    pub(super) duration: Duration,
    pub(super) zone: Zone,
}

impl Window {
    /// What it means while it is open.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When it opens.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How long it stays open.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The zone of its schedule.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether an instant is in [start, start + duration) of one of its starts.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.covers(now, &mut Steps::up_to(0))
    }

    /// As [`Self::is_open`]; the local days it looks at are counted, but not limited.
    pub(super) fn covers(&self, now: Timestamp, steps: &mut Steps) -> bool {
        // Starts up to and including this instant are over.
        let over = now.checked_sub(self.duration).unwrap_or(Timestamp::MIN);
        self.search()
            .last_start(minute_of(now), minute_of(over) + 1, steps)
            .is_some()
    }

    /// Its first start behind an instant and up to another.
    pub(super) fn next_start(
        &self,
        now: Timestamp,
        latest: Timestamp,
        steps: &mut Steps,
    ) -> Option<Timestamp> {
        let minute = self
            .search()
            .first_start(minute_of(now) + 1, minute_of(latest), steps)?;
        start_of(minute)
    }

    /// The end of what it covers without a gap from an instant in it; `None` if that is behind `latest`.
    ///
    /// Where starts of a day overlap, a day is one step.
    pub(super) fn covered_until(
        &self,
        now: Timestamp,
        latest: Timestamp,
        steps: &mut Steps,
    ) -> Option<Timestamp> {
        let has_gaps = Duration::from_mins(1) * self.schedule.largest_gap() > self.duration;
        let mut search = self.search();
        let mut end = now;
        while end <= latest && !steps.are_used_up() {
            let over = end.checked_sub(self.duration).ok()?;
            let Some(last) = search.last_start(minute_of(end), minute_of(over) + 1, steps) else {
                return Some(end);
            };
            let last = if has_gaps {
                last
            } else {
                search.last_of_day(last, steps)?
            };
            end = start_of(last)?.checked_add(self.duration).ok()?;
        }
        None
    }

    const fn search(&self) -> Search<'_> {
        Search::new(&self.schedule, &self.zone)
    }
}

/// As logs and answers write it: ``allow `0 22 * * *` for 4h0m0s in Europe/Berlin``.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, schedule) = (self.kind, self.schedule.as_str());
        let (duration, zone) = (GoDuration(self.duration), self.zone.name());
        write!(f, "{kind} `{schedule}` for {duration} in {zone}")
    }
}

/// As the list form writes it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// The minute of the time line that an instant is in.
fn minute_of(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond().div_euclid(MINUTE)).unwrap_or(i64::MAX)
}

/// The beginning of a minute.
fn start_of(minute: i64) -> Option<Timestamp> {
    Timestamp::from_second(minute.checked_mul(60)?).ok()
}
