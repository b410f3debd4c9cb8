//! One line of the ledger: what is settled for a source, and who still owes a restart for it.
//!
//! Input: [`SourceStatus`]es, a key. Output: text, and back. I/O: none.
//!
//! ```text
//! configmap team app <sealed>
//! secret team db <sealed> deployment=1/web,api daemonset/log cronjob=0/backup
//! ```
//! Kind, namespace, name of the source; what only the key's holder can read; then the workloads that owe, by kind and by
//! what they run with: `=0` without the source, `=1` with the first further content of the sealed part and so on, alone
//! with something unknown. Kubernetes names hold neither blanks nor `/` nor `=` nor `,`.
//!
//! The sealed part is one byte (0 the source is missing, 1 it exists, 2 it is deleted), its digest where it has or had
//! one, and the digests that workloads run with, 24 bytes each. The rest of the line goes into its seal, so that a
//! line is read as it was written or not at all. A later version may add words, but keeps to that.

use std::{collections::BTreeMap, fmt::Write};

use super::cipher::Cipher;
use crate::{
    index::{OwedBy, SourceState, SourceStatus},
    model::{Content, Digest, SourceKey, SourceKind, WorkloadKind},
};

/// Bytes of a line above which it names nobody, and says that every workload may run with anything: some 4,000 workloads
/// of usual names.
pub(super) const LONGEST_LINE: usize = 128 * 1024;

/// The number that stands for a missing source.
const ABSENT: usize = 0;

/// One line, without its end.
pub(super) fn line(key: &SourceKey, status: &SourceStatus, cipher: &Cipher) -> String {
    let line = complete_line(key, status, cipher);
    if line.len() <= LONGEST_LINE {
        return line;
    }
    // No source has this digest: a later leader looks at all workloads.
    let unknown = SourceStatus {
        state: SourceState::Present(Digest::from_bytes([0; 20])),
        owed: Vec::new(),
    };
    complete_line(key, &unknown, cipher)
}

fn complete_line(key: &SourceKey, status: &SourceStatus, cipher: &Cipher) -> String {
    let (state, digest) = match status.state {
        SourceState::Missing => (0, None),
        SourceState::Present(digest) => (1, Some(digest)),
        SourceState::Deleted(digest) => (2, Some(digest)),
    };
    let mut hidden = vec![state];
    hidden.extend(digest.into_iter().flat_map(Digest::to_exact_bytes));
    let mut numbers: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut groups: BTreeMap<(&str, Option<usize>), Vec<&str>> = BTreeMap::new();
    for owed in &status.owed {
        let number = owed.running.map(|content| match content {
            Content::Absent => ABSENT,
            Content::Present(digest) => {
                let next = numbers.len() + 1;
                *numbers.entry(digest).or_insert_with(|| {
                    hidden.extend(digest.to_exact_bytes());
                    next
                })
            }
        });
        groups
            .entry((word(owed.kind), number))
            .or_default()
            .push(&owed.name);
    }
    let mut tail = String::new();
    for ((kind, number), mut names) in groups {
        names.sort_unstable();
        // Writing to a String cannot fail.
        let _ = match number {
            Some(number) => write!(tail, " {kind}={number}/{}", names.join(",")),
            None => write!(tail, " {kind}/{}", names.join(",")),
        };
    }
    let head = head(key);
    let sealed = cipher.seal(&hidden, &format!("{head}{tail}"));
    format!("{head} {sealed}{tail}")
}

/// Reads one line, in which workloads may be of these kinds; `None` if this version cannot.
pub(super) fn parse(
    line: &str,
    kinds: &[WorkloadKind],
    cipher: &Cipher,
) -> Option<(SourceKey, SourceStatus)> {
    let key = subject(line)?;
    let head = head(&key);
    let rest = line.strip_prefix(&head)?.strip_prefix(' ')?;
    let (sealed, tail) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    let hidden = cipher.open(sealed, &format!("{head}{tail}"))?;
    let (state, digests) = hidden.split_first()?;
    let mut digests = digests.chunks(24).map(Digest::from_exact_bytes);
    let state = match state {
        0 => SourceState::Missing,
        1 => SourceState::Present(digests.next()??),
        2 => SourceState::Deleted(digests.next()??),
        _ => return None,
    };
    let contents: Vec<Digest> = digests.collect::<Option<_>>()?;
    let mut owed = Vec::new();
    for word in tail.split(' ').skip(1) {
        owed.extend(parse_group(word, kinds, &contents)?);
    }
    Some((key, SourceStatus { state, owed }))
}

/// The source that a line is about, whether or not the rest of it can be read.
pub(super) fn subject(line: &str) -> Option<SourceKey> {
    let mut words = line.split(' ');
    let [kind, namespace, name] = [words.next()?, words.next()?, words.next()?];
    let kind = SourceKind::ALL
        .into_iter()
        .find(|known| source_kind(*known) == kind)?;
    (!namespace.is_empty() && !name.is_empty()).then(|| SourceKey::new(kind, namespace, name))
}

/// What a line begins with.
pub(super) fn head(key: &SourceKey) -> String {
    format!("{} {} {}", source_kind(key.kind), key.namespace, key.name)
}

/// Workloads of one kind that run with the same; none where the kind is a custom one that is no longer restarted.
fn parse_group(text: &str, kinds: &[WorkloadKind], contents: &[Digest]) -> Option<Vec<OwedBy>> {
    let (group, names) = text.split_once('/')?;
    let (kind, running) = match group.split_once('=') {
        None => (group, None),
        Some((kind, number)) => {
            let number: usize = number.parse().ok()?;
            let content = match number.checked_sub(1) {
                None => Content::Absent,
                Some(at) => Content::Present(*contents.get(at)?),
            };
            (kind, Some(content))
        }
    };
    let known = |known: &&WorkloadKind| word(**known) == kind;
    let Some(kind) = WorkloadKind::BUILT_IN.iter().chain(kinds).find(known).copied() else {
        return kind.contains('.').then(Vec::new);
    };
    let owed = |name: &str| {
        (!name.is_empty()).then(|| OwedBy {
            kind,
            name: name.into(),
            running,
        })
    };
    names.split(',').map(owed).collect()
}

/// The word for a kind of source.
pub(super) const fn source_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::ConfigMap => "configmap",
        SourceKind::Secret => "secret",
        SourceKind::SecretProviderClass => "secretproviderclass",
    }
}

/// The word for a kind of workload.
pub(super) const fn word(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::DaemonSet => "daemonset",
        WorkloadKind::StatefulSet => "statefulset",
        WorkloadKind::CronJob => "cronjob",
        WorkloadKind::Job => "job",
        WorkloadKind::Rollout => "rollout",
        // With a dot, as a custom kind, which it was: a version that does not restart it leaves out this word, and reads
        // the rest of the line.
        WorkloadKind::DeploymentConfig => "deploymentconfigs.apps.openshift.io",
        // With a dot, unlike Kubernetes' own.
        WorkloadKind::Custom(_) => kind.resource(),
    }
}

#[cfg(test)]
mod tests;
