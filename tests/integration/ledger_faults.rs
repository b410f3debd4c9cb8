//! What the next leader learns where many workloads owe, and where the ledger is refused, deleted or too large.

use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::ConfigMap};
use kube::api::DeleteParams;
use rstest::rstest;
use serde_json::json;
use testbed::{
    Proxy, eventually,
    proxy::{Fault, RequestHead, Rule},
};

use crate::harness::{
    Controller, PATIENCE, World,
    field::catch,
    kinds::cron_job,
    ledger,
    objects::{config_map, deployment, pod_with_config_map},
    observe::digest_of,
    run,
    sentinel::Sentinel,
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");
/// What the API server, an admission webhook for example, does not accept.
const REFUSED: &str = "refused-";
const SERVED: &str = "served-";
/// More than a line of the ledger could name in its first format.
const MANY: usize = 70;

async fn create(world: &World, stem: &str, count: usize) {
    let create = async |number: usize| {
        let object = deployment(&format!("{stem}{number}"), &[AUTO], &pod_with_config_map("app"));
        drop(world.create::<Deployment>(&object).await);
    };
    stream::iter(0..count).for_each_concurrent(8, create).await;
}

fn rollouts(world: &World, stem: &str, count: usize) -> Vec<usize> {
    (0..count)
        .map(|number| world.rollouts("deployments", &format!("{stem}{number}")))
        .collect()
}

/// Refuses the restarts of the workloads whose name begins so, for good.
fn refuse(proxy: &Proxy) {
    let status = Fault::Status {
        code: 422,
        retry_after: None,
    };
    let _ = proxy.add(
        Rule::new(status)
            .method("PATCH")
            .path(format!("/deployments/{REFUSED}")),
    );
}

/// Everything that happened so far is in the ledger: it is written in the order in which things happen.
async fn written_down(world: &World, sentinel: &mut Sentinel<'_>) {
    let before = world.ledger().await;
    sentinel.pass().await;
    eventually(PATIENCE, "the sentinels in the ledger", async || {
        let now = world.ledger().await;
        let changed = now.iter().filter(|line| !before.contains(line));
        let settled = changed.filter(|line| line.contains(Sentinel::NAME) && !line.contains('/'));
        (settled.count() == 2).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// The workloads of that stem of which the ledger does not say what they run with: their restart was under way when it was
/// written, as that of a workload that is refused is again and again.
async fn unknown_in_ledger(world: &World, stem: &str) -> Vec<String> {
    let prefix = format!("deployment/{stem}");
    let lines = world.ledger().await.join(" ");
    let unknown = lines
        .split(' ')
        .filter(|word| word.starts_with(&prefix) && !word.contains('='));
    unknown
        .map(|word| word.trim_start_matches("deployment/").to_owned())
        .collect()
}

/// A source returns while no replica runs: of a hundred workloads the thirty that were restarted meanwhile run with the
/// other content, and the seventy that were refused do not, as far as the ledger could say that.
#[test]
fn of_many_workloads_those_that_were_served_are_known_to_the_next_leader() {
    run(async {
        let world = World::new("many-served").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        world.create(&config_map("app", "1")).await;
        create(&world, REFUSED, MANY).await;
        create(&world, SERVED, 30).await;
        let mut sentinel = Sentinel::new(&world).await;
        refuse(&proxy);
        let first = world.controller().through(&proxy).start().await;
        world.wait_for_ledger(3).await;
        world.change_config_map("app", "2").await;
        for number in 0..30 {
            world
                .wait_for_rollouts("deployments", &format!("{SERVED}{number}"), 1)
                .await;
        }
        written_down(&world, &mut sentinel).await;
        first.replica.kill();
        let unknown = unknown_in_ledger(&world, REFUSED).await;
        assert!(unknown.len() < MANY, "{unknown:?}");

        world.change_config_map("app", "1").await;
        let _second = world.controller().start().await;
        for number in 0..30 {
            world
                .wait_for_rollouts("deployments", &format!("{SERVED}{number}"), 2)
                .await;
        }
        sentinel.pass().await;
        assert_eq!(rollouts(&world, SERVED, 30), [2; 30]);
        let once_more = (0..MANY).map(|number| unknown.contains(&format!("{REFUSED}{number}")));
        let once_more: Vec<_> = once_more.map(usize::from).collect();
        assert_eq!(rollouts(&world, REFUSED, MANY), once_more);
    });
}

/// A CronJob has no marker: only the ledger tells that it has run.
#[test]
fn a_cron_job_that_has_run_does_not_run_again_because_many_others_are_refused() {
    run(async {
        let world = World::new("many-refused").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        world.create(&config_map("app", "1")).await;
        create(&world, REFUSED, MANY).await;
        world
            .create(&cron_job("backup", &[AUTO], &pod_with_config_map("app")))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        refuse(&proxy);
        let first = world.controller().through(&proxy).start().await;
        world.wait_for_ledger(3).await;
        world.change_config_map("app", "2").await;
        world.wait_for_jobs(1).await;
        written_down(&world, &mut sentinel).await;
        first.replica.kill();
        // Jobs are cleaned up after a while, and with them goes the last trace but the ledger.
        let all = kube::api::ListParams::default();
        let deleted = world
            .api::<Job>()
            .delete_collection(&DeleteParams::background(), &all)
            .await;
        deleted.expect("the Jobs are deleted");

        let second = world.controller().through(&proxy).start().await;
        second.wait_log("became leader").await;
        let refusals = format!("{REFUSED}{}", MANY - 1);
        second.wait_log(&refusals).await;
        sentinel.pass().await;
        assert_eq!(world.writes_to("jobs").len(), 1);
    });
}

async fn settled_pair(world: &World) {
    world.create(&config_map("app", "0")).await;
    world
        .create(&deployment("app", &[AUTO], &pod_with_config_map("app")))
        .await;
}

#[test]
fn a_ledger_that_is_deleted_under_an_idle_leader_is_written_anew() {
    run(async {
        let world = World::new("deleted").await;
        settled_pair(&world).await;
        let leader = world.controller().start().await;
        let before = world.wait_for_ledger(1).await;
        let api = world.api::<ConfigMap>();
        for _ in 0..2 {
            api.delete(ledger::NAME, &DeleteParams::default())
                .await
                .expect("it is deleted");
            assert_eq!(world.wait_for_ledger(1).await, before);
        }
        leader.replica.kill();

        world.change_config_map("app", "1").await;
        let _second = world.controller().start().await;
        world.wait_for_rollouts("deployments", "app", 1).await;
    });
}

/// Reads of the ledger: of one ConfigMap, or of those that carry its label.
fn reads_ledger(head: &RequestHead) -> bool {
    let by_label = head.path.ends_with("/configmaps") && head.query.contains("ledger%3D");
    head.method == "GET" && !head.is_watch() && (by_label || head.path.contains(ledger::NAME))
}

/// Were the ledger given up, the present content would count as settled, and the change be lost.
#[rstest]
#[case::forbidden(403, None)]
#[case::throttled(429, Some(2))]
#[case::unavailable(503, None)]
fn a_ledger_that_cannot_be_read_for_some_seconds_loses_nothing(
    #[case] code: u16,
    #[case] retry_after: Option<u32>,
) {
    run(async {
        let world = World::new("unreadable").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        settled_pair(&world).await;
        let first = world.controller().start().await;
        world.wait_for_ledger(1).await;
        first.replica.kill();

        world.change_config_map("app", "1").await;
        let status = Fault::Status { code, retry_after };
        let rule = proxy.add(Rule::new(status).when(reads_ledger));
        let second: Controller = world.controller().through(&proxy).launch().await;
        catch("seven reads of the ledger", || rule.hits() >= 7).await;
        let (ready, body) = second.get("/ready?verbose").await.expect("an answer");
        assert_eq!(ready, 503, "{body}");
        assert!(body.contains("[-]ledger failed"), "{body}");
        rule.remove();
        world.wait_for_rollouts("deployments", "app", 1).await;
        second.wait_ready().await;
        let log = second.replica.log();
        assert_eq!(log.matches("ledger could not be read").count(), 1, "{log}");
    });
}

/// A ledger in one ConfigMap, as another version wrote it.
async fn store(world: &World, data: serde_json::Value) {
    let object = json!({
        "metadata": { "name": ledger::NAME, "labels": { "reloader.stakater.com/ledger": ledger::NAME } },
        "data": data,
    });
    let object: ConfigMap = serde_json::from_value(object).expect("a ConfigMap");
    world.create(&object).await;
}

#[test]
fn the_ledger_of_version_0_1_0_is_compared_and_then_hides_its_digests() {
    run(async {
        let world = World::new("upgrade").await;
        settled_pair(&world).await;
        let mut sentinel = Sentinel::new(&world).await;
        let line = format!("configmap {} app {}\n", world.namespace, digest_of("0"));
        store(&world, json!({ "sources": line })).await;
        world.change_config_map("app", "while no replica ran").await;
        let _controller = world.controller().start().await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        written_down(&world, &mut sentinel).await;
        assert_eq!(world.rollouts("deployments", "app"), 1);

        let stored = world
            .api::<ConfigMap>()
            .get(ledger::NAME)
            .await
            .expect("the ledger");
        let stored = serde_json::to_string(&stored).expect("JSON");
        assert!(stored.contains(r#""format":"2""#), "{stored}");
        for content in ["while no replica ran", "0", "1"] {
            assert!(!stored.contains(&digest_of(content)), "{stored}");
        }
    });
}

#[test]
fn a_ledger_of_a_later_format_is_left_as_it_is() {
    run(async {
        let world = World::new("later").await;
        settled_pair(&world).await;
        let later = json!({ "format": "3", "key": "a", "chunks": "1", "sources": "something else\n" });
        store(&world, later).await;
        let controller = world.controller().start().await;
        controller
            .wait_log("it is of format 3, which this version cannot read")
            .await;
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
        controller.replica.terminate().expect("it runs");
        assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));
        let stored = world
            .api::<ConfigMap>()
            .get(ledger::NAME)
            .await
            .expect("the ledger");
        let data = stored.data.expect("data");
        assert_eq!((&*data["format"], &*data["sources"]), ("3", "something else\n"));
    });
}
