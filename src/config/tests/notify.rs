//! What the flags and variables of alerts, webhooks and the meta-info come to.

use rstest::rstest;

use super::*;
use crate::notify::{Sink, WebhookPayload};

const ON: (&str, &str) = ("ALERT_ON_RELOAD", "true");
const URL: (&str, &str) = ("ALERT_WEBHOOK_URL", " https://sink/token ");

fn alerts(arguments: &[&str], variables: &[(&str, &str)]) -> Option<AlertSettings> {
    config(arguments, variables).unwrap().alerts
}

#[rstest]
#[case::off(&[], &[URL], None)]
#[case::not_exactly_true(&[], &[("ALERT_ON_RELOAD", "True"), URL], None)]
#[case::nowhere(&[], &[ON], None)]
#[case::blank(&[], &[ON, ("ALERT_WEBHOOK_URL", " ")], None)]
#[case::no_url(&[], &[ON, ("ALERT_WEBHOOK_URL", "sink")], None)]
#[case::on(&[], &[ON, URL], Some((true, false)))]
#[case::failures(&["--alert-on-failure"], &[URL], Some((false, true)))]
#[case::both(&["--alert-on-failure=true"], &[ON, URL], Some((true, true)))]
fn alerts_are_on(
    #[case] arguments: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] expected: Option<(bool, bool)>,
) {
    let on = alerts(arguments, variables).map(|alerts| (alerts.on_reload, alerts.on_failure));
    assert_eq!(on, expected);
}

/// Upstream logs it at each alert.
#[rstest]
#[case::missing(&[], &[ON], "alerts are turned on (ALERT_ON_RELOAD or --alert-on-reload), but ALERT_WEBHOOK_URL is not set")]
#[case::bad(&[], &[ON, ("ALERT_WEBHOOK_URL", "ftp://token")], "cannot be posted to (its scheme is not one of http, https)")]
#[case::failures(&["--alert-on-failure"], &[], "--alert-on-failure is set, but")]
fn alerts_that_cannot_be_sent_are_one_error(
    #[case] arguments: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] text: &str,
) {
    let lines = startup_lines(&config(arguments, variables).unwrap());
    let errors: Vec<&String> = lines
        .iter()
        .filter(|(level, _)| *level == Level::Error)
        .map(|(_, line)| line)
        .collect();
    assert_eq!(errors.len(), 1, "{lines:?}");
    assert!(
        errors[0].contains(text) && !errors[0].contains("token"),
        "{errors:?}"
    );
}

/// A flag wins; that for the URL turns alerts on, as in upstream's version 2.
#[rstest]
#[case::url(&["--alert-webhook-url=http://flag"], &[], Some("http://flag"))]
#[case::url_instead_of_the_variables(&["--alert-webhook-url=http://flag"], &[URL], Some("http://flag"))]
#[case::on(&["--alert-on-reload"], &[URL], Some("https://sink"))]
#[case::off(&["--alert-on-reload=false"], &[ON, URL], None)]
#[case::off_beside_the_url(&["--alert-on-reload=false", "--alert-webhook-url=http://flag"], &[], None)]
#[case::empty_url(&["--alert-webhook-url="], &[], None)]
fn alerts_have_flags_as_well(
    #[case] arguments: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] expected: Option<&str>,
) {
    let alerts = alerts(arguments, variables);
    assert_eq!(
        alerts.map(|alerts| alerts.endpoint.to_string()).as_deref(),
        expected
    );
}

#[test]
fn what_goes_with_alerts_has_flags_as_well() {
    let variables = [URL, ("ALERT_SINK", "slack"), ("ALERT_ADDITIONAL_INFO", "eu")];
    let flags = [
        "--alert-on-reload",
        "--alert-sink=raw",
        "--alert-structured",
        "--alert-additional-info=us",
        "--alert-proxy=http://proxy",
    ];
    let settings = alerts(&flags, &variables).unwrap();
    assert_eq!(settings.sink, Sink::RawJson);
    assert_eq!(settings.additional_info.as_deref(), Some("us"));
    assert_eq!(
        settings.proxy.map(|proxy| proxy.to_string()).as_deref(),
        Some("http://proxy")
    );
    let settings = alerts(&[], &[ON, URL, ("ALERT_PROXY", "http://proxy")]).unwrap();
    assert!(settings.proxy.is_some());
}

#[rstest]
#[case::trimmed(" eu ", " http://proxy:3128 ", Some("eu"), Some("http://proxy:3128"))]
#[case::empty("", " ", Some(""), None)]
#[case::bad_proxy("", "ftp://proxy", Some(""), None)]
fn what_goes_with_alerts(
    #[case] info: &str,
    #[case] proxy: &str,
    #[case] expected_info: Option<&str>,
    #[case] expected_proxy: Option<&str>,
) {
    let variables = [
        ON,
        URL,
        ("ALERT_SINK", " Teams "),
        ("ALERT_ADDITIONAL_INFO", info),
        ("ALERT_WEBHOOK_PROXY", proxy),
    ];
    let config = config(&[], &variables).unwrap();
    let alerts = config.alerts.unwrap();
    assert_eq!(
        (alerts.sink, alerts.endpoint.to_string().as_str()),
        (Sink::Teams, "https://sink")
    );
    assert_eq!(alerts.additional_info.as_deref(), expected_info);
    let found = alerts.proxy.map(|proxy| proxy.to_string());
    assert_eq!(found.as_deref(), expected_proxy);
    let said = config
        .warnings
        .iter()
        .any(|warning| warning.contains("ALERT_WEBHOOK_PROXY"));
    assert_eq!(said, proxy.starts_with("ftp"), "{:?}", config.warnings);
}

#[rstest]
#[case(&[], WebhookPayload::Constant)]
#[case(&["--webhook-payload=constant"], WebhookPayload::Constant)]
#[case(&["--webhook-payload=details"], WebhookPayload::Details)]
fn webhook_payloads(#[case] arguments: &[&str], #[case] expected: WebhookPayload) {
    let arguments = [&["--webhook-url=http://sink"], arguments].concat();
    let webhook = config(&arguments, &[]).unwrap().webhook.unwrap();
    assert_eq!(webhook.payload, expected);
}

/// They hold tokens.
#[test]
fn urls_are_never_shown() {
    let config = config(
        &["--webhook-url=http://sink/token"],
        &[ON, URL, ("RELOADER_NAMESPACE", "ops")],
    )
    .unwrap();
    let shown = format!("{config:?}{:?}", startup_lines(&config));
    assert!(!shown.contains("token"), "{shown}");
}

#[test]
fn the_meta_info_shows_every_flag() {
    let flags = [
        "--auto-reload-all",
        "--auto-annotation=1/auto",
        "--configmap-auto-annotation=2/configmap-auto",
        "--secret-auto-annotation=3/secret-auto",
        "--configmap-annotation=4/configmap",
        "--secret-annotation=5/secret",
        "--auto-search-annotation=6/search",
        "--search-match-annotation=7/match",
        "--ignore-annotation=8/ignore",
        "--pause-deployment-annotation=9/period",
        "--pause-deployment-time-annotation=10/since",
        "--log-format=json",
        "--log-level=DEBUG",
        "--is-Argo-Rollouts=true",
        "--reload-strategy=annotations",
        "--reload-on-create=true",
        "--reload-on-delete=true",
        "--sync-after-restart",
        "--enable-ha",
        "--enable-csi-integration",
        "--webhook-url=https://user:token@sink:8443/token",
        "--resources-to-ignore=secrets",
        "--ignored-workload-types=jobs,cronjobs",
        "--namespace-selector=a:b,c:*",
        "--resource-label-selector=d=*",
        "--namespaces-to-ignore=kube-system,x",
        "--enable-pprof",
        "--pprof-addr=:7070",
    ];
    let variables = [
        ("RELOADER_NAMESPACE", "ops"),
        ("RELOADER_DEPLOYMENT_NAME", "watcher"),
        ("POD_NAME", "watcher-0"),
        ("POD_NAMESPACE", "ops"),
    ];
    let data = config(&flags, &variables).unwrap().meta_info.unwrap().data();
    assert_eq!(data["deploymentInfo"], r#"{"name":"watcher","namespace":"ops"}"#);
    assert_eq!(
        data["reloaderOptions"],
        "{\"autoReloadAll\":true,\"configmapUpdateOnChangeAnnotation\":\"4/configmap\",\
         \"secretUpdateOnChangeAnnotation\":\"5/secret\",\
         \"secretProviderClassUpdateOnChangeAnnotation\":\"secretproviderclass.reloader.stakater.com/reload\",\
         \"reloaderAutoAnnotation\":\"1/auto\",\"ignoreResourceAnnotation\":\"8/ignore\",\
         \"configmapReloaderAutoAnnotation\":\"2/configmap-auto\",\
         \"secretReloaderAutoAnnotation\":\"3/secret-auto\",\
         \"secretProviderClassReloaderAutoAnnotation\":\"secretproviderclass.reloader.stakater.com/auto\",\
         \"configmapExcludeReloaderAnnotation\":\"configmaps.exclude.reloader.stakater.com/reload\",\
         \"secretExcludeReloaderAnnotation\":\"secrets.exclude.reloader.stakater.com/reload\",\
         \"secretProviderClassExcludeReloaderAnnotation\":\
         \"secretproviderclasses.exclude.reloader.stakater.com/reload\",\
         \"autoSearchAnnotation\":\"6/search\",\"searchMatchAnnotation\":\"7/match\",\
         \"rolloutStrategyAnnotation\":\"reloader.stakater.com/rollout-strategy\",\
         \"pauseDeploymentAnnotation\":\"9/period\",\"pauseDeploymentTimeAnnotation\":\"10/since\",\
         \"logFormat\":\"json\",\"logLevel\":\"DEBUG\",\"isArgoRollouts\":true,\
         \"reloadStrategy\":\"annotations\",\"reloadOnCreate\":true,\"reloadOnDelete\":true,\
         \"syncAfterRestart\":true,\"enableHA\":true,\
         \"leaderElectionLeaseDuration\":\"15s\",\"leaderElectionRenewDeadline\":\"10s\",\"leaderElectionRetryPeriod\":\"2s\",\
         \"enableCSIIntegration\":true,\
         \"webhookUrl\":\"https://sink:8443\",\"resourcesToIgnore\":[\"secrets\"],\
         \"workloadTypesToIgnore\":[\"jobs\",\"cronjobs\"],\"namespaceSelectors\":[\"a=b\",\"c\"],\
         \"resourceSelectors\":[\"d\"],\"namespacesToIgnore\":[\"kube-system\",\"x\"],\"enablePProf\":true,\
         \"pprofAddr\":\":7070\"}"
    );
}

/// There is nowhere to publish it.
#[test]
fn without_a_namespace_there_is_no_meta_info() {
    assert_eq!(config(&[], &[("POD_NAMESPACE", "ops")]).unwrap().meta_info, None);
}
