//! Why a text is no restart window, and what to write instead.
//!
//! Input: parts of a user's text. Output: [`WindowsError`]. I/O: none.

use crate::model::go_duration::DurationError;

/// Longest part of a user's text that an error quotes, in characters: an annotation may have 256 KiB.
const LONGEST_EXCERPT: usize = 48;

/// Why a text is no restart window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// More text than sixteen windows need.
    #[error("{length} bytes are too long; at most {limit} are read")]
    TooLong {
        /// What it has.
        length: usize,
        /// What it may have.
        limit: usize,
    },
    /// Neither JSON nor YAML.
    #[error(
        "cannot be read as JSON or YAML (line {line}, column {column}); write schedules in quotes: \"0 22 * * *\""
    )]
    Syntax {
        /// Where reading ended, from 1; 0 if that is unknown.
        line: usize,
        /// Where reading ended, from 1; 0 if that is unknown.
        column: usize,
    },
    /// A number, a word, or another value that is no form of windows.
    #[error(
        "expected `manual`, a list such as [{{\"schedule\":\"0 22 * * *\",\"duration\":\"4h\"}}], or an object with \
         `timezone` and `windows`"
    )]
    NotWindows,
    /// No window, or too many.
    #[error("{0} windows; expected 1 to 16")]
    Count(usize),
    /// A problem of one window.
    #[error("window {number}: {problem}")]
    Window {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        problem: Box<WindowsError>,
    },
    /// An item of the list that is a text, a number or a list.
    #[error("expected an object with `{schedule}` and `duration`")]
    NotAnObject {
        /// What the form calls the schedule.
        schedule: &'static str,
    },
    /// A field that the form does not have.
    #[error("unknown field `{name}`; did you mean `{meant}`?")]
    Misspelt {
        /// The user's field.
        name: Box<str>,
        /// What may be meant.
        meant: &'static str,
    },
    /// A field that the form does not have, and nothing similar either.
    #[error("unknown field `{name}`; allowed are {allowed}")]
    UnknownField {
        /// The user's field.
        name: Box<str>,
        /// The fields of the form.
        allowed: &'static str,
    },
    /// A field of Argo CD's that has no meaning for a restart.
    #[error("`{0}` has no effect on restarts; remove it")]
    ArgoOnly(&'static str),
    /// The same field twice.
    #[error("`{0}` appears twice; remove one")]
    Repeated(&'static str),
    /// A required field is absent.
    #[error("`{field}` is missing; write for example {field}: \"{example}\"")]
    Missing {
        /// The field.
        field: &'static str,
        /// A valid value.
        example: &'static str,
    },
    /// A number, a list or an object where a text is expected.
    #[error("`{field}` must be a text in quotes, such as \"{example}\"")]
    NotText {
        /// The field.
        field: &'static str,
        /// A valid value.
        example: &'static str,
    },
    /// Another kind than the two.
    #[error("kind `{0}`: write `allow` or `deny`")]
    Kind(Box<str>),
    /// Days, which Go's durations do not have.
    #[error("duration `{0}`: days are not supported; write hours, 168h for 7 days")]
    Days(Box<str>),
    /// No duration of Go's.
    #[error("duration `{text}`: {problem}")]
    Duration {
        /// The user's text.
        text: Box<str>,
        /// What is wrong with it.
        #[source]
        problem: DurationError,
    },
    /// A duration out of bounds.
    #[error("duration `{text}`: write 1m to {longest}")]
    Length {
        /// The user's text.
        text: Box<str>,
        /// The longest in this form.
        longest: &'static str,
    },
    /// An unknown time zone that resembles a known one.
    #[error("unknown time zone `{name}`; did you mean `{meant}`?")]
    MisspeltZone {
        /// The user's text.
        name: Box<str>,
        /// The known one.
        meant: Box<str>,
    },
    /// An unknown time zone.
    #[error("unknown time zone `{0}`; write a name of the IANA database, such as Europe/Berlin or UTC")]
    Zone(Box<str>),
    /// Too few or too many fields.
    #[error("schedule has {0} fields; expected 5: minute, hour, day of month, month, day of week")]
    Fields(usize),
    /// `@daily` and similar.
    #[error("schedule `{text}`: macros are not supported; write \"{instead}\"")]
    Macro {
        /// The user's text.
        text: Box<str>,
        /// Five fields.
        instead: &'static str,
    },
    /// `TZ=` or `CRON_TZ=`.
    #[error("schedule must not contain `TZ=`; write the time zone into `{0}`")]
    ZoneInSchedule(&'static str),
    /// An item of a field that is out of bounds, or none at all.
    #[error("{field} `{item}`: write {values}, `*`, a range `a-b` or a step `*/n`, or a list of them")]
    Field {
        /// Which of the five.
        field: &'static str,
        /// The user's text.
        item: Box<str>,
        /// What is allowed.
        values: &'static str,
    },
    /// A range whose end is before its start.
    #[error("{field} `{item}`: the range ends before it begins; write two ranges, separated by a comma")]
    Backwards {
        /// Which of the five.
        field: &'static str,
        /// The user's text.
        item: Box<str>,
    },
    /// A day that no month has.
    #[error("schedule `{0}` never happens: none of its months has such a day")]
    Never(Box<str>),
}

impl WindowsError {
    /// The same, of a window of a list; `index` counts from 0.
    pub(super) fn of_window(self, index: usize) -> Self {
        Self::Window {
            number: index + 1,
            problem: Box::new(self),
        }
    }
}

/// A user's text as an error quotes it: bounded, and without characters that a terminal would obey.
pub(super) fn excerpt(text: &str) -> Box<str> {
    let mut quoted: String = text
        .chars()
        .take(LONGEST_EXCERPT)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST_EXCERPT).is_some() {
        quoted.push('…');
    }
    quoted.into()
}
