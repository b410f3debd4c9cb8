//! The API server dies right after ten changes; one kind of workload may not be listed, until it may.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::ConfigMap,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    controller::Controller,
    lab::{Lab, PATIENCE},
    load::Load,
    objects::{change, change_all, config_map, create_all, create_namespace, deployment, pair},
    references::{FORBIDDEN_RELOADED, OUTAGE_RELOADED},
    report::Figure,
};

const SCENARIO: &str = "outage";
/// Changes right before the API server dies.
const CHANGES: usize = 10;
const RUNS: usize = 3;
/// Workloads of the forbidden kind.
const FORBIDDEN: usize = 6;
/// What is not restarted by then counts as lost.
const HEALED: Duration = Duration::from_mins(1);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut figures = vec![forbidden(lab).await?];
    for run in 0..RUNS {
        figures.push(dies(lab, run).await?);
    }
    Ok(figures)
}

async fn dies(lab: &Lab, run: usize) -> Result<Figure> {
    let namespace = format!("dies-{run}");
    let mut load = Load::create(lab, &namespace, CHANGES).await?;
    let scope = format!("--namespaces={namespace}");
    let controller = Controller::start(lab, &namespace, &[&scope]).await?;
    load.change_at_once(CHANGES).await?;
    lab.wait_for_patches(&namespace, &namespace, CHANGES, Timestamp::UNIX_EPOCH)
        .await
        .context("before the API server dies")?;

    load.change_at_once(CHANGES).await?;
    lab.plane.kill_apiserver();
    lab.plane.start_apiserver().await?;
    let reloaded = CHANGES - load.wrong_after(HEALED).await?;
    controller.replica.kill();
    let what = format!(
        "API server killed after 10 changes, run {}: reloaded after its return",
        run + 1
    );
    Ok(Figure::count(SCENARIO, what, reloaded, OUTAGE_RELOADED[run]))
}

/// A role without the kind, to which the permission is added while the controller runs.
async fn forbidden(lab: &Lab) -> Result<Figure> {
    let namespace = "forbidden";
    create_namespace(&lab.client, namespace).await?;
    let names = || (0..FORBIDDEN).map(pair);
    let sources = names().map(|name| config_map(&name, "0"));
    create_all::<ConfigMap>(&lab.client, namespace, sources).await?;
    let workloads = names().map(|name| deployment(&name, std::slice::from_ref(&name), true));
    create_all::<StatefulSet>(&lab.client, namespace, workloads).await?;
    let canary = pair(FORBIDDEN);
    create_all::<ConfigMap>(&lab.client, namespace, [config_map(&canary, "0")].into_iter()).await?;
    let workload = deployment(&canary, std::slice::from_ref(&canary), true);
    create_all::<Deployment>(&lab.client, namespace, [workload].into_iter()).await?;

    let everything_else = json!([
        { "apiGroups": [""], "resources": ["*"], "verbs": ["*"] },
        { "apiGroups": ["coordination.k8s.io", "events.k8s.io", "batch"], "resources": ["*"], "verbs": ["*"] },
        { "apiGroups": ["apps"], "resources": ["deployments", "daemonsets"], "verbs": ["*"] },
    ]);
    let role: ClusterRole =
        serde_json::from_value(json!({ "metadata": { "name": namespace }, "rules": everything_else }))?;
    let roles = Api::<ClusterRole>::all(lab.client.clone());
    roles.create(&PostParams::default(), &role).await?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": namespace }],
    }))?;
    Api::<ClusterRoleBinding>::all(lab.client.clone())
        .create(&PostParams::default(), &binding)
        .await?;

    let scope = format!("--namespaces={namespace}");
    let controller = Controller::launch_as(lab, namespace, &[], &[&scope])?;
    // What changes before it leads may be taken as settled.
    let begun = Instant::now();
    while lab
        .trace(Timestamp::UNIX_EPOCH)?
        .patches(namespace, namespace)
        .is_empty()
    {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "no leader: {}",
            controller.replica.log()
        );
        let value = begun.elapsed().as_millis().to_string();
        change(&lab.client, namespace, &canary, &value).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    change_all(&lab.client, namespace, names(), "1").await?;

    let grant = json!([{ "op": "add", "path": "/rules/-",
        "value": { "apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["*"] } }]);
    let grant = Patch::<ClusterRole>::Json(serde_json::from_value(grant)?);
    roles.patch(namespace, &PatchParams::default(), &grant).await?;
    let api = Api::<StatefulSet>::namespaced(lab.client.clone(), namespace);
    let begun = Instant::now();
    let reloaded = loop {
        let workloads = api.list(&ListParams::default()).await?;
        let restarted = |workload: &&StatefulSet| workload.metadata.generation > Some(1);
        let count = workloads.iter().filter(restarted).count();
        if count == FORBIDDEN || begun.elapsed() > HEALED {
            break count;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    controller.replica.kill();
    let what = "StatefulSets forbidden, then not: reloaded within 60 s, of 6";
    Ok(Figure::count(SCENARIO, what, reloaded, FORBIDDEN_RELOADED))
}
