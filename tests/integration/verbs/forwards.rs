//! Three replicas in pods, reached through the API server's port-forward, by a user of one namespace.

use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use reloader::explain::{Explanation, Status};
use serde_json::{Value, json};
use testbed::{eventually, free_port, http_get};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::tool::{command, reads_config_maps, reads_workloads, verb};
use crate::harness::{
    Controller, PATIENCE, World,
    objects::{config_map, deployment, from, pod_with_config_map},
    observe::AUTO,
    run,
};

/// The pod that a replica would be in: KWOK plays it, and forwards its port to the replica's.
pub fn pod(name: &str, port: u16) -> Pod {
    from(json!({
        "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "reloader" } },
        "spec": {
            "nodeName": "node-1",
            "serviceAccountName": "reloader-reloader",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "reloader", "image": "reloader:0.1.0", "args": [format!("--inspect-address=127.0.0.1:{port}")],
            }],
        },
    }))
}

pub async fn wait_running(world: &World, name: &str) {
    let what = format!("pod {name} to run");
    let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
        let pod = world
            .api::<Pod>()
            .get(name)
            .await
            .map_err(|error| error.to_string())?;
        let phase = pod.status.and_then(|status| status.phase);
        if phase.as_deref() == Some("Running") {
            Ok(Some(()))
        } else {
            Err(format!("{phase:?}"))
        }
    });
    waited.await.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_user_of_one_namespace_asks_through_a_port_forward() {
    run(async {
        let ports: Vec<u16> = (0..4).map(|_| free_port().expect("a free port")).collect();
        let world = World::with_port_forwards(&ports, "verbs-forward").await;
        world.create(&config_map("app", "1")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let mut replicas: Vec<Controller> = Vec::new();
        for (name, port) in ["reloader-a", "reloader-b", "reloader-c"].iter().zip(&ports) {
            world.create(&pod(name, *port)).await;
            let replica = world
                .controller()
                .elected()
                .name(name)
                .arg(format!("--inspect-address=127.0.0.1:{port}"));
            replicas.push(replica.start().await);
            wait_running(&world, name).await;
        }
        let forwards =
            json!({ "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"] });
        let finds = json!([
            reads_workloads(),
            reads_config_maps(),
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
            { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "list"] },
            forwards,
        ]);
        let kubeconfig = world.reader(finds).await;
        let ask = async |args: &[&str]| {
            let mut all = args.to_vec();
            all.extend(["-n", &world.namespace]);
            verb(Some(&kubeconfig), &all).await
        };

        let replica = eventually(
            PATIENCE,
            "the answer of a leader",
            async || -> Result<_, String> {
                let ended = ask(&["explain", "deploy/web", "-o", "json"]).await;
                assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
                let explanation: Explanation = ended.json();
                let replica = explanation.replica.expect("a replica's answer");
                if replica.leads {
                    Ok(Some(replica))
                } else {
                    Err(format!("{replica:?}"))
                }
            },
        );
        let replica = replica.await.unwrap_or_else(|error| panic!("{error}"));

        let ended = ask(&["status", "-o", "json"]).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let status: Value = ended.json();
        assert_eq!(status["leader"]["name"], json!(replica.name));
        let answering = status["replicas"].as_array().into_iter().flatten();
        assert_eq!(
            answering.filter(|row| row["ready"] == true).count(),
            3,
            "{status:#}"
        );
        assert_eq!(status["totals"]["workloads"], 1);

        let check = ask(&["check", "--wait", "1m"]).await;
        assert_eq!(check.code, Some(0), "{check:?}");
        assert!(check.stdout.contains("3 running, 3 answer"), "{check:?}");
        let by_admin = verb(
            Some(&world.plane.admin_kubeconfig()),
            &[
                "check",
                "-n",
                &world.namespace,
                "--reloader-namespace",
                &world.namespace,
            ],
        )
        .await;
        assert!(by_admin.stdout.contains("may do what it needs"), "{by_admin:?}");

        dashboard(&world, &kubeconfig).await;

        // A pod of a version without the endpoint: nothing listens.
        for replica in replicas.drain(..) {
            replica.replica.kill();
        }
        let ended = ask(&["explain", "deploy/web"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("does not answer"), "{ended:?}");
        assert!(ended.stdout.contains("the objects alone"), "{ended:?}");
        let status = ask(&["status"]).await;
        assert_eq!(status.code, Some(0), "{status:?}");
        for part in [
            &*format!("{} leads since", replica.name),
            "reloader-b",
            "only a replica knows",
        ] {
            assert!(status.stdout.contains(part), "no {part:?} in {status:?}");
        }
    });
}

/// The page is there until the command is interrupted.
async fn dashboard(world: &World, kubeconfig: &std::path::Path) {
    let mut running = command(Some(kubeconfig), &["dashboard", "-n", &world.namespace])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let stdout = running.stdout.take().expect("its output");
    let url = BufReader::new(stdout)
        .lines()
        .next_line()
        .await
        .expect("a line")
        .expect("an address");
    let port = url
        .trim_end_matches('/')
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or_else(|| panic!("{url}"));
    let (code, page) = http_get(port, "/").await.expect("an answer");
    assert!(code == 200 && page.contains("<html"), "{code}: {page}");
    let (_, status) = http_get(port, "/v1/status").await.expect("an answer");
    let status: Status = serde_json::from_str(&status).unwrap_or_else(|error| panic!("{error}: {status}"));
    assert!(status.replica.leads);
    // A page of another site whose name leads to this machine.
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    let request = b"GET /v1/status HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let pid = running.id().expect("it runs").cast_signed();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), testbed::Signal::SIGINT)
        .expect("it is signalled");
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
    assert_eq!(ended.expect("it ends").expect("it ends").code(), Some(0));
}

#[test]
fn without_the_permission_to_forward_the_objects_answer() {
    run(async {
        let ports = [free_port().expect("a free port")];
        let world = World::with_port_forwards(&ports, "verbs-forbidden").await;
        world
            .create(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        world.create(&pod("reloader-a", ports[0])).await;
        wait_running(&world, "reloader-a").await;
        let pods = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] });
        let kubeconfig = world
            .reader(json!([reads_workloads(), reads_config_maps(), pods]))
            .await;
        let args = ["explain", "deploy/web", "-n", &world.namespace];
        let ended = verb(Some(&kubeconfig), &args).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("pods/portforward"), "{ended:?}");
    });
}
