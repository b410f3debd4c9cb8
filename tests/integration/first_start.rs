//! The first start in a cluster that is in use: nothing is restarted, whatever upstream has left there.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::Entry;

use crate::harness::{
    World,
    objects::{config_map, from, pod_with_config_map, workload},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

const ENV_VARS: &str = "--reload-strategy=env-vars";
const ANNOTATIONS: &str = "--reload-strategy=annotations";
/// Annotated workloads, in equal parts without a marker, with upstream's of the present content, and with upstream's
/// of an older one.
const COUNT: usize = 210;

/// What upstream has left on a workload.
#[derive(Clone, Copy)]
enum Left {
    Nothing,
    /// The marker of this content.
    Marker(&'static str),
}

/// Which upstream has left it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// Up to 1.4.22.
    V1,
    /// Its variables are the same; its annotation has other fields, and is there with either strategy.
    V2,
}

impl Upstream {
    fn annotation(self, name: &str, digest: &str) -> Value {
        match self {
            Self::V1 => json!({
                "type": "CONFIGMAP", "name": name, "namespace": "", "hash": digest,
                "containerRefs": ["main"], "observedAt": 1_700_000_000,
            }),
            Self::V2 => json!({
                "kind": "configmap", "name": name, "namespace": "", "hash": digest,
                "containers": ["main"], "reloadedAt": "2026-01-02T03:04:05.678901234Z",
            }),
        }
    }
}

/// A workload `app-<n>` as upstream, with either strategy, leaves it; its ConfigMap's content is `now`.
fn left_by_upstream(name: &str, strategy: &str, upstream: Upstream, left: Left) -> Value {
    let mut pod = pod_with_config_map(name);
    let Left::Marker(content) = left else {
        return workload(name, &AUTO, &[], &pod);
    };
    let digest = digest_of(content);
    if strategy == ENV_VARS {
        let variable = format!("STAKATER_{}_CONFIGMAP", name.to_uppercase().replace('-', "_"));
        pod["containers"][0]["env"] = json!([{ "name": variable, "value": digest }]);
    }
    let annotation = upstream.annotation(name, &digest).to_string();
    let annotation = [("reloader.stakater.com/last-reloaded-from", &*annotation)];
    let has_annotation = strategy == ANNOTATIONS || upstream == Upstream::V2;
    workload(name, &AUTO, if has_annotation { &annotation } else { &[] }, &pod)
}

fn left_on(number: usize) -> Left {
    match number % 3 {
        0 => Left::Nothing,
        1 => Left::Marker("now"),
        _ => Left::Marker("long ago"),
    }
}

#[rstest]
fn a_first_start_over_many_annotated_workloads_writes_to_none(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
    #[values(Upstream::V1, Upstream::V2)] upstream: Upstream,
) {
    run(async {
        let world = World::new("first").await;
        let create = async |number: usize| {
            let name = format!("app-{number}");
            world.create(&config_map(&name, "now")).await;
            let object = left_by_upstream(&name, strategy, upstream, left_on(number));
            match number / 3 % 3 {
                0 => drop(
                    world
                        .create::<k8s_openapi::api::apps::v1::Deployment>(&from(object))
                        .await,
                ),
                1 => drop(
                    world
                        .create::<k8s_openapi::api::apps::v1::DaemonSet>(&from(object))
                        .await,
                ),
                _ => {
                    let mut object = object;
                    object["spec"]["serviceName"] = json!(name);
                    drop(
                        world
                            .create::<k8s_openapi::api::apps::v1::StatefulSet>(&from(object))
                            .await,
                    );
                }
            }
        };
        stream::iter(0..COUNT).for_each_concurrent(16, create).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().args(["--workers=1", strategy]).start().await;
        world.wait_for_ledger(COUNT + 2).await;
        sentinel.pass().await;
        assert_eq!(written(&world), BTreeSet::new());

        // A restart finds its ledger, and the same peace.
        controller.replica.kill();
        let _again = world.controller().args(["--workers=1", strategy]).start().await;
        sentinel.pass().await;
        assert_eq!(written(&world), BTreeSet::new());

        // It is awake all the same: a change is a change, whatever the marker said; no change is none.
        for number in 0..9 {
            let content = if number % 3 == 1 { "now" } else { "new" };
            world.change_config_map(&format!("app-{number}"), content).await;
        }
        sentinel.pass().await;
        let changed = [0, 2, 3, 5, 6, 8].map(|number| format!("app-{number}"));
        assert_eq!(written(&world), changed.into());
    });
}

/// With `--sync-after-restart` markers count at the first start: those of every upstream.
#[rstest]
fn the_markers_of_each_upstream_are_compared(
    #[values(ENV_VARS, ANNOTATIONS)] strategy: &str,
    #[values(Upstream::V1, Upstream::V2)] upstream: Upstream,
) {
    run(async {
        let world = World::new("sync").await;
        for number in 0..3 {
            let name = format!("app-{number}");
            let object = left_by_upstream(&name, strategy, upstream, left_on(number));
            world
                .create::<k8s_openapi::api::apps::v1::Deployment>(&from(object))
                .await;
            // Later: what is older than a workload was always its content.
            world.create(&config_map(&name, "now")).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let flags = [
            "--workers=1",
            "--reload-on-create=true",
            "--sync-after-restart",
            strategy,
        ];
        let _controller = world.controller().args(flags).start().await;
        sentinel.pass().await;
        assert_eq!(written(&world), ["app-2".to_owned()].into());
    });
}

/// The workloads that the controller wrote to, the sentinel's left out.
fn written(world: &World) -> BTreeSet<String> {
    let writes = world
        .plane
        .audit()
        .writes_by(&world.user())
        .expect("the audit log");
    let to_workload = |entry: &&Arc<Entry>| entry.group == "apps" && !entry.name.starts_with(Sentinel::NAME);
    writes
        .iter()
        .filter(to_workload)
        .map(|entry| entry.name.clone())
        .collect()
}
