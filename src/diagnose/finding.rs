//! What can be wrong with an annotation, in words.
//!
//! Input: a mistake. Output: its name, its level, a sentence that says what to do. I/O: none.

use std::fmt;

use crate::model::{SourceKind, go_duration::DurationError, opt_in::BadPatternReason, policy::SUSPEND};

/// The most findings about one object; further ones are left out.
pub const MAX_FINDINGS: usize = 16;

/// The most items of one list, references of one workload or keys of one object that are looked at closely. An object may have
/// megabytes of them, and it is looked at whenever it is seen, by a task that others wait for.
pub(super) const MAX_LOOKED_AT: usize = 256;

/// The most characters of a value that a finding repeats.
const MAX_TEXT: usize = 128;

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What carries it.
    pub place: Place,
    /// The key of the annotation or label.
    pub key: Box<str>,
    /// What is wrong.
    pub mistake: Mistake,
}

/// Where an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `metadata.annotations` of the object.
    Metadata,
    /// `metadata.annotations` of its pod template.
    Template,
    /// `metadata.labels` of the object.
    Label,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It may be meant: what is named or used may come later or from elsewhere.
    Note,
    /// What is written does not do what it says.
    Warning,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The key is none of Reloader's.
    UnknownKey {
        /// The key that may be meant.
        suggestion: Option<Box<str>>,
    },
    /// The key has no effect on this object.
    WrongObject {
        /// Where it belongs.
        belongs: &'static str,
    },
    /// A label is not read.
    IsLabel,
    /// The value is a boolean or a number of YAML, which the API server refuses.
    NotText {
        /// The value.
        value: Box<str>,
    },
    /// The value is no Go boolean.
    NotBoolean {
        /// The value.
        value: Box<str>,
    },
    /// Only the exact text `true` has an effect.
    NotTrue {
        /// The value.
        value: Box<str>,
    },
    /// A list without an item.
    EmptyList {
        /// The key that may be meant.
        auto: Box<str>,
    },
    /// A list of names holds `true` or `false`.
    BooleanList {
        /// The key that may be meant.
        auto: Box<str>,
    },
    /// No object can have such a name.
    BadName {
        /// The item.
        item: Box<str>,
        /// What may be meant.
        suggestion: Option<Box<str>>,
    },
    /// The `*` of a shell, where a regular expression is read.
    ShellPattern {
        /// The item.
        item: Box<str>,
        /// The expression that may be meant.
        suggestion: Box<str>,
    },
    /// An item that is no regular expression, or one for which there is no room.
    BadPattern {
        /// The item.
        item: Box<str>,
        /// What is wrong with it.
        error: BadPatternReason,
    },
    /// Exclusions are exact names.
    ExcludesPattern {
        /// The item.
        item: Box<str>,
    },
    /// The value is no Go duration.
    BadPeriod {
        /// The value.
        value: Box<str>,
        /// What is wrong with it.
        error: DurationError,
    },
    /// The value is no way to restart a Rollout.
    BadStrategy {
        /// The value.
        value: Box<str>,
    },
    /// The value is no Go boolean, and counts as true.
    NotSuspension {
        /// The value.
        value: Box<str>,
    },
    /// The value says nothing about when restarts may begin, and so none begins.
    BadWindow {
        /// What is wrong with it.
        error: Box<str>,
    },
    /// The value is no RFC 3339 time.
    BadTime {
        /// The value.
        value: Box<str>,
    },
    /// The value is neither a number of workloads nor a percentage, and counts as the most careful one.
    BadShare {
        /// The value.
        value: Box<str>,
    },
    /// The value limits nothing that can be limited, and counts as one.
    BadLimit {
        /// The value.
        value: Box<str>,
    },
    /// The value is no duration, and says nothing.
    BadDuration {
        /// The value.
        value: Box<str>,
        /// What is wrong with it.
        error: DurationError,
    },
    /// The value is no integer, and counts as zero.
    BadInteger {
        /// The value.
        value: Box<str>,
    },
    /// The workload's own annotation keeps that of its pod template from being read.
    HidesTemplate {
        /// What it hides.
        hidden: Box<str>,
    },
    /// `auto` covers what `search` would find.
    AutoWithSearch,
    /// A name is both listed and excluded.
    ListedAndExcluded {
        /// The name.
        item: Box<str>,
    },
    /// It opts into what its pods use, and they use nothing.
    UsesNothing {
        /// The kinds of sources that it opts into.
        kinds: &'static str,
    },
    /// No object has the listed name.
    MissingSource {
        /// Its kind.
        kind: SourceKind,
        /// Its name.
        name: Box<str>,
    },
}

impl Finding {
    pub(super) fn new(place: Place, key: &str, mistake: Mistake) -> Self {
        Self {
            place,
            key: cut(key),
            mistake,
        }
    }

    /// Whether it says what may be meant by an item of a list, and the other that the item does not compile.
    pub(super) fn is_about_item_of(&self, other: &Self) -> bool {
        let (Mistake::BadName { item, .. } | Mistake::ShellPattern { item, .. }) = &self.mistake else {
            return false;
        };
        (self.place, &self.key) == (other.place, &other.key)
            && matches!(&other.mistake, Mistake::BadPattern { item: bad, .. } if bad == item)
    }
}

impl Mistake {
    /// Every [`Self::reason`], for metrics and for the rules of reports.
    pub const REASONS: [&'static str; 21] = [
        "unknown-key",
        "wrong-object",
        "is-label",
        "not-text",
        "not-boolean",
        "not-true",
        "empty-list",
        "boolean-list",
        "bad-name",
        "shell-pattern",
        "bad-pattern",
        "excludes-pattern",
        "bad-period",
        "bad-strategy",
        "not-suspension",
        "bad-window",
        "bad-time",
        "hides-template",
        "auto-with-search",
        "listed-and-excluded",
        "uses-nothing",
    ];

    /// The [`Self::reason`] of a source that does not exist, which is no mistake by itself.
    pub const MISSING: &'static str = "missing-source";

    /// Its name: stable, a metric label and the rule of a report.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown-key",
            Self::WrongObject { .. } => "wrong-object",
            Self::IsLabel => "is-label",
            Self::NotText { .. } => "not-text",
            Self::NotBoolean { .. } => "not-boolean",
            Self::NotTrue { .. } => "not-true",
            Self::EmptyList { .. } => "empty-list",
            Self::BooleanList { .. } => "boolean-list",
            Self::BadName { .. } => "bad-name",
            Self::ShellPattern { .. } => "shell-pattern",
            Self::BadPattern { .. } => "bad-pattern",
            Self::ExcludesPattern { .. } => "excludes-pattern",
            Self::BadPeriod { .. } => "bad-period",
            Self::BadStrategy { .. } => "bad-strategy",
            Self::NotSuspension { .. } => "not-suspension",
            Self::BadWindow { .. } => "bad-window",
            Self::BadTime { .. } => "bad-time",
            Self::BadShare { .. } => "bad-share",
            Self::BadLimit { .. } => "bad-limit",
            Self::BadDuration { .. } => "bad-duration",
            Self::BadInteger { .. } => "bad-integer",
            Self::HidesTemplate { .. } => "hides-template",
            Self::AutoWithSearch => "auto-with-search",
            Self::ListedAndExcluded { .. } => "listed-and-excluded",
            Self::UsesNothing { .. } => "uses-nothing",
            Self::MissingSource { .. } => Self::MISSING,
        }
    }

    /// How much it matters.
    pub const fn level(&self) -> Level {
        match self {
            // A chart may opt in each of its workloads, whatever they use.
            Self::MissingSource { .. } | Self::AutoWithSearch | Self::UsesNothing { .. } => Level::Note,
            _ => Level::Warning,
        }
    }

    /// The key or value to write instead, where that is known.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { suggestion } | Self::BadName { suggestion, .. } => suggestion.as_deref(),
            Self::NotBoolean { .. } | Self::NotTrue { .. } | Self::NotSuspension { .. } => Some("true"),
            Self::EmptyList { auto } | Self::BooleanList { auto } => Some(auto),
            Self::ShellPattern { suggestion, .. } => Some(suggestion),
            Self::WrongObject { .. }
            | Self::IsLabel
            | Self::NotText { .. }
            | Self::BadPattern { .. }
            | Self::ExcludesPattern { .. }
            | Self::BadPeriod { .. }
            | Self::BadStrategy { .. }
            | Self::BadWindow { .. }
            | Self::BadTime { .. }
            | Self::BadShare { .. }
            | Self::BadLimit { .. }
            | Self::BadDuration { .. }
            | Self::BadInteger { .. }
            | Self::HidesTemplate { .. }
            | Self::AutoWithSearch
            | Self::ListedAndExcluded { .. }
            | Self::UsesNothing { .. }
            | Self::MissingSource { .. } => None,
        }
    }
}

/// The part of a value that is repeated: control characters would end a line of a log.
pub(super) fn cut(text: &str) -> Box<str> {
    let shown = text.chars().take(MAX_TEXT);
    shown
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .into()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "annotation",
            Self::Template => "annotation of the pod template",
            Self::Label => "label",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, mistake } = self;
        write!(f, "{place} {key}{mistake}")
    }
}

impl Mistake {
    /// What follows the key of a limit.
    fn about_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadShare { value } => write!(
                f,
                ": \"{value}\" is neither a number of workloads nor a percentage of them, and counts as the most careful \
                 value; write one as in 1 or 5%"
            ),
            Self::BadLimit { value } => write!(
                f,
                ": \"{value}\" is no limit and counts as \"1\"; write one as in 5 or 10%. To stop restarts, use {SUSPEND}"
            ),
            Self::BadDuration { value, error } => write!(
                f,
                ": \"{value}\" is no duration that counts ({error}) and says nothing; write one as in 30s or 5m"
            ),
            Self::BadInteger { value } => write!(
                f,
                ": \"{value}\" is no integer and counts as \"0\"; write one as in -1 or 2"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Mistake {
    /// What follows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey {
                suggestion: Some(suggestion),
            } => write!(f, " is unknown, did you mean {suggestion}?"),
            Self::UnknownKey { suggestion: None } => f.write_str(" is unknown and has no effect"),
            Self::WrongObject { belongs } => write!(f, " has no effect here: it belongs on {belongs}"),
            Self::IsLabel => f.write_str(" has no effect: write it as an annotation"),
            Self::NotText { value } => write!(
                f,
                ": {value} is no text, so the API server refuses the object; write \"{value}\" with quotes"
            ),
            Self::NotBoolean { value } => write!(
                f,
                ": \"{value}\" is no boolean and counts as off, did you mean \"true\"?"
            ),
            Self::NotTrue { value } => {
                write!(f, ": \"{value}\" has no effect, only \"true\" has; did you mean \"true\"?")
            }
            Self::EmptyList { auto } => write!(
                f,
                " is empty and names nothing: list names, or did you mean {auto}: \"true\"?"
            ),
            Self::BooleanList { auto } => write!(
                f,
                " lists names of objects, and this one is a boolean, did you mean {auto}?"
            ),
            Self::BadName {
                item,
                suggestion: Some(suggestion),
            } => write!(
                f,
                ": \"{item}\" can be the name of no object, did you mean \"{suggestion}\"?"
            ),
            Self::BadName { item, suggestion: None } => {
                write!(f, ": \"{item}\" can be the name of no object; list names, separated by commas")
            }
            Self::ShellPattern { item, suggestion } => write!(
                f,
                ": \"{item}\" is a regular expression in which * repeats the character before it, did you mean \
                 \"{suggestion}\"?"
            ),
            Self::BadPattern { item, error } if item.is_empty() => write!(f, ": {error}"),
            Self::BadPattern { item, error } => write!(f, ": \"{item}\" is skipped: {error}"),
            Self::ExcludesPattern { item } => write!(
                f,
                ": \"{item}\" is a pattern, and only exact names are excluded; list each name"
            ),
            Self::BadPeriod { value, error } => write!(
                f,
                ": \"{value}\" is no duration ({error}), so there is no pause; write one as in 30s or 5m"
            ),
            Self::BadStrategy { value } => write!(
                f,
                ": \"{value}\" is neither \"rollout\" nor \"restart\" and counts as \"rollout\""
            ),
            Self::NotSuspension { value } => write!(
                f,
                ": \"{value}\" is no boolean and counts as \"true\", so there are no restarts; write \"true\" or \"false\""
            ),
            Self::BadWindow { error } => write!(f, " cannot be read, so no restart begins: {error}"),
            Self::BadTime { value } => write!(
                f,
                ": \"{value}\" is no RFC 3339 time and releases nothing; write one as in 2026-01-31T22:00:00Z"
            ),
            Self::BadShare { .. }
            | Self::BadLimit { .. }
            | Self::BadDuration { .. }
            | Self::BadInteger { .. } => self.about_limits(f),
            Self::HidesTemplate { hidden } => write!(
                f,
                " hides {hidden} of the pod template, which would restart the workload: the workload's own annotations \
                 win as a set. Remove one of the two"
            ),
            Self::AutoWithSearch => f.write_str(
                " has no effect beside auto, which restarts the workload for every source that its pods use. Remove one \
                 of the two",
            ),
            Self::ListedAndExcluded { item } => {
                write!(f, ": \"{item}\" is excluded as well, so it restarts nothing")
            }
            Self::UsesNothing { kinds } => write!(
                f,
                " covers the {kinds} that the pods use, and they use none: nothing will restart the workload. Mount one, \
                 or name it in a list"
            ),
            Self::MissingSource { kind, name } => write!(
                f,
                ": there is no {kind} '{name}' in the namespace; it restarts the workload only once it exists"
            ),
        }
    }
}
