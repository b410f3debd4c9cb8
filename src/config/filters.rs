//! What is left out of the scope: namespaces, sources and kinds.
//!
//! Input: the flags as typed. Output: [`Filters`], or what is wrong with them. I/O: none.

use std::collections::BTreeSet;

use super::{
    error::ConfigError,
    scope::{Scope, is_dns_label},
    selector::LabelSelector,
};
use crate::args::{CsvList, ScopeArgs};
use crate::model::{SourceKind, WorkloadKind};

/// What is left out of the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Namespaces that are not watched, without repetition; empty unless the scope is [`Scope::All`].
    pub namespaces_to_ignore: Vec<String>,
    /// Labels that a namespace must have; none unless the scope is [`Scope::All`].
    pub namespace_selector: Option<LabelSelector>,
    /// Labels that a ConfigMap or Secret must have.
    pub source_selector: Option<LabelSelector>,
    /// The kind of source that is not watched.
    pub ignored_source: Option<SourceKind>,
    /// Jobs are not restarted.
    pub ignore_jobs: bool,
    /// `CronJobs` are not restarted.
    pub ignore_cron_jobs: bool,
    /// DeploymentConfigs are not restarted.
    pub ignore_deployment_configs: bool,
}

impl Filters {
    pub(super) fn parse(
        args: &ScopeArgs,
        scope: &Scope,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let is_global = *scope == Scope::All;
        let mut namespaces_to_ignore = names_to_ignore(&args.namespaces_to_ignore, warnings);
        if !is_global && !namespaces_to_ignore.is_empty() {
            warnings.push(
                "namespaces-to-ignore is set but is only honored in global mode (watchGlobally=true); ignoring it."
                    .to_owned(),
            );
            namespaces_to_ignore.clear();
        }
        let mut namespace_selector = selector("--namespace-selector", &args.namespace_selector)?;
        if !is_global && namespace_selector.take().is_some() {
            warnings.push(
                "namespace-selector is set but is only honored in global mode (watchGlobally=true); ignoring it."
                    .to_owned(),
            );
        }
        let ignored = ignored_workloads(&args.ignored_workload_types)?;
        Ok(Self {
            namespaces_to_ignore,
            namespace_selector,
            source_selector: selector("--resource-label-selector", &args.resource_label_selector)?,
            ignored_source: ignored_source(&args.resources_to_ignore)?,
            ignore_jobs: ignored.contains(&WorkloadKind::Job),
            ignore_cron_jobs: ignored.contains(&WorkloadKind::CronJob),
            ignore_deployment_configs: ignored.contains(&WorkloadKind::DeploymentConfig),
        })
    }
}

fn items(flag: &[CsvList]) -> impl Iterator<Item = &str> {
    flag.iter().flat_map(|CsvList(items)| items).map(String::as_str)
}

/// The names, trimmed: upstream keeps the space in "a, b" and so ignores a namespace that cannot exist.
fn names_to_ignore(flag: &[CsvList], warnings: &mut Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let named = items(flag).map(str::trim).filter(|name| !name.is_empty());
    let (possible, impossible): (Vec<_>, Vec<_>) = named
        .filter(|name| seen.insert(name.to_owned()))
        .partition(|name| is_dns_label(name));
    for name in impossible {
        warnings.push(format!(
            "--namespaces-to-ignore: {name:?} is not a namespace, so there is nothing to ignore; it takes exact \
             names, separated by commas"
        ));
    }
    possible.into_iter().map(str::to_owned).collect()
}

fn selector(flag: &'static str, value: &[CsvList]) -> Result<Option<LabelSelector>, ConfigError> {
    let elements: Vec<String> = items(value).map(str::to_owned).collect();
    LabelSelector::parse(&elements).map_err(|error| ConfigError::Selector(flag, error))
}

/// Letter case does not matter, as in upstream; naming the same kind twice is harmless.
fn ignored_source(flag: &[CsvList]) -> Result<Option<SourceKind>, ConfigError> {
    let mut ignored = None;
    for item in items(flag) {
        let named = SourceKind::ALL
            .into_iter()
            .find(|kind| kind.resource().eq_ignore_ascii_case(item.trim()))
            .ok_or_else(|| ConfigError::ResourceToIgnore(item.to_owned()))?;
        if ignored.is_some_and(|before| before != named) {
            return Err(ConfigError::BothResourcesToIgnore);
        }
        ignored = Some(named);
    }
    Ok(ignored)
}

/// The kinds that can be ignored.
const CAN_BE_IGNORED: [WorkloadKind; 3] = [
    WorkloadKind::Job,
    WorkloadKind::CronJob,
    WorkloadKind::DeploymentConfig,
];

/// The kinds that are ignored. Upstream drops the whole flag at a wrong item or case, and then restarts what the flag
/// names.
fn ignored_workloads(flag: &[CsvList]) -> Result<Vec<WorkloadKind>, ConfigError> {
    let kind = |item: &str| {
        CAN_BE_IGNORED
            .into_iter()
            .find(|kind| kind.plural().eq_ignore_ascii_case(item.trim()))
            .ok_or_else(|| ConfigError::IgnoredWorkloadType(item.to_owned()))
    };
    items(flag).map(kind).collect()
}
