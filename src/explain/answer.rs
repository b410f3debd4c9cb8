//! The answer about one workload, as JSON.
//!
//! Input: none. Output: plain values. I/O: none.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    deferral::Deferral,
    names::{ObjectName, SourceName},
    status::Replica,
};
use crate::diagnose;

/// The version of every answer. Fields are added within a version, and neither removed nor given another meaning.
pub const VERSION: &str = "v1";

/// Why a workload is restarted or not, for each of its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// [`VERSION`].
    pub version: String,
    /// The workload.
    pub workload: ObjectName,
    /// `metadata.uid`.
    pub uid: String,
    /// The replica that answered; absent where the answer is made of objects alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Replica>,
    /// Whether any source may restart it: its annotations ask for that, or `--auto-reload-all` does.
    pub opted_in: bool,
    /// What a restart is for it, in one sentence.
    pub restart: String,
    /// Its sources, ordered by kind and name: those that its pods use, that it lists, and that it owes a restart for.
    pub sources: Vec<SourceAnswer>,
    /// How many more sources there are that are not in the answer, which is bounded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sources_left_off: usize,
    /// Mistakes in annotations.
    pub findings: Vec<Finding>,
    /// What else matters: the scope, flags, a pause.
    pub notes: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A mistake in an annotation, or in what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A fixed word for the kind of mistake.
    pub reason: String,
    /// The annotation.
    pub key: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl From<&diagnose::Finding> for Finding {
    fn from(found: &diagnose::Finding) -> Self {
        Self {
            reason: found.mistake.reason().to_owned(),
            key: found.key.to_string(),
            message: found.to_string(),
            suggestion: found.mistake.suggestion().map(str::to_owned),
        }
    }
}

/// One source of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceAnswer {
    /// Which source.
    #[serde(flatten)]
    pub source: SourceName,
    /// Whether it exists; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// Where the pods use it, each as words: `volume config in container main`.
    pub used_by: Vec<String>,
    /// What asks for restarts or, where it is refused, decides against them; absent where that is no annotation and no flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_for_by: Option<AskedFor>,
    /// Whether a change of it restarts the workload.
    pub verdict: Verdict,
    /// The rule behind the verdict.
    pub rule: Rule,
    /// What the rule means here, in one sentence.
    pub because: String,
    /// What it holds now; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Held>,
    /// What the pods run with, as far as one content is certain; absent: unknown, or the pods may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Held>,
    /// What the markers in the pod template show.
    pub in_template: Vec<Marker>,
    /// When its data was last written, by the API server's clock; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// The field manager that wrote its data last; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// Whether a restart is owed for it.
    pub owes: Owes,
    /// What happens next, and when; where nothing does, what to do about it.
    pub next: String,
}

/// Whether a change of a source restarts a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does.
    Restarts,
    /// It does not.
    Refused,
    /// It depends on something that is unknown here: see [`SourceAnswer::because`].
    Unknown,
}

/// The rule behind a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Restarts: the workload lists it.
    Listed,
    /// Restarts: the workload searches, and the source is marked for that.
    Searched,
    /// Restarts: an automatic opt-in annotation is true, and the pods use it.
    Auto,
    /// Restarts: `--auto-reload-all` is set, and the pods use it.
    AutoReloadAll,
    /// Refused: the source carries the ignore annotation.
    Ignored,
    /// Refused: the workload excludes it.
    Excluded,
    /// Refused: an automatic opt-in annotation says no.
    Off,
    /// Refused: the workload searches, and the source is not marked for that.
    Unmatched,
    /// Refused: nothing asks for restarts by this source.
    NotOptedIn,
    /// Refused: opted in, but the pods do not use it.
    NotUsed,
    /// Refused: the workload has no pod template with a container.
    NoContainer,
    /// Refused: the workload is a suspended CronJob.
    Suspended,
    /// Refused: what happens in its namespace does not count.
    NamespaceNotSelected,
    /// Refused: sources of that kind are not watched.
    KindNotWatched,
}

impl Rule {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Searched => "searched",
            Self::Auto => "auto",
            Self::AutoReloadAll => "auto-reload-all",
            Self::Ignored => "ignored",
            Self::Excluded => "excluded",
            Self::Off => "off",
            Self::Unmatched => "unmatched",
            Self::NotOptedIn => "not-opted-in",
            Self::NotUsed => "not-used",
            Self::NoContainer => "no-container",
            Self::Suspended => "suspended",
            Self::NamespaceNotSelected => "namespace-not-selected",
            Self::KindNotWatched => "kind-not-watched",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What asks for restarts, or decides against them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedFor {
    /// The annotation's key, or the flag with its dashes.
    pub key: String,
    /// Where it is.
    pub by: AskedBy,
}

/// Where something asks for restarts, or decides against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// An annotation of the workload.
    Workload,
    /// An annotation of its pod template.
    Template,
    /// An annotation of the source.
    Source,
    /// A flag of the controller.
    Flag,
}

impl fmt::Display for AskedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.by {
            AskedBy::Workload => "annotation",
            AskedBy::Template => "annotation of the pod template",
            AskedBy::Source => "annotation of the source",
            AskedBy::Flag => "flag",
        };
        write!(f, "{place} {}", self.key)
    }
}

/// What a source holds, or held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Data with this digest: 40 hex digits.
    Digest(String),
    /// Nothing: it does not exist.
    Absent,
    /// Data of a Secret that no marker shows.
    Withheld,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digest(digest) => digest,
            Self::Absent => "absent",
            Self::Withheld => "withheld",
        })
    }
}

/// A marker of a source in the pod template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// The variable and its container, or the annotation, as words.
    pub place: String,
    /// The digest that it shows; absent where its text is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it shows what the source holds now; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_current: Option<bool>,
}

/// Whether a restart is owed for a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owes {
    /// No replica was asked, or the one that was does not know.
    #[default]
    Unknown,
    /// No.
    Nothing,
    /// Yes.
    Restart(Owed),
}

/// What is known of a restart that is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// When the first change was seen that is not settled; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Attempts that have failed since the last success, of the whole workload; absent: only the leader knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The last failure, without what the object holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the leader looks at it next; absent: at once, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// What it waits for on purpose; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Deferral>,
}
