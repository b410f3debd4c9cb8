//! The kubelet runs pods as their specs say, and says what it cannot do. The pods' program is `sh`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testbed::kubelet::{NODE, run_in_namespaces as run};
use testbed::{ControlPlane, Kubelet, eventually};

const TIMEOUT: Duration = Duration::from_mins(1);

struct World {
    // Ends before the control plane.
    kubelet: Kubelet,
    pods: Api<Pod>,
    client: Client,
    _plane: ControlPlane,
}

impl World {
    async fn start() -> Self {
        let plane = ControlPlane::builder()
            .controller_manager(true)
            .start()
            .await
            .unwrap();
        let sh = Path::new("/bin/sh").canonicalize().unwrap();
        let kubelet = Kubelet::builder(&plane).image("example/sh", sh).start();
        Self {
            kubelet: kubelet.await.unwrap(),
            pods: Api::default_namespaced(plane.admin()),
            client: plane.admin(),
            _plane: plane,
        }
    }

    /// A pod whose container runs a script.
    async fn create(&self, name: &str, script: &str, container: Value) {
        let mut whole = json!({ "name": "main", "image": "example/sh:1", "args": ["-c", script] });
        let fields = container.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        let volumes = json!([{ "name": "settings", "configMap": { "name": "settings" } }, { "name": "scratch", "emptyDir": {} }]);
        let pod = json!({
            "metadata": { "name": name },
            "spec": { "nodeName": NODE, "containers": [whole], "volumes": volumes },
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
    }

    async fn create_settings(&self) {
        let map = serde_json::from_value(
            json!({ "metadata": { "name": "settings" }, "data": { "colour": "red" } }),
        );
        Api::<ConfigMap>::default_namespaced(self.client.clone())
            .create(&PostParams::default(), &map.unwrap())
            .await
            .unwrap();
    }

    /// Waits until the log of a pod holds the text.
    async fn logged(&self, pod: &str, text: &str) -> String {
        let what = format!("{text:?} in the log of {pod}");
        let found = eventually(TIMEOUT, &what, async || -> Result<_, String> {
            let log = self.kubelet.logs().remove(pod).unwrap_or_default();
            if log.contains(text) {
                Ok(Some(log))
            } else {
                Err(log)
            }
        });
        found.await.unwrap()
    }

    /// Waits until a pod's container status satisfies the question.
    async fn status(&self, pod: &str, wanted: impl Fn(&Value) -> bool) {
        let what = format!("another status of {pod}");
        let seen = eventually(TIMEOUT, &what, async || -> Result<_, String> {
            let pod = self.pods.get(pod).await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(pod.status).unwrap();
            if wanted(&status["containerStatuses"][0]) {
                Ok(Some(()))
            } else {
                Err(status.to_string())
            }
        });
        seen.await.unwrap();
    }

    /// Deletes a pod and waits until it is no more.
    async fn delete(&self, pod: &str, grace: u32) {
        let parameters = DeleteParams::default().grace_period(grace);
        self.pods.delete(pod, &parameters).await.unwrap();
        let gone = eventually(TIMEOUT, "the pod's end", async || -> Result<_, String> {
            let pod = self.pods.get_opt(pod).await.map_err(|error| error.to_string())?;
            if pod.is_none() {
                Ok(Some(()))
            } else {
                Err(format!("{pod:?}"))
            }
        });
        gone.await.unwrap();
    }
}

#[test]
fn a_pod_has_what_its_spec_says_and_is_asked_to_end() {
    run("a_pod_has_what_its_spec_says_and_is_asked_to_end", async {
        let world = World::start().await;
        let script = r#"
            trap 'echo asked; exit 0' TERM
            echo "$1 of $NAME is $(cat /etc/settings/colour)"
            touch /scratch/file && echo 'scratch is writable'
            touch /file || echo 'the root is not'
            head -c 2 /var/run/secrets/kubernetes.io/serviceaccount/token; echo ' begins the token'
            while :; do sleep 0.1; done"#;
        let fields = json!({
            "args": ["-c", script, "sh", "colour-$(NAME)"],
            "env": [{ "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
            "securityContext": { "readOnlyRootFilesystem": true },
            "volumeMounts": [
                { "name": "settings", "mountPath": "/etc/settings" }, { "name": "scratch", "mountPath": "/scratch" },
            ],
        });
        world.create("shell", script, fields).await;
        // It waits for its ConfigMap.
        world
            .status("shell", |status| {
                let message = status["state"]["waiting"]["message"].as_str();
                message.is_some_and(|message| message.contains("settings"))
            })
            .await;
        world.create_settings().await;
        let log = world.logged("shell", "begins the token").await;
        for line in [
            "colour-shell of shell is red",
            "scratch is writable",
            "the root is not",
            "ey begins the token",
        ] {
            assert!(log.contains(line), "{line:?} is not in {log}");
        }
        // Without a readiness probe, what runs is ready.
        world.status("shell", |status| status["ready"] == true).await;

        world.delete("shell", 30).await;
        world.logged("shell", "asked").await;
        assert_eq!(world.kubelet.running().len(), 0);
        assert_eq!(world.kubelet.troubles(), Vec::<String>::new());
    });
}

#[test]
fn what_goes_wrong_is_seen() {
    run("what_goes_wrong_is_seen", async {
        let world = World::start().await;
        world.create_settings().await;
        world.create("crashing", "exit 3", json!({})).await;
        let forever = "trap '' TERM; echo here; while :; do sleep 0.1; done";
        world.create("deaf", forever, json!({})).await;
        world
            .create("foreign", forever, json!({ "image": "other:1" }))
            .await;
        world
            .create("demanding", forever, json!({ "workingDir": "/tmp" }))
            .await;
        let nobody_listens = json!({
            "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 1, "failureThreshold": 1,
        });
        let probed = json!({ "livenessProbe": nobody_listens, "readinessProbe": nobody_listens });
        world
            .create("unhealthy", "while :; do sleep 0.1; done", probed)
            .await;

        world
            .status("crashing", |status| {
                status["restartCount"] == 1 && status["lastState"]["terminated"]["exitCode"] == 3
            })
            .await;
        for (pod, named) in [("foreign", "image other:1"), ("demanding", "workingDir")] {
            world
                .status(pod, |status| {
                    let waiting = &status["state"]["waiting"];
                    let message = waiting["message"].as_str().unwrap_or_default();
                    waiting["reason"] == "CreateContainerConfigError" && message.contains(named)
                })
                .await;
        }
        world
            .status("unhealthy", |status| {
                status["restartCount"].as_i64().unwrap_or_default() > 0 && status["ready"] == false
            })
            .await;
        assert_eq!(
            world.kubelet.troubles().len(),
            2,
            "{:?}",
            world.kubelet.troubles()
        );

        // What does not listen is killed when its time is up.
        world.logged("deaf", "here").await;
        for pod in ["deaf", "foreign", "crashing"] {
            world.delete(pod, 1).await;
        }
        assert!(
            world
                .kubelet
                .running()
                .iter()
                .all(|running| running.pod() != "deaf")
        );
    });
}
