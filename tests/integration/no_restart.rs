//! What must not restart anything. Each test ends with a change that does, which proves that the controller still reacts.

use std::{collections::HashSet, sync::Arc};

use rstest::rstest;
use serde_json::{Value, json};
use testbed::Entry;

use crate::harness::{
    PATIENCE, World,
    kinds::is_discovery,
    ledger::is_ledger,
    objects::{deployment, from, workload},
    run,
    sentinel::Sentinel,
    sources::SourceType,
};

const AUTO: (&str, &str) = ("reloader.stakater.com/auto", "true");
const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
/// One after the other, so that the sentinel is exact.
const ONE_WORKER: &str = "--workers=1";
/// SHA-1 of `key=value`: the digest of a source whose one key has the value `value`.
const DIGEST_OF_VALUE: &str = "dc30e0faa89a70dec1033016a2309bbeb9efcbd0";

#[rstest]
fn changes_that_affect_no_workload_cost_no_request(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("no-restart").await;
        let ignore = [("reloader.stakater.com/ignore", "true")];
        for kind in SourceType::ALL {
            for name in ["labelled", "annotated", "rewritten", "unused", "used", "ignored"] {
                let name = named(kind, name);
                let annotations = if name.ends_with("ignored") {
                    &ignore[..]
                } else {
                    &[]
                };
                world.create_source(kind, &name, annotations, "value").await;
            }
            for name in ["labelled", "annotated", "rewritten", "ignored"] {
                create_user(&world, kind, &named(kind, name), &[AUTO]).await;
            }
            create_user(&world, kind, &named(kind, "used"), &[]).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().args([ONE_WORKER, strategy]).start().await;
        let seen = requests(&world);

        for kind in SourceType::ALL {
            let patch = async |name, body: Value| world.patch_source(kind, &named(kind, name), &body).await;
            patch(
                "labelled",
                json!({ "metadata": { "labels": { "new": "label" } } }),
            )
            .await;
            patch(
                "annotated",
                json!({ "metadata": { "annotations": { "new": "annotation" } } }),
            )
            .await;
            rewrite(&world, kind, &named(kind, "rewritten")).await;
            for name in ["unused", "used", "ignored"] {
                world.change_source(kind, &named(kind, name), "another").await;
            }
        }
        sentinel.pass().await;
        assert_only_watches_and_the_sentinel(&world, &seen);

        for kind in SourceType::ALL {
            for name in ["labelled", "annotated", "rewritten"] {
                let name = named(kind, name);
                world.change_source(kind, &name, "another").await;
                world.wait_for_rollouts("deployments", &name, 1).await;
            }
        }
    });
}

#[rstest]
fn a_restarted_controller_rolls_nothing_again(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("restart").await;
        for kind in SourceType::ALL {
            for name in ["rolled", "never-rolled"] {
                let name = named(kind, name);
                world.create_source(kind, &name, &[], "value").await;
                create_user(&world, kind, &name, &[AUTO]).await;
            }
        }
        let controller = world.controller().args([ONE_WORKER, strategy]).start().await;
        for kind in SourceType::ALL {
            let name = named(kind, "rolled");
            world.change_source(kind, &name, "another").await;
            world.wait_for_rollouts("deployments", &name, 1).await;
        }
        controller.replica.terminate().expect("it gets the signal");
        assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));
        let seen = requests(&world);

        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().args([ONE_WORKER, strategy]).start().await;
        sentinel.pass().await;
        controller.wait_metric("reloader_workqueue_depth", 0.0).await;
        assert_no_write_but_the_sentinels(&world, &seen);

        for kind in SourceType::ALL {
            let name = named(kind, "rolled");
            world.change_source(kind, &name, "a third").await;
            world.wait_for_rollouts("deployments", &name, 2).await;
        }
    });
}

#[rstest]
fn a_first_install_rolls_nothing(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("install").await;
        for kind in SourceType::ALL {
            let name = named(kind, "auto");
            world.create_source(kind, &name, &[], "value").await;
            create_user(&world, kind, &name, &[AUTO]).await;
            let name = named(kind, "listed");
            world.create_source(kind, &name, &[], "value").await;
            let key = format!("{}.reloader.stakater.com/reload", kind.word());
            create_user(&world, kind, &name, &[(&key, &name)]).await;
        }
        assert_the_first_start_is_quiet(&world, strategy, "auto").await;
    });
}

#[rstest]
fn taking_over_from_upstream_rolls_nothing(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("takeover").await;
        for kind in SourceType::ALL {
            let name = named(kind, "marked");
            world.create_source(kind, &name, &[], "value").await;
            let mut object = workload(&name, &[AUTO], &[], &kind.used_by_pod(&name));
            let template = &mut object["spec"]["template"];
            if strategy == ENV_VARS {
                let marker = json!([{ "name": kind.marker(&name), "value": DIGEST_OF_VALUE }]);
                template["spec"]["containers"][0]["env"] = marker;
            } else {
                let marker = format!(
                    r#"{{"type":"{}","name":"{name}","namespace":"{}","hash":"{DIGEST_OF_VALUE}","containerRefs":["main"],"observedAt":1790000000}}"#,
                    kind.word().to_uppercase(),
                    world.namespace
                );
                template["metadata"]["annotations"]["reloader.stakater.com/last-reloaded-from"] =
                    marker.into();
            }
            world
                .create(&from::<k8s_openapi::api::apps::v1::Deployment>(object))
                .await;
        }
        assert_the_first_start_is_quiet(&world, strategy, "marked").await;
    });
}

/// It was applied with the marker of another time, as exported manifests are: its pods run with the content before.
#[test]
fn a_workload_that_shows_the_new_content_already_is_restarted_all_the_same() {
    run(async {
        let world = World::new("marked").await;
        for kind in SourceType::ALL {
            let name = named(kind, "early");
            world.create_source(kind, &name, &[], "before").await;
            let mut object = workload(&name, &[AUTO], &[], &kind.used_by_pod(&name));
            object["spec"]["template"]["spec"]["containers"][0]["env"] =
                json!([{ "name": kind.marker(&name), "value": DIGEST_OF_VALUE }]);
            world
                .create(&from::<k8s_openapi::api::apps::v1::Deployment>(object))
                .await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world.controller().arg(ONE_WORKER).start().await;
        for (round, value) in ["value", "another"].into_iter().enumerate() {
            for kind in SourceType::ALL {
                world.change_source(kind, &named(kind, "early"), value).await;
            }
            sentinel.pass().await;
            for kind in SourceType::ALL {
                assert_eq!(world.rollouts("deployments", &named(kind, "early")), round + 1);
            }
        }
    });
}

#[rstest]
fn content_that_returns_within_the_window_rolls_nothing(#[values(ENV_VARS, ANNOTATIONS)] strategy: &str) {
    run(async {
        let world = World::new("revert").await;
        for kind in SourceType::ALL {
            let name = named(kind, "reverted");
            world.create_source(kind, &name, &[], "value").await;
            create_user(&world, kind, &name, &[AUTO]).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world
            .controller()
            .args([ONE_WORKER, strategy, "--coalesce-window=2s"])
            .start()
            .await;
        let seen = requests(&world);

        for kind in SourceType::ALL {
            let name = named(kind, "reverted");
            world.change_source(kind, &name, "another").await;
            world.change_source(kind, &name, "value").await;
        }
        sentinel.pass().await;
        assert_no_write_but_the_sentinels(&world, &seen);

        for kind in SourceType::ALL {
            world
                .change_source(kind, &named(kind, "reverted"), "another")
                .await;
        }
        for kind in SourceType::ALL {
            world
                .wait_for_rollouts("deployments", &named(kind, "reverted"), 1)
                .await;
        }
    });
}

/// Starts the first controller there ever was over the workloads of these names: no write. Then it does its work.
async fn assert_the_first_start_is_quiet(world: &World, strategy: &str, name: &str) {
    let mut sentinel = Sentinel::new(world).await;
    let controller = world.controller().args([ONE_WORKER, strategy]).start().await;
    sentinel.pass().await;
    controller.wait_metric("reloader_workqueue_depth", 0.0).await;
    assert_no_write_but_the_sentinels(world, &HashSet::new());

    for kind in SourceType::ALL {
        let name = named(kind, name);
        world.change_source(kind, &name, "another").await;
        world.wait_for_rollouts("deployments", &name, 1).await;
    }
}

fn named(kind: SourceType, name: &str) -> String {
    format!("{}-{name}", kind.word())
}

/// A Deployment of the source's name that uses it.
async fn create_user(world: &World, kind: SourceType, name: &str, annotations: &[(&str, &str)]) {
    let object = deployment(name, annotations, &kind.used_by_pod(name));
    world.create(&object).await;
}

/// Puts the whole object again: the same content, so written that the API server stores a new version of it.
async fn rewrite(world: &World, kind: SourceType, name: &str) {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::api::PostParams;

    let metadata = json!({ "name": name, "labels": { "written": "again" } });
    let params = PostParams::default();
    match kind {
        SourceType::ConfigMap => {
            let object: ConfigMap = from(json!({ "metadata": metadata, "data": { "key": "value" } }));
            world.api().replace(name, &params, &object).await.map(drop)
        }
        SourceType::Secret => {
            let object: Secret = from(json!({ "metadata": metadata, "data": { "key": "dmFsdWU=" } }));
            world.api().replace(name, &params, &object).await.map(drop)
        }
    }
    .expect("the source is replaced");
}

/// The requests of the world's controllers so far, by id.
fn requests(world: &World) -> HashSet<String> {
    let entries = world.plane.audit().matching(|entry| entry.user == world.user());
    let ids = entries.expect("the audit log").into_iter();
    ids.map(|entry| entry.audit_id.clone()).collect()
}

/// The requests of the world's controllers since then, without those that the sentinel's rollouts took.
fn requests_since(world: &World, seen: &HashSet<String>) -> Vec<Arc<Entry>> {
    // A new leader looks once for Jobs whose recreation was interrupted.
    let is_takeover = |entry: &Entry| entry.resource == "jobs" && entry.uri.contains("labelSelector=");
    let is_new = |entry: &Entry| {
        entry.user == world.user()
            && !seen.contains(&entry.audit_id)
            && (!entry.is_write() || !entry.name.starts_with(Sentinel::NAME))
            && !is_ledger(entry)
            && !is_takeover(entry)
            && !is_discovery(entry)
    };
    world.plane.audit().matching(is_new).expect("the audit log")
}

fn assert_only_watches_and_the_sentinel(world: &World, seen: &HashSet<String>) {
    let mut requests = requests_since(world, seen);
    requests.retain(|entry| entry.verb != "watch");
    assert!(requests.is_empty(), "{:?}", listed(&requests));
}

fn assert_no_write_but_the_sentinels(world: &World, seen: &HashSet<String>) {
    let mut requests = requests_since(world, seen);
    requests.retain(|entry| entry.is_write());
    assert!(requests.is_empty(), "{:?}", listed(&requests));
}

fn listed(requests: &[Arc<Entry>]) -> Vec<String> {
    let line = |entry: &Arc<Entry>| format!("{} {} {}", entry.verb, entry.uri, entry.code);
    requests.iter().map(line).collect()
}
