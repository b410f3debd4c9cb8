//! Schedules of five fields, by the rules of [robfig/cron](https://github.com/robfig/cron/blob/v3.0.1/parser.go).
//!
//! Input: text. Output: [`Schedule`], which matches dates and minutes of a day. I/O: none.
//!
//! What differs: `7` is Sunday too, and `*-5`, which robfig/cron reads as `*`, is refused.

use jiff::civil::Date;

use super::error::{WindowsError, excerpt};

/// One of the five fields.
struct Field {
    name: &'static str,
    lowest: u32,
    /// The highest that `*` and `n/step` reach.
    highest: u32,
    /// The highest that may be written.
    limit: u32,
    /// Names of the values, beginning with the lowest.
    names: &'static [&'static str],
    /// For errors.
    values: &'static str,
}

const MINUTE: Field = Field {
    name: "minute",
    lowest: 0,
    highest: 59,
    limit: 59,
    names: &[],
    values: "0 to 59",
};
const HOUR: Field = Field {
    name: "hour",
    lowest: 0,
    highest: 23,
    limit: 23,
    names: &[],
    values: "0 to 23",
};
const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    lowest: 1,
    highest: 31,
    limit: 31,
    names: &[],
    values: "1 to 31",
};
const MONTH: Field = Field {
    name: "month",
    lowest: 1,
    highest: 12,
    limit: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
    values: "1 to 12 or jan to dec",
};
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    lowest: 0,
    highest: 6,
    limit: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    values: "0 to 6 or sun to sat",
};

/// What robfig/cron knows as macros where they are switched on.
const MACROS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Minutes of an hour.
const HOUR_LENGTH: u32 = 60;

/// The longest that each month can be.
const LONGEST_MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A schedule of five fields: minute, hour, day of month, month, day of week.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The user's text, one space between fields.
    text: Box<str>,
    /// A bit for each value that a field allows.
    minutes: u64,
    hours: u64,
    days_of_month: u64,
    months: u64,
    days_of_week: u64,
    /// Either field of days suffices: none is a `*`.
    either_day: bool,
}

impl Schedule {
    /// Parses five fields; `zone_field` is where the user's form has the time zone.
    ///
    /// # Errors
    /// [`WindowsError`] names the field and the item, and what is allowed.
    pub(super) fn parse(text: &str, zone_field: &'static str) -> Result<Self, WindowsError> {
        if text.contains("TZ=") {
            return Err(WindowsError::ZoneInSchedule(zone_field));
        }
        let text = text.trim();
        if text.starts_with('@') {
            let known = MACROS.iter().find(|(name, _)| *name == text);
            return Err(WindowsError::Macro {
                text: excerpt(text),
                instead: known.map_or("0 0 * * *", |(_, instead)| *instead),
            });
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, of_month, month, of_week] = fields[..] else {
            return Err(WindowsError::Fields(fields.len()));
        };
        let (minutes, _) = MINUTE.parse(minute)?;
        let (hours, _) = HOUR.parse(hour)?;
        let (days_of_month, any_day_of_month) = DAY_OF_MONTH.parse(of_month)?;
        let (months, _) = MONTH.parse(month)?;
        let (days_of_week, any_day_of_week) = DAY_OF_WEEK.parse(of_week)?;
        let schedule = Self {
            text: fields.join(" ").into(),
            minutes,
            hours,
            days_of_month,
            months,
            days_of_week,
            either_day: !any_day_of_month && !any_day_of_week,
        };
        if schedule.ever_happens() {
            Ok(schedule)
        } else {
            Err(WindowsError::Never(excerpt(text)))
        }
    }

    /// The five fields as the user wrote them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether some year has a day of it.
    fn ever_happens(&self) -> bool {
        let earliest = self.days_of_month.trailing_zeros();
        let mut lengths = (1..).zip(LONGEST_MONTHS);
        self.either_day || lengths.any(|(month, length)| has(self.months, month) && earliest <= length)
    }

    /// Whether it has a day in that month at all.
    pub(super) fn has_month(&self, date: Date) -> bool {
        has(self.months, unsigned(date.month()))
    }

    /// Whether it has starts on that day.
    pub(super) fn has_day(&self, date: Date) -> bool {
        let of_month = has(self.days_of_month, unsigned(date.day()));
        let of_week = has(
            self.days_of_week,
            unsigned(date.weekday().to_sunday_zero_offset()),
        );
        let is_day = if self.either_day {
            of_month || of_week
        } else {
            of_month && of_week
        };
        is_day && self.has_month(date)
    }

    /// The first start of a day that is not before a minute of it.
    pub(super) fn first_from(&self, minute_of_day: u32) -> Option<u32> {
        let (hour, minute) = (minute_of_day / HOUR_LENGTH, minute_of_day % HOUR_LENGTH);
        let in_hour = lowest_from(self.minutes, minute).filter(|_| has(self.hours, hour));
        if let Some(minute) = in_hour {
            return Some(hour * HOUR_LENGTH + minute);
        }
        Some(lowest_from(self.hours, hour + 1)? * HOUR_LENGTH + self.minutes.trailing_zeros())
    }

    /// The last start of a day that is not behind a minute of it.
    pub(super) fn last_until(&self, minute_of_day: u32) -> Option<u32> {
        let (hour, minute) = (minute_of_day / HOUR_LENGTH, minute_of_day % HOUR_LENGTH);
        let in_hour = highest_until(self.minutes, minute).filter(|_| has(self.hours, hour));
        if let Some(minute) = in_hour {
            return Some(hour * HOUR_LENGTH + minute);
        }
        let hour = highest_until(self.hours, hour.checked_sub(1)?)?;
        Some(hour * HOUR_LENGTH + highest_until(self.minutes, HOUR_LENGTH)?)
    }

    /// The most minutes between two starts of a day that follow each other.
    pub(super) fn largest_gap(&self) -> u32 {
        let first = self.minutes.trailing_zeros();
        let last = highest_until(self.minutes, HOUR_LENGTH).unwrap_or(first);
        let between_hours = (gap(self.hours) * HOUR_LENGTH).saturating_sub(last - first);
        gap(self.minutes).max(between_hours)
    }
}

impl Field {
    /// A bit for each value, and whether all were asked for by a `*`.
    ///
    /// Empty items of a list are left out, as robfig/cron does.
    fn parse(&self, text: &str) -> Result<(u64, bool), WindowsError> {
        let (mut bits, mut any) = (0, false);
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (of_item, is_any) = self.item(item)?;
            bits |= of_item;
            any |= is_any;
        }
        if bits == 0 {
            return Err(self.invalid(text));
        }
        Ok((bits, any))
    }

    /// `*`, a value, a range, each with or without a step.
    fn item(&self, item: &str) -> Result<(u64, bool), WindowsError> {
        let invalid = || self.invalid(item);
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step).ok_or_else(invalid)?)),
            None => (item, None),
        };
        let is_star = matches!(range, "*" | "?");
        let (start, end) = match range.split_once('-') {
            _ if is_star => (self.lowest, self.highest),
            Some((start, end)) => (
                self.value(start).ok_or_else(invalid)?,
                self.value(end).ok_or_else(invalid)?,
            ),
            None => {
                let start = self.value(range).ok_or_else(invalid)?;
                (start, step.map_or(start, |_| self.highest))
            }
        };
        if start > end {
            return Err(WindowsError::Backwards {
                field: self.name,
                item: excerpt(item),
            });
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(invalid());
        }
        let values = (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        // Of the days of a week 7 is 0.
        let values = values.map(|value| if value > self.highest { self.lowest } else { value });
        Ok((
            values.fold(0, |bits, value| bits | 1 << value),
            is_star && step == 1,
        ))
    }

    /// A number or a name within the bounds.
    fn value(&self, text: &str) -> Option<u32> {
        let named = (self.lowest..)
            .zip(self.names)
            .find_map(|(value, name)| name.eq_ignore_ascii_case(text).then_some(value));
        named
            .or_else(|| number(text))
            .filter(|value| (self.lowest..=self.limit).contains(value))
    }

    fn invalid(&self, item: &str) -> WindowsError {
        WindowsError::Field {
            field: self.name,
            item: excerpt(item),
            values: self.values,
        }
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Dates have no part below zero.
fn unsigned(part: i8) -> u32 {
    u32::from(part.unsigned_abs())
}

const fn has(bits: u64, value: u32) -> bool {
    bits >> value & 1 == 1
}

/// The lowest value that is not below another.
fn lowest_from(bits: u64, value: u32) -> Option<u32> {
    let lowest = (bits >> value << value).trailing_zeros();
    (lowest < u64::BITS).then_some(lowest)
}

/// The highest value that is not above another; `value` is below 63.
fn highest_until(bits: u64, value: u32) -> Option<u32> {
    (bits & ((2 << value) - 1)).checked_ilog2()
}

/// The most that two neighbours among the values are apart.
fn gap(bits: u64) -> u32 {
    let mut rest = bits;
    let mut gap = 0;
    while rest & rest.wrapping_sub(1) != 0 {
        let lowest = rest.trailing_zeros();
        rest &= rest - 1;
        gap = gap.max(rest.trailing_zeros() - lowest);
    }
    gap
}
