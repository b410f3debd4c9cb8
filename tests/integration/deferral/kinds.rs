//! Limits and canaries over workloads of all kinds.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Secret,
};
use kube::api::ListParams;
use serde_json::json;
use testbed::eventually;

use super::{CANARY, MAX_CONCURRENT, annotate, users::TAKES, waiting};
use crate::harness::{
    PATIENCE, World,
    kinds::{Custom, ROLLOUT, cron_job, rule},
    objects::{from, secret, workload},
    observe::{AUTO, pod_with},
    permissions::SHIPPED,
    rollouts::{DAEMON_SET, DEPLOYMENT, STATEFUL_SET},
    run,
};

/// A kind that the user has named.
const CLONE_SET: Custom = Custom {
    group: "apps.example.com",
    version: "v1",
    kind: "CloneSet",
    plural: "clonesets",
};

/// Waits until every workload of these kinds has a status of its present spec.
async fn wait_observed(world: &World, kinds: &[Custom]) {
    for custom in kinds {
        let api = world.custom(*custom);
        let what = format!("statuses of {}", custom.plural);
        let waited = eventually(PATIENCE, &what, async || {
            let objects = api.list(&ListParams::default()).await.ok()?.items;
            let has_status = |status: &serde_json::Value| status["observedGeneration"] != json!(null);
            let all = objects.iter().all(|object| has_status(&object.data["status"]));
            all.then_some(())
        });
        waited.await.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Statement 3.
#[test]
fn one_limit_is_for_workloads_of_all_kinds() {
    const KINDS: [Custom; 5] = [DEPLOYMENT, STATEFUL_SET, DAEMON_SET, ROLLOUT, CLONE_SET];
    const EACH: usize = 4;
    run(async {
        let world = World::alone("mixed").await;
        world.define_with_status(ROLLOUT).await;
        world.define_with_status(CLONE_SET).await;
        world.permit_also(&[rule(CLONE_SET, &SHIPPED)]).await;
        let rollouts = world.play_all(&KINDS, TAKES, &[]);
        world.create(&secret("shared", "good")).await;
        annotate(&world.api::<Secret>(), "shared", MAX_CONCURRENT, Some("4")).await;
        let name = |custom: &Custom, number: usize| format!("{}-{number}", custom.plural);
        for custom in KINDS {
            for number in 0..EACH {
                let mut object = workload(&name(&custom, number), &AUTO, &[], &pod_with(&[], &["shared"]));
                if custom.kind == STATEFUL_SET.kind {
                    object["spec"]["serviceName"] = json!("shared");
                }
                world.create_custom(custom, object).await;
            }
        }
        wait_observed(&world, &KINDS).await;
        let controller = world
            .controller()
            .args([
                "--is-Argo-Rollouts=true",
                "--workload-kind=apps.example.com/v1/CloneSet",
            ])
            .start()
            .await;
        rollouts.reset_peak();
        world.change_secret("shared", "better").await;
        for custom in KINDS {
            let what = format!("restarts of {}", custom.plural);
            eventually(PATIENCE, &what, async || {
                (world.writes_to(custom.plural).len() >= EACH).then_some(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        }
        controller.wait_idle().await;
        for custom in KINDS {
            let writes = world.writes_to(custom.plural).into_iter();
            let mut names: Vec<_> = writes.map(|write| write.name.clone()).collect();
            names.sort_unstable();
            let once: Vec<_> = (0..EACH).map(|number| name(&custom, number)).collect();
            assert_eq!(names, once);
        }
        assert!((2..=4).contains(&rollouts.peak()), "{}", rollouts.peak());
    });
}

/// Statement 18, beside the rules of `admit`: what shows nothing follows the others, and goes where there are none.
#[test]
fn what_shows_nothing_is_no_canary_unless_it_is_alone() {
    const SILENT: f64 = 3.0;
    run(async {
        let world = World::new("silent").await;
        let rollouts = world.play_all(&[DEPLOYMENT, STATEFUL_SET], TAKES, &[]);
        world.create(&secret("shared", "good")).await;
        annotate(&world.api::<Secret>(), "shared", CANARY, Some("1")).await;
        let pod = pod_with(&[], &["shared"]);
        let mut empty = workload("a-empty", &AUTO, &[], &pod);
        empty["spec"]["replicas"] = json!(0);
        world.create::<Deployment>(&from(empty)).await;
        let mut kept = workload("a-kept", &AUTO, &[], &pod);
        kept["spec"]["serviceName"] = json!("kept");
        kept["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
        world.create::<StatefulSet>(&from(kept)).await;
        world.create(&cron_job("a-job", &AUTO, &pod)).await;
        world
            .create::<Deployment>(&from(workload("z-web", &AUTO, &[], &pod)))
            .await;
        wait_observed(&world, &[DEPLOYMENT, STATEFUL_SET]).await;
        let controller = world.controller().start().await;
        rollouts.stand_still();
        world.change_secret("shared", "better").await;
        controller.wait_metric(&waiting("canary"), SILENT).await;
        world.wait_for_rollouts("deployments", "z-web", 1).await;
        assert_eq!(world.writes_to("deployments").len(), 1);
        assert_eq!(world.writes_to("statefulsets").len(), 0);
        assert!(world.jobs().await.is_empty());

        rollouts.go_on();
        let all_went = async |round: usize| {
            world.wait_for_rollouts("deployments", "a-empty", round).await;
            world.wait_for_rollouts("statefulsets", "a-kept", round).await;
            world.wait_for_jobs(round).await;
            controller.wait_idle().await;
        };
        all_went(1).await;
        world.delete_deployment("z-web").await;
        world.change_secret("shared", "best").await;
        all_went(2).await;
        assert_eq!(world.writes_to("deployments").len(), 3);
    });
}
