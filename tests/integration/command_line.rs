//! What the binary says to a command line, and that it starts with those of others.

use std::net::TcpListener;

use rstest::rstest;
use serde_json::json;
use testbed::{Replica, eventually, free_port, http_get};

use crate::harness::{
    EVERYWHERE, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::AUTO,
    run,
    sources::SourceType,
};

/// Exit code and output of a run without a cluster.
fn ended(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    run(async {
        let mut builder = Replica::builder(env!("CARGO_BIN_EXE_reloader"))
            .args(args)
            // Would show a backtrace if there was one.
            .env("RUST_BACKTRACE", "1");
        for (name, value) in variables {
            builder = builder.env(name, value);
        }
        let replica = builder.start().expect("it starts");
        let status = replica.wait_exit(PATIENCE).await;
        let status = status.unwrap_or_else(|error| panic!("{args:?}: {error}\n{}", replica.log()));
        (status.code(), replica.log())
    })
}

/// Exactly one line says what is wrong, with every one of these texts: on the terminal, or in the log once there is one.
fn assert_one_clear_line(output: &str, texts: &[&str]) {
    let is_error = |line: &&str| line.starts_with("Error: ") || line.contains(" level=error ");
    let errors: Vec<&str> = output.lines().filter(is_error).collect();
    assert_eq!(errors.len(), 1, "{output}");
    for text in texts {
        assert!(errors[0].contains(text), "no {text:?} in:\n{output}");
    }
    for noise in ["panicked", "backtrace", "RUST_BACKTRACE", "src/"] {
        assert!(!output.contains(noise), "{output}");
    }
}

const NO_VARIABLES: &[(&str, &str)] = &[];

/// The exit status says whether the command line could be read.
#[rstest]
#[case::unknown_flag(2, &["--enable-hs"], &["unexpected argument '--enable-hs'"])]
#[case::switch(2, &["--auto-reload-all=yes"], &["--auto-reload-all", "'yes'", "expected true or false"])]
#[case::strategy(1, &["--reload-strategy=restart"], &["must be one of: env-vars, annotations", "\"restart\""])]
#[case::duration_without_unit(2, &["--coalesce-window=5"], &["--coalesce-window", "'5'", "missing unit"])]
#[case::negative_duration(2, &["--lease-duration=-1s"], &["--lease-duration", "must not be negative"])]
#[case::window_too_long(1, &["--coalesce-window=2m"], &["--coalesce-window", "allowed are 0 to 1m"])]
#[case::negative_rate(2, &["--namespace-rate=-1"], &["--namespace-rate", "'-1'"])]
#[case::rate_that_is_no_number(2, &["--total-rate=many"], &["--total-rate", "'many'"])]
#[case::no_workers(2, &["--workers=0"], &["--workers", "'0'"])]
#[case::namespace(1, &["--namespaces=Not A Name"], &["--namespaces", "\"Not A Name\""])]
#[case::open_inspection(2, &["--inspect-address=0.0.0.0:9092"], &["--inspect-address", "127.0.0.1:port"])]
#[case::address(2, &["--listen-address=9090"], &["--listen-address", "'9090'"])]
#[case::lease_below_deadline(
    1, &["--lease-duration=10s", "--renew-deadline=10s"], &["--renew-deadline", "--lease-duration", "10s"]
)]
#[case::deadline_below_retry(
    1, &["--renew-deadline=2s", "--retry-period=2s"], &["--renew-deadline", "--retry-period", "1.2"]
)]
#[case::retry_too_short(1, &["--retry-period=500ms"], &["--retry-period", "500ms", "at least 1s"])]
#[case::half_seconds(1, &["--lease-duration=15500ms"], &["--lease-duration", "15.5s", "whole seconds"])]
#[case::selector(1, &["--namespace-selector=a=b*"], &["--namespace-selector", "\"a=b*\"", "a label value has"])]
#[case::both_sources(1, &["--resources-to-ignore=secrets,configmaps"], &["only accepts 'configmaps' or 'secrets', not both"])]
#[case::workload_type(1, &["--ignored-workload-types=job"], &["--ignored-workload-types", "\"job\"", "jobs, cronjobs"])]
#[case::webhook(1, &["--webhook-url=sink"], &["--webhook-url", "not a URL", "http://host/path"])]
#[case::word(2, &["--reload-on-create=yes"], &["--reload-on-create", "'yes'", "expected true or false"])]
#[case::word_without_value(2, &["--is-Argo-Rollouts"], &["a value is required", "--is-Argo-Rollouts"])]
#[case::stray_quote(2, &["--namespaces-to-ignore=a\"b"], &["--namespaces-to-ignore", "bare \""])]
#[case::no_pod_name(1, &["--enable-ha"], &["POD_NAME not set"])]
fn a_bad_setting_is_named_in_one_line(#[case] status: i32, #[case] args: &[&str], #[case] texts: &[&str]) {
    let (exit, output) = ended(args, NO_VARIABLES);
    assert_eq!(exit, Some(status), "{output}");
    assert_one_clear_line(&output, texts);
}

/// Upstream starts a controller on the current context, without an election.
#[rstest]
#[case::a_command_that_is_none(&["migrate"], "migrate")]
#[case::behind_flags(&["--log-level=info", "status"], "status")]
#[case::a_command_behind_flags(&["--log-level=info", "version"], "version")]
#[case::behind_a_switch(&["--enable-ha", "yes"], "yes")]
#[case::several(&["true", "get", "pods"], "get")]
fn a_word_that_is_no_command_starts_nothing(#[case] args: &[&str], #[case] word: &str) {
    let (exit, output) = ended(args, NO_VARIABLES);
    assert_eq!(exit, Some(2), "{output}");
    assert_one_clear_line(&output, &[word, "neither a flag nor a command"]);
}

#[rstest]
#[case::version(&["version"], concat!("reloader ", env!("CARGO_PKG_VERSION")))]
#[case::help(&["help"], "--reload-strategy")]
#[case::help_of_a_command(&["help", "completion"], "The shell")]
#[case::bash(&["completion", "bash"], "complete -F _reloader")]
#[case::zsh(&["completion", "zsh"], "#compdef reloader")]
#[case::fish(&["completion", "fish"], "complete -c reloader")]
fn commands_print_and_end(#[case] args: &[&str], #[case] text: &str) {
    let (exit, output) = ended(args, NO_VARIABLES);
    assert_eq!(exit, Some(0), "{output}");
    assert!(output.contains(text), "{output}");
}

#[test]
fn a_misspelt_flag_gets_a_hint() {
    let (_, output) = ended(&["--enable-hs"], NO_VARIABLES);
    assert!(
        output.contains("a similar argument exists: '--enable-ha'"),
        "{output}"
    );
}

#[rstest]
#[case::strategy(1, "RELOADER_RELOAD_STRATEGY", "restart", "env-vars, annotations")]
#[case::duration(2, "RELOADER_COALESCE_WINDOW", "5", "missing unit")]
#[case::switch(1, "RELOADER_ENABLE_HA", "true", "POD_NAME not set")]
fn a_bad_variable_is_named_like_its_flag(
    #[case] status: i32,
    #[case] name: &str,
    #[case] value: &str,
    #[case] text: &str,
) {
    let (exit, output) = ended(&[], &[(name, value)]);
    assert_eq!(exit, Some(status), "{output}");
    assert_one_clear_line(&output, &[text]);
}

#[test]
fn high_availability_needs_the_pods_namespace_too() {
    let (exit, output) = ended(&["--enable-ha"], &[("POD_NAME", "reloader-0")]);
    assert_eq!(exit, Some(1), "{output}");
    assert_one_clear_line(&output, &["POD_NAMESPACE not set"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (exit, output) = ended(&[&format!("--listen-address={address}")], NO_VARIABLES);
    assert_eq!(exit, Some(1), "{output}");
    assert_one_clear_line(&output, &["cannot listen on", &address, "--listen-address"]);
}

/// What reads the log as JSON is given nothing else.
#[rstest]
#[case::a_setting(&["--enable-ha"], "POD_NAME not set")]
#[case::a_failure(&["--listen-address=127.0.0.1:0"], "no cluster to work on")]
fn the_last_line_is_json_where_the_log_is(#[case] args: &[&str], #[case] text: &str) {
    let args: Vec<&str> = args.iter().copied().chain(["--log-format=json"]).collect();
    let (exit, output) = ended(&args, NO_VARIABLES);
    assert_eq!(exit, Some(1), "{output}");
    let mut lines = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_default());
    let last: serde_json::Value = lines.next_back().unwrap();
    assert_eq!(last["level"], "error", "{output}");
    assert!(last["msg"].as_str().unwrap().contains(text), "{output}");
}

#[test]
fn a_missing_cluster_is_reported_with_a_remedy() {
    let address = "--listen-address=127.0.0.1:0";
    let (exit, output) = ended(&[address], NO_VARIABLES);
    assert_eq!(exit, Some(1), "{output}");
    assert_one_clear_line(
        &output,
        &["no cluster to work on", "KUBECONFIG", "ServiceAccount"],
    );

    let (exit, output) = ended(&[address], &[("KUBECONFIG", "/nowhere/kubeconfig")]);
    assert_eq!(exit, Some(1), "{output}");
    assert_one_clear_line(&output, &["no cluster to work on", "/nowhere/kubeconfig"]);
}

#[test]
fn help_and_version_need_no_cluster() {
    let (exit, output) = ended(&["--help"], NO_VARIABLES);
    assert_eq!(exit, Some(0), "{output}");
    for text in [
        "--reload-strategy",
        "RELOADER_RELOAD_STRATEGY",
        "--enable-ha",
        "Examples:",
    ] {
        assert!(output.contains(text), "no {text} in:\n{output}");
    }
    let (exit, output) = ended(&["--version"], NO_VARIABLES);
    assert_eq!(
        (exit, output.trim()),
        (Some(0), concat!("reloader ", env!("CARGO_PKG_VERSION")))
    );
}

/// The field of the pod template that the first rollout wrote.
fn first_marker(name: &str, variable: (&str, &str), arg: Option<&str>) -> &'static str {
    run(async {
        let world = World::new(name).await;
        world.create(&config_map("settings", "one")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let mut controller = world.controller().env(variable.0, variable.1);
        if let Some(arg) = arg {
            controller = controller.arg(arg);
        }
        let _running = controller.start().await;
        world.change_config_map("settings", "two").await;
        let writes = world.wait_for_rollouts("deployments", "web", 1).await;
        let template = &writes[0].request_object.as_ref().unwrap()["spec"]["template"];
        if template.get("metadata").is_some() {
            "annotation"
        } else {
            "variable"
        }
    })
}

#[test]
fn every_flag_has_a_variable_and_the_flag_wins() {
    let annotations = ("RELOADER_RELOAD_STRATEGY", "annotations");
    assert_eq!(first_marker("variable", annotations, None), "annotation");
    assert_eq!(
        first_marker("flag", annotations, Some("--reload-strategy=env-vars")),
        "variable"
    );
}

/// Every flag that `--help` of upstream's version 2 (at 7a94f29a) lists, but for `--webhook-url`, with which nothing is
/// restarted; those of 1.4.22 are among them. Alerts go nowhere.
#[test]
fn the_flags_of_upstreams_version_2_start_and_reload() {
    run(async {
        let world = World::alone("version-2").await;
        world.permit_everywhere().await;
        world.permit_namespaces().await;
        world.create(&config_map("app", "0")).await;
        let body = json!({ "metadata": { "labels": { "reload": "yes" } } });
        world.patch_source(SourceType::ConfigMap, "app", &body).await;
        world
            .create(&deployment(
                "app",
                &[("my/auto", "true")],
                &pod_with_config_map("app"),
            ))
            .await;
        let [metrics, health] = [free_port().unwrap(), free_port().unwrap()];
        let of_this_world = [
            format!(
                "--namespace-selector=kubernetes.io/metadata.name={}",
                world.namespace
            ),
            format!("--metrics-addr=127.0.0.1:{metrics}"),
            format!("--health-addr=127.0.0.1:{health}"),
        ];
        let flags = [
            EVERYWHERE,
            "--auto-reload-all=false",
            "--reload-strategy=env-vars",
            "--is-Argo-Rollouts=false",
            "--is-openshift=auto",
            "--enable-csi-integration=false",
            "--reload-on-create=false",
            "--reload-on-delete=false",
            "--sync-after-restart=false",
            "--enable-ha=true",
            "--leader-election-id=stakater-reloader-lock",
            "--leader-election-namespace=",
            "--leader-election-lease-duration=15s",
            "--leader-election-renew-deadline=10s",
            "--leader-election-retry-period=2s",
            "--leader-election-release-on-cancel=true",
            "--resources-to-ignore=secrets",
            "--ignored-workload-types=jobs,cronjobs",
            "--namespaces-to-ignore=kube-system,kube-public",
            "--resource-label-selector=reload=yes",
            "--log-format=json",
            "--log-level=info",
            "--enable-pprof=false",
            "--pprof-addr=:6060",
            "--auto-annotation=my/auto",
            "--configmap-auto-annotation=my/configmap-auto",
            "--secret-auto-annotation=my/secret-auto",
            "--configmap-annotation=my/configmap",
            "--secret-annotation=my/secret",
            "--configmap-exclude-annotation=my/configmap-exclude",
            "--secret-exclude-annotation=my/secret-exclude",
            "--secretproviderclass-auto-annotation=my/class-auto",
            "--secretproviderclass-annotation=my/class",
            "--secretproviderclass-exclude-annotation=my/class-exclude",
            "--auto-search-annotation=my/search",
            "--search-match-annotation=my/match",
            "--ignore-annotation=my/ignore",
            "--pause-deployment-annotation=my/pause",
            "--pause-deployment-time-annotation=my/paused-at",
            "--alert-on-reload=true",
            "--alert-webhook-url=http://127.0.0.1:9/token",
            "--alert-sink=raw",
            "--alert-proxy=",
            "--alert-additional-info=cluster",
            "--alert-structured=true",
        ];
        let controller = world.controller().args(flags).args(of_this_world).launch().await;
        controller.wait_log("became leader").await;
        for (port, path) in [
            (health, "/readyz"),
            (health, "/healthz"),
            (metrics, "/readyz"),
            (metrics, "/metrics"),
        ] {
            let what = format!("{path} on its port");
            eventually(PATIENCE, &what, async || {
                let (status, _) = http_get(port, path).await?;
                Ok::<_, std::io::Error>((status == 200).then_some(()))
            })
            .await
            .unwrap();
        }
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
    });
}
