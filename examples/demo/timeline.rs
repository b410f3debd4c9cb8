//! What the demo prints: one line an event, with when it happened, who did it, and what.
//!
//! Input: moments, names, sentences; output: aligned lines. I/O: writes standard output.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use jiff::Timestamp;

/// Width of the middle column: the longest name in it is `reloader-0`, and two spaces follow.
const WHO: usize = 12;

/// Who did what a line tells.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// The person at the keyboard, whose part the demo plays.
    You,
    /// The control plane and its controllers.
    Cluster,
    /// A replica of Reloader.
    Replica(&'a str),
    /// The demo itself: what it found out.
    Demo,
}

impl<'a> Who<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::You => "you",
            Self::Cluster => "cluster",
            Self::Replica(name) => name,
            Self::Demo => "demo",
        }
    }

    /// ANSI colour (<https://en.wikipedia.org/wiki/ANSI_escape_code#Colors>).
    fn colour(self) -> &'static str {
        match self {
            Self::You => "36",
            Self::Cluster => "34",
            Self::Replica(_) => "32",
            Self::Demo => "35",
        }
    }
}

/// Prints lines whose time counts from when it was made.
pub struct Timeline {
    start: Timestamp,
    colour: bool,
}

impl Timeline {
    /// Starts the clock. Colours only on a terminal, and not if `NO_COLOR` (<https://no-color.org>) is set.
    pub fn start() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            start: Timestamp::now(),
            colour: std::io::stdout().is_terminal() && !no_color,
        }
    }

    /// A line about what happened just now.
    pub fn now(&self, who: Who<'_>, what: impl Display) {
        self.at(Timestamp::now(), who, what);
    }

    /// A line about what happened at `moment`.
    pub fn at(&self, moment: Timestamp, who: Who<'_>, what: impl Display) {
        let seconds = moment.duration_since(self.start).as_secs_f64();
        let name = format!("{:WHO$}", who.name());
        print(format_args!(
            "{seconds:6.1} s  {} {what}",
            self.painted(who.colour(), &name)
        ));
    }

    /// A heading, with a blank line before it.
    pub fn heading(&self, text: &str) {
        print(format_args!("\n{}", self.painted("1", text)));
    }

    /// What went wrong, in red.
    pub fn failure(&self, text: &str) {
        print(format_args!("\n{} {text}", self.painted("31", "FAILED:")));
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A line without columns.
pub fn print(text: impl Display) {
    // Nobody may be reading any more (`make demo | head`). What the demo checks is still worth its exit code.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
