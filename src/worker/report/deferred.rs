//! What is said about restarts that have to wait.
//!
//! Input: a wait. Output: lines, Events. I/O: hands them over; nothing here waits.

use std::fmt::Write as _;

use super::{Reporter, named};
use crate::{
    admit::{Halt, Wait},
    index::Pending,
    model::{Owed, SourceKey, WorkloadKey},
    patch::events::{self, Notice, Subject},
};

/// Sources whose halt is remembered to have been reported, at most; beyond that, all are forgotten and reported again.
const HALTED: usize = 4096;

impl Reporter {
    /// The workload is not restarted yet.
    pub(in crate::worker) fn deferred(&self, pending: &Pending, wait: &Wait) {
        let mut sources: Vec<&SourceKey> = pending.owed.iter().map(|owed| &owed.source.key).collect();
        sources.sort_unstable();
        let Some(first) = sources.first() else { return };
        let WorkloadKey {
            namespace,
            kind,
            name,
        } = &pending.workload.key;
        let message = text(pending, &named(&sources), wait);
        tracing::info!(%namespace, %kind, %name, reason = wait.reason.as_str(), "{message}");
        self.recorder.record(Notice {
            about: Subject::Workload(pending.workload.key.clone()),
            uid: pending.workload.uid.clone(),
            related: Some((*first).clone()),
            once: Some(once(pending, wait)),
            source: first.kind,
            severity: events::Severity::Normal,
            reason: "RestartDeferred",
            message,
        });
    }

    /// The restarts for a source are held back: said of the source, once for its content, whoever waits.
    pub(in crate::worker) fn halted(&self, pending: &Pending, halt: &Halt) {
        let is_halted = |owed: &&Owed| owed.source.key.reference() == halt.source;
        let Some(owed) = pending.owed.iter().find(is_halted) else {
            return;
        };
        let source = &owed.source;
        let SourceKey {
            namespace,
            kind,
            name,
        } = &source.key;
        if self.halted.len() >= HALTED {
            self.halted.clear();
        }
        if self.halted.insert(source.key.clone(), owed.version) == Some(owed.version) {
            return;
        }
        let message = halt.to_string();
        tracing::warn!(%namespace, %kind, %name, "{message}");
        if let Some(failed) = halt.names.first() {
            self.alerts.failed(&source.key, failed, &message);
        }
        self.recorder.record(Notice {
            about: Subject::Source(source.key.clone()),
            uid: source.uid.to_string().into(),
            related: None,
            once: Some(format!("halted {}", owed.version).into()),
            source: *kind,
            severity: events::Severity::Warning,
            reason: "RolloutHalted",
            message,
        });
    }
}

/// The text of the line and of the Event.
fn text(pending: &Pending, named: &str, wait: &Wait) -> String {
    let key = &pending.workload.key;
    let until = wait
        .until
        .map_or_else(String::new, |until| format!(", until {until}"));
    format!(
        "The restart of {} '{}' in namespace '{}' for changes in {named} is deferred{until}: {}. It stays owed",
        key.kind, key.name, key.namespace, wait.reason,
    )
}

/// What the Event is said of, once: these changes, and this reason. Versions, because a digest of a Secret could be guessed
/// from the Event's name.
fn once(pending: &Pending, wait: &Wait) -> Box<str> {
    let mut text = wait.reason.as_str().to_owned();
    for owed in &pending.owed {
        // Writing to a String cannot fail.
        let _ = write!(text, " {} {}", owed.source.key, owed.version);
    }
    text.into()
}
