use std::fmt::Write as _;

use serde_json::Value;

use super::{
    check::{Found, Kinds, check},
    document::documents,
    files::{File, Problem},
    report::Report,
};
use crate::{
    args::LintOutput,
    cli::exit::Exit,
    diagnose::{Checker, Level},
    model::AnnotationKeys,
};

fn findings(text: &str) -> Vec<Found> {
    let file = File {
        name: "deploy.yaml".to_owned(),
        text: text.to_owned(),
    };
    let objects = documents(text).unwrap();
    let keys = AnnotationKeys::default();
    let kinds = Kinds::new(&[]).unwrap();
    check(&Checker::new(&keys), &keys, &kinds, &[(file, objects)])
}

/// Line and reason of each finding.
fn shown(text: &str) -> Vec<(usize, &'static str)> {
    let found = findings(text);
    found
        .iter()
        .map(|found| (found.line, found.finding.mistake.reason()))
        .collect()
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations:
    reloader.stakater.com/reload: settings
spec:
  template:
    spec:
      containers:
        - name: main
          envFrom:
            - configMapRef: { name: settings }
";

#[test]
fn a_finding_names_file_line_and_object() {
    let text = Report {
        findings: &findings(DEPLOYMENT),
        files: 1,
        objects: 1,
    }
    .print(LintOutput::Text);
    assert_eq!(
        text,
        "deploy.yaml:7 Deployment shop/web: annotation reloader.stakater.com/reload is unknown, did you mean \
         configmap.reloader.stakater.com/reload? [unknown-key]\n1 warning, 0 notes in 1 object of 1 file\n"
    );
}

#[test]
fn every_document_and_item_has_its_own_lines() {
    let list = format!(
        "# a comment\n{DEPLOYMENT}---\n\n---\napiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n  apiVersion: v1\n  \
         metadata:\n    name: settings\n    annotations:\n      reloader.stakater.com/auto: 'true'\n"
    );
    assert_eq!(shown(&list), [(8, "unknown-key"), (27, "wrong-object")]);
    let json = r#"{ "apiVersion": "v1", "kind": "Secret",
      "metadata": { "name": "tls",
        "annotations": { "reloader.stakater.com/match": "yes" } } }"#;
    assert_eq!(shown(json), [(3, "not-true")]);
}

#[test]
fn a_cron_jobs_template_is_found() {
    let text = "\
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly }
spec:
  jobTemplate:
    spec:
      template:
        metadata:
          annotations:
            reloader.stakater.com/auto: 'yes'
";
    assert_eq!(shown(text), [(10, "not-boolean")]);
}

#[test]
fn comments_leave_findings_out() {
    let at_its_end = DEPLOYMENT.replace("reload: settings", "reload: settings # reloader-lint: ignore");
    assert_eq!(shown(&at_its_end), []);
    let before = DEPLOYMENT.replace(
        "    reloader.stakater.com/reload",
        "    # reloader-lint: ignore (a test)\n    reloader.stakater.com/reload",
    );
    assert_eq!(shown(&before), []);
    let of_another_line = DEPLOYMENT.replace("  annotations:", "  annotations: # reloader-lint: ignore");
    assert_eq!(shown(&of_another_line), [(7, "unknown-key")]);
}

#[test]
fn a_listed_source_is_missing_where_the_files_define_others() {
    let listed = DEPLOYMENT.replace(
        "reloader.stakater.com/reload",
        "secret.reloader.stakater.com/reload",
    );
    assert_eq!(shown(&listed), []);
    let secret = |name: &str, namespace: &str| {
        format!(
            "{listed}---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}, namespace: {namespace} }}\n"
        )
    };
    assert_eq!(shown(&secret("settings", "shop")), []);
    assert_eq!(shown(&secret("settings", "''")), []);
    assert_eq!(shown(&secret("settings", "other")), [(7, "missing-source")]);
    assert_eq!(shown(&secret("other", "shop")), [(7, "missing-source")]);
    let sealed = secret("settings", "shop").replace("kind: Secret", "kind: SealedSecret");
    assert_eq!(shown(&sealed), []);
}

#[test]
fn other_products_objects_are_left_alone() {
    let certificate = "\
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: web
  annotations: { reloader.stakater.com/match: 'true' }
";
    assert_eq!(shown(certificate), []);
    let pod = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: { reloader.stakater.com/auto: 'true' }
";
    assert_eq!(shown(pod), [(5, "wrong-object")]);
    let values = "reloader:\n  annotations:\n    reloader.stakater.com/reload: a\n";
    assert_eq!(shown(values), []);
}

#[test]
fn a_boolean_without_quotes_is_refused_by_the_api_server() {
    let text = |value: &str| {
        let line = format!("reloader.stakater.com/auto: {value}");
        DEPLOYMENT.replace("reloader.stakater.com/reload: settings", &line)
    };
    assert_eq!(shown(&text("true")), [(7, "not-text")]);
    assert_eq!(shown(&text("\"true\"")), []);
}

#[test]
fn what_is_no_yaml_is_a_problem_and_shows_nothing_of_a_secret() {
    let text = "kind: Secret\ndata: {\n  password: canary\n  - {{ .Values.x }}\n";
    let error = documents(text).unwrap_err();
    let problem = Problem::unreadable("a.yaml", text, &error).to_string();
    assert!(
        problem.starts_with("a.yaml: is neither YAML nor JSON") && problem.contains("helm template"),
        "{problem}"
    );
    assert!(!problem.contains("canary"), "{problem}");
}

#[test]
fn sarif_has_a_rule_for_each_result() {
    let report = Report {
        findings: &findings(DEPLOYMENT),
        files: 1,
        objects: 1,
    };
    let sarif: Value = serde_json::from_str(&report.print(LintOutput::Sarif)).unwrap();
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    assert_eq!(
        result["locations"][0]["physicalLocation"]["region"]["startLine"],
        7
    );
    let json: Value = serde_json::from_str(&report.print(LintOutput::Json)).unwrap();
    assert_eq!(json[0]["suggestion"], "configmap.reloader.stakater.com/reload");
}

#[test]
fn thousands_of_documents_are_read() {
    let mut text = String::new();
    for number in 0..3000 {
        let _ = writeln!(
            text,
            "{}---",
            DEPLOYMENT.replace("name: web", &format!("name: web-{number}"))
        );
    }
    assert_eq!(findings(&text).len(), 3000);
}

#[test]
fn large_documents_are_read_and_what_grows_by_aliases_is_not() {
    let items = "1, ".repeat(300_000);
    let large = format!("kind: ConfigMap\nitems: [{items}]\n");
    assert_eq!(documents(&large).unwrap().len(), 1);
    let mut bomb = "kind: ConfigMap\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let _ = writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            vec![format!("*a{}", level - 1); 10].join(", ")
        );
    }
    assert!(documents(&bomb).is_err());
}

#[test]
fn a_patch_says_nothing_of_what_its_pods_use() {
    let patch = |pod: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  annotations:\n    \
             reloader.stakater.com/auto: 'true'\nspec:\n  template: {{ metadata: {{ labels: {{ a: b }} }}, spec: {pod} }}\n"
        )
    };
    assert_eq!(shown(&patch("{ nodeSelector: { a: b } }")), []);
    assert_eq!(shown(&patch("{ containers: [] }")), []);
    let unused = findings(&patch("{ containers: [{ name: main, image: web:2 }] }"));
    assert_eq!(unused.len(), 1);
    assert_eq!(unused[0].finding.mistake.reason(), "uses-nothing");
    // A chart opts in workloads that use nothing, too.
    assert_eq!(unused[0].level(), Level::Note);
}

#[test]
fn names_in_files_neither_control_a_terminal_nor_begin_a_line() {
    let text = DEPLOYMENT
        .replace("name: web", "name: \"a\\n::error::b\\e[31m\"")
        .replace("namespace: shop", "namespace: \"c\\r\\nd\"");
    let mut found = findings(&text);
    assert_eq!(found.len(), 1);
    found[0].file = "::stop-commands::x\n.yaml".to_owned();
    found[0].kind.push('\u{1b}');
    let report = Report {
        findings: &found,
        files: 1,
        objects: 1,
    };
    let printed = report.print(LintOutput::Text);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    assert!(
        printed.starts_with("./::stop-commands::x .yaml:7 Deployment  c  d/a ::error::b [31m: annotation "),
        "{printed}"
    );
    for output in [LintOutput::Json, LintOutput::Sarif] {
        let printed = report.print(output);
        assert!(
            !printed.contains('\u{1b}') && !printed.contains("\n::"),
            "{printed}"
        );
    }
    let problem = Problem::new("##[error]\u{1b}x", &"a\nb").to_string();
    assert_eq!(problem, "./##[error] x: cannot be read: a b");
}

#[test]
fn the_exit_status_tells_warnings_and_unreadable_files() {
    use crate::args::{Args, Command};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let status = |path: &str| {
        let line = ["reloader", "lint", "-f", path];
        let Some(Command::Lint(args)) = Args::from_command_line(line).unwrap().command else {
            panic!("no command");
        };
        super::lint(&args).1
    };
    let right = DEPLOYMENT.replace(
        "reloader.stakater.com/reload: settings",
        "reloader.stakater.com/auto: 'true'",
    );
    assert_eq!(status(&path("right.yaml", &right)), Exit::Success);
    assert_eq!(status(&folder.path().display().to_string()), Exit::Success);
    assert_eq!(status(&path("wrong.yml", DEPLOYMENT)), Exit::Failure);
    assert_eq!(status(&path("template.txt", "a: {{ b }}: c\n- d")), Exit::Failure);
    assert_eq!(status("missing.yaml"), Exit::Failure);
}

/// The forms of public manifests that are right, for each kind of workload, on the workload and on its pod template.
#[test]
fn what_is_right_has_no_finding() {
    let forms = [
        "reloader.stakater.com/auto: \"true\"",
        "reloader.stakater.com/auto: \"false\"",
        "configmap.reloader.stakater.com/auto: \"true\"",
        "secret.reloader.stakater.com/auto: \"true\"",
        "reloader.stakater.com/search: \"true\"",
        "configmap.reloader.stakater.com/reload: settings",
        "configmap.reloader.stakater.com/reload: settings, other,third",
        "configmap.reloader.stakater.com/reload: \"settings-.*\"",
        "secret.reloader.stakater.com/reload: tls.example.com",
        "secret.reloader.stakater.com/reload: \"\\n          tls\"",
    ];
    let mut text = String::new();
    for (number, form) in forms.iter().enumerate() {
        for (api, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "CronJob"),
            ("argoproj.io/v1alpha1", "Rollout"),
            ("example.com/v1", "Proxy"),
        ] {
            for on_template in [false, true] {
                let annotations = format!("metadata: {{ name: a, annotations: {{ {form} }} }}");
                let (own, template) = if on_template {
                    ("metadata: { name: a }", &*annotations)
                } else {
                    (&*annotations, "metadata: {}")
                };
                let pod = "spec: { containers: [{ name: main, envFrom: [{ configMapRef: { name: settings } }, { secretRef: { name: tls } }] }] }";
                let template = format!("template: {{ {template}, {pod} }}");
                let spec = if kind == "CronJob" {
                    format!("jobTemplate: {{ spec: {{ {template} }} }}")
                } else {
                    template
                };
                let _ = writeln!(
                    text,
                    "# {number}\napiVersion: {api}\nkind: {kind}\n{own}\nspec: {{ {spec} }}\n---"
                );
            }
        }
    }
    let found: Vec<String> = findings(&text).iter().map(|found| format!("{found:?}")).collect();
    assert_eq!(found, [""; 0]);
}
