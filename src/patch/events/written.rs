//! The Events that were written, to be raised when they repeat.
//!
//! Input: what was written. Output: the same when it repeats. I/O: none; `now` is given.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::notice::Notice;
use crate::mailbox::{Bounds, Rank, Waiting};

/// An Event that repeats within this time raises the count of the first one instead of becoming another object; as long as
/// the API server keeps Events by default.
const SAME_FOR: Duration = Duration::from_hours(1);
/// Events remembered for that; the oldest are forgotten first.
const REMEMBERED: Bounds = Bounds {
    namespace: 500,
    total: 4000,
};

/// An Event that was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// `metadata.name`.
    pub(super) name: String,
    /// How often it was reported.
    pub(super) count: i32,
    /// When it was written last.
    pub(super) last: Instant,
}

/// The Events that were written of late.
#[derive(Debug)]
pub(super) struct Memory(Waiting<(Notice, Written)>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Waiting::new(REMEMBERED))
    }

    /// What was written of that notice, if it is not too old. Forgets it: if it is written, it is remembered again.
    pub(super) fn recall(&mut self, notice: &Notice, now: Instant) -> Option<Written> {
        let (_, written) = self
            .0
            .extract(notice.about.namespace(), |(other, _)| other == notice)?;
        (now.duration_since(written.last) < SAME_FOR).then_some(written)
    }

    pub(super) fn remember(&mut self, notice: Notice, written: Written) {
        let namespace = Arc::clone(notice.about.namespace());
        drop(self.0.push(&namespace, Rank::Usual, (notice, written)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{SourceKind, WorkloadKey, WorkloadKind},
        patch::events::notice::{Severity, Subject},
    };

    fn notice(namespace: &str, message: &str) -> Notice {
        Notice {
            about: Subject::Workload(WorkloadKey::new(WorkloadKind::Deployment, namespace, "web")),
            uid: "u".into(),
            related: None,
            once: None,
            source: SourceKind::Secret,
            severity: Severity::Warning,
            reason: "ReloadFail",
            message: message.to_owned(),
        }
    }

    #[test]
    fn an_event_is_the_same_for_an_hour_whatever_another_namespace_writes() {
        let (mut memory, begun) = (Memory::new(), Instant::now());
        let mut write = |notice: Notice| {
            let written = Written {
                name: notice.message.clone(),
                count: 1,
                last: begun,
            };
            memory.remember(notice, written);
        };
        for message in ["first", "second"] {
            write(notice("calm", message));
        }
        (0..2 * REMEMBERED.namespace).for_each(|number| write(notice("flood", &number.to_string())));
        let mut name = |namespace, message, after| {
            let recalled = memory.recall(&notice(namespace, message), begun + after);
            recalled.map(|written| written.name)
        };
        assert_eq!(
            name("calm", "first", Duration::from_mins(59)).as_deref(),
            Some("first")
        );
        assert_eq!(name("calm", "second", SAME_FOR), None);
        assert_eq!(name("flood", "0", Duration::ZERO), None);
    }
}
