use rstest::rstest;

use super::*;
use crate::model::{OptIn, WorkloadKind};

const AUTO: &str = "reloader.stakater.com/auto";
const SEARCH: &str = "reloader.stakater.com/search";
const CONFIGMAPS: &str = "configmap.reloader.stakater.com/reload";
const SECRETS: &str = "secret.reloader.stakater.com/reload";
const EXCLUDED: &str = "configmaps.exclude.reloader.stakater.com/reload";
const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A workload that uses the ConfigMap `settings` and the Secret `tls`.
struct Case {
    kind: WorkloadKind,
    own: Pairs,
    template: Pairs,
    references: Vec<SourceRef>,
}

impl Case {
    fn own(annotations: &[(&str, &str)]) -> Self {
        Self {
            kind: WorkloadKind::Deployment,
            own: pairs(annotations),
            template: Pairs::new(),
            references: vec![
                SourceRef::new(SourceKind::ConfigMap, "settings"),
                SourceRef::new(SourceKind::Secret, "tls"),
            ],
        }
    }

    fn template(self, annotations: &[(&str, &str)]) -> Self {
        Self {
            template: pairs(annotations),
            ..self
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let keys = AnnotationKeys::default();
        let own = |key: &str| self.own.get(key).map(String::as_str);
        let template = |key: &str| self.template.get(key).map(String::as_str);
        Checker::default().workload(&WorkloadText {
            kind: Some(self.kind),
            own: &self.own,
            template: &self.template,
            labels: &Pairs::new(),
            opt_in: &OptIn::parse(&keys, own, template),
            references: &self.references,
            has_template: true,
        })
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.findings()
            .iter()
            .map(|finding| finding.mistake.reason())
            .collect()
    }
}

#[rstest]
#[case::auto(&[(AUTO, "true")])]
#[case::off(&[(AUTO, "false")])]
#[case::go_boolean(&[(AUTO, "T")])]
#[case::typed_auto(&[("secret.reloader.stakater.com/auto", "true")])]
#[case::list(&[(CONFIGMAPS, "settings, other ,third")])]
#[case::pattern(&[(CONFIGMAPS, "feature-.*,app|db,a[0-9]+,x.y")])]
#[case::leading_star_matches_any_start(&[(CONFIGMAPS, "*-settings")])]
#[case::search(&[(SEARCH, "true")])]
#[case::period(&[(AUTO, "true"), (PERIOD, "5m")])]
#[case::exclusions(&[(AUTO, "true"), (EXCLUDED, "noisy,noisier")])]
#[case::written_by_reloader(&[(AUTO, "true"), ("deployment.reloader.stakater.com/paused-at", "2026-01-01T00:00:00Z")])]
#[case::other_products(&[
    ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
    ("forecastle.stakater.com/expose", "true"),
    ("xposer.stakater.com/annotations", "a"),
    ("wave.pusher.com/update-on-config-change", "true"),
    ("configmap.fabric8.io/update-on-change", "a"),
    ("example.com/reload", "true"),
    ("preload.example.com/auto", "true"),
])]
fn what_is_right_is_silent(#[case] annotations: &[(&str, &str)]) {
    assert_eq!(Case::own(annotations).findings(), []);
}

#[rstest]
#[case::boolean_in_a_list(
    CONFIGMAPS,
    "true",
    "boolean-list",
    Some("configmap.reloader.stakater.com/auto")
)]
#[case::empty(SECRETS, "", "empty-list", Some("secret.reloader.stakater.com/auto"))]
#[case::only_commas(SECRETS, " , ", "empty-list", Some("secret.reloader.stakater.com/auto"))]
#[case::configmap_by_name(
    "reloader.stakater.com/configmap",
    "settings",
    "unknown-key",
    Some(CONFIGMAPS)
)]
#[case::secret_by_name("reloader.stakater.com/secret", "other", "unknown-key", Some(SECRETS))]
#[case::configmap_on(
    "reloader.stakater.com/configmap",
    "true",
    "unknown-key",
    Some("configmap.reloader.stakater.com/auto")
)]
#[case::reload_of_nothing("reloader.stakater.com/reload", "other", "unknown-key", Some(CONFIGMAPS))]
#[case::reload_of_what_is_used("reloader.stakater.com/reload", "tls", "unknown-key", Some(SECRETS))]
#[case::reload_on("reloader.stakater.com/reload", "true", "unknown-key", Some(AUTO))]
#[case::plural("secrets.reloader.stakater.com/reload", "tls", "unknown-key", Some(SECRETS))]
#[case::plural_auto(
    "configmaps.reloader.stakater.com/auto",
    "true",
    "unknown-key",
    Some("configmap.reloader.stakater.com/auto")
)]
#[case::singular_exclude(
    "configmap.exclude.reloader.stakater.com/reload",
    "settings",
    "unknown-key",
    Some(EXCLUDED)
)]
#[case::exclude_after_the_slash(
    "configmap.reloader.stakater.com/exclude",
    "settings",
    "unknown-key",
    Some(EXCLUDED)
)]
#[case::period_elsewhere("reloader.stakater.com/pause-period", "5m", "unknown-key", Some(PERIOD))]
#[case::exclude_elsewhere(
    "exclude.reloader.stakater.com/configmaps",
    "settings",
    "unknown-key",
    Some(EXCLUDED)
)]
#[case::another_end("reloader.stakater.io/auto", "true", "unknown-key", Some(AUTO))]
#[case::misspelt_domain("reloader.stakter.com/auto", "true", "unknown-key", Some(AUTO))]
#[case::misspelt_name("reloader.stakater.com/serach", "true", "unknown-key", Some(SEARCH))]
#[case::misspelt_kind("secert.reloader.stakater.com/reload", "tls", "unknown-key", Some(SECRETS))]
#[case::invented("reloader.stakater.com/enabled", "true", "unknown-key", Some(AUTO))]
#[case::yes(AUTO, "yes", "not-boolean", Some("true"))]
#[case::on(AUTO, "on", "not-boolean", Some("true"))]
#[case::enabled(AUTO, "enabled", "not-boolean", Some("true"))]
#[case::blank_before(AUTO, " true", "not-boolean", Some("true"))]
#[case::misspelt_value(AUTO, "treu", "not-boolean", Some("true"))]
#[case::empty_auto(AUTO, "", "not-boolean", Some("true"))]
#[case::search_in_capitals(SEARCH, "True", "not-true", Some("true"))]
#[case::with_namespace(CONFIGMAPS, "team/settings", "bad-name", Some("settings"))]
#[case::by_newline(CONFIGMAPS, "settings\nother", "bad-name", Some("settings,other"))]
#[case::by_semicolon(CONFIGMAPS, "settings;other", "bad-name", Some("settings,other"))]
#[case::by_blank(CONFIGMAPS, "settings other", "bad-name", Some("settings,other"))]
#[case::quoted(CONFIGMAPS, "\"settings\"", "bad-name", Some("settings"))]
#[case::upper_case(CONFIGMAPS, "Settings", "bad-name", Some("settings"))]
#[case::underscore(CONFIGMAPS, "my_settings", "bad-name", Some("my-settings"))]
#[case::template(CONFIGMAPS, "{{ .Values.name }}", "bad-name", None)]
#[case::variable(CONFIGMAPS, "${NAME}", "bad-name", None)]
#[case::shell(CONFIGMAPS, "c*", "shell-pattern", Some("c.*"))]
#[case::shell_after_a_dash(CONFIGMAPS, "app-*-cm", "shell-pattern", Some("app-.*-cm"))]
#[case::shell_that_does_not_compile(CONFIGMAPS, "a**", "shell-pattern", Some("a.*.*"))]
#[case::no_expression(CONFIGMAPS, "a[", "bad-pattern", None)]
#[case::excludes_a_pattern(EXCLUDED, "noisy-.*", "excludes-pattern", None)]
#[case::excludes_no_name(EXCLUDED, "team/noisy", "bad-name", Some("noisy"))]
#[case::match_on_a_workload("reloader.stakater.com/match", "true", "wrong-object", None)]
#[case::ignore_on_a_workload("reloader.stakater.com/ignore", "true", "wrong-object", None)]
#[case::strategy_of_a_rollout("reloader.stakater.com/rollout-strategy", "restart", "wrong-object", None)]
#[case::no_period(PERIOD, "5 minutes", "bad-period", None)]
fn each_mistake_is_found(
    #[case] key: &str,
    #[case] value: &str,
    #[case] reason: &str,
    #[case] suggestion: Option<&str>,
) {
    let findings = Case::own(&[(key, value)]).findings();
    let shown: Vec<_> = findings
        .iter()
        .map(|finding| {
            (
                finding.mistake.reason(),
                finding.mistake.suggestion(),
                &*finding.key,
            )
        })
        .collect();
    assert_eq!(shown, [(reason, suggestion, key)], "{findings:#?}");
    for finding in &findings {
        assert!(Mistake::REASONS.contains(&finding.mistake.reason()));
        let text = finding.to_string();
        assert!(text.starts_with("annotation ") && !text.contains('\n'), "{text}");
    }
}

#[rstest]
#[case::on_the_template("reloader.stakater.com/ignore", "true")]
#[case::period_on_the_template(PERIOD, "5m")]
#[case::exclusion_on_the_template(EXCLUDED, "noisy")]
fn what_counts_on_the_workload_alone_is_found_on_its_template(#[case] key: &str, #[case] value: &str) {
    assert_eq!(
        Case::own(&[]).template(&[(key, value)]).reasons(),
        ["wrong-object"]
    );
}

#[test]
fn a_pause_period_belongs_on_a_deployment() {
    let case = Case {
        kind: WorkloadKind::StatefulSet,
        ..Case::own(&[(AUTO, "true"), (PERIOD, "5m")])
    };
    assert_eq!(case.reasons(), ["wrong-object"]);
    let rollout = Case {
        kind: WorkloadKind::Rollout,
        ..Case::own(&[
            (AUTO, "true"),
            ("reloader.stakater.com/rollout-strategy", "recreate"),
        ])
    };
    assert_eq!(rollout.reasons(), ["bad-strategy"]);
}

#[rstest]
#[case::search_off(&[(SEARCH, "false")], &[(AUTO, "true")], true)]
#[case::empty_list(&[(CONFIGMAPS, "")], &[(AUTO, "true")], true)]
#[case::meant(&[(AUTO, "false")], &[(AUTO, "true")], false)]
#[case::opts_in_itself(&[(CONFIGMAPS, "settings")], &[(AUTO, "true")], false)]
#[case::nothing_hidden(&[(SEARCH, "false")], &[], false)]
#[case::template_alone(&[], &[(AUTO, "true")], false)]
fn an_annotation_that_hides_the_templates_is_found(
    #[case] own: &[(&str, &str)],
    #[case] template: &[(&str, &str)],
    #[case] expected: bool,
) {
    let reasons = Case::own(own).template(template).reasons();
    assert_eq!(reasons.contains(&"hides-template"), expected, "{reasons:?}");
}

#[test]
fn annotations_are_held_to_each_other() {
    let both = Case::own(&[(AUTO, "true"), (SEARCH, "true")]);
    assert_eq!(both.reasons(), ["auto-with-search"]);
    let never = Case::own(&[(CONFIGMAPS, "a,b"), (EXCLUDED, "b")]);
    assert_eq!(never.reasons(), ["listed-and-excluded"]);
}

#[rstest]
#[case::auto(AUTO, &[], true)]
#[case::search(SEARCH, &[], true)]
#[case::of_the_other_kind("secret.reloader.stakater.com/auto", &[SourceKind::ConfigMap], true)]
#[case::of_its_kind("secret.reloader.stakater.com/auto", &[SourceKind::Secret], false)]
#[case::listed(CONFIGMAPS, &[], false)]
fn opting_in_by_use_needs_a_use(#[case] key: &str, #[case] uses: &[SourceKind], #[case] expected: bool) {
    let case = Case {
        references: uses.iter().map(|kind| SourceRef::new(*kind, "a")).collect(),
        ..Case::own(&[(key, if key == CONFIGMAPS { "settings" } else { "true" })])
    };
    assert_eq!(
        case.reasons() == ["uses-nothing"],
        expected,
        "{:?}",
        case.findings()
    );
}

#[test]
fn a_source_is_no_workload() {
    let checker = Checker::default();
    let reasons = |annotations: &[(&str, &str)]| -> Vec<_> {
        let findings = checker.source(SourceKind::ConfigMap, &pairs(annotations), &Pairs::new());
        findings.iter().map(|finding| finding.mistake.reason()).collect()
    };
    assert_eq!(reasons(&[("reloader.stakater.com/match", "true")]), [""; 0]);
    assert_eq!(reasons(&[("reloader.stakater.com/ignore", "false")]), [""; 0]);
    assert_eq!(reasons(&[("reloader.stakater.com/ignore", "1")]), ["not-true"]);
    assert_eq!(reasons(&[(AUTO, "true")]), ["wrong-object"]);
    assert_eq!(reasons(&[(CONFIGMAPS, "settings")]), ["wrong-object"]);
    assert_eq!(reasons(&[("reloader.stakater.com/ledger", "settings")]), [""; 0]);
    let misspelt = checker.source(
        SourceKind::Secret,
        &pairs(&[("reloader.stakater.com/matched", "true")]),
        &Pairs::new(),
    );
    assert_eq!(
        misspelt[0].mistake.suggestion(),
        Some("reloader.stakater.com/match")
    );
}

#[rstest]
#[case::limit("max-concurrent-rollouts", "5", None)]
#[case::no_limit("max-concurrent-rollouts", "0", Some("bad-limit"))]
#[case::canary("canary", "0", None)]
#[case::no_share("canary", "one", Some("bad-share"))]
#[case::no_time_to_bake("bake-time", "0s", None)]
#[case::no_duration("bake-time", "5", Some("bad-duration"))]
#[case::timeout("rollout-timeout", "90s", None)]
#[case::no_time_to_roll("rollout-timeout", "0s", Some("bad-duration"))]
fn limits_of_a_source_are_read(#[case] key: &str, #[case] value: &str, #[case] reason: Option<&str>) {
    let annotations = pairs(&[(&format!("reloader.stakater.com/{key}"), value)]);
    let findings = Checker::default().source(SourceKind::Secret, &annotations, &Pairs::new());
    let reasons: Vec<_> = findings.iter().map(|finding| finding.mistake.reason()).collect();
    assert_eq!(reasons, Vec::from_iter(reason));
}

#[test]
fn a_label_is_no_annotation() {
    let labels = pairs(&[("reloader.stakater.com/match", "true"), ("app", "web")]);
    let findings = Checker::default().source(SourceKind::Secret, &Pairs::new(), &labels);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].to_string(),
        "label reloader.stakater.com/match has no effect: write it as an annotation"
    );
}

#[test]
fn configured_keys_are_known_and_the_default_ones_are_left_to_others() {
    let keys = AnnotationKeys {
        auto: "company.example/restart".to_owned(),
        ..AnnotationKeys::default()
    };
    let checker = Checker::new(&keys);
    let find = |key: &str, value: &str| {
        let own = pairs(&[(key, value)]);
        let look_up = |key: &str| own.get(key).map(String::as_str);
        checker.workload(&WorkloadText {
            kind: Some(WorkloadKind::Deployment),
            own: &own,
            template: &Pairs::new(),
            labels: &Pairs::new(),
            opt_in: &OptIn::parse(&keys, look_up, |_| None),
            references: &[SourceRef::new(SourceKind::Secret, "a")],
            has_template: true,
        })
    };
    assert_eq!(find("company.example/restart", "true"), []);
    assert_eq!(
        find("company.example/restart", "yes")[0].mistake.reason(),
        "not-boolean"
    );
    assert_eq!(find("company.example/other", "yes"), []);
    assert_eq!(find(AUTO, "yes"), []);
    assert_eq!(
        find("reloader.stakater.com/autoo", "true")[0].mistake.reason(),
        "unknown-key"
    );
}

#[test]
fn a_listed_name_that_nothing_has_is_found() {
    let keys = AnnotationKeys::default();
    let opt_in = OptIn::parse(
        &keys,
        |key| (key == CONFIGMAPS).then_some("a,b,c.*,true"),
        |_| None,
    );
    let missing: Vec<String> = missing_sources(&keys, &opt_in, |_, name| name == "a")
        .map(|finding| finding.to_string())
        .collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].contains("there is no ConfigMap 'b'"), "{missing:?}");
}

#[test]
fn findings_are_bounded_and_short() {
    let many: Vec<String> = (0..100)
        .map(|number| format!("reloader.stakater.com/{number}-{}", "x".repeat(300)))
        .collect();
    let annotations: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "a\nb")).collect();
    let findings = Case::own(&annotations).findings();
    assert_eq!(findings.len(), MAX_FINDINGS);
    for finding in findings {
        assert!(finding.to_string().len() < 600);
    }
}

/// Each ran for minutes where every item was compared with every other.
#[test]
fn what_an_object_costs_does_not_grow_with_its_square() {
    let list = |item: &str| vec![item; 1 << 16].join(",");
    let (listed, excluded) = (list("a"), list("b"));
    let template = [(CONFIGMAPS, listed.as_str())];
    let many = Case::own(&[(EXCLUDED, &excluded)]).template(&template);
    assert_eq!(many.reasons(), [""; 0]);

    let unknown = Case {
        references: (0..1 << 15)
            .map(|number| SourceRef::new(SourceKind::Secret, format!("secret-{number}")))
            .collect(),
        ..Case::own(&[("reloader.stakater.com/reload", &listed)])
    };
    assert_eq!(unknown.reasons(), ["unknown-key"]);

    let keys: Vec<String> = (0..1 << 13)
        .map(|number| format!("stak-{number}.example/reload"))
        .collect();
    let foreign: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "true")).collect();
    assert_eq!(Case::own(&foreign).reasons(), [""; 0]);
}
