//! What an answer is made of, each fact of it optional.
//!
//! Input: none. Output: plain values. I/O: none.

use std::sync::Arc;

use jiff::Timestamp;

use super::answer::Owes;
use crate::{
    admit::{self, ChangedSource, Texts},
    decide::Options,
    model::{AnnotationKeys, Content, Policy, SourceKind, SourceRef},
};

/// The settings of the controller that matter for verdicts and for what happens next.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// What changes decisions.
    pub options: Options,
    /// The names of the annotations.
    pub keys: Arc<AnnotationKeys>,
    /// `--reload-on-create`.
    pub reload_on_create: bool,
    /// `--reload-on-delete`.
    pub reload_on_delete: bool,
}

/// What is watched, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Whether what happens in the namespace counts; `None`: unknown.
    pub selected: Option<bool>,
    /// The kinds of sources that are watched; `None`: unknown.
    pub kinds: Option<Vec<SourceKind>>,
    /// What the annotations of the namespace say about when restarts may happen; `None`: nothing, or that is unknown.
    pub policy: Option<Arc<Policy>>,
    /// The windows of the controller's flag, and its time zone.
    pub windows: Arc<Texts>,
    /// What the controller's flags say about how many restarts may be under way.
    pub limits: admit::Flags,
    /// What else limits it, one sentence each: label selectors.
    pub notes: Vec<String>,
}

/// What is known of one source of the workload's namespace.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// Which source.
    pub source: SourceRef,
    /// Whether it exists; `None`: unknown.
    pub exists: Option<bool>,
    /// Whether it carries the ignore annotation with exactly `true`; `None`: unknown.
    pub ignored: Option<bool>,
    /// Whether it carries the match annotation with exactly `true`; `None`: unknown.
    pub matched: Option<bool>,
    /// What it holds; `None`: unknown.
    pub content: Option<Content>,
    /// What the pods run with; `None`: unknown, or more than one content is possible.
    pub settled: Option<Content>,
    /// When its data was last written; `None`: unknown.
    pub changed_at: Option<Timestamp>,
    /// The field manager that wrote its data last; `None`: unknown.
    pub changed_by: Option<String>,
    /// Whether a restart is owed for it.
    pub owes: Owes,
    /// What its annotations say about when restarts for it may happen.
    pub policy: Option<Box<Policy>>,
}

impl SourceFacts {
    /// The source, changed now.
    pub fn changed(&self) -> ChangedSource<'_> {
        ChangedSource {
            kind: self.source.kind,
            name: &self.source.name,
            policy: self.policy.as_deref(),
            // A release is of what has changed: the next change waits again.
            changed_at: None,
        }
    }

    /// Of a source of which nothing is known.
    pub const fn unknown(source: SourceRef) -> Self {
        Self {
            source,
            exists: None,
            ignored: None,
            matched: None,
            content: None,
            settled: None,
            changed_at: None,
            changed_by: None,
            owes: Owes::Unknown,
            policy: None,
        }
    }

    /// Of a source that does not exist.
    pub fn missing(source: SourceRef) -> Self {
        Self {
            exists: Some(false),
            ignored: Some(false),
            matched: Some(false),
            content: Some(Content::Absent),
            ..Self::unknown(source)
        }
    }
}
