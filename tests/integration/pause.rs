//! Deployments with a pause period: all changes of the period are one rollout, and nothing stays paused.

mod freeze;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::apps::v1::{Deployment, ReplicaSet, StatefulSet},
    jiff::Timestamp,
};
use kube::api::{ListParams, Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::{
    Entry, eventually,
    proxy::{Fault, Rule},
};

use freeze::Freeze;

use crate::{
    harness::{
        PATIENCE, World,
        fleet::Fleet,
        objects::{config_map, deployment, pod_with_config_map, stateful_set},
        observe::{AUTO, digest_of},
        permissions::SHIPPED,
        run,
    },
    upstream_rbac,
};

const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";
const PAUSED_AT: &str = "deployment.reloader.stakater.com/paused-at";
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];

/// A ConfigMap `settings`, content `0`, and a Deployment `web` that uses it and has this pause period.
async fn create_web(world: &World, period: &str) {
    world.create(&config_map("settings", "0")).await;
    world.create(&paused_for("web", period)).await;
}

fn paused_for(name: &str, period: &str) -> Deployment {
    deployment(
        name,
        &[AUTO[0], (PERIOD, period)],
        &pod_with_config_map("settings"),
    )
}

/// What a Deployment shows of a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    paused: bool,
    paused_at: Option<String>,
}

async fn shown(world: &World, name: &str) -> Shown {
    let deployment = world.api::<Deployment>().get(name).await.expect("the Deployment");
    Shown {
        paused: deployment.spec.paused.unwrap_or_default(),
        paused_at: deployment
            .metadata
            .annotations
            .and_then(|annotations| annotations.get(PAUSED_AT).cloned()),
    }
}

/// Waits until Reloader has paused it, and returns since when.
async fn wait_paused(world: &World, name: &str) -> Timestamp {
    let waited = eventually(PATIENCE, "the pause", async || -> Result<_, String> {
        match shown(world, name).await {
            Shown {
                paused: true,
                paused_at: Some(at),
            } => Ok(Some(at.parse().expect("RFC 3339"))),
            other => Err(format!("{other:?}")),
        }
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until it is not paused and no trace of the pause is left.
async fn wait_resumed(world: &World, name: &str) {
    let waited = eventually(PATIENCE, "the end of the pause", async || -> Result<_, String> {
        let now = shown(world, name).await;
        let resumed = !now.paused && now.paused_at.is_none();
        resumed.then_some(Some(())).ok_or(format!("{now:?}"))
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

/// What another client does to the Deployment.
async fn change(world: &World, name: &str, body: Value) {
    let api = world.api::<Deployment>();
    api.patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("the Deployment changes");
}

/// Every successful write of the Deployment by a controller.
fn writes(world: &World, name: &str) -> Vec<Arc<Entry>> {
    let replica = format!("{}:", world.namespace);
    let by_controller = |entry: &Entry| {
        entry.is_about("deployments", &world.namespace, name)
            && entry.is_write()
            && entry.succeeded()
            && (entry.user == world.user() || entry.user.starts_with(&replica))
    };
    world
        .plane
        .audit()
        .matching(by_controller)
        .expect("the audit log")
}

/// For each write what it says about `spec.paused`, and whether it writes a pod template.
fn shapes(writes: &[Arc<Entry>]) -> Vec<(Option<bool>, bool)> {
    let shape = |entry: &Arc<Entry>| {
        let spec = &entry.request_object.as_ref().expect("the patch as sent")["spec"];
        (spec["paused"].as_bool(), spec.get("template").is_some())
    };
    writes.iter().map(shape).collect()
}

/// The writes, which are these: the audit log has each a moment after its object shows it.
async fn wait_shapes(world: &World, name: &str, expected: &[(Option<bool>, bool)]) -> Vec<Arc<Entry>> {
    let waited = eventually(PATIENCE, "the writes in the audit log", async || {
        let writes = writes(world, name);
        (writes.len() >= expected.len()).then_some(writes)
    });
    let writes = waited.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(shapes(&writes), expected);
    writes
}

const BEGUN: (Option<bool>, bool) = (Some(true), true);
const MARKED: (Option<bool>, bool) = (None, true);
const ENDED: (Option<bool>, bool) = (Some(false), false);
const MARKED_AND_ENDED: (Option<bool>, bool) = (Some(false), true);

/// The template's revisions, as the deployment controller has made them.
async fn replica_sets(world: &World) -> usize {
    let list = world.api::<ReplicaSet>().list(&ListParams::default()).await;
    list.expect("ReplicaSets").items.len()
}

/// Waits until the deployment controller has dealt with the newest state.
async fn wait_observed(world: &World) {
    let waited = eventually(PATIENCE, "the deployment controller", async || {
        let web = world
            .api::<Deployment>()
            .get("web")
            .await
            .expect("the Deployment");
        let observed = web.status.and_then(|status| status.observed_generation);
        (observed.is_some() && observed == web.metadata.generation).then_some(())
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[rstest]
#[case::env_vars("--reload-strategy=env-vars")]
#[case::annotations("--reload-strategy=annotations")]
fn all_changes_of_a_period_are_one_rollout(#[case] strategy: &str) {
    run(async {
        let world = World::with_controller_manager("window").await;
        create_web(&world, "8s").await;
        wait_observed(&world).await;
        let controller = world.controller().arg(strategy).start().await;

        for value in 1..=3 {
            world.change_config_map("settings", &value.to_string()).await;
            world.wait_for_rollouts("deployments", "web", value).await;
        }
        let since = wait_paused(&world, "web").await;
        wait_observed(&world).await;
        assert_eq!(replica_sets(&world).await, 1, "it rolls while it is paused");
        wait_resumed(&world, "web").await;
        wait_observed(&world).await;
        assert_eq!(replica_sets(&world).await, 2);

        let writes = wait_shapes(&world, "web", &[BEGUN, MARKED, MARKED, ENDED]).await;
        assert!(seconds(since, writes[0].request_received).abs() <= 1.5, "{since}");
        let lasted = seconds(writes[0].request_received, writes[3].request_received);
        assert!((8.0..12.0).contains(&lasted), "{lasted} s");
        let template = format!("{:?}", writes[3].pod_template());
        assert!(template.contains(&digest_of("3")), "{template}");

        let namespace = &world.namespace;
        for line in [
            format!("Pausing Deployment 'web' in namespace '{namespace}' for 8s"),
            format!("Deployment 'web' in namespace '{namespace}' already paused"),
            format!("Successfully resumed deployment 'web' in namespace '{namespace}'"),
        ] {
            controller.wait_log(&line).await;
        }
    });
}

/// Waits until nothing is owed any more, now that `settings` has this content: from then on what a next leader has to do is
/// written on the Deployment alone.
async fn wait_settled(world: &World, content: &str) {
    let settled = digest_of(content);
    let waited = eventually(PATIENCE, "a settled ledger", async || {
        let lines = world.ledger().await;
        lines.iter().any(|line| line.ends_with(&settled)).then_some(())
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

#[rstest]
#[case::shipped_roles(false)]
#[case::upstreams_roles(true)]
fn the_next_leader_resumes_in_time(#[case] upstream: bool) {
    run(async {
        let world = World::new("takeover").await;
        if upstream {
            upstream_rbac::replace_rules(&world).await;
        }
        world.create(&config_map("settings", "0")).await;
        let mut fleet = Fleet::start(&world, &SHORT_LEASE).await;
        let first = fleet.take_leader().await;
        // Created after the standbys have listed: where they may not watch, they do not know it.
        if upstream {
            first.wait_log("Not allowed to watch deployments").await;
        }
        world.create(&paused_for("web", "20s")).await;
        if !upstream {
            world.wait_for_ledger(1).await;
        }
        world.change_config_map("settings", "1").await;
        let since = wait_paused(&world, "web").await;
        wait_settled(&world, "1").await;
        first.replica.kill();
        wait_resumed(&world, "web").await;

        let writes = wait_shapes(&world, "web", &[BEGUN, ENDED]).await;
        let second = fleet.leader().await;
        assert_eq!(world.replica_of(&writes[1]), second.name);
        let lasted = seconds(since, writes[1].request_received);
        assert!(lasted >= 20.0, "{lasted} s");
        world.assert_only_leaders_wrote();
    });
}

#[test]
fn a_leader_that_may_not_watch_looks_for_what_was_paused_since_it_listed() {
    run(async {
        let world = World::new("since").await;
        upstream_rbac::replace_rules(&world).await;
        // The first one is killed within it, on a slow machine too.
        create_web(&world, "40s").await;
        let replica = |name: &str| world.controller().elected().args(SHORT_LEASE).name(name);
        let first = replica("first").start().await;
        first.wait_log("became leader").await;

        // The next one lists the Deployment before the change, and the ConfigMap after it: to it nothing has changed.
        let proxy = world.plane.proxy().await.expect("a proxy");
        let held = Rule::new(Fault::Hold).when(|head| head.path.ends_with("/configmaps"));
        let held = proxy.add(held);
        let second = replica("second").through(&proxy).launch().await;
        second.wait_log("created controller for: deployments").await;
        world.change_config_map("settings", "1").await;
        wait_paused(&world, "web").await;
        wait_settled(&world, "1").await;
        held.remove();
        second.wait_ready().await;

        first.replica.kill();
        wait_resumed(&world, "web").await;
        wait_shapes(&world, "web", &[BEGUN, ENDED]).await;
    });
}

/// What happens while no replica runs.
#[rstest]
#[case::the_period_ends(&[(PAUSED_AT, Some("2020-01-01T00:00:00Z"))], false)]
#[case::the_period_ends_and_settings_change(&[(PAUSED_AT, Some("2020-01-01T00:00:00Z"))], true)]
#[case::the_time_is_spoilt(&[(PAUSED_AT, Some("yesterday"))], false)]
#[case::the_period_is_taken_away(&[(PERIOD, None)], false)]
#[case::the_period_is_spoilt(&[(PERIOD, Some("soon"))], false)]
#[case::everything_is_taken_away(&[(PERIOD, None), ("reloader.stakater.com/auto", None)], false)]
fn what_was_left_paused_is_resumed_at_the_start(
    #[case] annotations: &[(&str, Option<&str>)],
    #[case] settings_change: bool,
) {
    run(async {
        let world = World::new("left").await;
        create_web(&world, "1h").await;
        let first = world.controller().start().await;
        world.wait_for_ledger(1).await;
        world.change_config_map("settings", "1").await;
        wait_paused(&world, "web").await;
        first.wait_idle().await;
        first.replica.kill();

        let annotations: serde_json::Map<String, Value> = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        change(
            &world,
            "web",
            json!({ "metadata": { "annotations": annotations } }),
        )
        .await;
        if settings_change {
            world.change_config_map("settings", "2").await;
        }
        // The Deployment is known long before the ConfigMap.
        let proxy = world.plane.proxy().await.expect("a proxy");
        let late = Rule::new(Fault::DelayRequest(Duration::from_secs(2)));
        let _ = proxy.add(late.when(|head| head.path.ends_with("/configmaps")));
        let second = world.controller().through(&proxy).start().await;
        wait_resumed(&world, "web").await;

        // A change that was missed is in the rollout that ends the pause.
        let end = if settings_change { MARKED_AND_ENDED } else { ENDED };
        second.wait_idle().await;
        wait_shapes(&world, "web", &[BEGUN, end]).await;
    });
}

/// Statement 36.
#[rstest]
#[case::shipped_roles(false)]
#[case::upstreams_roles(true)]
fn a_human_who_resumes_is_respected_and_the_next_pause_ends_too(#[case] upstream: bool) {
    run(async {
        let world = World::new("human").await;
        if upstream {
            upstream_rbac::replace_rules(&world).await;
        }
        create_web(&world, "5s").await;
        let _controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        wait_paused(&world, "web").await;

        // As `kubectl rollout resume` does it.
        change(&world, "web", json!({ "spec": { "paused": false } })).await;
        world.change_config_map("settings", "2").await;
        wait_paused(&world, "web").await;
        wait_resumed(&world, "web").await;

        let writes = wait_shapes(&world, "web", &[BEGUN, BEGUN, ENDED]).await;
        let lasted = seconds(writes[1].request_received, writes[2].request_received);
        assert!(lasted >= 5.0, "{lasted} s: the first pause's end was kept");
    });
}

/// Statement 36. Where Deployments may not be watched, the controller does not see what others do to them.
#[rstest]
#[case::from_the_start(false, false)]
#[case::taken_over_in_the_window(true, false)]
#[case::from_the_start_under_upstreams_roles(false, true)]
#[case::taken_over_in_the_window_under_upstreams_roles(true, true)]
fn a_humans_pause_is_never_ended(#[case] in_the_window: bool, #[case] upstream: bool) {
    run(async {
        let world = World::new("theirs").await;
        if upstream {
            upstream_rbac::replace_rules(&world).await;
        }
        world.create(&config_map("settings", "0")).await;
        let mut web = paused_for("web", "3s");
        web.spec.paused = Some(!in_the_window);
        world.create(&web).await;
        // Its pause ends later than `web`'s would.
        world.create(&paused_for("other", "6s")).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        if in_the_window {
            wait_paused(&world, "web").await;
            let without = json!({ "metadata": { "annotations": { PAUSED_AT: null } } });
            change(&world, "web", without).await;
        }

        world.wait_for_rollouts("deployments", "web", 1).await;
        wait_paused(&world, "other").await;
        wait_resumed(&world, "other").await;
        controller.wait_idle().await;
        let theirs = Shown {
            paused: true,
            paused_at: None,
        };
        assert_eq!(shown(&world, "web").await, theirs);
        let first = if in_the_window { BEGUN } else { MARKED };
        wait_shapes(&world, "web", &[first]).await;
    });
}

#[test]
fn a_refused_resume_is_reported_once_and_retried_until_it_succeeds() {
    run(async {
        let world = World::new("refused").await;
        create_web(&world, "3s").await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        wait_paused(&world, "web").await;
        let without_patch: Vec<&str> = SHIPPED.into_iter().filter(|verb| *verb != "patch").collect();
        world.permit("deployments", &without_patch).await;

        let refused = |entries: &[Arc<Entry>]| {
            let refusals = entries.iter().filter(|entry| {
                entry.is_about("deployments", &world.namespace, "web")
                    && entry.verb == "patch"
                    && entry.code == 403
            });
            (refusals.count() >= 2).then_some(())
        };
        let audit = world.plane.audit();
        audit
            .wait_until(PATIENCE, "two refused attempts", refused)
            .await
            .expect("it tries again");
        world.permit("deployments", &SHIPPED).await;
        wait_resumed(&world, "web").await;

        let events = world.wait_for_events("web", "ResumeFail", 1).await;
        assert_eq!(events.len(), 1);
        assert!(matches!(events[0].count, Some(1)), "{events:?}");
        let line = "Failed to resume deployment 'web'";
        let log = controller.replica.log();
        assert_eq!(log.lines().filter(|text| text.contains(line)).count(), 1, "{log}");
    });
}

#[rstest]
#[case::no_unit("5", "missing unit")]
#[case::unknown_unit("1d", "unknown unit")]
#[case::empty("", "expected a duration")]
fn an_invalid_period_is_reported_once_and_restarts_without_a_pause(
    #[case] period: &str,
    #[case] reason: &str,
) {
    run(async {
        let world = World::new("bad").await;
        create_web(&world, period).await;
        let controller = world.controller().start().await;
        for value in 1..=2 {
            world.change_config_map("settings", &value.to_string()).await;
            world.wait_for_rollouts("deployments", "web", value).await;
        }
        wait_shapes(&world, "web", &[MARKED, MARKED]).await;

        let events = world.wait_for_events("web", "InvalidAnnotation", 1).await;
        assert_eq!(events.len(), 1);
        let message = events[0].message.clone().unwrap_or_default();
        assert!(message.contains(reason) && message.contains(PERIOD), "{message}");
        let line = format!("Failed to parse pause interval value '{period}'");
        let log = controller.replica.log();
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    });
}

#[test]
fn an_invalid_period_is_reported_where_watching_is_forbidden() {
    run(async {
        let world = World::new("unwatched").await;
        upstream_rbac::replace_rules(&world).await;
        world.create(&config_map("settings", "0")).await;
        let controller = world.controller().start().await;
        controller.wait_log("Not allowed to watch deployments").await;
        world.create(&paused_for("web", "5")).await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        world.wait_for_events("web", "InvalidAnnotation", 1).await;
        wait_shapes(&world, "web", &[MARKED]).await;
    });
}

#[rstest]
#[case::zero("0s")]
#[case::negative("-5m")]
fn a_zero_period_is_no_pause(#[case] period: &str) {
    run(async {
        let world = World::new("nothing").await;
        create_web(&world, period).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        wait_shapes(&world, "web", &[MARKED]).await;
        assert!(world.events("web", "InvalidAnnotation").await.is_empty());
    });
}

#[test]
fn other_kinds_restart_without_a_pause_and_are_reported_once() {
    run(async {
        let world = World::new("kinds").await;
        world.create(&config_map("settings", "0")).await;
        let annotations = [AUTO[0], (PERIOD, "1h")];
        let db = stateful_set("db", &annotations, &pod_with_config_map("settings"));
        world.create::<StatefulSet>(&db).await;
        let controller = world.controller().start().await;
        for value in 1..=2 {
            world.change_config_map("settings", &value.to_string()).await;
            world.wait_for_rollouts("statefulsets", "db", value).await;
        }
        let line = format!("Annotation '{PERIOD}' only applicable for deployments");
        controller.wait_log(&line).await;
        let log = controller.replica.log();
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    });
}

#[test]
fn a_restart_that_is_refused_pauses_nothing_and_holds_up_no_resume() {
    run(async {
        let world = World::new("frozen").await;
        create_web(&world, "4s").await;
        let freeze = Freeze::begin(&world).await;
        let _controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        world.wait_for_events("web", "ReloadFail", 1).await;
        assert!(!shown(&world, "web").await.paused, "paused without a restart");
        freeze.end(&world).await;
        wait_paused(&world, "web").await;

        Freeze::begin(&world).await;
        world.change_config_map("settings", "2").await;
        wait_resumed(&world, "web").await;
        wait_shapes(&world, "web", &[BEGUN, ENDED]).await;
    });
}

#[test]
fn both_annotations_can_be_renamed() {
    run(async {
        let world = World::new("renamed").await;
        world.create(&config_map("settings", "0")).await;
        // The names it would have otherwise mean nothing then.
        let annotations = [
            AUTO[0],
            ("example.com/period", "2s"),
            (PERIOD, "soon"),
            (PAUSED_AT, "never"),
        ];
        let web = deployment("web", &annotations, &pod_with_config_map("settings"));
        world.create::<Deployment>(&web).await;
        let _controller = world
            .controller()
            .arg("--pause-deployment-annotation=example.com/period")
            .arg("--pause-deployment-time-annotation=example.com/since")
            .start()
            .await;
        world.change_config_map("settings", "1").await;
        let writes = eventually(PATIENCE, "the end of the pause", async || {
            let writes = writes(&world, "web");
            (shapes(&writes).last() == Some(&ENDED)).then_some(writes)
        });
        let writes = writes.await.unwrap_or_else(|error| panic!("{error}"));

        assert_eq!(shapes(&writes), [BEGUN, ENDED]);
        let since = |entry: &Entry| {
            let stored = entry.response_object.clone().unwrap_or_default();
            stored["metadata"]["annotations"]["example.com/since"].clone()
        };
        let begun: Timestamp = since(&writes[0])
            .as_str()
            .expect("a time")
            .parse()
            .expect("RFC 3339");
        assert!(seconds(begun, writes[0].request_received).abs() <= 1.5, "{begun}");
        assert!(since(&writes[1]).is_null());
        let others = shown(&world, "web").await.paused_at;
        assert_eq!(others.as_deref(), Some("never"));
        assert!(world.events("web", "InvalidAnnotation").await.is_empty());
    });
}
