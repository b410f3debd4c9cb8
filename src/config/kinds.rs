//! Which kinds of workloads are watched and restarted.
//!
//! Input: flags. Output: [`WorkloadKind`]s. I/O: none.

use super::error::ConfigError;
use crate::{
    args::{CsvList, KindArgs},
    model::{CustomKind, WorkloadKind},
};

/// Which kinds are restarted beside the built-in ones, and which Jobs are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadSettings {
    /// The kinds of custom resources that are restarted as well, each once.
    pub custom_kinds: Vec<WorkloadKind>,
    /// A changed source creates a Job of a suspended CronJob too, as in upstream.
    pub suspended_cron_jobs: bool,
    /// Finished Jobs, and those of another controller, are run again like any other, as in upstream.
    pub every_job: bool,
}

impl WorkloadSettings {
    pub(super) fn parse(args: &KindArgs) -> Result<Self, ConfigError> {
        Ok(Self {
            custom_kinds: custom(&args.workload_kind)?,
            suspended_cron_jobs: args.reload_suspended_cronjobs,
            every_job: args.reload_every_job,
        })
    }
}

/// The kinds that the flag names, each once.
fn custom(flag: &[CsvList]) -> Result<Vec<WorkloadKind>, ConfigError> {
    let mut kinds = Vec::new();
    for text in flag.iter().flat_map(|CsvList(items)| items) {
        let custom: CustomKind = text.trim().parse()?;
        let known = |kind: &WorkloadKind| matches!(kind, WorkloadKind::Custom(other) if **other == custom);
        if !kinds.iter().any(known) {
            // A few bytes that live as long as the process, so that a kind stays `Copy`.
            kinds.push(WorkloadKind::Custom(Box::leak(Box::new(custom))));
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::config;
    use super::*;

    #[rstest]
    #[case::default(&[], "Deployment DaemonSet StatefulSet CronJob Job")]
    #[case::rollouts(&["--is-Argo-Rollouts=true"], "Deployment DaemonSet StatefulSet CronJob Job Rollout")]
    #[case::no_jobs(&["--ignored-workload-types=jobs"], "Deployment DaemonSet StatefulSet CronJob")]
    #[case::named(
        &["--ignored-workload-types=cronjobs,jobs", "--workload-kind=a.io/v1/Clone,a.io/v1/Clone",
            "--workload-kind=b.io/v1/Mesh"],
        "Deployment DaemonSet StatefulSet Clone Mesh"
    )]
    fn kinds_follow_from_the_flags(#[case] flags: &[&str], #[case] expected: &str) {
        let kinds = config(flags, &[]).unwrap().kinds();
        let names: Vec<&str> = kinds.into_iter().map(WorkloadKind::as_str).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn a_mistake_is_refused_with_its_form() {
        let error = config(&["--workload-kind=Clone"], &[]).unwrap_err();
        assert_eq!(error.category(), "workload_kind");
        assert!(error.to_string().contains("GROUP/VERSION/KIND"), "{error}");
    }
}
