//! Nothing of a Secret's content is shown anywhere, least of all when things go wrong.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Event, Secret},
};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::{
    bursts::Policy,
    harness::{
        Controller, PATIENCE, World,
        objects::{deployment, from},
        observe::{AUTO, pod_with},
        permissions::SHIPPED,
        run,
    },
};

/// Contents, of the different lengths that shift base64 against them.
const CANARIES: [&str; 4] = [
    "canary-one-plain-text",
    "canary-two-plain-texts",
    "canary-three-in-binary",
    "canary-four-in-an-annotation",
];

/// Base64 of some text.
fn base64(text: &str) -> String {
    let wrapped = k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::to_value(wrapped)
        .expect("JSON")
        .as_str()
        .expect("text")
        .to_owned()
}

/// The ways in which a canary could be written: as it is, as the API shows it, and base64 of that once more.
fn spellings() -> BTreeSet<String> {
    let of_one = |canary: &&str| [(*canary).to_owned(), base64(canary), base64(&base64(canary))];
    let mut spellings: BTreeSet<String> = CANARIES.iter().flat_map(of_one).collect();
    // A part of it would be a leak as well; these are in all of them.
    spellings.insert("canary-".to_owned());
    spellings.insert(base64("canary-")[..8].to_owned());
    spellings
}

/// As `kubectl apply` leaves it: the content is in an annotation, too.
fn applied(name: &str, number: usize) -> Secret {
    let canary = CANARIES[number % 2];
    let configuration = json!({ "stringData": { "key": canary }, "data": { "more": base64(CANARIES[3]) } });
    from(json!({
        "metadata": { "name": name, "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": configuration.to_string(),
            "note": CANARIES[3],
        }, "labels": { "note": CANARIES[3] } },
        "stringData": { "key": canary },
        "data": { "binary": base64(CANARIES[2]) },
    }))
}

async fn change(world: &World, name: &str, number: usize) {
    let body = serde_json::to_value(applied(name, number)).expect("JSON");
    world
        .api::<Secret>()
        .patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .expect("the Secret changes");
}

/// Every answer of the inspection endpoint about these objects.
async fn asked(controller: &Controller, namespace: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for path in [
        "/".to_owned(),
        "/v1/status".to_owned(),
        "/v1/owed".to_owned(),
        "/v1/restarts".to_owned(),
        "/v1/sources".to_owned(),
        format!("/v1/search?q={namespace}"),
        format!("/v1/sources/secret/{namespace}/one"),
        format!("/v1/sources/secret/{namespace}/two"),
        format!("/v1/workloads/deployment/{namespace}/served"),
        format!("/v1/workloads/deployment/{namespace}/refused"),
        format!("/v1/workloads/deployment/{namespace}/held"),
    ] {
        let (status, body) = controller.ask(&path).await.expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        answers.push(body);
    }
    answers
}

/// Statement 48 among others: one restart waits on purpose, and is explained.
#[test]
fn no_byte_of_a_secret_is_shown_when_writes_fail_either() {
    run(async {
        let world = World::alone("leak").await;
        for (secret, workload) in [("one", "served"), ("two", "refused")] {
            world.create(&applied(secret, 0)).await;
            world
                .create::<Deployment>(&deployment(workload, &AUTO, &pod_with(&[], &[secret])))
                .await;
        }
        let suspended = [AUTO[0], ("reloader.stakater.com/suspend", "true")];
        world
            .create::<Deployment>(&deployment("held", &suspended, &pod_with(&[], &["two"])))
            .await;
        let policy = Policy::create(&world).await;
        let controller = world.controller().arg("--log-level=trace").start().await;
        world.wait_for_ledger(2).await;

        // Served; refused by admission; forbidden by RBAC; no API server at all.
        change(&world, "one", 1).await;
        change(&world, "two", 1).await;
        world.wait_for_rollouts("deployments", "served", 1).await;
        world.wait_for_events("refused", "ReloadFail", 1).await;
        world.permit("deployments", &["list", "watch"]).await;
        change(&world, "one", 2).await;
        world.wait_for_events("served", "ReloadFail", 1).await;
        world.plane.kill_apiserver();
        controller.wait_log("failed, trying again").await;
        let mut answers = asked(&controller, &world.namespace).await;
        let ready = controller.get("/ready?verbose").await.expect("an answer").1;
        world.plane.start_apiserver().await.expect("it starts");
        world.permit("deployments", &SHIPPED).await;
        policy.delete(&world).await;
        world.wait_for_rollouts("deployments", "served", 2).await;
        world.wait_for_rollouts("deployments", "refused", 1).await;
        controller.wait_metric("reloader_pending_reloads", 1.0).await;
        controller
            .wait_metric("reloader_deferred_reloads{reason=\"suspended\"}", 1.0)
            .await;
        let lines = world.ledger().await;
        assert_eq!(lines.len(), 2, "{lines:#?}");
        // A start over a ledger, with errors while it begins.
        let metrics = controller.get("/metrics").await.expect("an answer").1;
        answers.extend(asked(&controller, &world.namespace).await);
        controller.replica.terminate().expect("it runs");
        controller.wait_exit(PATIENCE).await;

        let everything = ListParams::default();
        let events = world
            .api::<Event>()
            .list(&everything)
            .await
            .expect("Events")
            .items;
        let config_maps = world
            .api::<ConfigMap>()
            .list(&everything)
            .await
            .expect("ConfigMaps")
            .items;
        let deployments = world
            .api::<Deployment>()
            .list(&everything)
            .await
            .expect("Deployments")
            .items;
        let writes = world
            .plane
            .audit()
            .writes_by(&world.user())
            .expect("the audit log");
        assert!(events.len() >= 4 && !config_maps.is_empty() && writes.len() >= 5);
        let log = controller.replica.log();
        assert!(log.contains("level=debug"), "not everything is logged:\n{log}");
        assert!(log.contains("failed with error"), "nothing failed:\n{log}");
        let shown = [
            ready,
            lines.join("\n"),
            metrics,
            format!("{events:?}"),
            format!("{config_maps:?}"),
            format!("{deployments:?}"),
            format!("{writes:?}"),
            log,
        ];
        assert!(
            answers.concat().contains("Secret"),
            "the answers are about Secrets"
        );
        assert!(
            answers.concat().contains("of the workload suspends it"),
            "a wait is explained"
        );
        for text in shown.into_iter().chain(answers) {
            assert!(!text.is_empty());
            for canary in spellings() {
                assert!(!text.contains(&canary), "{canary} in:\n{text}");
            }
        }
    });
}
