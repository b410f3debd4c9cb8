//! One deploy from a client that is some milliseconds away: how many rollouts it causes.
//!
//! `kubectl apply` and `helm upgrade` write one object after the other, each a round trip later.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use testbed::{
    client_from,
    proxy::{Fault, Rule},
};

use crate::{
    controller::Controller,
    lab::{Lab, OWN_NAMESPACE},
    objects::{change, config_map, create_administrator, create_all, create_namespace, deployment, pair},
    references::{APPLIED, UPGRADED},
    report::Figure,
};

const SCENARIO: &str = "apply";
const NAMESPACE: &str = "apply";
const CLIENT: &str = "client";
const SOURCES: usize = 5;
const QUIET: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    let names: Vec<String> = (0..SOURCES).map(pair).collect();
    let sources = names.iter().map(|name| config_map(name, "0"));
    create_all::<ConfigMap>(&lab.client, NAMESPACE, sources).await?;
    let workload = std::iter::once(deployment("web", &names, true));
    create_all::<Deployment>(&lab.client, NAMESPACE, workload).await?;

    create_administrator(&lab.client, OWN_NAMESPACE, CLIENT).await?;
    let direct = lab
        .plane
        .kubeconfig_for_service_account(OWN_NAMESPACE, CLIENT)
        .await?;
    let proxy = lab.plane.proxy().await?;
    let client = client_from(&proxy.kubeconfig(&direct)?).await?;

    let controller = Controller::start(lab, "default", &[]).await?;
    let mut figures = Vec::new();
    for away in [20, 40, 60] {
        let delay = proxy.add(Rule::new(Fault::DelayRequest(Duration::from_millis(away))));
        let since = Timestamp::now();
        change_each(&client, &names, &format!("apply-{away}")).await?;
        let writes = writes(lab, &controller, since).await?;
        let what = format!("apply of 5 sources, client {away} ms away: rollouts");
        figures.push(Figure::count(SCENARIO, what, writes, APPLIED));

        let since = Timestamp::now();
        change_each(&client, &names, &format!("upgrade-{away}")).await?;
        upgrade(&client, away).await?;
        let writes = self::writes(lab, &controller, since).await?;
        let what = format!("upgrade of 5 sources and their Deployment, {away} ms away: our writes");
        let upgraded = Figure::count(SCENARIO, what, writes, UPGRADED)
            .note("the template's own rollout starts pods with the new content");
        figures.push(upgraded);
        delay.remove();
    }
    Ok(figures)
}

async fn change_each(client: &Client, names: &[String], value: &str) -> Result<()> {
    for name in names {
        change(client, NAMESPACE, name, value).await?;
    }
    Ok(())
}

/// The Deployment gets another image, as the last object of a release.
async fn upgrade(client: &Client, version: u64) -> Result<()> {
    let container = json!({ "name": "main", "image": format!("none:{version}") });
    let body = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
    Api::<Deployment>::namespaced(client.clone(), NAMESPACE)
        .patch("web", &PatchParams::default(), &Patch::Strategic(body))
        .await?;
    Ok(())
}

async fn writes(lab: &Lab, controller: &Controller, since: Timestamp) -> Result<usize> {
    lab.wait_for_quiet(&controller.user, QUIET).await?;
    Ok(lab.trace(since)?.patches(&controller.user, NAMESPACE).len())
}
