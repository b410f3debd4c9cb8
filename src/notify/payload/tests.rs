use rstest::rstest;

use super::*;
use crate::model::{SourceKind, WorkloadKind};

fn source() -> SourceKey {
    SourceKey::new(SourceKind::Secret, "shop", "tls")
}

fn workload() -> WorkloadKey {
    WorkloadKey::new(WorkloadKind::StatefulSet, "shop", "db")
}

fn at() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

const STARRED: &str = "Reloader detected changes in *tls* of type *SECRET* in namespace *shop*. \
    Hence reloaded *db* of type *StatefulSet* in namespace *shop*";

#[rstest]
#[case::slack(
    Sink::Slack,
    "application/json",
    format!(r#"{{"attachments":[{{"author_name":"Reloader","color":"good","text":"{STARRED}"}}]}}"#)
)]
#[case::teams(Sink::Teams, "application/json", format!(r#"{{"text":"{STARRED}"}}"#))]
#[case::gchat(Sink::GoogleChat, "application/json", format!(r#"{{"text":"{STARRED}"}}"#))]
#[case::raw(Sink::Raw, "text/plain", STARRED.replace('*', ""))]
fn each_sink_gets_upstreams_bytes(#[case] sink: Sink, #[case] content_type: &str, #[case] body: String) {
    let payload = alert(sink, None, Alert::Reloaded(""), &source(), &workload(), at());
    assert_eq!((payload.content_type, payload.body), (content_type, body));
}

#[rstest]
#[case::absent(None, "Reloader detected")]
#[case::trimmed(Some(" prod \n"), "prod : Reloader detected")]
#[case::empty(Some(""), " : Reloader detected")]
#[case::raw_loses_every_star(Some("*prod*"), "prod : Reloader detected")]
fn the_additional_info_comes_first(#[case] info: Option<&str>, #[case] start: &str) {
    let payload = alert(Sink::Raw, info, Alert::Reloaded(""), &source(), &workload(), at());
    assert!(payload.body.starts_with(start), "{}", payload.body);
}

#[test]
fn a_note_ends_upstreams_message() {
    let payload = alert(
        Sink::Raw,
        None,
        Alert::Reloaded("; but"),
        &source(),
        &workload(),
        at(),
    );
    assert_eq!(payload.body, format!("{}; but", STARRED.replace('*', "")));
}

#[test]
fn json_is_escaped_as_go_does() {
    let info = Some("<a href=\"x\">&</a>\u{2028}\u{8}\u{c}\n\u{1}ä");
    let payload = alert(
        Sink::Teams,
        info,
        Alert::Reloaded(""),
        &source(),
        &workload(),
        at(),
    );
    let escaped = r#"{"text":"\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e\u2028\b\f\n\u0001ä : Reloader"#;
    assert!(payload.body.starts_with(escaped), "{}", payload.body);
    // Plain text is not JSON.
    let payload = alert(
        Sink::Raw,
        Some("<&>"),
        Alert::Reloaded(""),
        &source(),
        &workload(),
        at(),
    );
    assert!(payload.body.starts_with("<&> : Reloader"), "{}", payload.body);
}

#[test]
fn a_failure_says_why_and_looks_dangerous() {
    let payload = alert(
        Sink::Slack,
        None,
        Alert::Failed("denied (403)"),
        &source(),
        &workload(),
        at(),
    );
    assert_eq!(
        payload.body,
        "{\"attachments\":[{\"author_name\":\"Reloader\",\"color\":\"danger\",\"text\":\"Reloader detected changes \
         in *tls* of type *SECRET* in namespace *shop*. Failed to reload *db* of type *StatefulSet* in namespace \
         *shop*: denied (403)\"}]}"
    );
}

/// The fields of upstream's version 2; `additional` only where there is any.
#[rstest]
#[case::reloaded(Alert::Reloaded("; but"), None, "reload", "")]
#[case::with_information(Alert::Reloaded(""), Some(" eu "), "reload", r#","additional":"eu""#)]
#[case::failed(Alert::Failed("denied"), None, "reloadFailed", r#","reason":"denied""#)]
fn structured_alerts_are_json(
    #[case] about: Alert<'_>,
    #[case] info: Option<&str>,
    #[case] event: &str,
    #[case] end: &str,
) {
    let payload = alert(Sink::RawJson, info, about, &source(), &workload(), at());
    assert_eq!(payload.content_type, "application/json");
    assert_eq!(
        payload.body,
        format!(
            r#"{{"event":"{event}","workloadKind":"StatefulSet","workloadName":"db","workloadNamespace":"shop","resourceKind":"SECRET","resourceName":"tls","resourceNamespace":"shop","timestamp":"2026-09-21T14:13:20Z"{end}}}"#
        )
    );
}

#[rstest]
#[case("slack", Sink::Slack)]
#[case(" SLACK\n", Sink::Slack)]
#[case("Teams", Sink::Teams)]
#[case("gchat", Sink::GoogleChat)]
#[case("webex", Sink::Raw)]
#[case("raw", Sink::Raw)]
#[case("", Sink::Raw)]
fn the_sinks_name_is_read_leniently(#[case] text: &str, #[case] sink: Sink) {
    assert_eq!(Sink::parse(text, false), sink);
}

#[test]
fn the_webhooks_constant_body_is_upstreams() {
    let time = Timestamp::UNIX_EPOCH;
    let payload = webhook(WebhookPayload::Constant, &source(), ChangeKind::Delete, time);
    assert_eq!(
        (payload.content_type, payload.body.as_str()),
        ("application/json", r#"{"webhook":"update successful"}"#)
    );
}

#[test]
fn the_webhooks_details_name_the_change_and_no_content() {
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    let payload = webhook(WebhookPayload::Details, &source(), ChangeKind::Update, time);
    assert_eq!(
        payload.body,
        "{\"webhook\":\"update successful\",\"event\":\"update\",\"kind\":\"Secret\",\"namespace\":\"shop\",\
         \"name\":\"tls\",\"time\":\"2023-11-14T22:13:20Z\"}"
    );
}
