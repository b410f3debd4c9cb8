//! The reader against lines as the API server writes them.

use std::io::Write;

use super::*;

const CREATED: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/a/configmaps?x=y","verb":"create","user":{"username":"alice","groups":["system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"kubectl","objectRef":{"resource":"configmaps","namespace":"a","name":"c","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestReceivedTimestamp":"2026-01-01T00:00:00.000250Z","stageTimestamp":"2026-01-01T00:00:00.001000Z"}"#;
const PATCHED: &str = r#"{"auditID":"2","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/a/deployments/d","verb":"patch","user":{"username":"bob"},"objectRef":{"resource":"deployments","namespace":"a","name":"d","apiGroup":"apps"},"responseStatus":{"code":200},"requestObject":{"spec":{}},"responseObject":{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"template":{"metadata":{}}}},"requestReceivedTimestamp":"2026-01-01T00:00:00.010000Z","stageTimestamp":"2026-01-01T00:00:00.020250Z"}"#;
const WATCH_OPEN: &str = r#"{"auditID":"3","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=1","verb":"watch","user":{"username":"bob"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:01.000000Z","stageTimestamp":"2026-01-01T00:00:01.000000Z"}"#;
const WATCH_DONE: &str = r#"{"auditID":"3","stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=1","verb":"watch","user":{"username":"bob"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:01.000000Z","stageTimestamp":"2026-01-01T00:00:09.000000Z"}"#;
const PATH: &str = r#"{"auditID":"4","stage":"ResponseComplete","requestURI":"/version?timeout=1s","verb":"get","user":{"username":"bob"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:01.000000Z","stageTimestamp":"2026-01-01T00:00:01.000000Z"}"#;

fn log(lines: &[&str]) -> (tempfile::TempDir, AuditLog) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    (folder, AuditLog::new(path))
}

#[test]
fn an_entry_has_who_what_when_and_the_answer() {
    let (_folder, log) = log(&[CREATED]);
    let entry = log.entries().unwrap().remove(0);
    assert_eq!(
        (
            entry.user.as_str(),
            entry.user_agent.as_str(),
            entry.verb.as_str()
        ),
        ("alice", "kubectl", "create")
    );
    assert!(entry.is_about("configmaps", "a", "c") && entry.is_write() && entry.succeeded());
    assert_eq!(entry.request_received.subsec_microsecond(), 250);
    assert_eq!(
        (entry.pod_template(), entry.request_object.as_ref()),
        (None, None)
    );
}

#[test]
fn a_request_is_counted_once_though_a_watch_has_two_entries() {
    let (_folder, log) = log(&[CREATED, PATCHED, WATCH_OPEN, WATCH_DONE, PATH]);
    let counts = log.requests_by_verb_and_resource("bob").unwrap();
    let expected = [("get", "/version"), ("patch", "deployments"), ("watch", "pods")];
    assert_eq!(
        counts,
        expected
            .map(|(verb, what)| ((verb.to_owned(), what.to_owned()), 1))
            .into()
    );
}

#[test]
fn writes_are_told_from_reads_and_by_user() {
    let (_folder, log) = log(&[CREATED, PATCHED, WATCH_OPEN, WATCH_DONE, PATH]);
    let writes = log.writes_by("bob").unwrap();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].request_object, Some(serde_json::json!({"spec": {}})));
    assert!(log.writes_by("carol").unwrap().is_empty());
}

/// A successful or refused patch of the Deployment a/d that left (uid, resourceVersion, template).
fn write(code: u16, uid: &str, version: &str, template: &str) -> String {
    let mut write: serde_json::Value = serde_json::from_str(PATCHED).unwrap();
    write["responseStatus"]["code"] = code.into();
    write["responseObject"] = serde_json::json!({
        "metadata": {"uid": uid, "resourceVersion": version},
        "spec": {"template": {"metadata": {"annotations": {"restart": template}}}},
    });
    write.to_string()
}

#[test]
fn a_rollout_is_a_successful_write_that_changed_the_template_of_the_same_object() {
    let lines = [
        write(201, "u", "9", "a"),
        write(200, "u", "11", "b"),
        write(200, "u", "10", "a"),
        write(200, "u", "12", "b"),
        write(409, "u", "13", "refused"),
        write(201, "recreated", "14", "c"),
        write(200, "recreated", "100", "d"),
    ];
    let (_folder, log) = log(&lines.each_ref().map(String::as_str));
    let changes = log.template_changes("deployments", "a", "d").unwrap();
    let versions: Vec<_> = changes
        .iter()
        .map(|change| change.answered_metadata("resourceVersion").unwrap())
        .collect();
    assert_eq!(versions, ["11", "100"]);
    assert!(
        log.template_changes("deployments", "a", "other")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn latency_is_from_the_cause_received_to_the_effect_answered() {
    let (_folder, log) = log(&[CREATED, PATCHED]);
    let entries = log.entries().unwrap();
    let latency =
        |cause: &Entry, resource: &str| log.latency(cause, |entry| entry.resource == resource).unwrap();
    assert_eq!(
        latency(&entries[0], "deployments"),
        Some(Duration::from_millis(20))
    );
    assert_eq!(
        latency(&entries[1], "configmaps"),
        None,
        "what came before is no effect"
    );
}

#[test]
fn a_line_being_written_waits_until_it_is_whole() {
    let (_folder, log) = log(&[CREATED]);
    let mut file = File::options().append(true).open(log.path()).unwrap();
    let (start, end) = PATCHED.split_at(40);
    file.write_all(start.as_bytes()).unwrap();
    assert_eq!(log.entries().unwrap().len(), 1);
    file.write_all(format!("{end}\n").as_bytes()).unwrap();
    assert_eq!(log.entries().unwrap().len(), 2);
}

#[test]
fn a_log_that_is_not_there_yet_is_empty_and_a_broken_line_is_an_error() {
    assert!(
        AuditLog::new("/nonexistent/audit.log")
            .entries()
            .unwrap()
            .is_empty()
    );
    let (_folder, log) = log(&["{}"]);
    assert_eq!(log.entries().unwrap_err().category(), "audit_log");
}

#[tokio::test]
async fn waiting_ends_with_the_first_answer_or_says_how_much_it_saw() {
    let (_folder, log) = log(&[CREATED, PATCHED]);
    let patch = log.wait_until(Duration::from_mins(1), "a patch", |entries| {
        entries.iter().find(|entry| entry.verb == "patch").cloned()
    });
    assert_eq!(patch.await.unwrap().user, "bob");
    let nothing = log
        .wait_until(Duration::from_millis(1), "a delete", |_| None::<()>)
        .await
        .unwrap_err();
    assert!(
        nothing.to_string().ends_with("no answer in 2 audit entries"),
        "{nothing}"
    );
}
