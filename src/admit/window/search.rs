//! Starts of a schedule on the time line.
//!
//! Input: a schedule, a zone, a minute. Output: the nearest start before or behind it. I/O: none.
//!
//! A minute of the time line is a start if its local time matches the five fields. To find one, not every minute has to be
//! looked at: between two changes of the clocks local time runs evenly ([`Stretch`]), so a day that does not match is
//! skipped as a whole, and the first start of one that does is found from the bits of its fields.

use jiff::{Timestamp, civil::Date, tz::Offset};

use super::{
    cron::Schedule,
    zone::{Stretch, Zone},
};

/// Minutes of a local day between two changes of the clocks.
const DAY: i64 = 24 * 60;

/// Local days that a call has looked at, and how many it may look at to find out what comes next.
///
/// The limit is for the sake of other namespaces: users write schedules that almost never match.
#[derive(Debug)]
pub(super) struct Steps {
    taken: u32,
    limit: u32,
}

impl Steps {
    pub(super) const fn up_to(limit: u32) -> Self {
        Self { taken: 0, limit }
    }

    #[cfg(test)]
    pub(super) const fn taken(&self) -> u32 {
        self.taken
    }

    /// One more, whatever the limit.
    const fn count(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// One more within the limit.
    fn take(&mut self) -> Option<()> {
        self.count();
        (!self.are_used_up()).then_some(())
    }

    /// Whether something may have been missed because the limit was reached.
    pub(super) const fn are_used_up(&self) -> bool {
        self.taken > self.limit
    }
}

/// A schedule in its zone, and the stretch looked at last.
pub(super) struct Search<'a> {
    schedule: &'a Schedule,
    zone: &'a Zone,
    stretch: Option<Stretch>,
}

impl<'a> Search<'a> {
    pub(super) const fn new(schedule: &'a Schedule, zone: &'a Zone) -> Self {
        Self {
            schedule,
            zone,
            stretch: None,
        }
    }

    /// The last start from `earliest` to `minute`. It looks at each local day in between once, at most, and never stops at
    /// the limit.
    pub(super) fn last_start(&mut self, minute: i64, earliest: i64, steps: &mut Steps) -> Option<i64> {
        let mut minute = minute;
        while minute >= earliest {
            steps.count();
            let day = self.day(minute)?;
            let start = day.start_of(|of_day| self.schedule.last_until(of_day), self.schedule);
            if let Some(start) = start.filter(|start| *start >= day.stretch.begin) {
                return (start >= earliest).then_some(start);
            }
            minute = day.begin().max(day.stretch.begin) - 1;
        }
        None
    }

    /// The first start from `minute` to `latest`; `None` also if the steps are used up.
    pub(super) fn first_start(&mut self, minute: i64, latest: i64, steps: &mut Steps) -> Option<i64> {
        let mut minute = minute;
        while minute <= latest {
            steps.take()?;
            let day = self.day(minute)?;
            let start = day.start_of(|of_day| self.schedule.first_from(of_day), self.schedule);
            if let Some(start) = start.filter(|start| *start < day.stretch.end) {
                return (start <= latest).then_some(start);
            }
            let next = if self.schedule.has_month(day.date) {
                day.begin() + DAY
            } else {
                day.end_of_month()
            };
            minute = next.min(day.stretch.end);
        }
        None
    }

    /// The last start of the local day of a minute that is in the same stretch.
    pub(super) fn last_of_day(&mut self, minute: i64, steps: &mut Steps) -> Option<i64> {
        let day = self.day(minute)?;
        let end = (day.begin() + DAY).min(day.stretch.end);
        self.last_start(end - 1, minute, steps)
    }

    fn day(&mut self, minute: i64) -> Option<Day> {
        let known = self.stretch.filter(|stretch| stretch.contains(minute));
        let stretch = match known {
            Some(stretch) => stretch,
            None => self.zone.stretch(minute)?,
        };
        self.stretch = Some(stretch);
        let local = minute + stretch.offset;
        let number = local.div_euclid(DAY);
        let midnight = Timestamp::from_second(number * DAY * 60).ok()?;
        Some(Day {
            stretch,
            number,
            minute: u32::try_from(local.rem_euclid(DAY)).ok()?,
            date: Offset::UTC.to_datetime(midnight).date(),
        })
    }
}

/// A minute of the time line in local time.
struct Day {
    stretch: Stretch,
    /// Since 1970, in local time.
    number: i64,
    /// Of the day, in local time.
    minute: u32,
    date: Date,
}

impl Day {
    /// Where the local day would begin if the stretch reached that far.
    const fn begin(&self) -> i64 {
        self.number * DAY - self.stretch.offset
    }

    /// Where the local month would end if the stretch reached that far.
    fn end_of_month(&self) -> i64 {
        let left = self.date.days_in_month() - self.date.day() + 1;
        self.begin() + i64::from(left) * DAY
    }

    /// The start that `find` chooses, if the day has any.
    fn start_of(&self, find: impl FnOnce(u32) -> Option<u32>, schedule: &Schedule) -> Option<i64> {
        let of_day = find(self.minute).filter(|_| schedule.has_day(self.date))?;
        Some(self.begin() + i64::from(of_day))
    }
}
