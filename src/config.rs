//! Validated settings.
//!
//! Input: [`Args`] and [`Environment`]. Output: [`Config`], or one [`ConfigError`] that names what to change. I/O:
//! none.

mod alerts;
mod error;
mod filters;
mod kinds;
mod meta;
mod scope;
mod selector;
mod settings;
mod startup;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use crate::args::{
    Args, Environment, HighAvailabilityArgs, LimitArgs, ObservabilityArgs, OptInArgs, ReloadArgs,
};
use crate::decide::{Options, Strategy};
use crate::lease::{self, Timings};
use crate::meta_info::MetaInfo;
use crate::model::{AnnotationKeys, KindKeys, WorkloadKind};
use crate::notify::{AlertSettings, WebhookSettings};

pub use crate::args::ListenAddress;
pub use error::ConfigError;
pub use filters::Filters;
pub use kinds::{DeploymentConfigs, WorkloadSettings};
pub use scope::Scope;
pub use selector::{LabelSelector, SelectorError};
pub use settings::{
    Integrations, LedgerSettings, Level, LogFormat, LogSettings, PolicySettings, Pprof, ReloadOn,
    TraceExport, TraceProtocol,
};
pub use startup::startup_lines;

/// Everything the controller needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which namespaces are watched.
    pub scope: Scope,
    /// What is left out of that.
    pub filters: Filters,
    /// What is watched beside Kubernetes' own kinds.
    pub integrations: Integrations,
    /// Which further kinds are restarted, and which Jobs are run.
    pub workloads: WorkloadSettings,
    /// The names of the annotations that opt in and out, and of those of pauses.
    pub annotations: AnnotationKeys,
    /// Workloads without any opt-in annotation restart on every source they use.
    pub auto_reload_all: bool,
    /// How a restart is written into the pod template.
    pub strategy: Strategy,
    /// Which changes beside updates restart workloads.
    pub reload_on: ReloadOn,
    /// What is obeyed of Namespaces' annotations on when workloads may restart.
    pub policies: PolicySettings,
    /// A restart is noted in the workload's annotations, for `kubectl rollout history`.
    pub change_cause: bool,
    /// How long a workload's sources must be unchanged before it is restarted, up to one minute; zero: restart at once.
    pub coalesce_window: Duration,
    /// If set, each change is posted there and nothing is restarted.
    pub webhook: Option<WebhookSettings>,
    /// Alerts about restarts; none: not enabled, or no URL to send them to.
    pub alerts: Option<AlertSettings>,
    /// Leader election, with the pod's name as the identity; none: this replica always acts.
    pub lease: Option<lease::Settings>,
    /// Restarts written at the same time, 1 to 1000.
    pub workers: usize,
    /// Restarts per second in one namespace; none: no limit.
    pub namespace_rate: Option<NonZeroU32>,
    /// Restarts per second in all namespaces together; none: no limit.
    pub total_rate: Option<NonZeroU32>,
    /// Objects per page of a list that is not streamed, 1 to 10,000.
    pub list_page_size: u32,
    /// How long a watch is kept open before it is renewed, 5 s to 1 h.
    pub watch_timeout: Duration,
    /// Where metrics and health are served.
    pub listen_address: ListenAddress,
    /// A second address of the same; none: not asked for, or equal to the first.
    pub health_address: Option<ListenAddress>,
    /// The loopback address where questions are answered; none: nowhere.
    pub inspect_address: Option<SocketAddr>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where spans go; none: nowhere.
    pub traces: Option<TraceExport>,
    /// Count reloads per namespace as well.
    pub count_by_namespace: bool,
    /// This replica's name, if the environment has it: the instance in Events and traces.
    pub pod_name: Option<String>,
    /// Where the ledger is kept; none: the environment does not name the namespace Reloader runs in.
    pub ledger: Option<LedgerSettings>,
    /// The content of the meta-info ConfigMap; none: the environment does not name the namespace Reloader runs in.
    pub meta_info: Option<MetaInfo>,
    /// The settings for Go's profiles.
    pub pprof: Pprof,
    /// What was ignored or replaced by a default; logged once logging is set up.
    pub warnings: Vec<String>,
    /// What cannot work while the rest can; logged likewise.
    pub errors: Vec<String>,
}

/// The longest window: a restart later than this is no longer a reaction to a change.
const MAX_COALESCE_WINDOW: Duration = Duration::from_mins(1);
/// The values that `--watch-timeout` may have.
const WATCH_TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(1);

/// The answer to `--enable-pprof`.
const NO_PROFILES: &str = "--enable-pprof is accepted and does nothing: this build serves no Go profiles. For memory and \
    CPU see process_resident_memory_bytes and process_cpu_seconds_total on /metrics; for a profile use `perf record`";

impl Config {
    /// Validates the command line and the environment.
    ///
    /// # Errors
    /// The first setting that cannot work, in one line.
    pub fn from_args(args: Args, environment: Environment) -> Result<Self, ConfigError> {
        let annotations = all_annotation_keys(&args);
        let meta_info = meta::meta_info(&args, &annotations, &environment);
        let Args {
            scope,
            kinds,
            opt_in,
            reload,
            rollouts,
            notification,
            high_availability,
            limits,
            observability,
            version: _,
            command: _,
            ignored: _,
        } = args;
        let mut warnings = Vec::new();
        let traces = TraceExport::from_environment(&environment, &mut warnings);
        let mut errors = Vec::new();
        let ReloadArgs {
            reload_strategy,
            coalesce_window,
            reload_on_create,
            reload_on_delete,
            sync_after_restart,
            change_cause,
            pause_deployment_annotation: _,
            pause_deployment_time_annotation: _,
        } = reload;
        if coalesce_window > MAX_COALESCE_WINDOW {
            return Err(ConfigError::CoalesceWindow(coalesce_window));
        }
        let LimitArgs {
            workers,
            namespace_rate,
            total_rate,
            list_page_size,
            watch_timeout,
        } = limits;
        if !WATCH_TIMEOUTS.contains(&watch_timeout) {
            return Err(ConfigError::WatchTimeout(watch_timeout));
        }
        let ObservabilityArgs {
            log_format,
            log_level,
            listen_address,
            health_addr,
            inspect_address,
            enable_pprof,
            pprof_addr,
        } = observability;
        if enable_pprof {
            warnings.push(NO_PROFILES.to_owned());
        }
        let namespaces = Scope::parse(&scope.namespaces, environment.kubernetes_namespace.as_ref())?;
        Ok(Self {
            filters: Filters::parse(&scope, &namespaces, &mut warnings)?,
            integrations: Integrations {
                argo_rollouts: scope.is_argo_rollouts,
                csi: scope.enable_csi_integration,
            },
            workloads: WorkloadSettings::parse(&kinds, &mut warnings)?,
            annotations,
            auto_reload_all: opt_in.auto_reload_all,
            strategy: reload_strategy
                .parse()
                .map_err(|_| ConfigError::Strategy(reload_strategy))?,
            reload_on: ReloadOn {
                create: reload_on_create,
                delete: reload_on_delete,
                sync_after_restart,
            },
            policies: PolicySettings::parse(&rollouts, &namespaces, &mut warnings)?,
            scope: namespaces,
            change_cause,
            coalesce_window,
            webhook: alerts::webhook(&notification.webhook_url, &notification.webhook_payload)?,
            alerts: alerts::alerts(&environment, &notification, &mut warnings, &mut errors),
            lease: lease_settings(high_availability, &environment)?,
            workers: workers.into(),
            namespace_rate: NonZeroU32::new(namespace_rate),
            total_rate: NonZeroU32::new(total_rate),
            list_page_size,
            watch_timeout,
            health_address: health_addr.filter(|address| *address != listen_address),
            listen_address,
            inspect_address: inspect_address.0,
            log: LogSettings::parse(&log_format, &log_level, &mut warnings),
            traces,
            count_by_namespace: environment.metrics_count_by_namespace.as_deref() == Some("enabled"),
            ledger: ledger_settings(&environment),
            pod_name: environment.pod_name,
            pprof: Pprof {
                enabled: enable_pprof,
                address: pprof_addr,
            },
            meta_info,
            warnings,
            errors,
        })
    }

    /// What changes decisions.
    pub const fn options(&self) -> Options {
        Options {
            strategy: self.strategy,
            auto_reload_all: self.auto_reload_all,
            reload_suspended: self.workloads.suspended_cron_jobs,
        }
    }

    /// The kinds that are watched and restarted, each once: upstream's five without the ignored ones, Rollouts if
    /// enabled, DeploymentConfigs unless disabled, then the custom kinds.
    pub fn kinds(&self) -> Vec<WorkloadKind> {
        let is_wanted = |kind: &WorkloadKind| match kind {
            WorkloadKind::Job => !self.filters.ignore_jobs,
            WorkloadKind::CronJob => !self.filters.ignore_cron_jobs,
            WorkloadKind::Rollout => self.integrations.argo_rollouts,
            WorkloadKind::DeploymentConfig => {
                !self.filters.ignore_deployment_configs
                    && self.workloads.deployment_configs != DeploymentConfigs::Never
            }
            _ => true,
        };
        let built_in = WorkloadKind::BUILT_IN.into_iter().filter(is_wanted);
        built_in
            .chain(self.workloads.custom_kinds.iter().copied())
            .collect()
    }
}

fn all_annotation_keys(args: &Args) -> AnnotationKeys {
    AnnotationKeys {
        pause_period: args.reload.pause_deployment_annotation.clone(),
        paused_at: args.reload.pause_deployment_time_annotation.clone(),
        ..annotation_keys(&args.opt_in)
    }
}

/// The names of the annotations that opt in and out, those of pauses by their default names. An empty name is kept, as in
/// upstream: no annotation has it, so it turns the feature off.
pub fn annotation_keys(opt_in: &OptInArgs) -> AnnotationKeys {
    AnnotationKeys {
        auto: opt_in.auto_annotation.clone(),
        configmap: KindKeys {
            auto: opt_in.configmap_auto_annotation.clone(),
            reload: opt_in.configmap_annotation.clone(),
            exclude: opt_in.configmap_exclude_annotation.clone(),
        },
        secret: KindKeys {
            auto: opt_in.secret_auto_annotation.clone(),
            reload: opt_in.secret_annotation.clone(),
            exclude: opt_in.secret_exclude_annotation.clone(),
        },
        class: KindKeys {
            auto: opt_in.secretproviderclass_auto_annotation.clone(),
            reload: opt_in.secretproviderclass_annotation.clone(),
            exclude: opt_in.secretproviderclass_exclude_annotation.clone(),
        },
        search: opt_in.auto_search_annotation.clone(),
        match_: opt_in.search_match_annotation.clone(),
        ignore: opt_in.ignore_annotation.clone(),
        ..AnnotationKeys::default()
    }
}

/// The timings are validated without `--enable-ha` too, so that a mistake shows before they are used.
fn lease_settings(
    args: HighAvailabilityArgs,
    environment: &Environment,
) -> Result<Option<lease::Settings>, ConfigError> {
    let HighAvailabilityArgs {
        enable_ha,
        lease_name,
        leader_election_namespace,
        lease_duration,
        renew_deadline,
        retry_period,
        leader_election_release_on_cancel: _,
    } = args;
    let timings = Timings::new(lease_duration, renew_deadline, retry_period)?;
    if !enable_ha {
        return Ok(None);
    }
    let identity = environment.pod_name.clone().ok_or(ConfigError::NoPodName)?;
    let named = Some(leader_election_namespace).filter(|namespace| !namespace.is_empty());
    let namespace = named
        .or_else(|| environment.pod_namespace.clone())
        .ok_or(ConfigError::NoPodNamespace)?;
    Ok(Some(lease::Settings {
        name: lease_name,
        namespace,
        identity,
        timings,
    }))
}

fn ledger_settings(environment: &Environment) -> Option<LedgerSettings> {
    let namespace = environment
        .pod_namespace
        .as_ref()
        .or(environment.reloader_namespace.as_ref())?;
    let deployment = environment
        .reloader_deployment_name
        .as_deref()
        .unwrap_or("reloader");
    Some(LedgerSettings {
        namespace: namespace.clone(),
        name: format!("{deployment}-ledger"),
    })
}
