//! The two kinds of messages: alerts about restarts, and changes in webhook mode.
//!
//! Input: what happened. Output: [`Message`]s. I/O: none.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::{
    outbox::Message,
    payload::{self, ChangeKind, Payload, WebhookPayload},
    trace_parent::TraceParent,
};
use crate::{mailbox::Rank, model::SourceKey};

/// An alert.
#[derive(Clone, Debug)]
pub(super) struct AlertMessage {
    pub(super) namespace: Arc<str>,
    pub(super) rank: Rank,
    pub(super) payload: Payload,
    pub(super) trace_parent: Option<TraceParent>,
}

impl Message for AlertMessage {
    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn rank(&self) -> Rank {
        self.rank
    }

    fn payload(&self) -> Payload {
        self.payload.clone()
    }

    fn trace_parent(&self) -> Option<&TraceParent> {
        self.trace_parent.as_ref()
    }

    /// Each names a restart of its own.
    fn absorb(&mut self, _newer: &Self) -> bool {
        false
    }
}

/// A change of a source.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) payload: WebhookPayload,
    pub(super) source: SourceKey,
    pub(super) change: ChangeKind,
    pub(super) seen: Timestamp,
    pub(super) trace_parent: Option<TraceParent>,
}

impl Message for Changed {
    fn namespace(&self) -> &Arc<str> {
        &self.source.namespace
    }

    fn rank(&self) -> Rank {
        Rank::Usual
    }

    fn payload(&self) -> Payload {
        payload::webhook(self.payload, &self.source, self.change, self.seen)
    }

    fn trace_parent(&self) -> Option<&TraceParent> {
        self.trace_parent.as_ref()
    }

    /// A receiver acts on what the source is, so the newer change of it is enough; one that is new to the receiver stays
    /// new.
    fn absorb(&mut self, newer: &Self) -> bool {
        if self.source != newer.source {
            return false;
        }
        self.change = match (self.change, newer.change) {
            (ChangeKind::Create, ChangeKind::Update) => ChangeKind::Create,
            (_, newer) => newer,
        };
        self.seen = newer.seen;
        self.trace_parent.clone_from(&newer.trace_parent);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceKind;

    fn changed(name: &str, change: ChangeKind, second: i64) -> Changed {
        Changed {
            payload: WebhookPayload::Details,
            source: SourceKey::new(SourceKind::Secret, "shop", name),
            change,
            seen: Timestamp::from_second(second).unwrap(),
            trace_parent: None,
        }
    }

    #[test]
    fn a_newer_change_of_the_same_source_replaces_one_that_waits() {
        use ChangeKind::{Create, Delete, Update};
        for (waiting, newer, posted) in [
            (Update, Update, Update),
            (Create, Update, Create),
            (Create, Delete, Delete),
            (Delete, Create, Create),
            (Update, Delete, Delete),
        ] {
            let mut message = changed("a", waiting, 1);
            assert!(!message.absorb(&changed("b", newer, 2)));
            assert!(message.absorb(&changed("a", newer, 2)));
            assert_eq!(message.payload(), changed("a", posted, 2).payload());
        }
    }
}
