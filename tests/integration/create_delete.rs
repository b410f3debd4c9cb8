//! Sources that come and go: every combination of flags and strategy, while a controller runs, while none does, and
//! with its death in between.

mod table;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::api::{DeleteParams, Patch, PatchParams};
use rstest::rstest;
use serde_json::json;
use testbed::{
    eventually,
    proxy::{Fault, RequestHead, Rule, StreamFault},
};

use crate::harness::{
    PATIENCE, World,
    fleet::Fleet,
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::{AUTO, digest_of, pod_with},
    run,
    sentinel::Sentinel,
};

const ONE_WORKER: &str = "--workers=1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    EnvVars,
    Annotations,
}
use Strategy::{Annotations, EnvVars};

/// The controller's flags. One worker takes everything in order.
fn args(create: bool, delete: bool, strategy: Strategy) -> Vec<String> {
    let strategy = match strategy {
        EnvVars => "env-vars",
        Annotations => "annotations",
    };
    vec![
        ONE_WORKER.to_owned(),
        format!("--reload-strategy={strategy}"),
        format!("--reload-on-create={create}"),
        format!("--reload-on-delete={delete}"),
        // Wide enough for a deletion and a creation on a busy machine.
        "--coalesce-window=400ms".to_owned(),
    ]
}

async fn delete(world: &World, name: &str) {
    let deleted = world
        .api::<ConfigMap>()
        .delete(name, &DeleteParams::default())
        .await;
    deleted.expect("the ConfigMap is deleted");
}

/// Waits until the ledger has at least so many lines, and no restart is owed in it.
async fn wait_for_ledger(world: &World, at_least: usize) {
    let what = format!("a ledger of {at_least} sources, all settled");
    let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
        let lines = world.ledger().await;
        let settled = !lines.iter().any(|line| line.contains('/'));
        if settled && lines.len() >= at_least {
            Ok(Some(()))
        } else {
            Err(lines.join("\n"))
        }
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until one of the ledger's lines ends so.
async fn wait_for_line(world: &World, end: &str) {
    let what = format!("a line of the ledger that ends in {end:?}");
    let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
        let lines = world.ledger().await;
        let found = lines.iter().any(|line| line.ends_with(end));
        found.then_some(Some(())).ok_or_else(|| lines.join("\n"))
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

#[rstest]
fn a_leader_that_dies_right_after_them_leaves_exactly_what_is_left(
    #[values(EnvVars, Annotations)] strategy: Strategy,
) {
    run(async {
        let world = World::new("create-delete-ha").await;
        world.create(&config_map("goes", "zero")).await;
        for name in ["comes", "goes"] {
            world
                .create(&deployment(name, &AUTO, &pod_with_config_map(name)))
                .await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let mut args = args(true, true, strategy);
        args.extend(["--lease-duration=4s", "--renew-deadline=3s", "--retry-period=1s"].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut fleet = Fleet::start(&world, &args).await;
        world.change_config_map("goes", "one").await;
        world.wait_for_rollouts("deployments", "goes", 1).await;
        wait_for_ledger(&world, 4).await;

        world.create(&config_map("comes", "one")).await;
        delete(&world, "goes").await;
        fleet.take_leader().await.replica.kill();
        world.wait_for_rollouts("deployments", "comes", 1).await;
        world.wait_for_rollouts("deployments", "goes", 2).await;
        fleet.leader().await.wait_idle().await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "comes"), 1);
        assert_eq!(world.rollouts("deployments", "goes"), 2);
    });
}

/// Upstream takes everything that exists for new at each start, with `--sync-after-restart` (quirk Q8).
#[rstest]
fn ten_restarts_with_nothing_changed_write_nothing(
    #[values(false, true)] create: bool,
    #[values(false, true)] sync: bool,
    #[values(EnvVars, Annotations)] strategy: Strategy,
) {
    run(async {
        let world = World::new("come-and-go-restarts").await;
        let names = ["unmarked", "marked", "waiting", "gone"];
        for name in names {
            if name != "waiting" {
                world.create(&config_map(name, "zero")).await;
            }
            world
                .create(&deployment(name, &AUTO, &pod_with_config_map(name)))
                .await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let builder = || {
            let builder = world.controller().args(args(create, true, strategy));
            builder.args(sync.then_some("--sync-after-restart"))
        };
        let mut expected = [0, 1, 0, 2];
        for round in 0..10 {
            let controller = builder().start().await;
            controller.wait_log("became leader").await;
            if round == 0 {
                wait_for_ledger(&world, 5 + usize::from(create)).await;
                for name in ["marked", "gone"] {
                    world.change_config_map(name, "one").await;
                    world.wait_for_rollouts("deployments", name, 1).await;
                }
                delete(&world, "gone").await;
                world.wait_for_rollouts("deployments", "gone", 2).await;
                wait_for_ledger(&world, 5 + usize::from(create)).await;
            }
            if round % 2 == 0 {
                controller.replica.kill();
            } else {
                controller.replica.terminate().expect("it runs");
                controller.wait_exit(PATIENCE).await;
            }
        }
        let last = builder().start().await;
        last.wait_log("became leader").await;
        last.wait_idle().await;
        sentinel.pass().await;
        let rollouts = || names.map(|name| world.rollouts("deployments", name));
        assert_eq!(rollouts(), expected);

        world.create(&config_map("waiting", "one")).await;
        sentinel.pass().await;
        expected[2] = usize::from(create);
        assert_eq!(rollouts(), expected, "what comes now is new");
    });
}

/// Quirk Q5 of upstream: with one kind ignored, nothing that comes or goes is noticed any more.
#[test]
fn ignoring_secrets_does_not_end_the_creation_and_deletion_of_config_maps() {
    run(async {
        let world = World::new("ignored-kind").await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let _controller = world
            .controller()
            .args([
                "--resources-to-ignore=secrets",
                "--reload-on-create=true",
                "--reload-on-delete=true",
            ])
            .start()
            .await;
        world.create(&config_map("app", "one")).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        delete(&world, "app").await;
        world.wait_for_rollouts("deployments", "web", 2).await;
    });
}

/// Quirk Q6 of upstream: the first namespace whose list is there makes what exists in the others look new.
#[test]
fn a_namespace_that_is_listed_late_holds_nothing_new() {
    run(async {
        let fast = World::new("fast").await;
        let slow = fast.another("slow").await;
        for world in [&fast, &slow] {
            world.create(&config_map("app", "one")).await;
            world
                .create(&deployment("web", &AUTO, &pod_with_config_map("app")))
                .await;
        }
        fast.create(&deployment("waits", &AUTO, &pod_with_config_map("later")))
            .await;
        slow.admit(&fast, "watched").await;
        let mut sentinel = Sentinel::new(&slow).await;
        let proxy = fast.plane.proxy().await.expect("a proxy");
        let held = proxy.add(Rule::new(Fault::Hold).path(format!("/namespaces/{}/", slow.namespace)));
        let both = format!("--namespaces={},{}", fast.namespace, slow.namespace);
        let controller = fast
            .controller()
            .args([&both, "--reload-on-create=true", ONE_WORKER])
            .through(&proxy)
            .launch()
            .await;
        controller.wait_log("created controller for: configmaps").await;
        fast.create(&config_map("later", "one")).await;
        fast.wait_for_rollouts("deployments", "waits", 1).await;
        held.remove();
        controller.wait_ready().await;
        sentinel.pass().await;
        assert_eq!(slow.rollouts("deployments", "web"), 0);
        assert_eq!(fast.rollouts("deployments", "web"), 0);
    });
}

/// Quirk Q20 of upstream: a deletion that only a new list shows is taken for one of a nameless object.
#[rstest]
fn a_deletion_that_the_watch_missed_restarts(#[values(EnvVars, Annotations)] strategy: Strategy) {
    run(async {
        let world = World::new("tombstone").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        for name in ["app", "other"] {
            world.create(&config_map(name, "zero")).await;
            world
                .create(&deployment(name, &AUTO, &pod_with_config_map(name)))
                .await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let _controller = world
            .controller()
            .args(args(true, true, strategy))
            .through(&proxy)
            .start()
            .await;
        world.change_config_map("app", "one").await;
        world.wait_for_rollouts("deployments", "app", 1).await;

        let watched = |head: &RequestHead| head.is_watch() && head.path.ends_with("/configmaps");
        eventually(PATIENCE, "an open watch of configmaps", async || {
            (proxy.disturb(watched, &StreamFault::expired()) == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        delete(&world, "app").await;
        world.wait_for_rollouts("deployments", "app", 2).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "app"), 2);
        assert_eq!(world.rollouts("deployments", "other"), 0);
    });
}

/// Quirk Q10 of upstream: the variable is removed by its place, whatever stands there by then.
#[test]
fn only_the_variable_of_the_deleted_source_is_removed() {
    run(async {
        let world = World::new("by-name").await;
        for name in ["one", "two"] {
            world.create(&config_map(name, "zero")).await;
        }
        world
            .create(&deployment("web", &AUTO, &pod_with(&["one", "two"], &[])))
            .await;
        let _controller = world.controller().arg("--reload-on-delete=true").start().await;
        for (turn, name) in ["one", "two"].into_iter().enumerate() {
            world.change_config_map(name, "one").await;
            world.wait_for_rollouts("deployments", "web", turn + 1).await;
        }
        let own = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "main", "env": [{ "name": "OWN", "value": "stays" }] },
        ] } } } });
        world
            .api::<Deployment>()
            .patch("web", &PatchParams::default(), &Patch::Strategic(own))
            .await
            .expect("the Deployment changes");
        delete(&world, "one").await;
        let writes = world.wait_for_rollouts("deployments", "web", 4).await;
        let variables: Vec<String> = world.variables("web").await.into_keys().collect();
        assert_eq!(variables, ["OWN", "STAKATER_TWO_CONFIGMAP"]);
        let body = writes[3].request_object.as_ref().expect("a body");
        let containers = &body["spec"]["template"]["spec"]["containers"];
        assert_eq!(
            *containers,
            json!([{ "name": "main", "env": [{ "name": "STAKATER_ONE_CONFIGMAP", "$patch": "delete" }] }])
        );
    });
}

#[test]
fn unused_sources_are_created_and_deleted_without_requests() {
    run(async {
        let world = World::new("unused").await;
        world
            .create(&deployment("web", &[], &pod_with(&["app"], &["token"])))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .args([ONE_WORKER, "--reload-on-create=true", "--reload-on-delete=true"])
            .start()
            .await;
        sentinel.pass().await;
        controller.wait_idle().await;
        wait_for_ledger(&world, 2).await;
        let requests = || {
            let of_controller = |entry: &testbed::Entry| {
                let steady = ["watch", "get"].contains(&entry.verb.as_str());
                entry.user == world.user() && !steady && entry.resource != "events"
            };
            world
                .plane
                .audit()
                .matching(of_controller)
                .expect("the audit log")
                .len()
        };
        let before = requests();
        world.create(&secret("token", "one")).await;
        world.create(&config_map("app", "one")).await;
        delete(&world, "app").await;
        let secrets = world.api::<Secret>();
        secrets
            .delete("token", &DeleteParams::default())
            .await
            .expect("the Secret is deleted");
        controller
            .wait_metric(
                r#"reloader_events_received_total{event_type="delete",resource_type="secrets"}"#,
                1.0,
            )
            .await;
        controller
            .wait_metric(
                r#"reloader_events_received_total{event_type="delete",resource_type="configmaps"}"#,
                1.0,
            )
            .await;
        controller.wait_idle().await;
        assert_eq!(requests(), before);
    });
}

/// Without a ledger only markers show what changed while no replica ran, and only with the flag is that restarted for.
/// Upstream restarts the unmarked ones as well (quirk Q8).
#[rstest]
fn a_first_start_syncs_what_markers_show_and_no_more(
    #[values(false, true)] create: bool,
    #[values(false, true)] sync: bool,
) {
    run(async {
        let world = World::new("sync").await;
        let shown = [
            ("behind", Some(digest_of("zero"))),
            ("current", Some(digest_of("one"))),
            ("unmarked", None),
        ];
        for (name, digest) in &shown {
            world.create(&config_map(name, "one")).await;
            let mut pod = pod_with_config_map(name);
            if let Some(digest) = digest {
                let variable = format!("STAKATER_{}_CONFIGMAP", name.to_uppercase());
                pod["containers"][0]["env"] = json!([{ "name": variable, "value": digest }]);
            }
            world.create(&deployment(name, &AUTO, &pod)).await;
        }
        // Who is younger than the last change of its source needs nothing, whatever its marker shows.
        for (name, _) in &shown {
            let label = json!({ "metadata": { "labels": { "written": "later" } } });
            let api = world.api::<ConfigMap>();
            api.patch(name, &PatchParams::default(), &Patch::Merge(label))
                .await
                .expect("the ConfigMap changes");
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world
            .controller()
            .args([ONE_WORKER, &format!("--reload-on-create={create}")])
            .args(sync.then_some("--sync-after-restart"))
            .start()
            .await;
        controller.wait_log("became leader").await;
        controller.wait_idle().await;
        sentinel.pass().await;
        let rollouts = shown
            .iter()
            .map(|(name, _)| world.rollouts("deployments", name))
            .collect::<Vec<_>>();
        assert_eq!(rollouts, [usize::from(create && sync), 0, 0]);
    });
}
