//! Changes while no replica runs are restarted for at the next start; where nothing changed, nothing is restarted.

use futures::{StreamExt, stream};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams};
use rstest::rstest;
use serde_json::json;
use testbed::eventually;

use crate::harness::{
    PATIENCE, World, ledger,
    objects::{config_map, deployment, pod_with_config_map},
    run,
    sentinel::Sentinel,
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
const ONE_WORKER: &str = "--workers=1";

/// So many ConfigMaps `app-<n>`, each used by a Deployment of its name.
async fn create_pairs(world: &World, count: usize) {
    let create = async |number: usize| {
        let name = format!("app-{number}");
        world.create(&config_map(&name, "0")).await;
        world
            .create(&deployment(&name, &[AUTO], &pod_with_config_map(&name)))
            .await;
    };
    stream::iter(0..count).for_each_concurrent(8, create).await;
}

/// How often each Deployment `app-<n>` was rolled.
fn rollouts(world: &World, count: usize) -> Vec<usize> {
    (0..count)
        .map(|number| world.rollouts("deployments", &format!("app-{number}")))
        .collect()
}

async fn recreate(world: &World, name: &str, value: &str) {
    let api = world.api::<ConfigMap>();
    api.delete(name, &DeleteParams::default())
        .await
        .expect("the ConfigMap is deleted");
    world.create(&config_map(name, value)).await;
}

#[rstest]
fn changes_made_while_no_replica_runs_roll_exactly_their_workloads_once(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let world = World::new("down").await;
        create_pairs(&world, 100).await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world.controller().args([ONE_WORKER, strategy]).start().await;
        world.wait_for_ledger(102).await;
        first.replica.kill();

        let expected: Vec<usize> = (0..100).map(|number| usize::from(number % 5 == 0)).collect();
        for (number, changed) in expected.iter().enumerate() {
            let name = format!("app-{number}");
            match (changed, number % 3) {
                (1, 0) => recreate(&world, &name, "1").await,
                (1, _) => world.change_config_map(&name, "1").await,
                (_, 0) => recreate(&world, &name, "0").await,
                _ => {}
            }
        }

        let _second = world.controller().args([ONE_WORKER, strategy]).start().await;
        for (number, _) in expected.iter().enumerate().filter(|(_, changed)| **changed == 1) {
            world
                .wait_for_rollouts("deployments", &format!("app-{number}"), 1)
                .await;
        }
        sentinel.pass().await;
        assert_eq!(rollouts(&world, 100), expected);
        world.wait_for_ledger(102).await;
    });
}

#[rstest]
fn restarts_with_nothing_changed_write_nothing(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("restarts").await;
        create_pairs(&world, 20).await;
        let mut sentinel = Sentinel::new(&world).await;
        for round in 0..10 {
            let controller = world.controller().args([ONE_WORKER, strategy]).start().await;
            if round == 0 {
                world.wait_for_ledger(22).await;
            }
            if round % 2 == 0 {
                controller.replica.kill();
            } else {
                controller.replica.terminate().expect("it runs");
                controller.wait_exit(crate::harness::PATIENCE).await;
            }
        }
        let _last = world.controller().args([ONE_WORKER, strategy]).start().await;
        sentinel.pass().await;
        assert_eq!(rollouts(&world, 20), [0; 20]);
    });
}

/// The ledger is written up to 5 s after a restart. Who dies before has left it as it was before the change, and so it
/// says nothing when the source is what it was before, too. The pods are not.
#[rstest]
fn a_return_to_the_content_before_a_restart_that_was_not_written_down_is_rolled_out(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
) {
    run(async {
        let world = World::new("return").await;
        create_pairs(&world, 2).await;
        let mut sentinel = Sentinel::new(&world).await;
        let mut leader = world.controller().args([ONE_WORKER, strategy]).start().await;
        let mut expected = 0;
        // A computer that is slow enough writes the ledger before the leader is killed: then there was no gap.
        for number in 0.. {
            assert!(number < 20, "the ledger is always written at once");
            let before = world.wait_for_ledger(4).await;
            world.change_config_map("app-0", &format!("other-{number}")).await;
            expected += 1;
            world.wait_for_rollouts("deployments", "app-0", expected).await;
            leader.replica.kill();
            let after = world.ledger().await;
            world.change_config_map("app-0", "0").await;
            leader = world.controller().args([ONE_WORKER, strategy]).start().await;
            expected += 1;
            world.wait_for_rollouts("deployments", "app-0", expected).await;
            if before == after {
                break;
            }
        }
        sentinel.pass().await;
        leader.replica.kill();
        let _last = world.controller().args([ONE_WORKER, strategy]).start().await;
        sentinel.pass().await;
        assert_eq!(rollouts(&world, 2), [expected, 0]);
    });
}

#[test]
fn a_ledger_that_was_deleted_or_garbled_means_that_the_present_is_settled() {
    run(async {
        let world = World::new("garbled").await;
        create_pairs(&world, 3).await;
        let mut sentinel = Sentinel::new(&world).await;
        let api = world.api::<ConfigMap>();
        let first = world.controller().arg(ONE_WORKER).start().await;
        let lines = world.wait_for_ledger(5).await;
        first.replica.kill();

        let kept = lines
            .iter()
            .find(|line| line.contains("app-1"))
            .and_then(|line| line.rsplit_once(' '))
            .map(|(head, _)| head)
            .expect("a line for app-1");
        let object = api.get(ledger::NAME).await.expect("a ledger");
        let stored = object
            .data
            .and_then(|mut data| data.remove("sources"))
            .unwrap_or_default();
        let kept = stored
            .lines()
            .find(|line| line.starts_with(kept))
            .expect("it as it is stored");
        let garbled = json!({ "data": { "sources": format!("nonsense\nconfigmap x\n{kept}\n\u{1F980}") } });
        api.patch(ledger::NAME, &PatchParams::default(), &Patch::Merge(garbled))
            .await
            .expect("it is garbled");
        for number in 0..3 {
            world.change_config_map(&format!("app-{number}"), "1").await;
        }
        let second = world.controller().arg(ONE_WORKER).start().await;
        second.wait_log("holds lines that this version cannot read").await;
        world.wait_for_rollouts("deployments", "app-1", 1).await;
        // What could not be read may be of a later version: it stays.
        let complete = async || {
            let lines = world.ledger().await;
            let settled = lines.iter().filter(|line| line.split(' ').count() == 4);
            (settled.count() == 5 && lines.len() == 8).then_some(())
        };
        eventually(PATIENCE, "five sources and three other lines", complete)
            .await
            .unwrap();

        api.delete(ledger::NAME, &DeleteParams::default())
            .await
            .expect("it is deleted");
        world.change_config_map("app-2", "2").await;
        world.wait_for_rollouts("deployments", "app-2", 1).await;
        eventually(PATIENCE, "the same again", complete).await.unwrap();
        sentinel.pass().await;
        assert_eq!(rollouts(&world, 3), [0, 1, 1]);
    });
}

#[test]
fn the_next_leader_restarts_what_a_dead_leader_owed() {
    run(async {
        let world = World::new("owing").await;
        create_pairs(&world, 1).await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world.controller().arg(ONE_WORKER).start().await;
        world.wait_for_ledger(3).await;
        // Nothing is sent before a minute of quiet: the leader dies owing.
        first.replica.kill();
        let slow = world.controller().arg("--coalesce-window=1m").start().await;
        world.change_config_map("app-0", "1").await;
        slow.wait_metric("reloader_pending_reloads", 1.0).await;
        slow.replica.kill();
        let _third = world.controller().arg(ONE_WORKER).start().await;
        world.wait_for_rollouts("deployments", "app-0", 1).await;
        sentinel.pass().await;
        assert_eq!(rollouts(&world, 1), [1]);
    });
}

async fn in_a_later_second() {
    let now = Timestamp::now().as_second();
    eventually(PATIENCE, "a later second", async || {
        (now < Timestamp::now().as_second()).then_some(())
    })
    .await
    .unwrap();
}

/// A later write of a label is no later change.
#[rstest]
fn a_workload_created_after_an_unseen_change_is_left_alone(#[values(false, true)] labelled_later: bool) {
    run(async {
        let world = World::new("younger").await;
        create_pairs(&world, 1).await;
        let mut sentinel = Sentinel::new(&world).await;
        let first = world.controller().arg(ONE_WORKER).start().await;
        world.wait_for_ledger(3).await;
        first.replica.kill();
        world.change_config_map("app-0", "1").await;
        // Times have whole seconds. Within one, the label's resourceVersion hides that of the data.
        in_a_later_second().await;
        world
            .create(&deployment("late", &[AUTO], &pod_with_config_map("app-0")))
            .await;
        if labelled_later {
            in_a_later_second().await;
            let label = json!({ "metadata": { "labels": { "team": "a" } } });
            // As `kubectl label` does: the API server keeps one time for all that a manager owns.
            let params = PatchParams {
                field_manager: Some("kubectl-label".to_owned()),
                ..PatchParams::default()
            };
            let api = world.api::<ConfigMap>();
            api.patch("app-0", &params, &Patch::Merge(label))
                .await
                .expect("a label");
        }
        let _second = world.controller().arg(ONE_WORKER).start().await;
        world.wait_for_rollouts("deployments", "app-0", 1).await;
        sentinel.pass().await;
        assert_eq!(
            world.rollouts("deployments", "late"),
            0,
            "its pods have never had another content"
        );
    });
}

#[test]
fn without_permission_the_ledger_is_reported_once_and_restarts_continue() {
    run(async {
        let world = World::new("forbidden").await;
        create_pairs(&world, 1).await;
        world.revoke("own").await;
        let controller = world.controller().arg(ONE_WORKER).start().await;
        controller
            .wait_log("No permission to keep the ledger reloader-ledger")
            .await;
        world.change_config_map("app-0", "1").await;
        world.wait_for_rollouts("deployments", "app-0", 1).await;
        assert_eq!(
            controller
                .replica
                .log()
                .matches("No permission to keep the ledger")
                .count(),
            1
        );
    });
}

/// Otherwise each restart would change the ledger, and each change of the ledger restart it.
#[test]
fn the_ledger_is_no_source_of_a_workload_that_listens_to_every_config_map() {
    run(async {
        let world = World::new("all-ears").await;
        world.create(&config_map("app", "0")).await;
        let every = ("configmap.reloader.stakater.com/reload", "app|.*ledger.*");
        let web = deployment("web", &[every], &pod_with_config_map("app"));
        world.create(&web).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        let before = world.wait_for_ledger(3).await;
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        eventually(PATIENCE, "the ledger to be written", async || {
            let written = world.ledger().await != before;
            Ok::<_, String>(written.then_some(()))
        })
        .await
        .expect("it is");
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

/// From that moment on the source is like any other; what changed before does not count.
#[test]
fn a_source_counts_from_the_moment_it_is_not_ignored_any_more() {
    run(async {
        let world = World::new("unignored").await;
        let annotate = async |value: Option<&str>| {
            let annotations = json!({ "reloader.stakater.com/ignore": value });
            let body = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
            world
                .api::<ConfigMap>()
                .patch("app-0", &PatchParams::default(), &body)
                .await
                .expect("the ConfigMap changes");
        };
        create_pairs(&world, 1).await;
        let controller = world.controller().start().await;
        world.wait_for_ledger(1).await;
        annotate(Some("true")).await;
        world.wait_for_ledger(0).await;
        world.change_config_map("app-0", "1").await;
        annotate(None).await;
        world.wait_for_ledger(1).await;
        controller.replica.kill();

        let controller = world.controller().start().await;
        controller.wait_idle().await;
        assert_eq!(rollouts(&world, 1), [0], "nothing has changed since");
        controller.replica.kill();
        world.change_config_map("app-0", "2").await;
        let _controller = world.controller().start().await;
        world.wait_for_rollouts("deployments", "app-0", 1).await;
    });
}
