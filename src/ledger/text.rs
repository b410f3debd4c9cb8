//! The ledger's text: one line a source, made to be read by people too.
//!
//! Input: [`Standing`]s. Output: text, and back. I/O: none.
//!
//! ```text
//! configmap team app dc30e0faa89a70dec1033016a2309bbeb9efcbd0
//! secret team db 2834cb2f26ce41acf3a5c4c63b1815df75bae06e deployment/web=a7af69c8e47e67ff2c3e99c1e39c4d4ff67311c4 daemonset/log
//! ```
//! Kind, namespace, name, digest; then the workloads that still owe a restart for it, each with the digest it runs
//! with where that is known. Kubernetes names hold neither blanks nor `/` nor `=`.

use std::fmt::Write;

use crate::{
    index::{OwedBy, Standing},
    model::{SourceKey, SourceKind, WorkloadKind},
};

/// One line, without its end.
pub(super) fn line(key: &SourceKey, standing: &Standing) -> String {
    let mut line = format!(
        "{} {} {} {}",
        source_kind(key.kind),
        key.namespace,
        key.name,
        standing.digest
    );
    for owed in &standing.owed {
        // Writing to a String cannot fail.
        let _ = write!(line, " {}/{}", workload_kind(owed.kind), owed.name);
        if let Some(running) = owed.running {
            let _ = write!(line, "={running}");
        }
    }
    line
}

/// Reads one line; `None` where it is not one of ours.
pub(super) fn parse(line: &str) -> Option<(SourceKey, Standing)> {
    let mut words = line.split(' ');
    let kind = SourceKind::ALL
        .into_iter()
        .find(|kind| words.clone().next() == Some(source_kind(*kind)))?;
    let [_, namespace, name, digest] = [words.next()?, words.next()?, words.next()?, words.next()?];
    if namespace.is_empty() || name.is_empty() {
        return None;
    }
    let owed = words.map(parse_owed).collect::<Option<Vec<_>>>()?;
    let standing = Standing {
        digest: digest.parse().ok()?,
        owed,
    };
    Some((SourceKey::new(kind, namespace, name), standing))
}

fn parse_owed(word: &str) -> Option<OwedBy> {
    let (kind, rest) = word.split_once('/')?;
    let kind = WorkloadKind::ALL
        .into_iter()
        .find(|known| workload_kind(*known) == kind)?;
    let (name, running) = match rest.split_once('=') {
        Some((name, running)) => (name, Some(running.parse().ok()?)),
        None => (rest, None),
    };
    (!name.is_empty()).then(|| OwedBy {
        kind,
        name: name.into(),
        running,
    })
}

const fn source_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::ConfigMap => "configmap",
        SourceKind::Secret => "secret",
        SourceKind::SecretProviderClass => "secretproviderclass",
    }
}

const fn workload_kind(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::DaemonSet => "daemonset",
        WorkloadKind::StatefulSet => "statefulset",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::model::Digest;

    fn digests() -> impl Strategy<Value = Digest> {
        any::<[u8; 20]>().prop_map(Digest::from_bytes)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            kind in prop::sample::select(&SourceKind::ALL[..]),
            namespace in "[a-z0-9-]{1,63}",
            name in "[a-z0-9.-]{1,253}",
            digest in digests(),
            owed in prop::collection::vec(
                (prop::sample::select(&WorkloadKind::ALL[..]), "[a-z0-9.-]{1,63}", prop::option::of(digests())), 0..5),
        ) {
            let key = SourceKey::new(kind, namespace, name);
            let owed = owed.into_iter().map(|(kind, name, running)| OwedBy { kind, name: name.into(), running }).collect();
            let standing = Standing { digest, owed };
            prop_assert_eq!(parse(&line(&key, &standing)), Some((key, standing)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
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
    fn what_somebody_garbled_is_not_believed(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }
}
