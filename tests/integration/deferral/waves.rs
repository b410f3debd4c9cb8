//! Who waits for whom: waves of one source, and workloads that owe restarts for several.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use rstest::rstest;
use testbed::eventually;

use super::{
    CANARY, REQUESTED_AT, SUSPEND, WAVE, WINDOW, annotate,
    users::{TAKES, wait_complete},
    waiting,
};
use crate::{
    bursts::Policy,
    harness::{
        PATIENCE, World,
        objects::{deployment, secret},
        observe::{AUTO, digest_of, pod_with},
        run,
    },
};

async fn create_user(world: &World, name: &str, secrets: &[&str], annotations: &[(&str, &str)]) {
    let annotations: Vec<_> = AUTO.iter().chain(annotations).copied().collect();
    let pod = pod_with(&[], secrets);
    world.create(&deployment(name, &annotations, &pod)).await;
}

/// Waits until the template of a Deployment shows that content.
async fn wait_fresh(world: &World, name: &str, content: &str) {
    let (what, digest) = (format!("{content} in {name}"), digest_of(content));
    eventually(PATIENCE, &what, async || {
        world.templates().await[name].contains(&digest).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

#[derive(Clone, Copy, Debug)]
enum Stuck {
    Suspended,
    Refused,
}

/// Statement 20: no restart for the source ends what a workload of the lower wave waits for.
#[rstest]
fn a_wave_does_not_wait_for_what_is_stuck(#[values(Stuck::Suspended, Stuck::Refused)] stuck: Stuck) {
    run(async {
        let world = World::alone("stuck").await;
        let rollouts = world.play(TAKES, &[]);
        world.create(&secret("shared", "good")).await;
        // The admission policy refuses the one of this name.
        let annotations = match stuck {
            Stuck::Suspended => &[(WAVE, "-1"), (SUSPEND, "true")][..],
            Stuck::Refused => &[(WAVE, "-1")],
        };
        create_user(&world, "refused", &["shared"], annotations).await;
        create_user(&world, "first", &["shared"], &[(WAVE, "-1")]).await;
        create_user(&world, "later", &["shared"], &[]).await;
        let policy = match stuck {
            Stuck::Suspended => None,
            Stuck::Refused => Some(Policy::create(&world).await),
        };
        let controller = world.controller().start().await;
        wait_complete(&world, 3).await;
        world.change_secret("shared", "better").await;
        for name in ["first", "later"] {
            wait_fresh(&world, name, "better").await;
        }
        assert_eq!(world.rollouts("deployments", "refused"), 0);

        match policy {
            None => annotate(&world.api::<Deployment>(), "refused", SUSPEND, None).await,
            Some(policy) => policy.delete(&world).await,
        }
        wait_fresh(&world, "refused", "better").await;
        controller.wait_idle().await;
        for name in ["refused", "first", "later"] {
            assert_eq!(world.rollouts("deployments", name), 1, "{name}");
        }
        drop(rollouts);
    });
}

/// Statement 21: its window will open, and then it is the first.
#[test]
fn a_wave_waits_for_what_is_outside_of_its_window() {
    run(async {
        let world = World::new("outside").await;
        let rollouts = world.play(TAKES, &[]);
        world.create(&secret("shared", "good")).await;
        create_user(&world, "first", &["shared"], &[(WAVE, "-1"), (WINDOW, "manual")]).await;
        create_user(&world, "later", &["shared"], &[]).await;
        let controller = world.controller().start().await;
        wait_complete(&world, 2).await;
        world.change_secret("shared", "better").await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        controller.wait_metric(&waiting("wave"), 1.0).await;
        assert!(world.writes_to("deployments").is_empty());

        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        annotate(&world.api::<Deployment>(), "first", REQUESTED_AT, Some(&now)).await;
        wait_fresh(&world, "later", "better").await;
        controller.wait_idle().await;
        let writes = world.writes_to("deployments");
        let order: Vec<_> = writes.iter().map(|write| &*write.name).collect();
        assert_eq!(order, ["first", "later"]);
        drop(rollouts);
    });
}

/// Statement 22: each is a canary of both, and neither waits for the other for ever.
#[test]
fn two_that_owe_for_the_same_two_sources_do_not_wait_for_each_other() {
    run(async {
        let world = World::new("crossed").await;
        let rollouts = world.play(TAKES, &[]);
        for name in ["one", "two"] {
            world.create(&secret(name, "good")).await;
            annotate(&world.api::<Secret>(), name, CANARY, Some("1")).await;
        }
        create_user(&world, "a", &["one", "two"], &[]).await;
        create_user(&world, "b", &["two", "one"], &[]).await;
        let controller = world.controller().start().await;
        wait_complete(&world, 2).await;
        for round in 1..=3 {
            let contents = ["first", "second"].map(|of| format!("{of} {round}"));
            tokio::join!(
                world.change_secret("one", &contents[0]),
                world.change_secret("two", &contents[1])
            );
            for name in ["a", "b"] {
                for content in &contents {
                    wait_fresh(&world, name, content).await;
                }
            }
        }
        controller.wait_idle().await;
        assert_eq!(rollouts.peak(), 1);
    });
}

/// Statement 23.
#[test]
fn a_halt_holds_back_only_those_that_owe_for_its_source() {
    run(async {
        let world = World::new("other-halt").await;
        let rollouts = world.play(TAKES, &[]);
        rollouts.fails_with("bad");
        for name in ["one", "two"] {
            world.create(&secret(name, "good")).await;
            annotate(&world.api::<Secret>(), name, CANARY, Some("1")).await;
        }
        create_user(&world, "fails", &["two"], &[]).await;
        create_user(&world, "both", &["one", "two"], &[(WAVE, "1")]).await;
        create_user(&world, "free", &["one"], &[]).await;
        let controller = world.controller().start().await;
        wait_complete(&world, 3).await;
        world.change_secret("two", "bad").await;
        controller.wait_metric(&waiting("halted"), 1.0).await;
        world.change_secret("one", "better").await;
        wait_fresh(&world, "free", "better").await;
        controller.wait_metric("reloader_pending_reloads", 1.0).await;
        controller.wait_metric(&waiting("halted"), 1.0).await;
        assert_eq!(world.rollouts("deployments", "both"), 0);

        world.change_secret("two", "good").await;
        wait_fresh(&world, "both", "better").await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "both"), 1);
        assert_eq!(world.rollouts("deployments", "free"), 1);
    });
}
