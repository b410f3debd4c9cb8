mod deferrals;
mod plan;

use std::sync::Arc;

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    decide::{Options, Strategy},
    model::{Content, Digest, SourceKind, SourceRef, Workload, WorkloadKind},
    watch::workload::{Decoded, Reading, WorkloadObject},
};

const AUTO: &str = "reloader.stakater.com/auto";
const RELOAD: &str = "configmap.reloader.stakater.com/reload";
const EXCLUDE: &str = "configmaps.exclude.reloader.stakater.com/reload";
const SEARCH: &str = "reloader.stakater.com/search";

/// A Deployment whose pods use the ConfigMap `app` by a volume and the Secret `db` by a variable.
fn object(annotations: &Value, template_annotations: &Value) -> Value {
    json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u1", "annotations": annotations },
        "spec": { "template": {
            "metadata": { "annotations": template_annotations },
            "spec": {
                "containers": [{
                    "name": "main",
                    "env": [
                        { "name": "DB_PASSWORD", "valueFrom": { "secretKeyRef": { "name": "db", "key": "p" } } },
                        { "name": "STAKATER_DB_SECRET", "value": digest(1).to_string() },
                        { "name": "STAKATER_APP_CONFIGMAP", "value": "no digest at all" },
                    ],
                    "volumeMounts": [{ "name": "config", "mountPath": "/c" }],
                }],
                "initContainers": [{ "name": "x", "envFrom": [{ "configMapRef": { "name": "app" } }] }],
                "volumes": [{ "name": "config", "configMap": { "name": "app" } }],
            },
        } },
    })
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 20])
}

fn read(kind: WorkloadKind, object: &Value) -> Workload {
    let object: WorkloadObject = serde_json::from_value(object.clone()).unwrap();
    let reading = Reading {
        auto_reload_all: true,
        ..Reading::default()
    };
    reading.read(object.into_object(kind), kind).unwrap()
}

fn present(source: SourceRef, content: Digest) -> SourceFacts {
    SourceFacts {
        exists: Some(true),
        ignored: Some(false),
        matched: Some(false),
        content: Some(Content::Present(content)),
        owes: Owes::Nothing,
        ..SourceFacts::unknown(source)
    }
}

fn config_map(name: &str) -> SourceRef {
    SourceRef::new(SourceKind::ConfigMap, name)
}

fn secret(name: &str) -> SourceRef {
    SourceRef::new(SourceKind::Secret, name)
}

fn flags(auto_reload_all: bool) -> Flags {
    Flags {
        options: Options {
            auto_reload_all,
            ..Options::default()
        },
        ..Flags::default()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn answer(object: &Value, sources: Vec<SourceFacts>, flags: &Flags, scope: &Scope) -> Explanation {
    let workload = read(WorkloadKind::Deployment, object);
    explain(Asked {
        workload: &workload,
        uses: &uses_of_pod_spec(&object["spec"]["template"]["spec"]),
        sources,
        flags,
        scope,
        findings: Vec::new(),
        notes: Vec::new(),
        replica: None,
        now: at("2026-01-01T00:00:00Z"),
    })
}

fn of(explanation: &Explanation, name: &str) -> SourceAnswer {
    let mut sources = explanation.sources.iter();
    sources.find(|answer| answer.source.name == name).unwrap().clone()
}

#[rstest]
#[case::auto(json!({ AUTO: "true" }), json!({}), Verdict::Restarts, Rule::Auto, Some((AUTO, AskedBy::Workload)))]
#[case::auto_of_the_kind(
    json!({ AUTO: "false", "configmap.reloader.stakater.com/auto": "true" }), json!({}), Verdict::Restarts, Rule::Auto,
    Some(("configmap.reloader.stakater.com/auto", AskedBy::Workload))
)]
#[case::in_the_template(json!({}), json!({ AUTO: "true" }), Verdict::Restarts, Rule::Auto, Some((AUTO, AskedBy::Template)))]
#[case::listed(json!({ RELOAD: "app" }), json!({}), Verdict::Restarts, Rule::Listed, Some((RELOAD, AskedBy::Workload)))]
#[case::pattern(json!({}), json!({ RELOAD: "a.*" }), Verdict::Restarts, Rule::Listed, Some((RELOAD, AskedBy::Template)))]
#[case::excluded(
    json!({ AUTO: "true", EXCLUDE: "app" }), json!({}), Verdict::Refused, Rule::Excluded, Some((EXCLUDE, AskedBy::Workload))
)]
#[case::off(json!({ AUTO: "yes" }), json!({}), Verdict::Refused, Rule::Off, Some((AUTO, AskedBy::Workload)))]
#[case::unmatched(json!({ SEARCH: "true" }), json!({}), Verdict::Refused, Rule::Unmatched, Some((SEARCH, AskedBy::Workload)))]
#[case::nothing(json!({}), json!({}), Verdict::Refused, Rule::NotOptedIn, None)]
fn the_rule_and_its_annotation(
    #[case] annotations: Value,
    #[case] template: Value,
    #[case] verdict: Verdict,
    #[case] rule: Rule,
    #[case] asked: Option<(&str, AskedBy)>,
) {
    let sources = vec![present(config_map("app"), digest(1))];
    let explanation = answer(
        &object(&annotations, &template),
        sources,
        &flags(false),
        &Scope::default(),
    );
    let app = of(&explanation, "app");
    assert_eq!((app.verdict, app.rule), (verdict, rule), "{app:?}");
    let asked = asked.map(|(key, by)| AskedFor {
        key: key.to_owned(),
        by,
    });
    assert_eq!(app.asked_for_by, asked);
    assert!(
        app.next.starts_with("Nothing") == (verdict == Verdict::Refused),
        "{}",
        app.next
    );
}

#[test]
fn a_flag_asks_as_well() {
    let sources = vec![present(config_map("app"), digest(1))];
    let explanation = answer(
        &object(&json!({}), &json!({})),
        sources,
        &flags(true),
        &Scope::default(),
    );
    let app = of(&explanation, "app");
    assert_eq!((app.verdict, app.rule), (Verdict::Restarts, Rule::AutoReloadAll));
    assert_eq!(app.asked_for_by.unwrap().by, AskedBy::Flag);
    assert!(explanation.opted_in);
}

#[test]
fn what_pods_do_not_use_restarts_only_if_it_is_listed() {
    let annotations = json!({ AUTO: "true", RELOAD: "listed" });
    let sources = vec![
        present(config_map("listed"), digest(1)),
        present(config_map("other"), digest(1)),
    ];
    let explanation = answer(
        &object(&annotations, &json!({})),
        sources,
        &flags(false),
        &Scope::default(),
    );
    assert_eq!(of(&explanation, "listed").rule, Rule::Listed);
    let other = of(&explanation, "other");
    assert_eq!((other.verdict, other.rule), (Verdict::Refused, Rule::NotUsed));
    assert!(other.next.contains(RELOAD), "{}", other.next);
}

#[test]
fn what_is_unknown_of_a_source_may_leave_the_verdict_open() {
    let auto = object(&json!({ AUTO: "true" }), &json!({}));
    let app = of(
        &answer(&auto, Vec::new(), &flags(false), &Scope::default()),
        "app",
    );
    assert_eq!((app.verdict, app.rule), (Verdict::Unknown, Rule::Auto));
    assert_eq!((app.exists, app.now, app.owes), (None, None, Owes::Unknown));
    let nothing = object(&json!({}), &json!({}));
    let app = of(
        &answer(&nothing, Vec::new(), &flags(false), &Scope::default()),
        "app",
    );
    assert_eq!(app.verdict, Verdict::Refused, "whatever the source carries");
}

#[test]
fn what_is_not_watched_restarts_nothing() {
    let auto = object(&json!({ AUTO: "true" }), &json!({}));
    let scope = Scope {
        kinds: Some(vec![SourceKind::ConfigMap]),
        ..Scope::default()
    };
    let sources = || {
        vec![
            present(config_map("app"), digest(1)),
            present(secret("db"), digest(1)),
        ]
    };
    let explanation = answer(&auto, sources(), &flags(false), &scope);
    assert_eq!(of(&explanation, "app").verdict, Verdict::Restarts);
    assert_eq!(of(&explanation, "db").rule, Rule::KindNotWatched);
    let scope = Scope {
        selected: Some(false),
        ..Scope::default()
    };
    let explanation = answer(&auto, sources(), &flags(false), &scope);
    assert_eq!(of(&explanation, "app").rule, Rule::NamespaceNotSelected);
}

#[test]
fn uses_are_exact_where_the_whole_object_is_known() {
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let explanation = answer(&object, Vec::new(), &flags(false), &Scope::default());
    assert_eq!(
        of(&explanation, "db").used_by,
        ["env DB_PASSWORD in container main"]
    );
    assert_eq!(
        of(&explanation, "app").used_by,
        ["volume config in container main", "envFrom in init container x"]
    );
    let reduced = uses_of(&read(WorkloadKind::Deployment, &object).template);
    assert_eq!(reduced[&secret("db")], ["env or envFrom in container main"]);
    assert_eq!(
        reduced[&config_map("app")],
        [
            "volume config in container main",
            "env or envFrom in init container x"
        ]
    );
}

#[test]
fn a_digest_of_a_secret_is_shown_only_where_a_marker_shows_it() {
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let db = |content| {
        let sources = vec![present(secret("db"), content)];
        of(&answer(&object, sources, &flags(false), &Scope::default()), "db")
    };
    assert_eq!(db(digest(1)).now, Some(Held::Digest(digest(1).to_string())));
    assert_eq!(db(digest(1)).in_template[0].is_current, Some(true));
    assert_eq!(db(digest(2)).now, Some(Held::Withheld));
    assert_eq!(db(digest(2)).in_template[0].is_current, Some(false));
    let sources = vec![present(config_map("app"), digest(2))];
    let app = of(&answer(&object, sources, &flags(false), &Scope::default()), "app");
    assert_eq!(app.now, Some(Held::Digest(digest(2).to_string())));
    assert_eq!(app.in_template[0].digest, None, "a text that is no digest");
}

#[test]
fn what_is_owed_says_what_happens_next() {
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let next = |owed| {
        let facts = SourceFacts {
            owes: Owes::Restart(owed),
            ..present(config_map("app"), digest(1))
        };
        of(
            &answer(&object, vec![facts], &flags(false), &Scope::default()),
            "app",
        )
        .next
    };
    let failing = next(Owed {
        since: Some(at("2025-12-31T23:59:00Z")),
        attempts: Some(3),
        last_error: Some("exceeded quota".to_owned()),
        next_try: Some(at("2026-01-01T00:00:09.25Z")),
        deferred: None,
    });
    assert!(
        failing.contains("2026-01-01T00:00:09Z") && failing.contains("exceeded quota"),
        "{failing}"
    );
    let waiting = next(Owed {
        attempts: Some(0),
        ..Owed::default()
    });
    assert_eq!(waiting, "The restart is written at once");
    let standby = next(Owed::default());
    assert!(standby.contains("does not lead"), "{standby}");
}

#[test]
fn a_missing_source_says_what_its_creation_does() {
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let next = |reload_on_create| {
        let flags = Flags {
            reload_on_create,
            ..flags(false)
        };
        let sources = vec![SourceFacts::missing(config_map("app"))];
        of(&answer(&object, sources, &flags, &Scope::default()), "app").next
    };
    assert!(next(false).contains("--reload-on-create"), "{}", next(false));
    assert_eq!(next(true), "Its creation restarts it");
}

#[test]
fn a_simulation_names_those_that_restart_and_those_that_do_not() {
    let auto = read(
        WorkloadKind::Deployment,
        &object(&json!({ AUTO: "true" }), &json!({})),
    );
    let none = read(WorkloadKind::StatefulSet, &object(&json!({}), &json!({})));
    let facts = present(config_map("app"), digest(1));
    let simulation = simulate(
        "shop",
        &facts,
        [&none, &auto],
        &flags(false),
        &Scope::default(),
        at("2026-01-01T00:00:00Z"),
    );
    assert_eq!(simulation.restarts.len(), 1);
    assert_eq!(simulation.restarts[0].workload.to_string(), "Deployment shop/web");
    assert_eq!(simulation.restarts[0].container.as_deref(), Some("main"));
    assert_eq!(
        (simulation.left.len(), simulation.left[0].rule),
        (1, Rule::NotOptedIn)
    );
}

#[rstest]
#[case(Strategy::EnvVars, "variable")]
#[case(Strategy::Annotations, "annotation")]
fn the_marker_does_not_change_the_verdict(#[case] strategy: Strategy, #[case] word: &str) {
    let marker = format!(r#"{{"type":"CONFIGMAP","name":"app","hash":"{}"}}"#, digest(1));
    let template = json!({ "reloader.stakater.com/last-reloaded-from": marker });
    let flags = Flags {
        options: Options {
            strategy,
            ..Options::default()
        },
        ..Flags::default()
    };
    let sources = vec![
        present(config_map("app"), digest(1)),
        present(secret("db"), digest(1)),
    ];
    let object = object(&json!({ AUTO: "true" }), &template);
    let explanation = answer(&object, sources, &flags, &Scope::default());
    assert_eq!(of(&explanation, "app").verdict, Verdict::Restarts);
    assert_eq!(of(&explanation, "db").verdict, Verdict::Restarts);
    assert!(explanation.restart.contains(word), "{}", explanation.restart);
    assert_eq!(of(&explanation, "app").in_template.len(), 2);
}

#[test]
fn an_answer_is_bounded_and_says_how_much_is_missing() {
    let names: Vec<String> = (0..600).map(|number| format!("n{number:04}")).collect();
    let object = object(&json!({ RELOAD: names.join(",") }), &json!({}));
    let explanation = answer(&object, Vec::new(), &flags(false), &Scope::default());
    assert_eq!(explanation.sources.len(), 500);
    assert_eq!(explanation.sources_left_off, 102);
}

#[test]
fn json_is_read_back() {
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let facts = SourceFacts {
        settled: Some(Content::Absent),
        owes: Owes::Restart(Owed {
            since: Some(at("2025-12-31T23:59:00Z")),
            ..Owed::default()
        }),
        ..present(config_map("app"), digest(1))
    };
    let mut explanation = answer(&object, vec![facts], &flags(false), &Scope::default());
    explanation.replica = Some(Replica {
        name: "pod-1".to_owned(),
        leads: true,
        version: "0.1.0".to_owned(),
    });
    let text = serde_json::to_string(&explanation).unwrap();
    assert!(
        text.contains(r#""kind":"ConfigMap","name":"app","exists":true"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), explanation);
}

#[rstest]
#[case("deploy", Some(WorkloadKind::Deployment))]
#[case("Deployments.apps", Some(WorkloadKind::Deployment))]
#[case("sts", Some(WorkloadKind::StatefulSet))]
#[case("jobs", Some(WorkloadKind::Job))]
#[case("deployments.example.com", None)]
#[case("pods", None)]
fn kinds_are_read_as_kubectl_reads_them(#[case] text: &str, #[case] expected: Option<WorkloadKind>) {
    assert_eq!(workload_kind(text, &WorkloadKind::BUILT_IN), expected);
}

#[test]
fn kinds_of_sources_are_read_too() {
    assert_eq!(source_kind("CM"), Some(SourceKind::ConfigMap));
    assert_eq!(source_kind("secrets"), Some(SourceKind::Secret));
    assert_eq!(source_kind("pod"), None);
    let keys = Arc::clone(&Flags::default().keys);
    assert_eq!(keys.auto, AUTO);
}

/// Every place of the value, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| places(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(number, value)| places(value, &format!("{at}/{number}"), found)),
        _ => {}
    }
}

#[test]
fn a_malformed_pod_spec_hides_nothing_else() {
    let spec = object(&json!({}), &json!({}))["spec"]["template"]["spec"].clone();
    let mut found = Vec::new();
    places(&spec, "", &mut found);
    let all = uses_of_pod_spec(&spec);
    for place in found {
        for other in [
            json!(null),
            json!(true),
            json!(7),
            json!("text"),
            json!([1]),
            json!({ "a": 1 }),
        ] {
            let mut spec = spec.clone();
            *spec.pointer_mut(&place).unwrap() = other;
            let uses = uses_of_pod_spec(&spec);
            // Another name is another source.
            let is_known = |source: &&SourceRef| all.contains_key(*source);
            assert!(uses.keys().filter(is_known).count() + 2 >= all.len(), "{place}");
        }
    }
}
