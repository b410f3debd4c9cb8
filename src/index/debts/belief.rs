//! What the pods of a workload may have started with, for one source, and how that is known.
//!
//! Input: what happened to the workload, its pods and its source. Output: whether the workload certainly runs with a
//! content, and what a marker of it proves. I/O: none.
//!
//! A belief is a set of contents. A set that is larger than the truth costs a restart at most; a smaller one loses a
//! change. So whatever may have started pods adds to it, and only what certainly replaced all of them replaces it.
//!
//! | What happened | The set | Known by |
//! |---|---|---|
//! | the source changes, the pods stand still | stays | stays |
//! | pods come or go, or may at any moment | and what the source has held since the workload was seen before | stays |
//! | a patch is about to be sent | and its content | stays |
//! | the API server refuses that patch (403, 409, 422) | without its content, if only the patch had added it | stays |
//! | the patch is answered | its content | watched |
//! | no answer comes | stays | stays |
//! | somebody changes the template, and all pods are to be replaced | and what the source has held since; without the rest once the status shows no pod of the template before (the debt is not due meanwhile) | stays |
//! | the template becomes one again that pods may still be of | and what the source has held since | stays |
//! | somebody changes the template, and some pods are replaced (`OnDelete`, a partition, a pause) | and what the source has held since | stays |
//! | the workload is created anew | anything: no time of the source is certain | stays |
//! | the ledger says what it runs with | and that; with nothing known before only that | told |
//! | the ledger says that it owes, and not what it runs with | and anything | told |
//!
//! A debt ends without a write only where the set is the source's present content and nothing else, and, where that is
//! only told, the ledger cannot lack a restart.
//!
//! **Markers** are written for others: for Stakater Reloader, for the next leader, for people. Here each is one piece of
//! evidence, and counts only while it is not known what the pods run with, see [`Proof`].

use crate::model::{Content, Digest, Proof};

/// So many contents are told apart.
const MOST: usize = 4;

/// What the pods of a workload may have started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Belief {
    contents: [Option<Content>; MOST],
    /// And anything else.
    or_any: bool,
    known: Known,
    /// What the last patch has added: a refusal takes it out again.
    sent: Option<Content>,
    /// The last patch has had no answer yet, or never gets one.
    unanswered: bool,
}

/// How a belief is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// This process has watched it without a gap.
    Watched,
    /// An earlier leader wrote it down. It may have done more since.
    Told,
}

impl Belief {
    /// The pods run with this; `None`: with anything.
    pub(super) fn new(content: Option<Content>, known: Known) -> Self {
        let mut belief = Self {
            contents: [None; MOST],
            or_any: content.is_none(),
            known,
            sent: None,
            unanswered: false,
        };
        belief.contents[0] = content;
        belief
    }

    /// The pods have started with one of these, `None` among them: with anything.
    pub(super) fn of(contents: impl IntoIterator<Item = Option<Content>>) -> Self {
        let mut belief = Self {
            or_any: false,
            ..Self::new(None, Known::Watched)
        };
        for content in contents {
            match content {
                Some(content) => belief.add(content),
                None => belief.or_any = true,
            }
        }
        belief
    }

    /// Some may have started with this as well.
    pub(super) fn add(&mut self, content: Content) {
        if self.contains(content) {
            return;
        }
        match self.contents.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(content),
            None => self.or_any = true,
        }
    }

    /// Some may be as `other` has it.
    pub(super) fn merge(&mut self, other: &Self) {
        other.contents().for_each(|content| self.add(content));
        self.or_any |= other.or_any;
        self.unanswered |= other.unanswered;
        if other.known == Known::Told {
            self.known = Known::Told;
        }
    }

    /// A patch that brings the workload to this is about to be sent.
    pub(super) fn attempted(&mut self, target: Content) {
        self.sent = (!self.contains(target)).then_some(target);
        self.unanswered = true;
        self.add(target);
    }

    /// The API server has refused the last patch: nothing of it was applied.
    pub(super) fn refused(&mut self) {
        if let Some(sent) = self.sent.take() {
            for place in &mut self.contents {
                if *place == Some(sent) {
                    *place = None;
                }
            }
            self.unanswered = false;
        }
    }

    /// It is not known any more which contents the pods have started with.
    pub(super) const fn forget(&mut self) {
        self.or_any = true;
        self.sent = None;
    }

    /// An earlier leader may have done more than this process has seen.
    pub(super) const fn doubt(&mut self) {
        self.known = Known::Told;
    }

    /// Whether the pods run with this and nothing else, as far as it is known.
    pub(super) fn is(&self, content: Option<Content>) -> bool {
        content.is_some() && self.only() == content
    }

    /// The one content that they run with.
    pub(super) fn only(&self) -> Option<Content> {
        let mut contents = self.contents();
        let only = contents.next().filter(|_| !self.or_any)?;
        contents.next().is_none().then_some(only)
    }

    /// Whether they may run with anything.
    pub(super) const fn is_any(&self) -> bool {
        self.or_any
    }

    /// Whether nothing but what an earlier leader wrote down says so.
    pub(super) fn is_told(&self) -> bool {
        self.known == Known::Told
    }

    /// What a later leader may rely on; `None`: they may run with anything.
    pub(super) fn recorded(&self) -> Option<Content> {
        let alike = |content: Content| match content {
            Content::Present(digest) if self.is_look_alike(digest) => {
                Some(Content::Present(digest.unknown_look_alike()))
            }
            _ => None,
        };
        self.only().or_else(|| self.contents().find_map(alike))
    }

    /// Whether the API server may know better: what an earlier leader has done is not all written down, and a patch may
    /// have been applied without an answer.
    pub(super) fn is_uncertain(&self) -> bool {
        self.is_told() || self.unanswered
    }

    /// What a marker that shows this content proves.
    pub(super) fn proof(&self, target: Content) -> Proof {
        if self.is_uncertain() || self.or_any || self.contains(target) {
            Proof::Restart
        } else {
            Proof::Nothing
        }
    }

    /// Whether a pod may run with other data that prints alike.
    pub(super) fn is_look_alike(&self, digest: Digest) -> bool {
        self.contents()
            .any(|content| matches!(content, Content::Present(other) if digest.is_look_alike_of(&other)))
    }

    /// Whether one of the contents is that of a marker with this text.
    pub(super) fn shows(&self, marker: &str) -> bool {
        self.contents()
            .any(|content| content.shown().to_string() == marker)
    }

    fn contains(&self, content: Content) -> bool {
        self.contents.contains(&Some(content))
    }

    fn contents(&self) -> impl Iterator<Item = Content> {
        self.contents.into_iter().flatten()
    }
}
