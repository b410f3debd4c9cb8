//! What the meta-info ConfigMap tells of the settings.
//!
//! Input: the flags as typed. Output: [`MetaInfo`]. I/O: none.

use super::LabelSelector;
use crate::{
    args::{
        Args, CsvList, Environment, HighAvailabilityArgs, ObservabilityArgs, OptInArgs, ReloadArgs, ScopeArgs,
    },
    meta_info::{BuildInfo, DeploymentInfo, MetaInfo, Options},
    model::{AnnotationKeys, SourceKind},
    notify::Endpoint,
};

/// What is published; nothing where `RELOADER_NAMESPACE` does not say where.
pub(super) fn meta_info(args: &Args, environment: &Environment) -> Option<MetaInfo> {
    Some(MetaInfo {
        build: BuildInfo::of_this_build(),
        options: options(args),
        deployment: DeploymentInfo {
            name: environment.reloader_deployment_name.clone(),
            namespace: environment.reloader_namespace.clone()?,
        },
    })
}

fn options(args: &Args) -> Options {
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
    let OptInArgs {
        auto_reload_all,
        auto_annotation,
        configmap_auto_annotation,
        secret_auto_annotation,
        configmap_annotation,
        secret_annotation,
        auto_search_annotation,
        search_match_annotation,
        ignore_annotation,
    } = &args.opt_in;
    let reload: &ReloadArgs = &args.reload;
    let HighAvailabilityArgs { enable_ha, .. } = &args.high_availability;
    let log: &ObservabilityArgs = &args.observability;
    Options {
        auto_reload_all: *auto_reload_all,
        configmap_update_on_change_annotation: configmap_annotation.clone(),
        secret_update_on_change_annotation: secret_annotation.clone(),
        secret_provider_class_update_on_change_annotation: "secretproviderclass.reloader.stakater.com/reload"
            .to_owned(),
        reloader_auto_annotation: auto_annotation.clone(),
        ignore_resource_annotation: ignore_annotation.clone(),
        configmap_reloader_auto_annotation: configmap_auto_annotation.clone(),
        secret_reloader_auto_annotation: secret_auto_annotation.clone(),
        secret_provider_class_reloader_auto_annotation: "secretproviderclass.reloader.stakater.com/auto"
            .to_owned(),
        configmap_exclude_reloader_annotation: AnnotationKeys::exclude(SourceKind::ConfigMap).to_owned(),
        secret_exclude_reloader_annotation: AnnotationKeys::exclude(SourceKind::Secret).to_owned(),
        secret_provider_class_exclude_reloader_annotation:
            "secretproviderclasses.exclude.reloader.stakater.com/reload".to_owned(),
        auto_search_annotation: auto_search_annotation.clone(),
        search_match_annotation: search_match_annotation.clone(),
        rollout_strategy_annotation: "reloader.stakater.com/rollout-strategy".to_owned(),
        pause_deployment_annotation: reload.pause_deployment_annotation.clone(),
        pause_deployment_time_annotation: reload.pause_deployment_time_annotation.clone(),
        log_format: log.log_format.clone(),
        log_level: log.log_level.clone(),
        is_argo_rollouts: *is_argo_rollouts,
        reload_strategy: reload.reload_strategy.clone(),
        reload_on_create: reload.reload_on_create,
        reload_on_delete: reload.reload_on_delete,
        sync_after_restart: reload.sync_after_restart,
        enable_ha: *enable_ha,
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

/// As upstream shows them: with their short forms rewritten.
fn selectors(flag: &[CsvList]) -> Vec<String> {
    let items = items(flag);
    match LabelSelector::parse(&items) {
        Ok(Some(selector)) => selector.requirements().to_vec(),
        _ => items,
    }
}
