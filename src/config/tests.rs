use clap::Parser as _;
use rstest::rstest;

use super::*;

mod notify;
mod upstream;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::from_lookup(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

pub(super) fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args = Args::try_parse_from([&["reloader"], arguments].concat()).unwrap();
    Config::from_args(args, environment(variables))
}

fn scoped(namespaces: &[&str]) -> Scope {
    Scope::Namespaces(namespaces.iter().map(|&namespace| namespace.to_owned()).collect())
}

#[rstest]
#[case::flag_wins(&["--namespaces=a,b"], &[("KUBERNETES_NAMESPACE", "c")], scoped(&["a", "b"]))]
#[case::variable(&[], &[("KUBERNETES_NAMESPACE", "c")], scoped(&["c"]))]
#[case::empty_flag(&["--namespaces="], &[("KUBERNETES_NAMESPACE", "c")], scoped(&["c"]))]
#[case::nothing(&[], &[], Scope::All)]
#[case::empty_variable(&[], &[("KUBERNETES_NAMESPACE", "")], Scope::All)]
#[case::empty_element(&["--namespaces=a,,b"], &[], Scope::All)]
#[case::repetition(&["--namespaces=b,a", "--namespaces=b"], &[], scoped(&["b", "a"]))]
fn scope(#[case] arguments: &[&str], #[case] variables: &[(&str, &str)], #[case] expected: Scope) {
    assert_eq!(config(arguments, variables).unwrap().scope, expected);
}

#[rstest]
#[case("--namespaces=a, b", " b")]
#[case("--namespaces=A", "A")]
#[case("--namespaces=-a", "-a")]
#[case("--namespaces=a.b", "a.b")]
fn a_namespace_that_cannot_exist_is_an_error(#[case] argument: &str, #[case] namespace: &str) {
    let error = config(&[argument], &[]).unwrap_err();
    assert_eq!(error, ConfigError::Namespace(namespace.to_owned()));
}

#[test]
fn everything_has_its_place() {
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
        "--reload-strategy=annotations",
        "--coalesce-window=2s",
        "--enable-ha",
        "--lease-name=lock",
        "--lease-duration=30s",
        "--renew-deadline=20s",
        "--retry-period=4s",
        "--workers=8",
        "--namespace-rate=5",
        "--total-rate=50",
        "--list-page-size=100",
        "--watch-timeout=1m",
        "--log-format=json",
        "--log-level=DEBUG",
        "--listen-address=127.0.0.1:0",
    ];
    let variables = [
        ("POD_NAME", "reloader-0"),
        ("POD_NAMESPACE", "system"),
        ("METRICS_COUNT_BY_NAMESPACE", "enabled"),
    ];
    let expected = Config {
        scope: Scope::All,
        annotations: AnnotationKeys {
            auto: "1/auto".to_owned(),
            configmap: KindKeys {
                auto: "2/configmap-auto".to_owned(),
                reload: "4/configmap".to_owned(),
                ..AnnotationKeys::default().configmap
            },
            secret: KindKeys {
                auto: "3/secret-auto".to_owned(),
                reload: "5/secret".to_owned(),
                ..AnnotationKeys::default().secret
            },
            search: "6/search".to_owned(),
            match_: "7/match".to_owned(),
            ignore: "8/ignore".to_owned(),
            ..AnnotationKeys::default()
        },
        auto_reload_all: true,
        strategy: Strategy::Annotations,
        change_cause: false,
        coalesce_window: Duration::from_secs(2),
        lease: Some(lease::Settings {
            name: "lock".to_owned(),
            namespace: "system".to_owned(),
            identity: "reloader-0".to_owned(),
            timings: Timings::new(
                Duration::from_secs(30),
                Duration::from_secs(20),
                Duration::from_secs(4),
            )
            .unwrap(),
        }),
        workers: 8,
        namespace_rate: NonZeroU32::new(5),
        total_rate: NonZeroU32::new(50),
        list_page_size: 100,
        watch_timeout: Duration::from_mins(1),
        listen_address: ListenAddress {
            host: Some("127.0.0.1".to_owned()),
            port: 0,
        },
        log: LogSettings {
            format: LogFormat::Json,
            level: Level::Debug,
        },
        traces: None,
        count_by_namespace: true,
        pod_name: Some("reloader-0".to_owned()),
        ledger: Some(LedgerSettings {
            namespace: "system".to_owned(),
            name: "reloader-ledger".to_owned(),
        }),
        warnings: Vec::new(),
        // Those are in `upstream`.
        ..config(&[], &[]).unwrap()
    };
    assert_eq!(config(&flags, &variables).unwrap(), expected);
}

#[test]
fn the_annotations_default_to_upstreams() {
    assert_eq!(config(&[], &[]).unwrap().annotations, AnnotationKeys::default());
}

#[test]
fn a_rate_of_zero_means_no_limit() {
    let config = config(&["--namespace-rate=0", "--total-rate=0"], &[]).unwrap();
    assert_eq!((config.namespace_rate, config.total_rate), (None, None));
}

/// Upstream compares the text of these flags with `true`: `True` and `1` leave them off.
#[rstest]
#[case::as_upstream("true", true)]
#[case::capital("True", true)]
#[case::shouted("TRUE", true)]
#[case::letter("t", true)]
#[case::one("1", true)]
#[case::off("False", false)]
#[case::zero("0", false)]
fn every_go_boolean_switches_creations_and_deletions(#[case] value: &str, #[case] on: bool) {
    let flags = [
        format!("--reload-on-create={value}"),
        format!("--reload-on-delete={value}"),
        format!("--sync-after-restart={value}"),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let expected = ReloadOn {
        create: on,
        delete: on,
        sync_after_restart: on,
    };
    assert_eq!(config(&flags, &[]).unwrap().reload_on, expected);
}

#[rstest]
#[case::strategy(
    &["--reload-strategy=default"], &[],
    "reload-strategy must be one of: env-vars, annotations (got \"default\")")]
#[case::window(&["--coalesce-window=61s"], &[], "--coalesce-window 61s is too long; allowed are 0 to 1m")]
#[case::no_pod_name(
    &["--enable-ha"], &[("POD_NAMESPACE", "system")],
    "POD_NAME not set, cannot run in HA mode without POD_NAME set")]
#[case::neither(
    &["--enable-ha"], &[],
    "POD_NAME not set, cannot run in HA mode without POD_NAME set")]
#[case::no_pod_namespace(
    &["--enable-ha"], &[("POD_NAME", "reloader-0")],
    "POD_NAMESPACE not set, cannot run in HA mode without POD_NAMESPACE set")]
#[case::lease_too_short(
    &["--lease-duration=10s"], &[],
    "--renew-deadline (10s) must be shorter than --lease-duration (10s): the difference is what keeps two replicas \
     from writing at once")]
#[case::too_few_retries(
    &["--retry-period=9s"], &[],
    "--retry-period (9s) times 1.2 must be shorter than --renew-deadline (10s), or one failed renewal costs the lease")]
#[case::no_pause(
    &["--retry-period=500ms"], &[],
    "--retry-period is 500ms, it must be at least 1s")]
#[case::not_whole_seconds(
    &["--lease-duration=15500ms"], &[],
    "--lease-duration is 15.5s, it must be whole seconds below 2^31: the Lease object stores seconds")]
fn errors_are_one_line_that_says_what_to_change(
    #[case] arguments: &[&str],
    #[case] variables: &[(&str, &str)],
    #[case] expected: &str,
) {
    assert_eq!(config(arguments, variables).unwrap_err().to_string(), expected);
}

#[rstest]
#[case("trace", Level::Trace)]
#[case("Debug", Level::Debug)]
#[case("info", Level::Info)]
#[case("warn", Level::Warning)]
#[case("WARNING", Level::Warning)]
#[case("error", Level::Error)]
#[case("fatal", Level::Error)]
#[case("panic", Level::Error)]
fn log_levels(#[case] name: &str, #[case] expected: Level) {
    let config = config(&["--log-level", name], &[]).unwrap();
    assert_eq!((config.log.level, config.warnings.len()), (expected, 0));
}

/// Upstream goes on after either mistake, and a bad format keeps it from looking at the level.
#[rstest]
#[case(&["--log-level=loud"], "not a valid log level: \"loud\"")]
#[case(&["--log-format=JSON", "--log-level=debug"], "unsupported logging formatter: \"JSON\"")]
fn bad_log_settings_are_warnings(#[case] arguments: &[&str], #[case] warning: &str) {
    let config = config(arguments, &[]).unwrap();
    assert_eq!(
        config.log,
        LogSettings {
            format: LogFormat::Text,
            level: Level::Info
        }
    );
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with(warning), "{:?}", config.warnings);
}

const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
const FULL: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/spans");

fn export(endpoint: &str, protocol: TraceProtocol, service_name: &str) -> TraceExport {
    TraceExport {
        endpoint: endpoint.to_owned(),
        protocol,
        service_name: service_name.to_owned(),
        resource: Vec::new(),
    }
}

#[test]
fn spans_say_which_pod_they_are_of() {
    let variables = [
        FULL,
        ("POD_NAME", "reloader-0"),
        ("RELOADER_NAMESPACE", "tools"),
        ("RELOADER_DEPLOYMENT_NAME", "reloader"),
    ];
    let resource = config(&[], &variables).unwrap().traces.unwrap().resource;
    let shown: Vec<_> = resource
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let expected = [
        ("k8s.pod.name", "reloader-0"),
        ("k8s.namespace.name", "tools"),
        ("k8s.deployment.name", "reloader"),
    ];
    assert_eq!(shown, expected);
}

#[rstest]
#[case::off(&[], None)]
#[case::base(&[BASE], Some(export("http://collector:4318/v1/traces", TraceProtocol::HttpProtobuf, "reloader")))]
#[case::full_wins(&[BASE, FULL], Some(export("https://collector/spans", TraceProtocol::HttpProtobuf, "reloader")))]
#[case::disabled(&[BASE, ("OTEL_SDK_DISABLED", "TRUE")], None)]
#[case::not_disabled(&[FULL, ("OTEL_SDK_DISABLED", "1")],
    Some(export("https://collector/spans", TraceProtocol::HttpProtobuf, "reloader")))]
#[case::json(&[FULL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
    Some(export("https://collector/spans", TraceProtocol::HttpJson, "reloader")))]
#[case::own_protocol_wins(
    &[FULL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")],
    Some(export("https://collector/spans", TraceProtocol::HttpProtobuf, "reloader")))]
#[case::named(&[FULL, ("OTEL_SERVICE_NAME", "me"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=you")],
    Some(export("https://collector/spans", TraceProtocol::HttpProtobuf, "me")))]
#[case::named_by_attribute(&[FULL, ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name = you ,c=d")],
    Some(export("https://collector/spans", TraceProtocol::HttpProtobuf, "you")))]
fn traces(#[case] variables: &[(&str, &str)], #[case] expected: Option<TraceExport>) {
    assert_eq!(config(&[], variables).unwrap().traces, expected);
}

#[test]
fn an_unknown_trace_protocol_is_a_warning() {
    let config = config(&[], &[FULL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap();
    assert_eq!(config.traces.unwrap().protocol, TraceProtocol::HttpProtobuf);
    assert_eq!(
        config.warnings,
        [
            "OTEL_EXPORTER_OTLP_PROTOCOL \"grpc\" is not supported (http/protobuf and http/json are); using http/protobuf"
        ]
    );
}

#[rstest]
#[case(&[], &[
    (Level::Warning, "KUBERNETES_NAMESPACE is unset, will detect changes in all namespaces."),
    (Level::Info, "Skipping secretproviderclasspodstatuses controller: EnableCSIIntegration is disabled"),
])]
#[case(&["--namespaces=a,b", "--enable-csi-integration"], &[
    (Level::Info, "Watching scoped namespaces: a, b"),
])]
fn startup_lines_are_upstreams(#[case] arguments: &[&str], #[case] expected: &[(Level, &str)]) {
    let lines = startup_lines(&config(arguments, &[]).unwrap());
    let lines: Vec<_> = lines
        .iter()
        .map(|(level, text)| (*level, text.as_str()))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn warnings_are_among_the_startup_lines() {
    let config = config(&["--log-level=loud"], &[]).unwrap();
    let lines = startup_lines(&config);
    assert!(lines.contains(&(Level::Warning, config.warnings[0].clone())));
}
