//! The lines of version 0.1.0, which are read once and then replaced.
//!
//! Input: text. Output: [`SourceStatus`]es. I/O: none.
//!
//! ```text
//! configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0
//! secret team db 2834cb2f26ce41acf3a5c4c63b1815df75bae06e deployment/web=a7af69c8e47e67ff2c3e99c1e39c4d4ff67311c4 daemonset/log
//! configmap team old 2834cb2f26ce41acf3a5c4c63b1815df75bae06e absent
//! configmap team awaited absent
//! ```
//! Kind, namespace, name, digest; then the workloads that still owe a restart for it, each with the digest it runs
//! with, if known. A digest that other data shares has 8 more digits after a `~`. `absent` stands for a missing source:
//! alone for a source that workloads wait for, after the last digest for one that was deleted, and for a workload whose
//! pods started without the source.
//!
//! This parser is also what tells that version 0.1.0 can read no line of the present format.

use super::line::{source_kind, word};
use crate::{
    index::{OwedBy, SourceState, SourceStatus},
    model::{Content, SourceKey, SourceKind, WorkloadKind},
};

/// The word for a missing source.
const ABSENT: &str = "absent";

/// Reads one line, in which workloads may be of these kinds; `None` if it is not one of Reloader's.
pub(super) fn parse(line: &str, kinds: &[WorkloadKind]) -> Option<(SourceKey, SourceStatus)> {
    let mut words = line.split(' ');
    let kind = SourceKind::ALL
        .into_iter()
        .find(|kind| words.clone().next() == Some(source_kind(*kind)))?;
    let [_, namespace, name, state] = [words.next()?, words.next()?, words.next()?, words.next()?];
    if namespace.is_empty() || name.is_empty() {
        return None;
    }
    let state = match state {
        ABSENT => SourceState::Missing,
        digest if words.clone().next() == Some(ABSENT) => {
            words.next();
            SourceState::Deleted(digest.parse().ok()?)
        }
        digest => SourceState::Present(digest.parse().ok()?),
    };
    let mut owed = Vec::new();
    for word in words {
        match parse_owed(word, kinds)? {
            Word::Owed(workload) => owed.push(workload),
            Word::Forgotten => {}
        }
    }
    Some((
        SourceKey::new(kind, namespace, name),
        SourceStatus { state, owed },
    ))
}

/// A workload that owes.
enum Word {
    Owed(OwedBy),
    /// Of a custom kind that is no longer restarted.
    Forgotten,
}

fn parse_owed(text: &str, kinds: &[WorkloadKind]) -> Option<Word> {
    let (kind, rest) = text.split_once('/')?;
    let known = |known: &&WorkloadKind| word(**known) == kind;
    let Some(kind) = WorkloadKind::BUILT_IN.iter().chain(kinds).find(known).copied() else {
        return kind.contains('.').then_some(Word::Forgotten);
    };
    let (name, running) = match rest.split_once('=') {
        Some((name, ABSENT)) => (name, Some(Content::Absent)),
        Some((name, running)) => (name, Some(Content::Present(running.parse().ok()?))),
        None => (rest, None),
    };
    let owed = || OwedBy {
        kind,
        name: name.into(),
        running,
    };
    (!name.is_empty()).then(|| Word::Owed(owed()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text, &[]);
        }
    }

    #[rstest]
    #[case("")]
    #[case("configmap team app")]
    #[case("configmap team app nohex")]
    #[case("pod team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0")]
    #[case("configmap  app dc30e0faa89a70dec1033016a2309bbeb9efcbd0")]
    #[case("configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0 deployment/")]
    #[case("configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0 deployment/web=1")]
    #[case("configmap team app gone")]
    #[case("configmap team app absent dc30e0faa89a70dec1033016a2309bbeb9efcbd0")]
    #[case("configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0 absent absent")]
    fn a_line_that_cannot_be_parsed_is_left_out(#[case] text: &str) {
        assert_eq!(parse(text, &[]), None);
    }

    #[test]
    fn a_kind_that_is_restarted_no_longer_owes_nothing() {
        let text =
            "configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0 clones.example.com/a cronjob/b";
        let (_, status) = parse(text, &[]).unwrap();
        assert_eq!(status.owed.len(), 1);
        assert_eq!(status.owed[0].kind, WorkloadKind::CronJob);
    }
}
