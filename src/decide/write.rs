//! How a restart is written: each kind of workload has its own way.
//!
//! Input: a [`Workload`] and the sources it is restarted for. Output: [`Write`]. I/O: none.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

use crate::model::{Content, Owed, Restart, UnixSeconds, Workload, WorkloadKey, WorkloadKind};

/// Longest part of a CronJob's name in the names of its Jobs, in characters. A CronJob's name has 52 at most, because
/// its own Jobs append 11 ([limit](https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/)).
const LONGEST_STEM: usize = 52;
/// How many hex digits make a name differ: 63 characters, the longest name of a Job, less the stem and the dash.
const HASH_DIGITS: usize = 10;

/// One write to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A strategic merge patch of the workload's pod template, which the API server offers for its own kinds.
    Strategic,
    /// A merge patch of the pod template of this object as it is at that moment: the workload itself where it is a
    /// custom resource or a variable's name is given twice, or the Deployment whose template a Rollout uses.
    Live(WorkloadKey),
    /// A Rollout's `spec.restartAt`.
    RestartAt(UnixSeconds),
    /// A Job made of the CronJob. The same change always gives the same name, so that it is created once.
    CreateJob {
        /// `metadata.name` of the Job.
        name: String,
    },
    /// The Job is deleted and created again under its name.
    RecreateJob,
}

impl Write {
    /// Whether the workload itself shows what it was restarted for. For other writes only the ledger records it.
    pub const fn leaves_marker(&self) -> bool {
        !matches!(self, Self::CreateJob { .. })
    }

    /// What restarts the workload for these sources.
    pub(super) fn of<'a>(workload: &Workload, sources: impl Iterator<Item = &'a Owed>) -> Self {
        let key = &workload.key;
        match (workload.restart, &workload.template_of) {
            (Restart::At { .. }, _) => {
                Self::RestartAt(sources.map(Owed::restarted_at).max().unwrap_or(UnixSeconds(0)))
            }
            (Restart::NewJob { .. }, _) => Self::CreateJob {
                name: job_name(workload, sources),
            },
            (Restart::Recreate, _) => Self::RecreateJob,
            (Restart::Template, Some(deployment)) => Self::Live(WorkloadKey {
                kind: WorkloadKind::Deployment,
                name: deployment.clone(),
                ..key.clone()
            }),
            (Restart::Template, None) => match key.kind {
                WorkloadKind::Rollout | WorkloadKind::DeploymentConfig | WorkloadKind::Custom(_) => {
                    Self::Live(key.clone())
                }
                _ => Self::Strategic,
            },
        }
    }
}

impl Owed {
    /// The second from which on a pod has the source's present content: the one after it was last written. It follows
    /// from the source alone, so that a retry by this or another replica requests the same restart. A deletion has no
    /// time of writing: the second in which it was seen counts.
    ///
    /// A pod counts as restarted if it was created in that second or later. Argo waits for a `restartAt` in the future,
    /// and restarts whatever was created before it, so that any further write within the same second is covered.
    pub(super) fn restarted_at(&self) -> UnixSeconds {
        let written = match (self.content, self.source.modified_at) {
            (Content::Present(_), Some(written)) => written,
            (Content::Absent, _) | (_, None) => self.seen_at,
        };
        written.saturating_add(1)
    }
}

/// A name derived from the CronJob and the present state of its sources.
fn job_name<'a>(workload: &Workload, sources: impl Iterator<Item = &'a Owed>) -> String {
    let mut states: Vec<String> = sources
        .map(|owed| {
            let source = &owed.source;
            let key = &source.key;
            format!(
                "{}/{} {} {} {}",
                key.kind,
                key.name,
                source.uid,
                owed.version,
                owed.content.shown()
            )
        })
        .collect();
    states.sort_unstable();
    let mut hash = Sha1::new();
    hash.update(workload.uid.as_bytes());
    for state in &states {
        hash.update(b"\n");
        hash.update(state);
    }
    unique_name(&workload.key.name, &hash.finalize())
}

/// `<stem>-<hash>`, a name that a Job may have.
pub fn unique_name(stem: &str, hash: &[u8]) -> String {
    let stem: String = stem.chars().take(LONGEST_STEM).collect();
    let mut digits = String::new();
    for byte in hash.iter().take(HASH_DIGITS / 2) {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    format!("{}-{digits}", stem.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{
        Decision, Options, Strategy, decide,
        tests::{container, owed, workload},
    };
    use super::*;
    use crate::model::{Container, Source, SourceKind::ConfigMap};

    fn cron_job() -> Workload {
        Workload {
            restart: Restart::NewJob { suspended: false },
            ..workload(true, vec![container("main", &[(ConfigMap, "a")])])
        }
    }

    fn name(workload: &Workload, sources: &[Owed]) -> String {
        match Write::of(workload, sources.iter()) {
            Write::CreateJob { name } => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_change_always_gives_the_same_job() {
        let (a, b) = (owed(ConfigMap, "a", 1, 0), owed(ConfigMap, "b", 1, 0));
        let first = name(&cron_job(), &[a.clone(), b.clone()]);
        let seen_again = Owed {
            seen_at: a.seen_at.saturating_add(100),
            order: a.order + 7,
            ..a
        };
        assert_eq!(name(&cron_job(), &[b, seen_again]), first);
    }

    #[test]
    fn another_change_another_object_or_another_cron_job_gives_another_job() {
        let base = owed(ConfigMap, "a", 1, 0);
        let source = |source: Source| Owed {
            content: Content::Present(source.digest),
            source,
            ..base.clone()
        };
        let content = Source {
            digest: crate::model::Digest::from_bytes([2; 20]),
            ..base.source.clone()
        };
        let recreated = Source {
            uid: "other".into(),
            ..base.source.clone()
        };
        let deleted = Owed {
            content: Content::Absent,
            ..base.clone()
        };
        let back_again = Owed {
            version: base.version + 1,
            ..base.clone()
        };
        let other = Workload {
            uid: "other".into(),
            ..cron_job()
        };
        let mut names = vec![
            name(&cron_job(), std::slice::from_ref(&base)),
            name(&cron_job(), &[source(content)]),
            name(&cron_job(), &[source(recreated)]),
            name(&cron_job(), &[back_again]),
            name(&cron_job(), &[deleted]),
            name(&other, std::slice::from_ref(&base)),
            name(&cron_job(), &[base.clone(), owed(ConfigMap, "b", 1, 0)]),
        ];
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 7);
    }

    #[rstest]
    #[case("backup", 17)]
    #[case(&"a".repeat(52), 63)]
    #[case(&"a".repeat(100), 63)]
    #[case(&format!("{}.{}", "a".repeat(51), "b".repeat(20)), 62)]
    fn a_name_is_one_that_a_job_may_have(#[case] stem: &str, #[case] length: usize) {
        let name = unique_name(stem, &[0xab; 20]);
        assert_eq!(name.len(), length);
        assert!(name.ends_with("-ababababab") && !name.contains(".-"));
    }

    /// The API server merges lists of variables by name, and puts two of one name beside each other.
    #[rstest]
    #[case::marked_container(true, false, Strategy::EnvVars, true)]
    #[case::another_container(false, true, Strategy::EnvVars, false)]
    #[case::not_touched(true, false, Strategy::Annotations, false)]
    fn variables_of_one_name_are_not_left_to_the_servers_merge(
        #[case] marked: bool,
        #[case] other: bool,
        #[case] strategy: Strategy,
        #[case] is_live: bool,
    ) {
        let using = Container {
            repeats_variables: marked,
            ..container("main", &[(ConfigMap, "cm")])
        };
        let beside = Container {
            repeats_variables: other,
            ..container("beside", &[])
        };
        let workload = workload(true, vec![beside, using]);
        let options = Options {
            strategy,
            auto_reload_all: false,
            reload_suspended: false,
        };
        let Decision::Patch(plan) = decide(&workload, &[owed(ConfigMap, "cm", 1, 0)], &options) else {
            panic!("it is restarted");
        };
        let expected = if is_live {
            Write::Live(workload.key)
        } else {
            Write::Strategic
        };
        assert_eq!(plan.write, expected);
    }
}
