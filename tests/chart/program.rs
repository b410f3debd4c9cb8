//! What the chart says to the program, said to the program.

use std::collections::BTreeMap;

use clap::CommandFactory;
use reloader::{
    args::{Args, Environment},
    config::{Config, Scope},
};
use serde_json::Value;
use testbed::binaries::Component;

use crate::helm::{in_repository, objects, only, profiles, read, render};

/// The arguments of a Deployment's first container.
pub fn arguments(deployment: &Value) -> Vec<String> {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert!(
        container["command"].is_null(),
        "the image's entry point is to run"
    );
    let items = container["args"].as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Its variables, as the kubelet would set them.
pub fn variables(deployment: &Value) -> BTreeMap<String, String> {
    deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap().to_owned();
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            let value = match field {
                Some("metadata.namespace") => deployment["metadata"]["namespace"].as_str().unwrap(),
                Some("metadata.name") => "reloader-0",
                Some(other) => other,
                // Of Secrets, anything that has the form of a URL.
                None => variable["value"].as_str().unwrap_or("https://secret.example"),
            };
            (name, value.to_owned())
        })
        .collect()
}

/// The settings that a Deployment's first container starts with.
pub fn settings(deployment: &Value, profile: &str) -> Config {
    let variables = variables(deployment);
    // A variable stands for its flag; the process of this test has none of them.
    let command = Args::command();
    let by_variable = command.get_arguments().filter_map(|flag| {
        let value = variables.get(flag.get_env()?.to_str()?)?;
        Some(format!("--{}={value}", flag.get_long()?))
    });
    let line = std::iter::once("reloader".to_owned())
        .chain(by_variable)
        .chain(arguments(deployment));
    let args = Args::from_command_line(line).unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert!(args.ignored.is_empty(), "{profile}: {:?}", args.ignored);
    let environment = Environment::from_lookup(|name| variables.get(name).cloned());
    let config = Config::from_args(args, environment).unwrap_or_else(|error| panic!("{profile}: {error}"));
    assert_eq!(config.errors, Vec::<String>::new(), "{profile}");
    config
}

fn settings_of(profile: &str) -> Config {
    let path = in_repository(&format!("charts/reloader/ci/{profile}-values.yaml"));
    let objects = render(Component::Helm, &["--values", path.to_str().unwrap()]);
    settings(only(&objects, "Deployment"), profile)
}

#[test]
fn every_profile_starts_the_program() {
    for profile in profiles() {
        let objects = render(Component::Helm, &["--values", &profile]);
        let config = settings(only(&objects, "Deployment"), &profile);
        assert!(config.ledger.is_some() && config.meta_info.is_some(), "{profile}");
    }
}

#[test]
fn the_plain_manifest_starts_the_program() {
    let objects = objects(&read("deployments/kubernetes/reloader.yaml"));
    assert!(
        settings(only(&objects, "Deployment"), "reloader.yaml")
            .lease
            .is_some()
    );
}

#[test]
fn modes_arrive() {
    let namespaces = |names: &[&str]| Scope::Namespaces(names.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(settings_of("default").scope, Scope::All);
    assert_eq!(settings_of("single-namespace").scope, namespaces(&["tools"]));
    assert_eq!(
        settings_of("namespace-list").scope,
        namespaces(&["payments", "shop", "tools"])
    );
    assert!(settings_of("single-replica").lease.is_some());
    assert!(settings_of("no-leader-election").lease.is_none());
    assert!(settings_of("webhook").webhook.is_some());
    assert!(settings_of("csi").integrations.csi);
    assert!(settings_of("upstream-everything").alerts.is_some());
    let limits = settings_of("limits");
    assert_eq!((limits.workers, limits.namespace_rate), (8, None));
    assert_eq!(
        limits.lease.map(|lease| lease.name),
        Some("other-lease".to_owned())
    );
}

/// What is accepted without effect, what `reloader.deployment.env` sets by the variables that upstream's version 1 has, and
/// what the chart's own Role and probes would contradict.
const WITHOUT_VALUE: [&str; 10] = [
    "enable-pprof",
    "pprof-addr",
    "alert-on-reload",
    "alert-webhook-url",
    "alert-sink",
    "alert-proxy",
    "alert-additional-info",
    "alert-structured",
    "leader-election-namespace",
    "health-addr",
];

/// A flag that the chart does not know needs `extraArgs`, which is easy to miss.
#[test]
fn every_flag_has_a_value_in_the_chart() {
    let template =
        read("charts/reloader/templates/_args.tpl") + &read("charts/reloader/files/annotations.yaml");
    let command = Args::command();
    let flags = command
        .get_arguments()
        .filter(|flag| !flag.is_hide_set() && flag.get_env().is_some())
        .filter_map(clap::Arg::get_long)
        .filter(|flag| !WITHOUT_VALUE.contains(flag));
    let missing: Vec<&str> = flags
        .filter(|flag| {
            let forms = [
                format!("\"{flag}\""),
                format!("--{flag}="),
                format!("flag: {flag},"),
            ];
            !forms.iter().any(|form| template.contains(form))
        })
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "flags without a value in the chart");
}
