//! Limits while leaders die, hand over, and come back from standing still; what standbys know of waits.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Secret, jiff::Timestamp};
use reloader::explain::{Deferral, Explanation, Owes};
use testbed::eventually;

use super::{
    CANARY, MAX_CONCURRENT, SUSPEND, WAVE, WINDOW, annotate,
    users::{USERS, create_user, create_users, ready, restarts, user, wait_complete, wait_for_restarts},
};
use crate::harness::{Controller, PATIENCE, World, field::catch, fleet::Fleet, rollouts::Rollouts, run};

const LIMIT: usize = 3;
/// Sooner over than the default lease, yet not lost because a busy computer renews it a little late.
const SHORT_LEASE: [&str; 3] = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];

async fn create(world: &World) -> Rollouts {
    create_users(world, &[(MAX_CONCURRENT, &LIMIT.to_string())], USERS, &[]).await
}

/// Statement 5: a leader that is killed at its first restart, the next at its third, the next at its tenth.
#[test]
fn a_limit_holds_over_leaders() {
    run(async {
        let world = World::new("leaders").await;
        let rollouts = create(&world).await;
        let mut controller = ready(&world, USERS, &[]).await;
        world.change_secret("shared", "better").await;
        for at in [1, 3, 10] {
            let written = || world.writes_to("deployments").len();
            let killed_at = (written() + at).min(USERS);
            catch("the restart", || written() >= killed_at).await;
            controller.replica.kill();
            controller = world.controller().start().await;
        }
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= LIMIT, "{}", rollouts.peak());
    });
}

async fn start_fleet<'a>(world: &'a World, args: &[&str]) -> Fleet<'a> {
    let fleet = Fleet::start(world, args).await;
    world.wait_for_ledger(1).await;
    wait_complete(world, USERS).await;
    fleet
}

/// Statement 6.
#[test]
fn a_limit_holds_when_leaders_hand_over() {
    run(async {
        let world = World::new("handovers").await;
        let rollouts = create(&world).await;
        let mut fleet = start_fleet(&world, &[]).await;
        world.change_secret("shared", "better").await;
        for restarted in [2, 9] {
            let leader = fleet.take_leader().await;
            wait_for_restarts(&world, &leader, restarted).await;
            leader.replica.terminate().expect("it runs");
            assert_eq!(leader.wait_exit(PATIENCE).await, Some(0));
        }
        let last = fleet.leader().await;
        wait_for_restarts(&world, last, USERS).await;
        last.wait_idle().await;
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= LIMIT, "{}", rollouts.peak());
        world.assert_only_leaders_wrote();
    });
}

/// Statement 7: one more than may, at most, and none twice.
#[test]
fn a_limit_holds_when_a_leader_wakes_that_stood_still() {
    run(async {
        let world = World::new("zombie").await;
        let rollouts = create(&world).await;
        let mut fleet = start_fleet(&world, &SHORT_LEASE).await;
        world.change_secret("shared", "better").await;
        let zombie = fleet.take_leader().await;
        wait_for_restarts(&world, &zombie, 4).await;
        zombie.replica.pause().expect("it runs");
        // What was on its way is stored by the time that the next one leads.
        let leader = fleet.leader().await;
        let restarted: usize = restarts(&world).await.iter().sum();
        wait_for_restarts(&world, leader, (restarted + 1).min(USERS)).await;

        let woken = Timestamp::now();
        zombie.replica.resume().expect("it is there");
        let code = zombie.wait_exit(Duration::from_mins(1)).await;
        assert_eq!(code, Some(1), "{}", zombie.replica.log());
        wait_for_restarts(&world, leader, USERS).await;
        leader.wait_idle().await;
        let by_zombie = |entry: &testbed::Entry| {
            entry.namespace == world.namespace
                && entry.user.ends_with(&zombie.name)
                && entry.is_write()
                && entry.resource == "deployments"
                && entry.request_received >= woken
                && entry.succeeded()
        };
        let late = world.plane.audit().matching(by_zombie).expect("the audit log");
        assert!(late.len() <= 1, "{late:#?}");
        assert_eq!(restarts(&world).await, [1; USERS]);
        assert!(rollouts.peak() <= LIMIT + late.len(), "{}", rollouts.peak());
    });
}

/// What a replica answers a restart of that workload waits for.
async fn deferral(world: &World, replica: &Controller, name: &str) -> Option<Deferral> {
    let path = format!("/v1/workloads/Deployment/{}/{name}", world.namespace);
    let answer: Explanation = replica.answer(&path).await;
    answer.sources.into_iter().find_map(|source| match source.owes {
        Owes::Restart(owed) => owed.deferred,
        Owes::Unknown | Owes::Nothing => None,
    })
}

/// Statement 47: whichever replica is asked. The words are those of the golden texts of `explain`.
#[test]
fn standbys_give_the_reasons_that_the_leader_has() {
    run(async {
        let world = World::new("reasons").await;
        let rollouts = create_users(&world, &[(CANARY, "1")], 0, &[]).await;
        rollouts.fails_with("bad");
        let annotations: [&[(&str, &str)]; 5] = [
            &[(SUSPEND, "true")],
            &[(WINDOW, "manual")],
            &[(WINDOW, r#"[{"schedule": "0 0 30 2 *", "duration": "1h"}]"#)],
            // The canary, which fails.
            &[],
            &[(WAVE, "1")],
        ];
        for (number, annotations) in annotations.into_iter().enumerate() {
            create_user(&world, number, annotations).await;
        }
        let fleet = Fleet::start(&world, &[]).await;
        world.wait_for_ledger(1).await;
        wait_complete(&world, annotations.len()).await;
        annotate(&world.api::<Secret>(), "shared", MAX_CONCURRENT, Some("1")).await;
        world.change_secret("shared", "bad").await;
        for (number, reason) in [(0, "suspended"), (1, "window"), (2, "window"), (4, "halted")] {
            let what = format!("{reason} of every replica");
            let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
                let mut found = Vec::new();
                for replica in fleet.replicas() {
                    found.push(deferral(&world, replica, &user(number)).await);
                }
                let is_so = |deferral: &Option<Deferral>| {
                    *deferral == found[0] && deferral.as_ref().is_some_and(|of| of.reason == reason)
                };
                if found.iter().all(is_so) {
                    Ok(Some(()))
                } else {
                    Err(format!("{found:#?}"))
                }
            });
            waited.await.unwrap_or_else(|error| panic!("{error}"));
        }
        drop(rollouts);
    });
}
