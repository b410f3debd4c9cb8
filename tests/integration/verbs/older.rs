//! Replicas of version 0.1.0, which answer no questions. What they leave in the cluster is as they left it: pods on whose port for
//! questions nothing listens, the Lease, `reloader-meta-info` and a marker.

use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::api::{Patch, PatchParams};
use reloader::explain::{Explanation, History, Owes, Simulation, Verdict};
use serde_json::{Value, json};
use testbed::{eventually, free_port};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    forwards::{pod, wait_running},
    tool::{Ended, verb},
};
use crate::harness::{
    PATIENCE, World,
    fleet::LEASE,
    objects::{config_map, deployment, from, pod_with_config_map, secret},
    observe::{AUTO, digest_of, pod_with},
    run,
};

/// What version 0.1.0 published, with its default flags and `--enable-ha`.
const META_INFO: &str = include_str!("testdata/meta-info-0.1.0.json");
const REPLICAS: [&str; 3] = ["reloader-a", "reloader-b", "reloader-c"];

/// The Lease, held by the first replica.
async fn lease(world: &World) {
    let now = MicroTime(Timestamp::now());
    let spec = json!({
        "holderIdentity": format!("{}_3d55b10c-88bf-46f3-a8bc-1d7e1d0c4960", REPLICAS[0]),
        "leaseDurationSeconds": 3600, "leaseTransitions": 0, "acquireTime": now, "renewTime": now,
    });
    world
        .create::<Lease>(&from(json!({ "metadata": { "name": LEASE }, "spec": spec })))
        .await;
}

/// The settings.
async fn meta_info(world: &World) {
    let mut data: Value = serde_json::from_str(META_INFO).expect("JSON");
    data["deploymentInfo"] = json!({ "namespace": world.namespace }).to_string().into();
    let labels = json!({ "reloader.stakater.com/meta-info": "reloader" });
    world
        .create::<ConfigMap>(&from(json!({
            "metadata": { "name": "reloader-meta-info", "labels": labels }, "data": data,
        })))
        .await;
}

/// A restart: the content changes, and the marker with it.
async fn restart(world: &World) {
    world.change_config_map("app", "2").await;
    let variable = json!({ "name": "STAKATER_APP_CONFIGMAP", "value": digest_of("2") });
    let containers = json!([{ "name": "main", "env": [variable] }]);
    let body = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    world
        .api::<Deployment>()
        .patch("web", &PatchParams::default(), &Patch::Strategic(body))
        .await
        .expect("the Deployment changes");
}

/// An address at which every path is not found, as on 0.1.0's port of metrics.
async fn port_of_metrics() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    port
}

/// One line, of which all parts are there.
fn assert_line(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "no {part:?} in {ended:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one control plane, each verb once")]
fn each_verb_says_what_an_older_controller_leaves_unknown_and_what_to_do() {
    run(async {
        let port = free_port().expect("a free port");
        let world = World::with_port_forwards(&[port], "verbs-older").await;
        world.create(&config_map("app", "1")).await;
        world.create(&secret("db", "1")).await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with(&["app"], &["db"])))
            .await;
        let wrong = [("reloader.stakater.com/reload", "app")];
        world
            .create::<Deployment>(&deployment("wrong", &wrong, &pod_with_config_map("app")))
            .await;
        lease(&world).await;
        meta_info(&world).await;
        for name in REPLICAS {
            world.create(&pod(name, port)).await;
            wait_running(&world, name).await;
        }
        let kubeconfig = world.plane.admin_kubeconfig();
        let ask = async |args: &[&str]| {
            let all = [args, &["-n", &world.namespace]].concat();
            verb(Some(&kubeconfig), &all).await
        };
        let history = async || -> History { ask(&["history", "deploy/web", "-o", "json"]).await.json() };
        let first = eventually(PATIENCE, "a first revision", async || {
            (history().await.revisions == 1).then_some(())
        });
        first.await.unwrap_or_else(|error| panic!("{error}"));
        restart(&world).await;

        let silent = format!("nothing listens on its port {port}");
        let why = [
            "pod verbs-older",
            "reloader-a does not answer",
            "older version",
            "upgrade it",
        ];
        let alone = [&why[..], &[silent.as_str(), "objects alone"]].concat();

        let text = ask(&["explain", "deploy/web"]).await;
        assert_eq!(text.code, Some(0), "{text:?}");
        assert_line(&text, &alone);
        assert!(text.stdout.contains("Answered by: the objects alone"), "{text:?}");
        let web: Explanation = ask(&["explain", "deploy/web", "-o", "json"]).await.json();
        assert_eq!(web.sources.len(), 2);
        for source in &web.sources {
            assert_eq!(
                (source.verdict, &source.owes),
                (Verdict::Restarts, &Owes::Unknown)
            );
            assert!(source.now.is_none() && source.settled.is_none());
        }
        assert_eq!(
            web.sources[0].in_template[0].digest.as_ref(),
            Some(&digest_of("2"))
        );
        assert!(
            !web.notes
                .iter()
                .any(|note| note.contains("settings are not known"))
        );
        let wrong = ask(&["explain", "deploy/wrong"]).await;
        assert_eq!(wrong.code, Some(3), "{wrong:?}");
        assert!(wrong.stdout.contains("did you mean"), "{wrong:?}");

        let status = ask(&["status"]).await;
        assert_eq!(status.code, Some(0), "{status:?}");
        assert_line(&status, &alone);
        for part in [
            "reloader-a leads since",
            "reloader-a   yes     0.1.0     yes     unknown",
            &format!("\nreloader-a, reloader-b, reloader-c: {silent}\n"),
            "Which workloads owe a restart is unknown: only a replica knows",
        ] {
            assert!(status.stdout.contains(part), "no {part:?} in {status:?}");
        }
        let failing = ask(&["status", "--failing"]).await;
        assert_eq!((failing.code, &*failing.stdout), (Some(1), ""), "{failing:?}");
        assert_line(&failing, &[&why[..], &["reason=ReloadFail"]].concat());

        let check = ask(&["check"]).await;
        assert_eq!((check.code, &*check.stderr), (Some(0), ""), "{check:?}");
        for part in [
            "3 running of version 0.1.0, none answers: ",
            "upgrade it",
            "watches       unknown   only a replica knows",
            "Reloader works, as far as is known",
        ] {
            assert!(check.stdout.contains(part), "no {part:?} in {check:?}");
        }

        let simulation = ask(&["simulate", "cm/app", "-o", "json"]).await;
        assert!(simulation.stderr.contains("objects alone"), "{simulation:?}");
        let simulation: Simulation = simulation.json();
        assert_eq!((simulation.restarts.len(), simulation.left.len()), (1, 1));

        let dashboard = ask(&["dashboard", "--no-open"]).await;
        assert_eq!(
            (dashboard.code, &*dashboard.stdout),
            (Some(1), ""),
            "{dashboard:?}"
        );
        assert_line(&dashboard, &why);

        let after = eventually(PATIENCE, "the restart", async || {
            let history = history().await;
            (!history.restarts.is_empty()).then_some(history)
        });
        let after = after.await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((after.restarts.len(), after.restarts[0].revision), (1, 2));
        assert_eq!(after.restarts[0].digest, Some(digest_of("2")));

        // Its only port, which some may try.
        let endpoint = format!("--endpoint=http://127.0.0.1:{}", port_of_metrics().await);
        let status = ask(&["status", &endpoint]).await;
        assert_eq!(status.code, Some(0), "{status:?}");
        assert_line(&status, &["404 Not Found", "older version"]);
        let row = status
            .stdout
            .lines()
            .find(|line| line.starts_with("127.0.0.1"))
            .unwrap_or_else(|| panic!("{status:?}"));
        let cells: Vec<&str> = row.split_whitespace().skip(1).collect();
        assert_eq!(cells, ["unknown", "-", "unknown", "unknown", "-"]);
    });
}
