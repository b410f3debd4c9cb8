//! Three replicas, asked at their addresses.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use reloader::explain::{Explanation, Owes, Rule, Simulation, Verdict};
use serde_json::{Value, json};
use testbed::eventually;

use super::tool::{Ended, verb};
use crate::{
    bursts::Policy,
    harness::{
        PATIENCE, World,
        fleet::Fleet,
        objects::{config_map, deployment, from, pod_with_config_map},
        observe::{AUTO, digest_of, pod_with},
        run,
    },
};

/// Content of a Secret, as text and as the API shows it.
const CANARY: [&str; 2] = ["canary-verbs", "Y2FuYXJ5LXZlcmJz"];

#[test]
fn the_verbs_say_what_the_leader_knows() {
    run(async {
        let world = World::alone("verbs").await;
        create_objects(&world).await;
        let policy = Policy::create(&world).await;
        let fleet = Fleet::start(&world, &[]).await;
        let leader = fleet.leader().await.name.clone();
        let endpoints: Vec<String> = fleet
            .replicas()
            .iter()
            .map(|replica| format!("--endpoint=http://127.0.0.1:{}", replica.inspect_port))
            .collect();
        let kubeconfig = world.plane.admin_kubeconfig();
        let ask = async |args: &[&str]| -> Ended {
            let mut all = args.to_vec();
            all.extend(["-n", &world.namespace]);
            all.extend(endpoints.iter().map(String::as_str));
            let ended = verb(Some(&kubeconfig), &all).await;
            for spelling in CANARY {
                assert!(!ended.all().contains(spelling), "{args:?}: {ended:?}");
            }
            ended
        };

        let all_well = ask(&["status", "--failing"]).await;
        assert_eq!(all_well.code, Some(0), "{all_well:?}");
        world.change_config_map("app", "2").await;
        world.change_secret("db", CANARY[0]).await;
        let explanation = eventually(PATIENCE, "a failure that explain shows", async || {
            let ended = ask(&["explain", "deploy/refused", "-o", "json"]).await;
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
            let explanation: Explanation = ended.json();
            let app = explanation
                .sources
                .iter()
                .find(|source| source.source.name == "app")?;
            let has_failed = matches!(&app.owes, Owes::Restart(owed) if owed.last_error.is_some());
            has_failed.then_some(explanation)
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            explanation
                .replica
                .as_ref()
                .is_some_and(|replica| replica.leads && replica.name == leader)
        );
        let app = &explanation.sources[0];
        assert_eq!((app.verdict, app.rule), (Verdict::Restarts, Rule::Auto));
        assert_eq!(app.used_by, ["envFrom in container main"]);
        assert!(app.changed_by.is_some(), "{app:?}");

        let text = ask(&["explain", "deployment", "refused"]).await;
        for part in [
            "2 of its 2 sources restart it",
            &format!("{leader} (leads, version"),
            "configmap/app: restarts it (auto)",
            "frozen for the test",
            &digest_of("2"),
        ] {
            assert!(text.stdout.contains(part), "no {part:?} in {}", text.stdout);
        }
        let plain = ask(&["explain", "deploy/plain", "-o", "json"]).await;
        assert_eq!(plain.code, Some(3), "{plain:?}");
        let plain: Explanation = plain.json();
        assert_eq!(plain.sources[0].rule, Rule::NotOptedIn);
        assert!(plain.replica.is_some());

        let status = ask(&["status", "--failing", "-o", "json"]).await;
        assert_eq!(status.code, Some(3), "{status:?}");
        let status: Value = status.json();
        assert_eq!(status["leader"]["name"], json!(leader));
        assert_eq!(status["replicas"].as_array().map(Vec::len), Some(3));
        assert_eq!(status["owed"][0]["workload"]["name"], "refused");
        assert_eq!(status["totals"]["failing"], 1);
        let everywhere = ask_everywhere(&endpoints).await;
        assert!(
            everywhere.stdout.contains("deployment/refused")
                && everywhere.stdout.contains("frozen for the test"),
            "{everywhere:?}"
        );
        let yaml = ask(&["status", "-o", "yaml"]).await;
        assert!(yaml.stdout.contains("\ntotals:\n"), "{yaml:?}");

        let simulation = ask(&["simulate", "configmap/app", "-o", "json"]).await;
        assert_eq!(simulation.code, Some(0), "{simulation:?}");
        let simulation: Simulation = simulation.json();
        assert_eq!(simulation.restarts[0].workload.name, "refused");
        assert_eq!(ask(&["simulate", "cm/unused"]).await.code, Some(3));

        let check = ask(&["check", "-o", "json"]).await;
        assert_eq!(check.code, Some(0), "{check:?}");
        let report: Value = check.json();
        assert_eq!(report["works"], true);
        let outcome = |name: &str| {
            let checks = report["checks"].as_array().into_iter().flatten();
            let mut found = checks.filter(|check| check["name"] == name);
            found.next().map(|check| check["outcome"].clone())
        };
        for name in ["replicas", "leader", "ready", "watches"] {
            assert_eq!(outcome(name), Some(json!("passed")), "{name} in {report:#}");
        }
        policy.delete(&world).await;
        world.wait_for_rollouts("deployments", "refused", 1).await;
    });
}

/// A workload whose restart is refused, and one that opts into nothing.
async fn create_objects(world: &World) {
    world.create(&config_map("app", "1")).await;
    world
        .create::<Secret>(&from(json!({
            "metadata": { "name": "db", "annotations": { "note": CANARY[0] }, "labels": { "note": CANARY[0] } },
            "stringData": { "password": CANARY[0] },
        })))
        .await;
    world
        .create::<Deployment>(&deployment("refused", &AUTO, &pod_with(&["app"], &["db"])))
        .await;
    world
        .create::<Deployment>(&deployment("plain", &[], &pod_with_config_map("app")))
        .await;
}

/// Without a kubeconfig: the addresses are enough.
async fn ask_everywhere(endpoints: &[String]) -> Ended {
    let mut args = vec!["status", "-A"];
    args.extend(endpoints.iter().map(String::as_str));
    verb(None, &args).await
}

#[test]
fn a_namespace_that_is_not_watched_is_the_controllers_word() {
    run(async {
        let world = World::new("verbs-watched").await;
        let other = world.another("verbs-other").await;
        other
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let controller = world.controller().start().await;
        let endpoint = format!("--endpoint=127.0.0.1:{}", controller.inspect_port);
        let kubeconfig = world.plane.admin_kubeconfig();
        let ended = verb(
            Some(&kubeconfig),
            &["explain", "deploy/web", "-n", &other.namespace, &endpoint],
        )
        .await;
        assert!(ended.stderr.contains("is not watched"), "{ended:?}");
        assert!(ended.stdout.contains("the objects alone"), "{ended:?}");
    });
}
