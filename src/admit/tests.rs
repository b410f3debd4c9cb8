mod crowd;
mod forecast;
mod growth;
mod proof;
mod unwell;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use rstest::rstest;

use super::*;
use crate::model::{
    OptIn, PodTemplate, Pods, Replacement, Restart, Rollout, SourceKind, UnixSeconds, Workload, WorkloadKey,
    WorkloadKind,
    limits::Limits,
    policy::{REQUESTED_AT, RESTART_WINDOW, SUSPEND},
};
use window::{Windows, Zone};

const ALWAYS: &str = r#"[{"schedule": "* * * * *", "duration": "1h"}]"#;
const DENIED: &str = r#"[{"kind": "deny", "schedule": "* * * * *", "duration": "1h"}]"#;
/// When the sources of these tests changed, and the time now: a minute later.
const CHANGED: &str = "2026-01-01T12:00:00Z";
const NOW: &str = "2026-01-01T12:01:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy(annotations: &[(&str, &str)]) -> Option<Box<Policy>> {
    Policy::parse(|key| {
        let of_key = annotations.iter().find(|(other, _)| *other == key);
        of_key.map(|(_, value)| *value)
    })
}

fn workload(annotations: &[(&str, &str)]) -> Workload {
    Workload {
        key: WorkloadKey::new(WorkloadKind::Deployment, "shop", "web"),
        uid: "uid".into(),
        resource_version: 1,
        generation: 1,
        created_at: None,
        opt_in: OptIn::default(),
        pause: None,
        policy: policy(annotations),
        template: PodTemplate::default(),
        template_of: None,
        restart: Restart::Template,
        replacement: Replacement::All,
        pods: Pods::default(),
        rollout: Rollout::default(),
        written_by: None,
        lacks_template: false,
    }
}

/// The same, with all its pods available.
fn well() -> Workload {
    Workload {
        rollout: Rollout {
            is_healthy: true,
            has_pods: true,
            ..Rollout::default()
        },
        ..workload(&[])
    }
}

/// That workload asks, of which nothing but its object is known.
fn candidate(workload: &Workload) -> Candidate<'_> {
    Candidate {
        workload,
        sources: &[],
        namespace: None,
        last: None,
        unmoved_for: Duration::ZERO,
    }
}

/// What each object says.
#[derive(Clone, Copy, Default)]
struct Said<'a> {
    workload: &'a [(&'a str, &'a str)],
    settings: &'a [(&'a str, &'a str)],
    token: &'a [(&'a str, &'a str)],
    namespace: &'a [(&'a str, &'a str)],
    flag: &'a str,
}

/// Asks for a workload that owes a restart for a ConfigMap `settings` and a Secret `token`.
fn asked(said: Said<'_>, now: Timestamp) -> Admission {
    let workload = workload(said.workload);
    let (settings, token, namespace) = (policy(said.settings), policy(said.token), policy(said.namespace));
    let names: [Arc<str>; 2] = ["settings".into(), "token".into()];
    let source = |kind, name, policy| ChangedSource {
        kind,
        name,
        policy,
        changed_at: Some(at(CHANGED).into()),
    };
    let sources = [
        source(SourceKind::ConfigMap, &names[0], settings.as_deref()),
        source(SourceKind::Secret, &names[1], token.as_deref()),
    ];
    let flag = (!said.flag.is_empty()).then(|| Windows::parse(said.flag, &Zone::UTC).unwrap());
    let candidate = Candidate {
        sources: &sources,
        namespace: namespace.as_deref(),
        ..candidate(&workload)
    };
    alone(candidate, &Texts::new(Zone::UTC, flag), &Flags::default(), now)
}

fn words(said: Said<'_>) -> String {
    match asked(said, at(NOW)) {
        Admission::Now => "now".to_owned(),
        Admission::Wait(wait) => wait.reason.to_string(),
    }
}

#[test]
fn nothing_is_said_on_most_clusters() {
    assert_eq!(words(Said::default()), "now");
}

#[rstest]
#[case::workload(Said { workload: &[(SUSPEND, "true")], ..Said::default() }, "of the workload")]
#[case::config_map(Said { settings: &[(SUSPEND, "true")], ..Said::default() }, "of ConfigMap settings")]
#[case::secret(Said { token: &[(SUSPEND, "1")], ..Said::default() }, "of Secret token")]
#[case::namespace(Said { namespace: &[(SUSPEND, "yes")], ..Said::default() }, "of Namespace shop")]
#[case::with_an_open_window(
    Said { namespace: &[(SUSPEND, "true")], workload: &[(RESTART_WINDOW, ALWAYS)], ..Said::default() },
    "of Namespace shop"
)]
#[case::released(
    Said { settings: &[(SUSPEND, "true")], workload: &[(REQUESTED_AT, NOW)], ..Said::default() },
    "of ConfigMap settings"
)]
fn any_of_them_suspends(#[case] said: Said<'_>, #[case] whose: &str) {
    let words = words(said);
    assert!(words.contains(SUSPEND) && words.contains(whose), "{words}");
}

#[rstest]
#[case::open(Said { workload: &[(RESTART_WINDOW, ALWAYS)], ..Said::default() }, "now")]
#[case::denied(Said { workload: &[(RESTART_WINDOW, DENIED)], ..Said::default() }, "of the workload denies")]
#[case::manual(Said { flag: "manual", ..Said::default() }, "--restart-window is `manual`")]
#[case::unreadable(Said { namespace: &[(RESTART_WINDOW, "22:00")], ..Said::default() }, "of its Namespace cannot be read")]
#[case::nearest(Said { workload: &[(RESTART_WINDOW, ALWAYS)], flag: "manual", ..Said::default() }, "now")]
#[case::denials_add_up(
    Said { workload: &[(RESTART_WINDOW, ALWAYS)], namespace: &[(RESTART_WINDOW, DENIED)], ..Said::default() },
    "of its Namespace denies"
)]
fn windows_of_all_levels_count(#[case] said: Said<'_>, #[case] expected: &str) {
    let words = words(said);
    assert!(words.contains(expected), "{words}");
}

#[rstest]
#[case::of_all(Said { workload: &[(RESTART_WINDOW, "manual"), (REQUESTED_AT, NOW)], ..Said::default() }, true)]
#[case::in_the_same_second(
    Said { workload: &[(RESTART_WINDOW, "manual"), (REQUESTED_AT, CHANGED)], ..Said::default() },
    true
)]
#[case::of_one_source(
    Said { workload: &[(RESTART_WINDOW, "manual")], token: &[(REQUESTED_AT, NOW)], ..Said::default() },
    false
)]
#[case::of_both(
    Said {
        workload: &[(RESTART_WINDOW, "manual")],
        token: &[(REQUESTED_AT, NOW)],
        settings: &[(REQUESTED_AT, NOW)],
        ..Said::default()
    },
    true
)]
#[case::before_the_change(
    Said { workload: &[(RESTART_WINDOW, "manual"), (REQUESTED_AT, "2026-01-01T11:59:59Z")], ..Said::default() },
    false
)]
#[case::to_come(
    Said { workload: &[(RESTART_WINDOW, "manual"), (REQUESTED_AT, "2026-01-01T12:01:01Z")], ..Said::default() },
    false
)]
fn a_release_is_of_what_had_changed(#[case] said: Said<'_>, #[case] released: bool) {
    assert_eq!(asked(said, at(NOW)) == Admission::Now, released);
}

#[test]
fn it_waits_until_the_window_opens() {
    let said = Said {
        workload: &[(
            RESTART_WINDOW,
            r#"[{"schedule": "0 22 * * *", "duration": "4h"}]"#,
        )],
        ..Said::default()
    };
    let opens = at("2026-01-01T22:00:00Z");
    let Admission::Wait(wait) = asked(said, at(NOW)) else {
        panic!("it waits");
    };
    assert_eq!((wait.reason.as_str(), wait.until), ("window", Some(opens)));
    assert!(matches!(
        asked(said, opens - SignedDuration::from_secs(1)),
        Admission::Wait(_)
    ));
    assert_eq!(asked(said, opens), Admission::Now);
}

#[test]
fn every_reason_has_its_word() {
    let source = SourceRef::new(SourceKind::Secret, "token");
    let rest = Rest {
        interval: Duration::from_secs(30),
        streak: 2,
    };
    let wave = Reason::Wave {
        source: source.clone(),
        wave: 0,
        lowest: -1,
    };
    let used_up = UsedUp {
        scope: Scope::Source(source),
        in_flight: 5,
        limit: 5,
    };
    let others = [
        (Reason::Interval(rest), "doubled 2 times"),
        (wave, "wave -1 restart for Secret token before those of wave 0"),
        (
            Reason::Budget(used_up),
            "5 of 5 rollouts of Secret token are in progress",
        ),
        (Reason::Unknown, "not known"),
    ];
    for (reason, text) in others {
        assert!(Reason::ALL.contains(&reason.as_str()), "{reason:?}");
        assert!(reason.to_string().contains(text), "{reason}");
    }
    assert!(Reason::ALL.contains(&Reason::Suspended(By::Workload).as_str()));
}
