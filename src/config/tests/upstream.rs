//! What upstream's scope flags and alert variables come to.

use rstest::rstest;

use super::*;
use crate::model::SourceKind;
use crate::notify::{Endpoint, WebhookPayload};

fn filters(arguments: &[&str]) -> Filters {
    config(arguments, &[]).unwrap().filters
}

#[test]
fn every_flag_has_its_place() {
    let flags = [
        "--namespaces-to-ignore=kube-system",
        "--namespace-selector=team:shop",
        "--resource-label-selector=reload",
        "--resources-to-ignore=secrets",
        "--ignored-workload-types=jobs,cronjobs",
        "--is-Argo-Rollouts=true",
        "--enable-csi-integration",
        "--reload-on-create=true",
        "--reload-on-delete=true",
        "--sync-after-restart",
        "--webhook-url=http://sink",
        "--pause-deployment-annotation=9/period",
        "--pause-deployment-time-annotation=10/since",
        "--pprof-addr=:7070",
    ];
    let selector = |text: &str| LabelSelector::parse(&[text.to_owned()]).unwrap();
    let expected = Config {
        filters: Filters {
            namespaces_to_ignore: vec!["kube-system".to_owned()],
            namespace_selector: selector("team=shop"),
            source_selector: selector("reload"),
            ignored_source: Some(SourceKind::Secret),
            ignore_jobs: true,
            ignore_cron_jobs: true,
            ignore_deployment_configs: false,
        },
        integrations: Integrations {
            argo_rollouts: true,
            csi: true,
        },
        reload_on: ReloadOn {
            create: true,
            delete: true,
            sync_after_restart: true,
        },
        annotations: AnnotationKeys {
            pause_period: "9/period".to_owned(),
            paused_at: "10/since".to_owned(),
            ..AnnotationKeys::default()
        },
        webhook: Some(WebhookSettings {
            endpoint: Endpoint::parse("http://sink").unwrap(),
            payload: WebhookPayload::Constant,
        }),
        pprof: Pprof {
            enabled: false,
            address: ":7070".to_owned(),
        },
        ..config(&[], &[]).unwrap()
    };
    assert_eq!(config(&flags, &[]).unwrap(), expected);
}

/// Charts in use set the timings by these names.
#[test]
fn the_lease_goes_by_the_names_of_later_versions_as_well() {
    let flags = [
        "--enable-ha=true",
        "--leader-election-id=reloader-leader-election",
        "--leader-election-namespace=locks",
        "--leader-election-lease-duration=60s",
        "--leader-election-renew-deadline=40s",
        "--leader-election-retry-period=10s",
        "--leader-election-release-on-cancel=true",
    ];
    let variables = [("POD_NAME", "reloader-0"), ("POD_NAMESPACE", "system")];
    let seconds = Duration::from_secs;
    let lease = config(&flags, &variables).unwrap().lease.unwrap();
    let expected = lease::Settings {
        name: "reloader-leader-election".to_owned(),
        namespace: "locks".to_owned(),
        identity: "reloader-0".to_owned(),
        timings: Timings::new(seconds(60), seconds(40), seconds(10)).unwrap(),
    };
    assert_eq!(lease, expected);
    let without = config(&["--enable-ha", "--leader-election-namespace="], &variables);
    assert_eq!(without.unwrap().lease.unwrap().namespace, "system");
}

#[test]
fn the_annotations_of_later_versions_have_flags() {
    let flags = [
        "--configmap-exclude-annotation=1",
        "--secret-exclude-annotation=2",
        "--secretproviderclass-auto-annotation=3",
        "--secretproviderclass-annotation=4",
        "--secretproviderclass-exclude-annotation=5",
    ];
    let keys = config(&flags, &[]).unwrap().annotations;
    let class = KindKeys {
        auto: "3".to_owned(),
        reload: "4".to_owned(),
        exclude: "5".to_owned(),
    };
    assert_eq!(
        (&*keys.configmap.exclude, &*keys.secret.exclude, keys.class),
        ("1", "2", class)
    );
}

#[rstest]
#[case::none(&[], None)]
#[case::another(&["--metrics-addr=:8080", "--health-addr=:8081"], Some(8081))]
#[case::the_same(&["--metrics-addr=:8080", "--health-addr=:8080"], None)]
fn probes_may_have_an_address_of_their_own(#[case] flags: &[&str], #[case] expected: Option<u16>) {
    let config = config(flags, &[]).unwrap();
    assert_eq!(config.health_address.map(|address| address.port), expected);
}

#[test]
fn nothing_said_leaves_nothing_out() {
    assert_eq!(filters(&[]), Filters::default());
}

/// Upstream keeps the space before `b` and so does not ignore it.
#[rstest]
#[case(&["--namespaces-to-ignore=a, b"], &["a", "b"])]
#[case(&["--namespaces-to-ignore=a,a", "--namespaces-to-ignore=b"], &["a", "b"])]
#[case(&["--namespaces-to-ignore=,a,"], &["a"])]
#[case(&["--namespaces-to-ignore="], &[])]
fn ignored_namespaces(#[case] arguments: &[&str], #[case] expected: &[&str]) {
    assert_eq!(filters(arguments).namespaces_to_ignore, expected);
}

#[test]
fn a_namespace_that_cannot_exist_need_not_be_ignored() {
    let config = config(&["--namespaces-to-ignore=kube-*,a"], &[]).unwrap();
    assert_eq!(config.filters.namespaces_to_ignore, ["a"]);
    assert!(
        config.warnings.len() == 1 && config.warnings[0].contains("\"kube-*\""),
        "{:?}",
        config.warnings
    );
}

#[rstest]
#[case::ignored(&["--namespaces-to-ignore=b"], "namespaces-to-ignore")]
#[case::selector(&["--namespace-selector=b"], "namespace-selector")]
fn only_honored_in_global_mode(#[case] arguments: &[&str], #[case] flag: &str) {
    let config = config(&[&["--namespaces=a"], arguments].concat(), &[]).unwrap();
    assert_eq!(config.filters, Filters::default());
    assert_eq!(
        config.warnings,
        [format!(
            "{flag} is set but is only honored in global mode (watchGlobally=true); ignoring it."
        )]
    );
}

#[rstest]
#[case(&["--resources-to-ignore=configMaps"], Some(SourceKind::ConfigMap))]
#[case(&["--resources-to-ignore=SECRETS"], Some(SourceKind::Secret))]
#[case(&["--resources-to-ignore=secrets", "--resources-to-ignore=secrets"], Some(SourceKind::Secret))]
#[case(&["--resources-to-ignore="], None)]
fn ignored_sources(#[case] arguments: &[&str], #[case] expected: Option<SourceKind>) {
    assert_eq!(filters(arguments).ignored_source, expected);
}

#[rstest]
#[case("jobs", (true, false))]
#[case("cronjobs", (false, true))]
#[case("cronjobs,jobs", (true, true))]
#[case("Jobs, CronJobs", (true, true))]
#[case("", (false, false))]
fn ignored_workloads(#[case] value: &str, #[case] expected: (bool, bool)) {
    let filters = filters(&["--ignored-workload-types", value]);
    assert_eq!((filters.ignore_jobs, filters.ignore_cron_jobs), expected);
}

#[rstest]
#[case("http://host", true)]
#[case("https://user:word@host:8080/path?token=1#x", true)]
#[case("HTTP://[::1]:80/", true)]
#[case("", false)]
fn webhook_urls(#[case] value: &str, #[case] expected: bool) {
    let url = config(&["--webhook-url", value], &[]).unwrap().webhook;
    assert_eq!(url.is_some(), expected);
}

#[rstest]
#[case::selector(
    &["--namespace-selector=a=b,c=d*"],
    "--namespace-selector \"c=d*\": a label value has up to 63 letters, digits, -, _ or . and begins and ends with a \
     letter or digit")]
#[case::other_selector(
    &["--resource-label-selector=a,,b"],
    "--resource-label-selector \"\": expected a label key; commas separate requirements, and none may be empty")]
#[case::resources(
    &["--resources-to-ignore=deployments"],
    "'resources-to-ignore' only accepts 'configmaps' or 'secrets', not 'deployments'")]
#[case::both(
    &["--resources-to-ignore=secrets,configmaps"],
    "'resources-to-ignore' only accepts 'configmaps' or 'secrets', not both")]
#[case::workload(
    &["--ignored-workload-types=jobs,deployments"],
    "--ignored-workload-types: \"deployments\" cannot be ignored; allowed are jobs, cronjobs, deploymentconfigs")]
#[case::no_scheme(
    &["--webhook-url=sink"],
    "--webhook-url cannot be posted to: it is not a URL (relative URL without a base); expected http://host/path or \
     https://host/path")]
#[case::no_host(
    &["--webhook-url=http://:80/"],
    "--webhook-url cannot be posted to: it is not a URL (empty host); expected http://host/path or https://host/path")]
fn errors_name_flag_value_and_what_is_allowed(#[case] arguments: &[&str], #[case] expected: &str) {
    assert_eq!(config(arguments, &[]).unwrap_err().to_string(), expected);
}

#[test]
fn profiles_are_declined_once() {
    let config = config(&["--enable-pprof", "--pprof-addr=:1"], &[]).unwrap();
    assert!(config.pprof.enabled);
    assert_eq!(config.warnings.len(), 1);
    assert!(
        config.warnings[0].starts_with("--enable-pprof"),
        "{:?}",
        config.warnings
    );
}

#[rstest]
#[case(&["--namespaces-to-ignore=x,y", "--enable-csi-integration"], &[
    (Level::Warning, "KUBERNETES_NAMESPACE is unset, will detect changes in all namespaces except: x, y."),
])]
#[case(&["--namespace-selector=a:b,c:*", "--resource-label-selector=d", "--webhook-url=http://sink", "--enable-csi-integration"], &[
    (Level::Warning, "KUBERNETES_NAMESPACE is unset, will detect changes in all namespaces."),
    (Level::Warning, "namespace-selector is set, will only detect changes in namespaces with these labels: a=b,c."),
    (Level::Warning, "resource-label-selector is set, will only detect changes on resources with these labels: d."),
    (Level::Warning, "webhook-url is set, will only send webhook, no resources will be reloaded"),
])]
fn startup_lines_tell_the_scope(#[case] arguments: &[&str], #[case] expected: &[(Level, &str)]) {
    let lines = startup_lines(&config(arguments, &[]).unwrap());
    let lines: Vec<_> = lines
        .iter()
        .map(|(level, text)| (*level, text.as_str()))
        .collect();
    assert_eq!(lines, expected);
}
