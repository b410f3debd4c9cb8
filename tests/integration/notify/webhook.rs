//! Webhook mode: changes are posted, nothing is restarted.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testbed::{Answer, Receiver, proxy::StreamFault};

use super::{receiver, taking, wait_for_bodies};
use crate::harness::{
    PATIENCE, World,
    fleet::Fleet,
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::AUTO,
    run,
};

const CONSTANT: &str = r#"{"webhook":"update successful"}"#;

/// Kind and name of what a body with details is about, and what happened to it.
fn details(body: &str) -> (String, String, String) {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let text = |key: &str| body[key].as_str().expect("text").to_owned();
    (text("event"), text("kind"), text("name"))
}

fn details_of(event: &str, kind: &str, name: &str) -> (String, String, String) {
    (event.to_owned(), kind.to_owned(), name.to_owned())
}

#[test]
fn each_change_is_one_post_and_no_workload_is_looked_at() {
    run(async {
        let world = World::new("webhook").await;
        world.create(&config_map("settings", "one")).await;
        // Ignored, and no workload opted into it: webhook mode asks for neither.
        let mut lonely = secret("password", "canary-secret-one");
        lonely.metadata.annotations =
            Some([("reloader.stakater.com/ignore".to_owned(), "true".to_owned())].into());
        world.create(&lonely).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
            .await;
        let receiver = receiver(|_| Answer::full("200 OK", "", "pipeline started")).await;
        let controller = world
            .controller()
            .arg(format!(
                "--webhook-url={}",
                receiver.url("/canary-token?key=canary-token")
            ))
            .arg("--log-level=trace")
            .start()
            .await;

        world.change_config_map("settings", "two").await;
        wait_for_bodies(&receiver, 1).await;
        // Same data, other metadata: no change.
        let label = json!({ "metadata": { "labels": { "touched": "yes" } } });
        world
            .patch_source(crate::harness::sources::SourceType::ConfigMap, "settings", &label)
            .await;
        // Creations and deletions are none of upstream's business unless the flags say so.
        world.create(&config_map("other", "one")).await;
        world
            .api::<ConfigMap>()
            .delete("other", &DeleteParams::default())
            .await
            .expect("it is deleted");
        world.change_secret("password", "canary-secret-two").await;
        wait_for_bodies(&receiver, 2).await;
        // A watch keeps the order: had one of those before been posted, it would be there by now.
        world.change_config_map("settings", "three").await;
        let bodies = wait_for_bodies(&receiver, 3).await;
        assert_eq!(bodies, [CONSTANT; 3]);
        let head = receiver.received()[0].head.clone();
        assert!(
            head.starts_with("POST /canary-token?key=canary-token HTTP/1.1\n"),
            "{head}"
        );
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(!head.contains("traceparent"), "no traces are exported: {head}");

        let namespace = &world.namespace;
        let host = receiver.url("");
        for (name, type_name) in [("settings", "CONFIGMAP"), ("password", "SECRET")] {
            controller
                .wait_log(&format!(
                    "Changes detected in '{name}' of type '{type_name}' in namespace '{namespace}', Sending webhook to \
                     '{host}'"
                ))
                .await;
        }
        controller.wait_log("pipeline started").await;
        controller
            .wait_log("webhook-url is set, will only send webhook, no resources will be reloaded")
            .await;
        let requests = world
            .plane
            .audit()
            .matching(|entry| entry.user == world.user() && entry.group == "apps")
            .expect("the audit log");
        assert!(requests.is_empty(), "{requests:?}");
        let writes = world
            .plane
            .audit()
            .writes_by(&world.user())
            .expect("the audit log");
        assert!(writes.is_empty(), "{writes:?}");
        let metrics = controller.get("/metrics").await.expect("metrics").1;
        for text in [metrics, controller.replica.log(), format!("{bodies:?}")] {
            assert!(
                !text.contains("canary-token") && !text.contains("canary-secret"),
                "{text}"
            );
        }
    });
}

#[test]
fn details_and_creations_and_deletions_where_asked_for() {
    run(async {
        let world = World::new("details").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        for name in ["first", "unseen"] {
            world.create(&config_map(name, "one")).await;
        }
        let receiver = taking().await;
        let _controller = world
            .controller()
            .args([
                format!("--webhook-url={}", receiver.url("/")),
                "--webhook-payload=details".to_owned(),
                "--reload-on-create=true".to_owned(),
                "--reload-on-delete=true".to_owned(),
            ])
            .through(&proxy)
            .start()
            .await;
        world.create(&secret("new", "canary")).await;
        wait_for_bodies(&receiver, 1).await;
        world.change_secret("new", "canary two").await;
        wait_for_bodies(&receiver, 2).await;
        let delete = DeleteParams::default();
        world
            .api::<Secret>()
            .delete("new", &delete)
            .await
            .expect("it is deleted");
        let bodies = wait_for_bodies(&receiver, 3).await;
        let told_of: Vec<_> = bodies.iter().map(|body| details(body)).collect();
        let expected = ["create", "update", "delete"].map(|event| details_of(event, "Secret", "new"));
        assert_eq!(told_of, expected);
        let body: Value = serde_json::from_str(&bodies[0]).expect("JSON");
        let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["event", "kind", "name", "namespace", "time", "webhook"]);
        assert_eq!(body["namespace"], json!(world.namespace));
        assert_eq!(body["webhook"], json!("update successful"));
        assert!(!bodies.join("").contains("canary"), "{bodies:?}");

        // A deletion that no watch shows: upstream posts one without a name and loses it.
        let is_watch =
            |head: &testbed::proxy::RequestHead| head.path.ends_with("/configmaps") && head.is_watch();
        testbed::eventually(PATIENCE, "an open watch", async || {
            (proxy.disturb(is_watch, &StreamFault::expired()) == 1).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        world
            .api::<ConfigMap>()
            .delete("unseen", &delete)
            .await
            .expect("it is deleted");
        let bodies = wait_for_bodies(&receiver, 4).await;
        assert_eq!(details(&bodies[3]), details_of("delete", "ConfigMap", "unseen"));
    });
}

#[test]
fn a_refused_post_is_repeated_and_a_hanging_one_holds_nothing_up() {
    run(async {
        let world = World::new("repeat").await;
        world.create(&config_map("settings", "one")).await;
        let receiver = receiver(|number| match number {
            0 => Answer::status("500 Internal Server Error"),
            1 => Answer::full("307 Temporary Redirect", "location: /elsewhere\r\n", ""),
            2 => Answer::status("204 No Content"),
            _ => Answer::Never,
        })
        .await;
        let controller = world
            .controller()
            .arg(format!("--webhook-url={}", receiver.url("/hook")))
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        let bodies = wait_for_bodies(&receiver, 3).await;
        assert_eq!(bodies, [CONSTANT; 3]);
        let lines: Vec<String> = receiver
            .received()
            .iter()
            .filter_map(|request| request.head.lines().next().map(str::to_owned))
            .collect();
        assert_eq!(
            lines,
            [
                "POST /hook HTTP/1.1",
                "POST /hook HTTP/1.1",
                "POST /elsewhere HTTP/1.1"
            ]
        );
        // While one hangs, changes are taken in all the same.
        for turn in 3..6 {
            world.change_config_map("settings", &format!("turn {turn}")).await;
        }
        wait_for_bodies(&receiver, 4).await;
        controller
            .wait_metric(
                "reloader_events_received_total{event_type=\"update\",resource_type=\"configmaps\"}",
                4.0,
            )
            .await;
        assert_eq!(receiver.bodies().len(), 4);
    });
}

/// Around a handover a change may be posted twice; never not at all, whichever reaches the next
/// leader first: the change, or the news that the lease is free.
#[test]
fn a_handover_loses_no_change() {
    run(async {
        let world = World::new("leaders").await;
        let names = ["one", "two", "three"];
        for name in names {
            world.create(&config_map(name, "1")).await;
        }
        let receiver = taking().await;
        let webhook = format!("--webhook-url={}", receiver.url("/"));
        let mut fleet = Fleet::start(&world, &[webhook.as_str(), "--webhook-payload=details"]).await;
        for name in names {
            let leader = fleet.take_leader().await;
            if name == names[0] {
                // With a leader that stays, each change is posted once.
                world.change_config_map(name, "2").await;
                let bodies = wait_for_bodies(&receiver, 1).await;
                assert_eq!(details(&bodies[0]), details_of("update", "ConfigMap", name));
            } else {
                wait_until_posted(&receiver, name).await;
            }
            leader.replica.terminate().expect("it runs");
            assert_eq!(leader.wait_exit(PATIENCE).await, Some(0));
            if let Some(next) = names.iter().skip_while(|other| **other != name).nth(1) {
                world.change_config_map(next, "2").await;
            }
        }
    });
}

async fn wait_until_posted(receiver: &Receiver, name: &str) {
    let about = details_of("update", "ConfigMap", name);
    testbed::eventually(PATIENCE, &format!("a post about {name}"), async || {
        let bodies = receiver.bodies();
        bodies.iter().any(|body| details(body) == about).then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn changes_without_a_leader_are_posted_by_the_next_leader() {
    run(async {
        let world = World::new("gap").await;
        world.create(&config_map("settings", "one")).await;
        let receiver = taking().await;
        let webhook = format!("--webhook-url={}", receiver.url("/"));
        let short = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
        let mut fleet = Fleet::start(&world, &[&[webhook.as_str()], &short[..]].concat()).await;
        let leader = fleet.take_leader().await;
        leader.replica.kill();
        world.change_config_map("settings", "two").await;
        let next = fleet.leader().await;
        assert_eq!(wait_for_bodies(&receiver, 1).await, [CONSTANT]);
        // The next one is not the same once more.
        world.change_config_map("settings", "three").await;
        wait_for_bodies(&receiver, 2).await;
        next.wait_metric(
            r#"reloader_notifications_total{channel="webhook",result="success"}"#,
            2.0,
        )
        .await;
        assert_eq!(receiver.bodies().len(), 2);
    });
}

/// While the receiver hangs, one namespace changes more often than messages may wait.
#[test]
fn a_flood_of_changes_in_one_namespace_drops_none_of_another() {
    run(async {
        let world = World::new("flood").await;
        let calm = world.another("calm").await;
        calm.admit(&world, "watched").await;
        world.create(&config_map("busy", "0")).await;
        calm.create(&config_map("settings", "one")).await;
        // Half a minute, in which all changes are made unless the machine is very busy.
        let receiver = receiver(|number| match number {
            0..3 => Answer::Never,
            _ => Answer::status("200 OK"),
        })
        .await;
        let namespaces = format!("--namespaces={},{}", world.namespace, calm.namespace);
        let controller = world
            .controller()
            .args([namespaces, format!("--webhook-url={}", receiver.url("/"))])
            .arg("--webhook-payload=details")
            .start()
            .await;
        stream::iter(1..=1_200)
            .for_each_concurrent(16, async |turn| {
                world.change_config_map("busy", &turn.to_string()).await;
            })
            .await;
        let updates = "reloader_events_received_total{event_type=\"update\",resource_type=\"configmaps\"}";
        controller.wait_metric(updates, 1_200.0).await;
        calm.change_config_map("settings", "two").await;
        controller.wait_metric(updates, 1_201.0).await;
        wait_until_posted(&receiver, "settings").await;
        controller
            .wait_metric(
                r#"reloader_notifications_total{channel="webhook",result="dropped"}"#,
                0.0,
            )
            .await;
        // The latest state of the source is what a receiver acts on.
        let bodies = receiver.bodies();
        assert!(bodies.len() < 1_200, "{}", bodies.len());
    });
}
