//! What the meta-info ConfigMap shows of the settings.
//!
//! Input: the flags as typed, and the annotation keys they amount to. Output: [`MetaInfo`]. I/O: none.

use super::LabelSelector;
use crate::{
    args::{Args, CsvList, Environment, HighAvailabilityArgs, ObservabilityArgs, ReloadArgs, ScopeArgs},
    meta_info::{BuildInfo, DeploymentInfo, MetaInfo, Options},
    model::{AnnotationKeys, SourceKind, go_duration::GoDuration, opt_in::ROLLOUT_STRATEGY},
    notify::Endpoint,
};

/// What is published; `None` without `RELOADER_NAMESPACE`, which names the namespace.
pub(super) fn meta_info(args: &Args, keys: &AnnotationKeys, environment: &Environment) -> Option<MetaInfo> {
    Some(MetaInfo {
        build: BuildInfo::of_this_build(),
        options: options(args, keys),
        deployment: DeploymentInfo {
            name: environment.reloader_deployment_name.clone(),
            namespace: environment.reloader_namespace.clone()?,
        },
    })
}

fn options(args: &Args, keys: &AnnotationKeys) -> Options {
    let ScopeArgs {
        namespaces: _,
        namespaces_to_ignore,
        namespace_selector,
        resource_label_selector,
        resources_to_ignore,
        ignored_workload_types,
        is_argo_rollouts,
        enable_csi_integration,
    } = &args.scope;
    let reload: &ReloadArgs = &args.reload;
    let lease: &HighAvailabilityArgs = &args.high_availability;
    let log: &ObservabilityArgs = &args.observability;
    let list = |kind| keys.of(kind).reload.clone();
    let auto = |kind| keys.of(kind).auto.clone();
    let exclude = |kind| keys.of(kind).exclude.clone();
    Options {
        auto_reload_all: args.opt_in.auto_reload_all,
        configmap_update_on_change_annotation: list(SourceKind::ConfigMap),
        secret_update_on_change_annotation: list(SourceKind::Secret),
        secret_provider_class_update_on_change_annotation: list(SourceKind::SecretProviderClass),
        reloader_auto_annotation: keys.auto.clone(),
        ignore_resource_annotation: keys.ignore.clone(),
        configmap_reloader_auto_annotation: auto(SourceKind::ConfigMap),
        secret_reloader_auto_annotation: auto(SourceKind::Secret),
        secret_provider_class_reloader_auto_annotation: auto(SourceKind::SecretProviderClass),
        configmap_exclude_reloader_annotation: exclude(SourceKind::ConfigMap),
        secret_exclude_reloader_annotation: exclude(SourceKind::Secret),
        secret_provider_class_exclude_reloader_annotation: exclude(SourceKind::SecretProviderClass),
        auto_search_annotation: keys.search.clone(),
        search_match_annotation: keys.match_.clone(),
        rollout_strategy_annotation: ROLLOUT_STRATEGY.to_owned(),
        pause_deployment_annotation: keys.pause_period.clone(),
        pause_deployment_time_annotation: keys.paused_at.clone(),
        log_format: log.log_format.clone(),
        log_level: log.log_level.clone(),
        is_argo_rollouts: *is_argo_rollouts,
        reload_strategy: reload.reload_strategy.clone(),
        reload_on_create: reload.reload_on_create,
        reload_on_delete: reload.reload_on_delete,
        sync_after_restart: reload.sync_after_restart,
        enable_ha: lease.enable_ha,
        leader_election_lease_duration: GoDuration(lease.lease_duration).to_string(),
        leader_election_renew_deadline: GoDuration(lease.renew_deadline).to_string(),
        leader_election_retry_period: GoDuration(lease.retry_period).to_string(),
        enable_csi_integration: *enable_csi_integration,
        webhook_url: Endpoint::parse(&args.notification.webhook_url)
            .map(|url| url.to_string())
            .unwrap_or_default(),
        resources_to_ignore: items(resources_to_ignore),
        workload_types_to_ignore: items(ignored_workload_types),
        namespace_selectors: selectors(namespace_selector),
        resource_selectors: selectors(resource_label_selector),
        namespaces_to_ignore: items(namespaces_to_ignore),
        enable_pprof: log.enable_pprof,
        pprof_addr: log.pprof_addr.clone(),
    }
}

fn items(flag: &[CsvList]) -> Vec<String> {
    flag.iter().flat_map(|CsvList(items)| items).cloned().collect()
}

/// Short forms are rewritten, as upstream shows them.
fn selectors(flag: &[CsvList]) -> Vec<String> {
    let items = items(flag);
    match LabelSelector::parse(&items) {
        Ok(Some(selector)) => selector.requirements().to_vec(),
        _ => items,
    }
}
