//! Time zones by name, and their local time as stretches of one offset.
//!
//! Input: an IANA name, an instant. Output: [`Zone`], [`Stretch`]. I/O: none: the zones are part of the program.

use std::hash::{Hash, Hasher};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::error::{WindowsError, excerpt};

/// More letters than any name of a zone has; longer ones are not compared with the known ones.
const LONGEST_NAME: usize = 64;

/// How many edits a misspelt name may be away from a known one.
const MAX_EDITS: usize = 2;

/// What jiff calls a zone that is not known; it has a name, but is none of the database.
const UNKNOWN: &str = "Etc/Unknown";

/// A time zone of the IANA database. Zones are equal if their names are.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Default for Zone {
    /// [`Zone::UTC`].
    fn default() -> Self {
        Self::UTC
    }
}

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone with that name, in any case of letters.
    ///
    /// # Errors
    /// No zone has that name; the error names one that may be meant.
    pub fn named(name: &str) -> Result<Self, WindowsError> {
        let known = TimeZoneDatabase::bundled();
        match known.get(name) {
            Ok(zone) if !name.eq_ignore_ascii_case(UNKNOWN) => Ok(Self(zone)),
            _ => Err(nearest(name, &known).map_or_else(
                || WindowsError::Zone(excerpt(name)),
                |meant| WindowsError::MisspeltZone {
                    name: excerpt(name),
                    meant: meant.into(),
                },
            )),
        }
    }

    /// The name of the zone, as the database writes it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The stretch around a minute of the time line; `None` beyond the times that jiff knows.
    pub(super) fn stretch(&self, minute: i64) -> Option<Stretch> {
        let at = Timestamp::from_second(minute.checked_mul(60)?).ok()?;
        let after = Timestamp::from_second(at.as_second() + 1).ok()?;
        let begin = self.0.preceding(after).next();
        let end = self.0.following(at).next();
        Some(Stretch {
            begin: begin.map_or(i64::MIN, |change| first_minute_from(change.timestamp())),
            end: end.map_or(i64::MAX, |change| first_minute_from(change.timestamp())),
            offset: i64::from(self.0.to_offset(at).seconds()).div_euclid(60),
        })
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// Minutes of the time line (since 1970, UTC) between two changes of a zone's clocks: local time runs evenly there, so
/// days and hours can be skipped without missing a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// The first minute.
    pub(super) begin: i64,
    /// The first minute behind it.
    pub(super) end: i64,
    /// What makes a minute a local one, in minutes. Offsets with seconds ended in 1972.
    pub(super) offset: i64,
}

impl Stretch {
    pub(super) const fn contains(&self, minute: i64) -> bool {
        self.begin <= minute && minute < self.end
    }
}

/// The first full minute that is not before an instant in full seconds.
fn first_minute_from(time: Timestamp) -> i64 {
    -(-time.as_second()).div_euclid(60)
}

/// The known name that may be meant: a few letters away, or the last part of one.
fn nearest(name: &str, known: &TimeZoneDatabase) -> Option<String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return None;
    }
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    let mut best: Option<(usize, String)> = None;
    for candidate in known.available() {
        let lower = candidate.as_str().to_ascii_lowercase();
        let is_city = lower.rsplit_once('/').is_some_and(|(_, city)| city == wanted);
        let edits = if is_city {
            0
        } else if lower.len().abs_diff(wanted.len()) <= MAX_EDITS {
            strsim::osa_distance(&lower, &wanted)
        } else {
            continue;
        };
        // `EST` is two edits away from `UTC`: of short names only one edit is a slip.
        let is_slip = edits <= MAX_EDITS.min(wanted.len() / 4 + 1);
        if is_slip && best.as_ref().is_none_or(|(fewest, _)| edits < *fewest) {
            best = Some((edits, candidate.as_str().to_owned()));
        }
    }
    best.map(|(_, name)| name)
}
