//! Which kinds of workloads are watched and restarted.
//!
//! Input: flags. Output: [`WorkloadKind`]s. I/O: none.

use super::error::ConfigError;
use crate::{
    args::{AutoOrBool, CsvList, KindArgs},
    model::{CustomKind, WorkloadKind, workload_kind::CustomKindError},
};

/// Which kinds are restarted beside the built-in ones, and which Jobs are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadSettings {
    /// The kinds of custom resources that are restarted as well, each once.
    pub custom_kinds: Vec<WorkloadKind>,
    /// Whether DeploymentConfigs are restarted.
    pub deployment_configs: DeploymentConfigs,
    /// A changed source creates a Job of a suspended CronJob too, as in upstream.
    pub suspended_cron_jobs: bool,
    /// Finished Jobs, and those of another controller, are run again like any other, as in upstream.
    pub every_job: bool,
}

/// Whether OpenShift's DeploymentConfigs are restarted (`--is-openshift`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeploymentConfigs {
    /// Where discovery shows them.
    #[default]
    WhereServed,
    /// They are expected: it is logged where they are missing.
    Always,
    /// They are not watched.
    Never,
}

impl WorkloadSettings {
    pub(super) fn parse(args: &KindArgs, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let Custom {
            kinds,
            deployment_configs: named,
        } = custom(&args.workload_kind)?;
        let deployment_configs = match args.is_openshift {
            AutoOrBool::Auto if !named => DeploymentConfigs::WhereServed,
            AutoOrBool::Auto | AutoOrBool::Set(true) => DeploymentConfigs::Always,
            AutoOrBool::Set(false) => DeploymentConfigs::Never,
        };
        if named && deployment_configs == DeploymentConfigs::Never {
            warnings.push(
                "--workload-kind names DeploymentConfig, and --is-openshift=false turns it off: DeploymentConfigs are not \
                 restarted. Remove one of the two"
                    .to_owned(),
            );
        }
        Ok(Self {
            custom_kinds: kinds,
            deployment_configs,
            suspended_cron_jobs: args.reload_suspended_cronjobs,
            every_job: args.reload_every_job,
        })
    }
}

/// What the flag names.
struct Custom {
    /// Custom kinds, each once.
    kinds: Vec<WorkloadKind>,
    /// DeploymentConfigs, which need no flag: they can only be named by it in versions that do not know them.
    deployment_configs: bool,
}

fn custom(flag: &[CsvList]) -> Result<Custom, ConfigError> {
    let (mut kinds, mut deployment_configs) = (Vec::new(), false);
    for text in flag.iter().flat_map(|CsvList(items)| items) {
        let custom: CustomKind = match text.trim().parse() {
            Err(CustomKindError::BuiltIn(WorkloadKind::DeploymentConfig)) => {
                deployment_configs = true;
                continue;
            }
            parsed => parsed?,
        };
        let known = |kind: &WorkloadKind| matches!(kind, WorkloadKind::Custom(other) if **other == custom);
        if !kinds.iter().any(known) {
            // A few bytes that live as long as the process, so that a kind stays `Copy`.
            kinds.push(WorkloadKind::Custom(Box::leak(Box::new(custom))));
        }
    }
    Ok(Custom {
        kinds,
        deployment_configs,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::config;
    use super::*;

    #[rstest]
    #[case::default(&[], "Deployment DaemonSet StatefulSet CronJob Job DeploymentConfig")]
    #[case::rollouts(
        &["--is-Argo-Rollouts=true", "--is-openshift=true"],
        "Deployment DaemonSet StatefulSet CronJob Job Rollout DeploymentConfig"
    )]
    #[case::no_jobs(&["--ignored-workload-types=jobs"], "Deployment DaemonSet StatefulSet CronJob DeploymentConfig")]
    #[case::no_openshift(&["--is-openshift=false"], "Deployment DaemonSet StatefulSet CronJob Job")]
    #[case::ignored(
        &["--ignored-workload-types=DeploymentConfigs", "--is-openshift=true"], "Deployment DaemonSet StatefulSet CronJob Job"
    )]
    #[case::one_kind(
        &["--workload-kind=apps.openshift.io/v1/DeploymentConfig,a.io/v1/Clone"],
        "Deployment DaemonSet StatefulSet CronJob Job DeploymentConfig Clone"
    )]
    #[case::named(
        &["--ignored-workload-types=cronjobs,jobs", "--workload-kind=a.io/v1/Clone,a.io/v1/Clone",
            "--workload-kind=b.io/v1/Mesh"],
        "Deployment DaemonSet StatefulSet DeploymentConfig Clone Mesh"
    )]
    fn kinds_follow_from_the_flags(#[case] flags: &[&str], #[case] expected: &str) {
        let kinds = config(flags, &[]).unwrap().kinds();
        let names: Vec<&str> = kinds.into_iter().map(WorkloadKind::as_str).collect();
        assert_eq!(names.join(" "), expected);
    }

    const NAMED: &str = "--workload-kind=apps.openshift.io/v1/DeploymentConfig";

    #[rstest]
    #[case::default(&[], DeploymentConfigs::WhereServed)]
    #[case::auto(&["--is-openshift=auto"], DeploymentConfigs::WhereServed)]
    #[case::empty(&["--is-openshift="], DeploymentConfigs::WhereServed)]
    #[case::always(&["--is-openshift", "true"], DeploymentConfigs::Always)]
    #[case::never(&["--is-openshift=False"], DeploymentConfigs::Never)]
    #[case::last(&["--is-openshift=true", "--is-openshift= AUTO "], DeploymentConfigs::WhereServed)]
    // Who names the kind expects it.
    #[case::named(&[NAMED], DeploymentConfigs::Always)]
    #[case::named_with_all_parts(
        &["--workload-kind=apps.openshift.io/v1/DeploymentConfig/deploymentconfigs:spec.template"], DeploymentConfigs::Always
    )]
    #[case::named_and_on(&[NAMED, "--is-openshift=true"], DeploymentConfigs::Always)]
    #[case::named_and_off(&[NAMED, "--is-openshift=false"], DeploymentConfigs::Never)]
    fn whether_deployment_configs_are_restarted(#[case] flags: &[&str], #[case] expected: DeploymentConfigs) {
        let config = config(flags, &[]).unwrap();
        assert_eq!(config.workloads.deployment_configs, expected);
        let contradicts = flags.contains(&NAMED) && expected == DeploymentConfigs::Never;
        assert_eq!(config.warnings.len(), usize::from(contradicts));
    }

    #[test]
    fn a_mistake_is_refused_with_its_form() {
        let error = config(&["--workload-kind=Clone"], &[]).unwrap_err();
        assert_eq!(error.category(), "workload_kind");
        assert!(error.to_string().contains("GROUP/VERSION/KIND"), "{error}");
    }
}
