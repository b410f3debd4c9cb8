//! Statement 47: what an answer says of a restart that waits on purpose, word by word.

use std::time::Duration;

use super::*;
use crate::{
    admit::{
        Behind, By, Halt, Reason, Rest, Scope as Of, UsedUp, Wait,
        window::{Closed, Level, Why},
    },
    model::WorkloadKey,
};

fn key(name: &str) -> WorkloadKey {
    WorkloadKey::new(WorkloadKind::Deployment, "shop", name)
}

fn closed(level: Level, why: Why) -> Reason {
    Reason::Window(Closed {
        level,
        why,
        until: None,
    })
}

fn behind(in_flight: usize, on_trial: usize) -> Reason {
    Reason::Canary(Behind {
        source: secret("db"),
        in_flight,
        on_trial,
        allowed: 2,
        proved: 2,
        names: vec![key("api")],
        served: 4,
        concerned: 500,
    })
}

fn used_up(scope: Of) -> Reason {
    Reason::Budget(UsedUp {
        scope,
        in_flight: 5,
        limit: 5,
    })
}

fn rest(streak: u32) -> Reason {
    Reason::Interval(Rest {
        interval: Duration::from_secs(30),
        streak,
    })
}

fn next(reason: Reason, until: Option<&str>) -> String {
    let wait = Wait {
        reason,
        until: until.map(at),
    };
    let owed = Owed {
        deferred: Some(Deferral::from(&wait)),
        ..Owed::default()
    };
    let facts = SourceFacts {
        owes: Owes::Restart(owed),
        ..present(config_map("app"), digest(1))
    };
    let object = object(&json!({ AUTO: "true" }), &json!({}));
    let answer = answer(&object, vec![facts], &flags(false), &Scope::default());
    of(&answer, "app").next
}

#[rstest]
#[case::suspended(
    Reason::Suspended(By::Workload),
    "the annotation reloader.stakater.com/suspend of the workload suspends it"
)]
#[case::suspended_source(
    Reason::Suspended(By::Source(secret("db"))),
    "the annotation reloader.stakater.com/suspend of Secret db suspends it"
)]
#[case::suspended_namespace(
    Reason::Suspended(By::Namespace("shop".into())),
    "the annotation reloader.stakater.com/suspend of Namespace shop suspends it"
)]
#[case::outside(
    closed(Level::Workload, Why::Outside),
    "the annotation reloader.stakater.com/restart-window of the workload allows no restart now"
)]
#[case::denied(
    closed(Level::Namespace, Why::Denied),
    "the annotation reloader.stakater.com/restart-window of its Namespace denies restarts now"
)]
#[case::manual(
    closed(Level::Flag, Why::Manual),
    "the flag --restart-window is `manual`: it has to be released"
)]
#[case::interval(rest(0), "reloader.stakater.com/min-restart-interval is 30s")]
#[case::doubled(
    rest(2),
    "reloader.stakater.com/min-restart-interval is 30s, doubled 2 times because restarts followed each other as soon as they \
     might"
)]
#[case::halted(
    Reason::Halted(Halt {
        source: secret("db"),
        failed: 4,
        allowed: 0,
        names: vec![key("api"), key("web"), key("cart")],
        served: 4,
        concerned: 500,
    }),
    "restarts for Secret db are halted: 4 failed (Deployment api, Deployment web, Deployment cart and 1 more) and 0 may, 4 of \
     500 have its content. Put it back or mend it: those that failed restart first. To go on all the same, annotate it with \
     reloader.stakater.com/requested-at"
)]
#[case::wave(
    Reason::Wave { source: secret("db"), wave: 0, lowest: -1 },
    "workloads of wave -1 restart for Secret db before those of wave 0"
)]
#[case::in_progress(
    behind(2, 0),
    "others try the content of Secret db first: 2 of 2 in progress (Deployment api and 1 more), 2 healthy, 4 of 500 have it"
)]
#[case::baking(
    behind(0, 1),
    "others try the content of Secret db first: 1 of 2 not healthy for long enough (Deployment api), 2 healthy, 4 of 500 have it"
)]
#[case::both(
    behind(1, 1),
    "others try the content of Secret db first: 1 of 2 in progress (Deployment api) and 1 not healthy for long enough, 2 \
     healthy, 4 of 500 have it"
)]
#[case::source(
    used_up(Of::Source(secret("db"))),
    "5 of 5 rollouts of Secret db are in progress"
)]
#[case::namespace(used_up(Of::Namespace), "5 of 5 rollouts of the namespace are in progress")]
#[case::cluster(used_up(Of::Cluster), "5 of 5 rollouts of the cluster are in progress")]
#[case::unknown(
    Reason::Unknown,
    "what other workloads are doing is not known: this replica has just begun to lead, or a watch fails"
)]
fn each_reason_has_its_words(#[case] reason: Reason, #[case] words: &str) {
    let expected = format!("The restart waits: {words}. All changes until then are one restart");
    assert_eq!(next(reason.clone(), None), expected);
    let expected = format!(
        "The restart waits until 2026-01-01T22:00:00Z: {words}. All changes until then are one restart"
    );
    assert_eq!(next(reason, Some("2026-01-01T22:00:00.25Z")), expected);
}

/// None of the words that metrics and JSON have is left out above.
#[test]
fn all_reasons_are_told() {
    let told = [
        Reason::Suspended(By::Workload),
        closed(Level::Flag, Why::Manual),
        rest(0),
        Reason::Halted(Halt {
            source: secret("db"),
            failed: 1,
            allowed: 0,
            names: Vec::new(),
            served: 1,
            concerned: 1,
        }),
        Reason::Wave {
            source: secret("db"),
            wave: 0,
            lowest: -1,
        },
        behind(1, 0),
        used_up(Of::Cluster),
        Reason::Unknown,
    ];
    assert_eq!(told.each_ref().map(Reason::as_str), Reason::ALL);
}
