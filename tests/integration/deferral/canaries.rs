//! Canaries: who tries a content first, for how long, and how it goes on from there.

use k8s_openapi::api::core::v1::Secret;

use super::{
    BAKE_TIME, CANARY, MAX_CONCURRENT, annotate,
    users::{USERS, create_users, ready, restarts, wait_complete, wait_for_restarts},
    waiting,
};
use crate::harness::{World, run};

const BAKES: i64 = 3;

/// Statement 8: the second one begins when the first is proved, and then never more are on trial than are proved.
#[test]
fn a_content_reaches_as_many_more_as_have_been_well_with_it_for_the_bake_time() {
    const FEW: usize = 8;
    run(async {
        let world = World::new("bakes").await;
        let bakes = format!("{BAKES}s");
        let limits = [(CANARY, "1"), (BAKE_TIME, bakes.as_str())];
        let rollouts = create_users(&world, &limits, FEW, &[]).await;
        let controller = ready(&world, FEW, &[]).await;
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, FEW).await;
        controller.wait_idle().await;
        wait_complete(&world, FEW).await;

        let writes = world.writes_to("deployments");
        let names: Vec<_> = writes.iter().map(|write| write.name.clone()).collect();
        assert_eq!(names.len(), FEW, "{names:?}");
        let mut proved_at = Vec::new();
        for (number, write) in writes.iter().enumerate() {
            // Times of conditions have whole seconds, and so has the bake time.
            let at = write.request_received.as_second();
            let proved = proved_at.iter().filter(|proved_at| **proved_at <= at).count();
            let on_trial = number - proved;
            assert!(
                on_trial < proved.max(1),
                "{}: {proved} are proved, {on_trial} on trial at {at}: {proved_at:?}",
                write.name
            );
            proved_at.push(world.completed_at(&[&write.name]).await + BAKES);
        }
        drop(rollouts);
    });
}

/// Statement 17: none of them is well, so that none could be a canary; the good content is what mends them.
#[test]
fn a_good_content_reaches_those_that_a_bad_one_has_broken() {
    run(async {
        let world = World::new("mended").await;
        let rollouts = create_users(&world, &[], USERS, &[]).await;
        rollouts.fails_with("bad");
        let controller = ready(&world, USERS, &[]).await;
        world.change_secret("shared", "bad").await;
        wait_for_restarts(&world, &controller, USERS).await;
        controller.wait_idle().await;
        controller
            .wait_metric(r#"reloader_stale_workloads{reason="failed"}"#, 20.0)
            .await;

        for (key, value) in [(CANARY, "1"), (MAX_CONCURRENT, "5")] {
            annotate(&world.api::<Secret>(), "shared", key, Some(value)).await;
        }
        rollouts.reset_peak();
        world.change_secret("shared", "better").await;
        wait_for_restarts(&world, &controller, 2 * USERS).await;
        controller.wait_idle().await;
        wait_complete(&world, USERS).await;
        assert_eq!(restarts(&world).await, [2; USERS]);
        assert!(rollouts.peak() <= 5, "{}", rollouts.peak());

        // They are well: the next content has its canary.
        rollouts.stand_still();
        world.change_secret("shared", "best").await;
        controller.wait_metric(&waiting("canary"), 19.0).await;
        assert_eq!(restarts(&world).await.iter().sum::<usize>(), 2 * USERS + 1);
        rollouts.go_on();
        wait_for_restarts(&world, &controller, 3 * USERS).await;
        controller.wait_idle().await;
        assert_eq!(restarts(&world).await, [3; USERS]);
    });
}
