//! One ConfigMap that many Deployments use.

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};

use crate::{
    controller::Controller,
    floor::{self, Floor},
    lab::Lab,
    objects::{change, config_map, create_all, create_namespace, deployment, pair},
    references::{FAN_OUT_50, FAN_OUT_500},
    report::Figure,
    trace::milliseconds,
};

const SCENARIO: &str = "fan-out";
const SOURCE: &str = "shared";

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (count, reference) in [(50, FAN_OUT_50), (500, FAN_OUT_500)] {
        let namespace = format!("fan-out-{count}");
        create_namespace(&lab.client, &namespace).await?;
        create_all::<ConfigMap>(&lab.client, &namespace, std::iter::once(config_map(SOURCE, "0"))).await?;
        let workloads = (0..count).map(|number| deployment(&pair(number), &[SOURCE.to_owned()], true));
        create_all::<Deployment>(&lab.client, &namespace, workloads).await?;

        let user = format!("default-{count}");
        let ours = {
            let controller = Controller::start(lab, &user, &[]).await?;
            let last = last_patch(lab, &namespace, &user, count).await?;
            controller.stop().await?;
            last
        };
        let floors = {
            let all = move |_: &str| (0..count).map(pair).collect();
            let _floor = Floor::start(lab, &namespace, all).await?;
            last_patch(lab, &namespace, floor::USER, count).await?
        };
        let what = format!("{count} Deployments, last PATCH after");
        figures.push(Figure::new(SCENARIO, what, "s", ours, reference).floor(floors));
    }
    Ok(figures)
}

/// Seconds from the source's write to the last PATCH.
async fn last_patch(lab: &Lab, namespace: &str, user: &str, count: usize) -> Result<f64> {
    let since = Timestamp::now();
    change(&lab.client, namespace, SOURCE, user).await?;
    lab.wait_for_patches(user, namespace, count, since).await?;
    let trace = lab.trace(since)?;
    let changes = trace.changes(namespace);
    let cause = changes
        .first()
        .context("no change in the audit log")?
        .stage_timestamp;
    let patches = trace.patches(user, namespace);
    let last = patches
        .last()
        .context("no PATCH in the audit log")?
        .request_received;
    Ok(milliseconds(cause, last) / 1000.0)
}
