//! Patches that fail on the way there or on the way back.

use std::time::Duration;

use rstest::rstest;
use testbed::{
    Entry, eventually,
    proxy::{Fault, Rule, StreamFault},
};

use super::{ANNOTATIONS, ENV_VARS, ONE_WORKER, create_app, is_about, passages, world};
use crate::harness::{PATIENCE, World, controller::Controller, run, sentinel::Sentinel};

const APP: &str = "/deployments/app";

/// Changes the source of `app`; returns when the workload is rolled and nothing is owed any more.
async fn change_and_settle(world: &World, controller: &Controller, sentinel: &mut Sentinel<'_>) {
    world.change_config_map("app", "1").await;
    world.wait_for_rollouts("deployments", "app", 1).await;
    controller.wait_metric("reloader_pending_reloads", 0.0).await;
    sentinel.pass().await;
}

#[rstest]
#[case::throttled(Fault::Status { code: 429, retry_after: Some(1) })]
#[case::conflict(Fault::Status { code: 409, retry_after: None })]
#[case::broken(Fault::Status { code: 500, retry_after: None })]
#[case::unavailable(Fault::Status { code: 503, retry_after: None })]
#[case::timed_out(Fault::Status { code: 504, retry_after: None })]
#[case::reset(Fault::Reset)]
fn a_patch_that_fails_is_repeated_until_it_has_succeeded_once(
    #[case] fault: Fault,
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let (world, proxy) = world("failing").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let args = [ONE_WORKER, strategy];
        let controller = world.controller().args(args).through(&proxy).start().await;
        let rule = proxy.add(Rule::new(fault.clone()).method("PATCH").path(APP).times(3));
        change_and_settle(&world, &controller, &mut sentinel).await;
        assert_eq!(rule.hits(), 3);
        assert_eq!(world.rollouts("deployments", "app"), 1);
        let attempts = passages(&proxy, "PATCH", APP);
        assert_eq!(attempts.len(), 4, "{attempts:#?}");
        if matches!(fault, Fault::Status { code: 429, .. }) {
            for pair in attempts.windows(2) {
                let waited = pair[1].at.duration_since(pair[0].at).unsigned_abs();
                assert!(waited >= Duration::from_secs(1), "Retry-After: 1, but {waited:?}");
            }
        }
    });
}

/// With the watch of the workload silent, only the API server can tell that the patch is a repetition.
#[rstest]
fn a_patch_whose_answer_is_lost_rolls_once(
    #[values(Fault::DropAnswer, Fault::TruncateBody(100))] fault: Fault,
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
    #[values(true, false)] watch_is_silent: bool,
) {
    run(async {
        let (world, proxy) = world("lost").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let args = [ONE_WORKER, strategy];
        let controller = world.controller().args(args).through(&proxy).start().await;
        if watch_is_silent {
            eventually(PATIENCE, "an open watch of deployments", async || {
                (proxy.disturb(is_about("deployments"), &StreamFault::Silence) == 1).then_some(())
            })
            .await
            .unwrap();
        }
        let times = if watch_is_silent { 2 } else { 1 };
        let rule = proxy.add(Rule::new(fault).method("PATCH").path(APP).times(times));
        change_and_settle(&world, &controller, &mut sentinel).await;
        assert_eq!(rule.hits(), times);
        assert_eq!(world.rollouts("deployments", "app"), 1);
        let is_patch =
            |entry: &Entry| entry.verb == "patch" && entry.is_about("deployments", &world.namespace, "app");
        let patches = world.plane.audit().matching(is_patch).unwrap();
        let applied = patches.iter().filter(|patch| patch.succeeded()).count();
        assert_eq!(applied, 1, "{patches:#?}");
        if watch_is_silent {
            // The repetitions rest on a version of before the first.
            let codes: Vec<_> = patches.iter().map(|patch| patch.code).collect();
            assert_eq!(codes, [200, 409, 409]);
        }
    });
}

/// A role that may patch but not read: the repetition goes out all the same, and changes nothing.
#[test]
fn without_the_permission_to_read_a_conflict_is_overcome() {
    run(async {
        let (world, proxy) = world("blind").await;
        create_app(&world, "app").await;
        world.permit("deployments", &["list", "watch", "patch"]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().through(&proxy).start().await;
        let conflict = Fault::Status {
            code: 409,
            retry_after: None,
        };
        let rule = proxy.add(Rule::new(conflict).method("PATCH").path(APP).times(1));
        change_and_settle(&world, &controller, &mut sentinel).await;
        assert_eq!(rule.hits(), 1);
        let is_patch =
            |entry: &Entry| entry.verb == "patch" && entry.is_about("deployments", &world.namespace, "app");
        let patches = world.plane.audit().matching(is_patch).unwrap();
        assert_eq!(patches.len(), 1);
        let version =
            |patch: &Entry| patch.request_object.as_ref().unwrap()["metadata"]["resourceVersion"].clone();
        assert!(version(&patches[0]).is_null(), "{patches:#?}");
    });
}

/// A server that takes longer than the controller waits: the first attempt arrives after the second, and is refused.
#[rstest]
fn a_patch_that_arrives_late_rolls_once(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let (world, proxy) = world("late").await;
        create_app(&world, "app").await;
        let mut sentinel = Sentinel::new(&world).await;
        let args = [ONE_WORKER, strategy];
        let controller = world.controller().args(args).through(&proxy).start().await;
        let late = Duration::from_secs(12);
        let rule = proxy.add(
            Rule::new(Fault::DelayRequest(late))
                .method("PATCH")
                .path(APP)
                .times(1),
        );
        change_and_settle(&world, &controller, &mut sentinel).await;
        let attempts = eventually(PATIENCE, "the late patch", async || {
            let attempts = passages(&proxy, "PATCH", APP);
            attempts
                .iter()
                .all(|attempt| attempt.code.is_some())
                .then_some(attempts)
        })
        .await
        .unwrap();
        let codes: Vec<_> = attempts.iter().map(|attempt| attempt.code).collect();
        assert_eq!(codes, [Some(409), Some(200)]);
        sentinel.pass().await;
        assert_eq!(rule.hits(), 1);
        assert_eq!(world.rollouts("deployments", "app"), 1);
    });
}

/// An answer that never comes holds up its own workload only, where there is a second worker.
#[test]
fn a_patch_that_is_never_answered_delays_no_other_workload() {
    run(async {
        let (world, proxy) = world("stalled").await;
        create_app(&world, "app").await;
        create_app(&world, "other").await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .arg("--workers=2")
            .through(&proxy)
            .start()
            .await;
        let rule = proxy.add(Rule::new(Fault::Stall).method("PATCH").path(APP));
        world.change_config_map("app", "1").await;
        eventually(PATIENCE, "the patch that stalls", async || {
            (rule.hits() == 1).then_some(())
        })
        .await
        .unwrap();
        world.change_config_map("other", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        assert_eq!(world.rollouts("deployments", "app"), 0);
        rule.remove();
        world.wait_for_rollouts("deployments", "app", 1).await;
        controller.wait_metric("reloader_pending_reloads", 0.0).await;
        sentinel.pass().await;
        assert_eq!(
            (
                world.rollouts("deployments", "app"),
                world.rollouts("deployments", "other")
            ),
            (1, 1)
        );
    });
}
