//! The content of the meta-info ConfigMap, equal byte for byte to upstream's, which Go's `encoding/json` writes.
//!
//! Input: settings, and what was compiled in. Output: the ConfigMap's data. I/O: none.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::model::go_values::escape_json;

/// The published content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaInfo {
    /// What was compiled in.
    pub build: BuildInfo,
    /// The settings.
    pub options: Options,
    /// Where it runs.
    pub deployment: DeploymentInfo,
}

impl MetaInfo {
    /// The ConfigMap's data: three JSON texts.
    pub fn data(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("buildInfo".to_owned(), json(&self.build)),
            ("reloaderOptions".to_owned(), json(&self.options)),
            ("deploymentInfo".to_owned(), json(&self.deployment)),
        ])
    }
}

fn json(value: &impl Serialize) -> String {
    // Text, booleans and lists of text always serialize.
    escape_json(&serde_json::to_string(value).unwrap_or_default())
}

/// What was compiled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// The toolchain; the field's name is upstream's.
    pub go_version: String,
    /// The version of this program.
    pub release_version: String,
    /// The commit it was built from.
    pub commit_hash: String,
    /// The time of that commit as RFC 3339; year 1 if not known.
    pub commit_time: String,
    /// The edition: `oss`.
    pub edition: String,
}

/// Go's zero time.
const UNKNOWN_TIME: &str = "0001-01-01T00:00:00Z";

impl BuildInfo {
    /// What the build got in `RELOADER_COMMIT_HASH`, `RELOADER_COMMIT_TIME` and `RELOADER_EDITION`; upstream's defaults
    /// where they were not set.
    pub fn of_this_build() -> Self {
        Self {
            go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
            release_version: env!("CARGO_PKG_VERSION").to_owned(),
            commit_hash: option_env!("RELOADER_COMMIT_HASH")
                .unwrap_or("unknown")
                .to_owned(),
            commit_time: time(option_env!("RELOADER_COMMIT_TIME").unwrap_or_default()),
            edition: option_env!("RELOADER_EDITION").unwrap_or("oss").to_owned(),
        }
    }
}

/// The time as given, or Go's zero time where it is not one.
fn time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(_) => text.to_owned(),
        Err(_) => UNKNOWN_TIME.to_owned(),
    }
}

/// Where Reloader runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeploymentInfo {
    /// `RELOADER_DEPLOYMENT_NAME`; left out where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `RELOADER_NAMESPACE`: also where the ConfigMap is.
    pub namespace: String,
}

/// The settings as given, in upstream's order.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a field of a published format"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// `--auto-reload-all`.
    pub auto_reload_all: bool,
    /// `--configmap-annotation`.
    pub configmap_update_on_change_annotation: String,
    /// `--secret-annotation`.
    pub secret_update_on_change_annotation: String,
    /// The list annotation for `SecretProviderClasses`; not configurable.
    pub secret_provider_class_update_on_change_annotation: String,
    /// `--auto-annotation`.
    pub reloader_auto_annotation: String,
    /// `--ignore-annotation`.
    pub ignore_resource_annotation: String,
    /// `--configmap-auto-annotation`.
    pub configmap_reloader_auto_annotation: String,
    /// `--secret-auto-annotation`.
    pub secret_reloader_auto_annotation: String,
    /// The auto annotation for `SecretProviderClasses`; not configurable.
    pub secret_provider_class_reloader_auto_annotation: String,
    /// The exclude annotation for ConfigMaps; not configurable.
    pub configmap_exclude_reloader_annotation: String,
    /// The exclude annotation for Secrets; not configurable.
    pub secret_exclude_reloader_annotation: String,
    /// The exclude annotation for `SecretProviderClasses`; not configurable.
    pub secret_provider_class_exclude_reloader_annotation: String,
    /// `--auto-search-annotation`.
    pub auto_search_annotation: String,
    /// `--search-match-annotation`.
    pub search_match_annotation: String,
    /// The annotation for how a Rollout is restarted; not configurable.
    pub rollout_strategy_annotation: String,
    /// `--pause-deployment-annotation`.
    pub pause_deployment_annotation: String,
    /// `--pause-deployment-time-annotation`.
    pub pause_deployment_time_annotation: String,
    /// `--log-format`.
    pub log_format: String,
    /// `--log-level`.
    pub log_level: String,
    /// `--is-Argo-Rollouts`.
    pub is_argo_rollouts: bool,
    /// `--reload-strategy`.
    pub reload_strategy: String,
    /// `--reload-on-create`.
    pub reload_on_create: bool,
    /// `--reload-on-delete`.
    pub reload_on_delete: bool,
    /// `--sync-after-restart`.
    pub sync_after_restart: bool,
    /// `--enable-ha`.
    #[serde(rename = "enableHA")]
    pub enable_ha: bool,
    /// `--lease-duration`, as Go writes it; in upstream since 1.4.22, like the next two.
    pub leader_election_lease_duration: String,
    /// `--renew-deadline`.
    pub leader_election_renew_deadline: String,
    /// `--retry-period`.
    pub leader_election_retry_period: String,
    /// `--enable-csi-integration`.
    #[serde(rename = "enableCSIIntegration")]
    pub enable_csi_integration: bool,
    /// Scheme and host of `--webhook-url`. Upstream publishes all of it, and with it the token that such URLs hold, to
    /// every user who may read ConfigMaps.
    pub webhook_url: String,
    /// `--resources-to-ignore`.
    pub resources_to_ignore: Vec<String>,
    /// `--ignored-workload-types`.
    pub workload_types_to_ignore: Vec<String>,
    /// `--namespace-selector`.
    pub namespace_selectors: Vec<String>,
    /// `--resource-label-selector`.
    pub resource_selectors: Vec<String>,
    /// `--namespaces-to-ignore`.
    pub namespaces_to_ignore: Vec<String>,
    /// `--enable-pprof`.
    #[serde(rename = "enablePProf")]
    pub enable_pprof: bool,
    /// `--pprof-addr`.
    pub pprof_addr: String,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn info() -> MetaInfo {
        MetaInfo {
            build: BuildInfo {
                go_version: "rust1.95".to_owned(),
                release_version: "1.0.0".to_owned(),
                commit_hash: "unknown".to_owned(),
                commit_time: time(""),
                edition: "oss".to_owned(),
            },
            options: Options {
                webhook_url: "https://hooks.example.com".to_owned(),
                namespace_selectors: vec!["a=b".to_owned(), "c in (d,e)".to_owned()],
                log_level: "<info>".to_owned(),
                ..Options::default()
            },
            deployment: DeploymentInfo {
                name: Some("reloader".to_owned()),
                namespace: "ops".to_owned(),
            },
        }
    }

    #[test]
    fn names_and_order_are_upstreams() {
        let data = info().data();
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        assert_eq!(keys, ["buildInfo", "deploymentInfo", "reloaderOptions"]);
        assert_eq!(
            data["buildInfo"],
            "{\"goVersion\":\"rust1.95\",\"releaseVersion\":\"1.0.0\",\"commitHash\":\"unknown\",\
             \"commitTime\":\"0001-01-01T00:00:00Z\",\"edition\":\"oss\"}"
        );
        assert_eq!(data["deploymentInfo"], r#"{"name":"reloader","namespace":"ops"}"#);
        assert_eq!(
            data["reloaderOptions"],
            "{\"autoReloadAll\":false,\"configmapUpdateOnChangeAnnotation\":\"\",\
             \"secretUpdateOnChangeAnnotation\":\"\",\"secretProviderClassUpdateOnChangeAnnotation\":\"\",\
             \"reloaderAutoAnnotation\":\"\",\"ignoreResourceAnnotation\":\"\",\
             \"configmapReloaderAutoAnnotation\":\"\",\"secretReloaderAutoAnnotation\":\"\",\
             \"secretProviderClassReloaderAutoAnnotation\":\"\",\"configmapExcludeReloaderAnnotation\":\"\",\
             \"secretExcludeReloaderAnnotation\":\"\",\"secretProviderClassExcludeReloaderAnnotation\":\"\",\
             \"autoSearchAnnotation\":\"\",\"searchMatchAnnotation\":\"\",\"rolloutStrategyAnnotation\":\"\",\
             \"pauseDeploymentAnnotation\":\"\",\"pauseDeploymentTimeAnnotation\":\"\",\"logFormat\":\"\",\
             \"logLevel\":\"\\u003cinfo\\u003e\",\"isArgoRollouts\":false,\"reloadStrategy\":\"\",\
             \"reloadOnCreate\":false,\"reloadOnDelete\":false,\"syncAfterRestart\":false,\"enableHA\":false,\
             \"leaderElectionLeaseDuration\":\"\",\"leaderElectionRenewDeadline\":\"\",\"leaderElectionRetryPeriod\":\"\",\
             \"enableCSIIntegration\":false,\"webhookUrl\":\"https://hooks.example.com\",\"resourcesToIgnore\":[],\
             \"workloadTypesToIgnore\":[],\"namespaceSelectors\":[\"a=b\",\"c in (d,e)\"],\"resourceSelectors\":[],\
             \"namespacesToIgnore\":[],\"enablePProf\":false,\"pprofAddr\":\"\"}"
        );
    }

    #[test]
    fn a_name_that_is_not_known_is_left_out() {
        let mut info = info();
        info.deployment.name = None;
        assert_eq!(info.data()["deploymentInfo"], r#"{"namespace":"ops"}"#);
    }

    #[rstest]
    #[case("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z")]
    #[case("2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05+01:00")]
    #[case("yesterday", UNKNOWN_TIME)]
    #[case("", UNKNOWN_TIME)]
    fn a_time_that_is_none_is_gos_zero_time(#[case] text: &str, #[case] published: &str) {
        assert_eq!(time(text), published);
    }

    #[test]
    fn this_build_knows_its_version() {
        let build = BuildInfo::of_this_build();
        assert_eq!(build.release_version, env!("CARGO_PKG_VERSION"));
        assert!(build.go_version.starts_with("rust1."), "{}", build.go_version);
    }
}
