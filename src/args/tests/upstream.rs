//! Command lines written for Stakater Reloader v1.4.

use rstest::rstest;

use super::*;

const SWITCHES: [&str; 5] = [
    "auto-reload-all",
    "sync-after-restart",
    "enable-ha",
    "enable-pprof",
    "enable-csi-integration",
];
/// Booleans that upstream declares as strings: they need a value.
const WORDS: [&str; 4] = [
    "is-Argo-Rollouts",
    "is-argo-rollouts",
    "reload-on-create",
    "reload-on-delete",
];
const LISTS: [&str; 6] = [
    "resources-to-ignore",
    "ignored-workload-types",
    "namespaces",
    "namespaces-to-ignore",
    "namespace-selector",
    "resource-label-selector",
];
const TEXTS: [&str; 15] = [
    "configmap-annotation",
    "secret-annotation",
    "auto-annotation",
    "ignore-annotation",
    "configmap-auto-annotation",
    "secret-auto-annotation",
    "auto-search-annotation",
    "search-match-annotation",
    "pause-deployment-annotation",
    "pause-deployment-time-annotation",
    "log-format",
    "log-level",
    "webhook-url",
    "reload-strategy",
    "pprof-addr",
];

fn accepts(arguments: &[&str]) {
    if let Err(error) = parse(arguments) {
        panic!("{arguments:?}: {error}");
    }
}

#[test]
fn every_flag_takes_what_pflag_takes() {
    for name in SWITCHES {
        let flag = format!("--{name}");
        accepts(&[&flag, &format!("{flag}=false"), &format!("{flag}=T")]);
        assert!(parse(&[&format!("{flag}=on")]).is_err(), "{flag}");
    }
    for name in WORDS {
        let flag = format!("--{name}");
        accepts(&[&format!("{flag}=true"), &flag, "false", &format!("{flag}=True")]);
        assert!(parse(&[&flag]).is_err(), "{flag}");
        assert!(parse(&[&format!("{flag}=on")]).is_err(), "{flag}");
    }
    for name in LISTS {
        let flag = format!("--{name}");
        accepts(&[
            &format!("{flag}=a,b"),
            &flag,
            "c",
            &flag,
            "",
            &format!("{flag}=\"a,b\",c"),
        ]);
        assert!(parse(&[&flag]).is_err(), "{flag}");
        assert!(parse(&[&format!("{flag}=a\"")]).is_err(), "{flag}");
    }
    for name in TEXTS {
        let flag = format!("--{name}");
        accepts(&[
            &format!("{flag}=one"),
            &flag,
            "two",
            &flag,
            "--three",
            &format!("{flag}="),
        ]);
        assert!(parse(&[&flag]).is_err(), "{flag}");
    }
}

/// The last one wins; upstream's flag of strange case has an alias.
#[rstest]
#[case(&[], false)]
#[case(&["--is-Argo-Rollouts=true"], true)]
#[case(&["--is-Argo-Rollouts", "true"], true)]
#[case(&["--is-argo-rollouts=true"], true)]
#[case(&["--is-Argo-Rollouts=1"], true)]
#[case(&["--is-Argo-Rollouts=true", "--is-argo-rollouts=false"], false)]
fn argo_rollouts(#[case] arguments: &[&str], #[case] expected: bool) {
    assert_eq!(parse(arguments).unwrap().scope.is_argo_rollouts, expected);
}

#[test]
fn the_defaults_are_upstreams() {
    let Args {
        scope,
        reload,
        notification,
        observability,
        ..
    } = parse(&[]).unwrap();
    let ScopeArgs {
        namespaces,
        namespaces_to_ignore,
        namespace_selector,
        resource_label_selector,
        resources_to_ignore,
        ignored_workload_types,
        is_argo_rollouts,
        enable_csi_integration,
    } = scope;
    for list in [
        namespaces,
        namespaces_to_ignore,
        namespace_selector,
        resource_label_selector,
        resources_to_ignore,
        ignored_workload_types,
    ] {
        assert_eq!(list, []);
    }
    assert!(!is_argo_rollouts && !enable_csi_integration);
    assert!(!reload.reload_on_create && !reload.reload_on_delete && !reload.sync_after_restart);
    assert_eq!(notification.webhook_url, "");
    assert_eq!(
        reload.pause_deployment_annotation,
        "deployment.reloader.stakater.com/pause-period"
    );
    assert_eq!(
        reload.pause_deployment_time_annotation,
        "deployment.reloader.stakater.com/paused-at"
    );
    assert_eq!(
        (observability.enable_pprof, observability.pprof_addr.as_str()),
        (false, ":6060")
    );
}

/// An empty `ALERT_ADDITIONAL_INFO` is not the same as none.
#[test]
fn the_variables_of_alerts() {
    let environment = Environment::from_lookup(|name| match name {
        "ALERT_ADDITIONAL_INFO" | "ALERT_SINK" => Some(String::new()),
        "ALERT_ON_RELOAD" => Some("true".to_owned()),
        _ => None,
    });
    assert_eq!(environment.alert_on_reload.as_deref(), Some("true"));
    assert_eq!(environment.alert_additional_info.as_deref(), Some(""));
    assert_eq!(
        (environment.alert_sink, environment.alert_webhook_url),
        (None, None)
    );
}
