use clap::CommandFactory as _;
use rstest::rstest;

use super::*;

mod upstream;

fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
    Args::from_command_line([&["reloader"], arguments].concat())
}

fn namespaces(args: &Args) -> Vec<&str> {
    args.scope
        .namespaces
        .iter()
        .flat_map(|CsvList(items)| items)
        .map(String::as_str)
        .collect()
}

#[test]
fn the_definition_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn nothing_said_means_upstreams_defaults() {
    let args = parse(&[]).unwrap();
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
        configmap_exclude_annotation,
        secret_exclude_annotation,
        secretproviderclass_auto_annotation,
        secretproviderclass_annotation,
        secretproviderclass_exclude_annotation,
    } = args.opt_in.clone();
    assert!(!auto_reload_all);
    assert_eq!(
        [
            auto_annotation,
            configmap_auto_annotation,
            secret_auto_annotation,
            configmap_annotation,
            secret_annotation,
            auto_search_annotation,
            search_match_annotation,
            ignore_annotation,
            configmap_exclude_annotation,
            secret_exclude_annotation,
            secretproviderclass_auto_annotation,
            secretproviderclass_annotation,
            secretproviderclass_exclude_annotation
        ],
        [
            "reloader.stakater.com/auto",
            "configmap.reloader.stakater.com/auto",
            "secret.reloader.stakater.com/auto",
            "configmap.reloader.stakater.com/reload",
            "secret.reloader.stakater.com/reload",
            "reloader.stakater.com/search",
            "reloader.stakater.com/match",
            "reloader.stakater.com/ignore",
            "configmaps.exclude.reloader.stakater.com/reload",
            "secrets.exclude.reloader.stakater.com/reload",
            "secretproviderclass.reloader.stakater.com/auto",
            "secretproviderclass.reloader.stakater.com/reload",
            "secretproviderclasses.exclude.reloader.stakater.com/reload"
        ]
    );
    assert_eq!(namespaces(&args), [""; 0]);
    assert_eq!(args.reload.reload_strategy, "env-vars");
    assert!(!args.high_availability.enable_ha);
    assert_eq!(
        (
            args.observability.log_format.as_str(),
            args.observability.log_level.as_str()
        ),
        ("", "info")
    );
    assert_eq!(args.observability.listen_address.to_string(), ":9090");
    assert_eq!(args.high_availability.lease_name, "stakater-reloader-lock");
    let seconds = Duration::from_secs;
    let HighAvailabilityArgs {
        lease_duration,
        renew_deadline,
        retry_period,
        ..
    } = args.high_availability;
    assert_eq!(
        (lease_duration, renew_deadline, retry_period),
        (seconds(15), seconds(10), seconds(2))
    );
}

/// pflag's switches: a value only after `=`; a boolean that follows is ignored.
#[rstest]
#[case(&["--auto-reload-all"], true)]
#[case(&["--auto-reload-all=true"], true)]
#[case(&["--auto-reload-all=T"], true)]
#[case(&["--auto-reload-all=0"], false)]
#[case(&["--auto-reload-all", "false"], true)]
#[case(&["--auto-reload-all", "--auto-reload-all=false"], false)]
#[case(&["--auto-reload-all=false", "--auto-reload-all"], true)]
#[case(&["false", "--auto-reload-all", "F"], true)]
#[case(&["--", "true"], false)]
fn switches(#[case] arguments: &[&str], #[case] expected: bool) {
    assert_eq!(parse(arguments).unwrap().opt_in.auto_reload_all, expected);
}

#[rstest]
#[case("--auto-reload-all=yes")]
#[case("--auto-reload-all=")]
#[case("--enable-ha=tRue")]
fn a_switch_takes_only_gos_booleans(#[case] argument: &str) {
    let error = parse(&[argument]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ValueValidation, "{error}");
}

/// pflag's strings: the last one wins, and the next argument is the value whatever it looks like.
#[rstest]
#[case(&["--log-format=json"], "json")]
#[case(&["--log-format", "json"], "json")]
#[case(&["--log-format=json", "--log-format=text"], "text")]
#[case(&["--log-format="], "")]
#[case(&["--log-format", "--enable-ha"], "--enable-ha")]
fn strings(#[case] arguments: &[&str], #[case] expected: &str) {
    let args = parse(arguments).unwrap();
    assert_eq!(args.observability.log_format, expected);
    assert!(!args.high_availability.enable_ha);
}

/// pflag's lists: one CSV record each; repeating the flag appends.
#[rstest]
#[case(&["--namespaces=a,b"], &["a", "b"])]
#[case(&["--namespaces", "a,b", "--namespaces=c"], &["a", "b", "c"])]
#[case(&["--namespaces="], &[])]
#[case(&["--namespaces=a,,b"], &["a", "", "b"])]
fn lists(#[case] arguments: &[&str], #[case] expected: &[&str]) {
    assert_eq!(namespaces(&parse(arguments).unwrap()), expected);
}

#[test]
fn a_stray_quote_in_a_list_is_an_error() {
    let error = parse(&["--namespaces=a\"b"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ValueValidation, "{error}");
}

#[rstest]
#[case("--coalesce-window=5", "missing unit")]
#[case("--coalesce-window=-1s", "must not be negative")]
#[case("--lease-duration=1d", "unknown unit")]
#[case("--workers=0", "1..=1000")]
#[case("--workers=1001", "1..=1000")]
#[case("--list-page-size=0", "1..=10000")]
#[case("--namespace-rate=-1", "-1 is not in")]
#[case("--listen-address=9090", "expected :port, host:port")]
#[case("--lease-name=", "a value is required")]
fn errors_say_what_would_be_right(#[case] argument: &str, #[case] expected: &str) {
    let error = parse(&[argument]).unwrap_err();
    let flag = argument.split('=').next().unwrap();
    let text = error.to_string();
    assert!(text.contains(expected) && text.contains(flag), "{text}");
}

#[test]
fn a_misspelt_flag_gets_a_suggestion() {
    let error = parse(&["--enable-hs"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);
    assert!(error.to_string().contains("--enable-ha"), "{error}");
}

#[test]
fn no_error_advises_to_hide_a_flag_behind_two_dashes() {
    let error = parse(&["--no-such-flag=x"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);
    let text = error.to_string();
    assert!(
        text.contains("'--no-such-flag'") && !text.contains("-- --no-such-flag"),
        "{text}"
    );
}

#[rstest]
#[case("-h", ErrorKind::DisplayHelp)]
#[case("--help", ErrorKind::DisplayHelp)]
#[case("--version", ErrorKind::DisplayVersion)]
#[case("-V", ErrorKind::UnknownArgument)]
fn long_form_only_apart_from_help(#[case] argument: &str, #[case] expected: ErrorKind) {
    assert_eq!(parse(&[argument]).unwrap_err().kind(), expected);
}

/// Every flag has a variable of its own name, a group in the help text and a sentence that explains it.
#[test]
fn every_flag_is_documented_and_has_its_variable() {
    for argument in Args::command()
        .get_arguments()
        .filter(|argument| !argument.is_positional())
    {
        let flag = argument.get_long().unwrap();
        assert!(argument.get_help().is_some(), "--{flag} is not explained");
        if !["help", "version"].contains(&flag) {
            let variable = format!("RELOADER_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(
                argument.get_env().and_then(|name| name.to_str()),
                Some(variable.as_str())
            );
            assert!(argument.get_help_heading().is_some(), "--{flag} is in no group");
        }
    }
}

/// Upstream's own variables must not be taken for flags.
#[test]
fn no_flag_has_the_variable_of_something_else() {
    let taken = ["RELOADER_NAMESPACE", "RELOADER_DEPLOYMENT_NAME"];
    let command = Args::command();
    let variables = command
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str());
    assert!(!variables.into_iter().any(|variable| taken.contains(&variable)));
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let environment = Environment::from_lookup(|name| match name {
        "POD_NAME" => Some(String::new()),
        "POD_NAMESPACE" => Some("reloader".to_owned()),
        _ => None,
    });
    assert_eq!(
        (environment.pod_name, environment.pod_namespace.as_deref()),
        (None, Some("reloader"))
    );
}
