//! The controller's settings, as the ConfigMap `reloader-meta-info` shows them.
//!
//! Input: its data. Output: [`Settings`]. I/O: none.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{
    explain::{Flags, Scope},
    model::{AnnotationKeys, SourceKind, WorkloadKind},
};

/// The ConfigMap; upstream's name, so that its settings are found as well.
pub(super) const NAME: &str = "reloader-meta-info";
/// The label that it carries.
pub(super) const LABEL: &str = "reloader.stakater.com/meta-info=reloader";

/// What `--namespaces` names is not published.
const UNKNOWN_NAMESPACES: &str =
    "Whether its namespace is watched is unknown: what --namespaces names is not published";

/// What is known of the controller's settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    flags: Flags,
    options: Option<Options>,
    version: Option<String>,
}

/// The part of the published options that answers depend on. What an older version does not publish is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of a published format"
)]
struct Options {
    auto_reload_all: bool,
    configmap_update_on_change_annotation: Option<String>,
    secret_update_on_change_annotation: Option<String>,
    secret_provider_class_update_on_change_annotation: Option<String>,
    reloader_auto_annotation: Option<String>,
    ignore_resource_annotation: Option<String>,
    configmap_reloader_auto_annotation: Option<String>,
    secret_reloader_auto_annotation: Option<String>,
    secret_provider_class_reloader_auto_annotation: Option<String>,
    configmap_exclude_reloader_annotation: Option<String>,
    secret_exclude_reloader_annotation: Option<String>,
    secret_provider_class_exclude_reloader_annotation: Option<String>,
    auto_search_annotation: Option<String>,
    search_match_annotation: Option<String>,
    pause_deployment_annotation: Option<String>,
    pause_deployment_time_annotation: Option<String>,
    is_argo_rollouts: bool,
    reload_strategy: String,
    reload_on_create: bool,
    reload_on_delete: bool,
    #[serde(rename = "enableHA")]
    enable_ha: bool,
    #[serde(rename = "enableCSIIntegration")]
    enable_csi_integration: bool,
    webhook_url: String,
    resources_to_ignore: Vec<String>,
    workload_types_to_ignore: Vec<String>,
    namespace_selectors: Vec<String>,
    resource_selectors: Vec<String>,
    namespaces_to_ignore: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    release_version: String,
}

impl Settings {
    /// Reads the ConfigMap's data; what cannot be read counts as not published.
    pub(super) fn read(data: &BTreeMap<String, String>) -> Self {
        let field = |name: &str| data.get(name).map(String::as_str);
        let options: Option<Options> =
            field("reloaderOptions").and_then(|text| serde_json::from_str(text).ok());
        let build: Option<Build> = field("buildInfo").and_then(|text| serde_json::from_str(text).ok());
        Self {
            flags: options.as_ref().map(flags).unwrap_or_default(),
            options,
            version: build.map(|build| build.release_version),
        }
    }

    /// The settings that verdicts depend on; the defaults where they are not known.
    pub(super) const fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Whether the settings are published, and can be read.
    pub(super) const fn are_known(&self) -> bool {
        self.options.is_some()
    }

    /// The version of the last replica that started.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Whether replicas elect a leader; `None`: unknown.
    pub(super) fn elects(&self) -> Option<bool> {
        self.options.as_ref().map(|options| options.enable_ha)
    }

    /// What is watched of that namespace, as far as it is published: the namespaces that are named are not.
    pub(super) fn scope(&self, namespace: &str) -> Scope {
        let Some(options) = &self.options else {
            return Scope {
                notes: vec![
                    "Reloader's settings are not known here: the answer is that of the default settings"
                        .to_owned(),
                    UNKNOWN_NAMESPACES.to_owned(),
                ],
                ..Scope::default()
            };
        };
        let is_ignored = |kind: SourceKind| {
            let plural = kind.resource();
            options
                .resources_to_ignore
                .iter()
                .any(|name| name.eq_ignore_ascii_case(plural))
        };
        let is_watched = |kind: &SourceKind| match kind {
            SourceKind::SecretProviderClass => options.enable_csi_integration,
            kind => !is_ignored(*kind),
        };
        let ignored = options.namespaces_to_ignore.iter().any(|name| name == namespace);
        let mut notes = Vec::new();
        if !ignored {
            notes.push(UNKNOWN_NAMESPACES.to_owned());
        }
        if !options.resource_selectors.is_empty() {
            notes.push(
                "--resource-label-selector is set: sources without those labels are not seen and restart nothing".to_owned(),
            );
        }
        if !options.namespace_selectors.is_empty() {
            notes.push(
                "--namespace-selector is set: only namespaces with those labels are watched".to_owned(),
            );
        }
        Scope {
            selected: ignored.then_some(false),
            kinds: Some(SourceKind::ALL.into_iter().filter(is_watched).collect()),
            notes,
            ..Scope::default()
        }
    }

    /// Whether flags leave that resource out: a source, a kind of workload; with `--webhook-url` all but sources.
    pub(super) fn ignores(&self, resource: &str) -> bool {
        let Some(options) = &self.options else {
            return false;
        };
        let ignored = options
            .resources_to_ignore
            .iter()
            .chain(&options.workload_types_to_ignore);
        let is_named = ignored
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(resource));
        let is_source = matches!(resource, "configmaps" | "secrets");
        is_named || !is_source && !options.webhook_url.is_empty()
    }

    /// Why workloads of that kind are not restarted at all, if that is so.
    pub(super) fn left_out(&self, kind: WorkloadKind) -> Option<String> {
        let options = self.options.as_ref()?;
        let is_ignored = |plural: &str| options.workload_types_to_ignore.iter().any(|name| name == plural);
        match kind {
            _ if !options.webhook_url.is_empty() => Some(
                "--webhook-url is set: changes are posted there, and no workload is restarted".to_owned(),
            ),
            WorkloadKind::Rollout if !options.is_argo_rollouts => {
                Some("Rollouts are restarted only where the controller has --is-Argo-Rollouts".to_owned())
            }
            kind if is_ignored(kind.plural()) => Some(format!(
                "The controller's --ignored-workload-types names {}: none of them is restarted",
                kind.plural()
            )),
            _ => None,
        }
    }
}

fn flags(options: &Options) -> Flags {
    let mut keys = AnnotationKeys::default();
    let set = |key: &mut String, published: &Option<String>| {
        if let Some(published) = published {
            key.clone_from(published);
        }
    };
    set(&mut keys.auto, &options.reloader_auto_annotation);
    set(&mut keys.ignore, &options.ignore_resource_annotation);
    set(&mut keys.search, &options.auto_search_annotation);
    set(&mut keys.match_, &options.search_match_annotation);
    set(&mut keys.pause_period, &options.pause_deployment_annotation);
    set(&mut keys.paused_at, &options.pause_deployment_time_annotation);
    let kinds = [
        (
            &mut keys.configmap,
            &options.configmap_reloader_auto_annotation,
            &options.configmap_update_on_change_annotation,
            &options.configmap_exclude_reloader_annotation,
        ),
        (
            &mut keys.secret,
            &options.secret_reloader_auto_annotation,
            &options.secret_update_on_change_annotation,
            &options.secret_exclude_reloader_annotation,
        ),
        (
            &mut keys.class,
            &options.secret_provider_class_reloader_auto_annotation,
            &options.secret_provider_class_update_on_change_annotation,
            &options.secret_provider_class_exclude_reloader_annotation,
        ),
    ];
    for (of_kind, auto, reload, exclude) in kinds {
        set(&mut of_kind.auto, auto);
        set(&mut of_kind.reload, reload);
        set(&mut of_kind.exclude, exclude);
    }
    let mut flags = Flags {
        keys: Arc::new(keys),
        reload_on_create: options.reload_on_create,
        reload_on_delete: options.reload_on_delete,
        ..Flags::default()
    };
    flags.options.auto_reload_all = options.auto_reload_all;
    if let Ok(strategy) = options.reload_strategy.parse() {
        flags.options.strategy = strategy;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str) -> Settings {
        let data = [
            ("reloaderOptions".to_owned(), options.to_owned()),
            ("buildInfo".to_owned(), r#"{"releaseVersion":"1.4.2"}"#.to_owned()),
        ];
        Settings::read(&data.into())
    }

    #[test]
    fn published_settings_count() {
        let settings = read(
            r#"{"autoReloadAll":true,"reloaderAutoAnnotation":"example.com/auto","secretUpdateOnChangeAnnotation":"",
                "reloadStrategy":"annotations","reloadOnCreate":true,"resourcesToIgnore":["secrets"],
                "namespacesToIgnore":["kube-system"],"workloadTypesToIgnore":["jobs"],"futureOption":[1]}"#,
        );
        let flags = settings.flags();
        assert!(flags.options.auto_reload_all && flags.reload_on_create);
        assert_eq!(flags.options.strategy.as_str(), "annotations");
        assert_eq!(flags.keys.auto, "example.com/auto");
        assert_eq!(flags.keys.secret.reload, "");
        assert_eq!(flags.keys.search, AnnotationKeys::default().search);
        assert_eq!(settings.version(), Some("1.4.2"));
        let scope = settings.scope("kube-system");
        assert_eq!(scope.selected, Some(false));
        assert_eq!(scope.kinds, Some(vec![SourceKind::ConfigMap]));
        assert_eq!(scope.notes, [""; 0]);
        let scope = settings.scope("shop");
        assert_eq!(scope.selected, None);
        assert!(scope.notes[0].contains("its namespace is watched is unknown"));
        assert!(settings.ignores("secrets") && settings.ignores("jobs") && !settings.ignores("deployments"));
        assert!(settings.left_out(WorkloadKind::Job).is_some());
        assert!(settings.left_out(WorkloadKind::Rollout).is_some());
        assert!(settings.left_out(WorkloadKind::Deployment).is_none());
    }

    #[test]
    fn where_changes_are_posted_workloads_need_no_permission() {
        let settings = read(r#"{"webhookUrl":"https://hooks.example.com"}"#);
        assert!(settings.ignores("deployments") && settings.ignores("events"));
        assert!(!settings.ignores("secrets") && !settings.ignores("configmaps"));
        assert!(settings.left_out(WorkloadKind::Deployment).is_some());
    }

    #[test]
    fn what_is_not_published_is_the_default_and_is_noted() {
        for settings in [
            Settings::default(),
            read("no JSON"),
            Settings::read(&BTreeMap::new()),
        ] {
            assert_eq!(settings.flags().keys.auto, AnnotationKeys::default().auto);
            assert_eq!(settings.scope("shop").notes.len(), 2);
            assert_eq!(settings.elects(), None);
            assert!(!settings.are_known() && settings.left_out(WorkloadKind::Rollout).is_none());
        }
    }
}
