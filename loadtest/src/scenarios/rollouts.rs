//! Many sources of one Deployment: how many rollouts their changes cause.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};

use crate::{
    controller::Controller,
    lab::Lab,
    objects::{change, change_all, config_map, create_all, create_namespace, deployment, pair},
    references::{AT_ONCE, GRADUAL, GRADUAL_LONG_WINDOW},
    report::Figure,
};

const SCENARIO: &str = "rollouts";
const NAMESPACE: &str = "rollouts";
const SOURCES: usize = 20;
const OVER: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    let sources = (0..SOURCES).map(|number| config_map(&pair(number), "0"));
    create_all::<ConfigMap>(&lab.client, NAMESPACE, sources).await?;
    let names: Vec<String> = (0..SOURCES).map(pair).collect();
    let workload = std::iter::once(deployment("all", &names, true));
    create_all::<Deployment>(&lab.client, NAMESPACE, workload).await?;

    let controller = Controller::start(lab, "default", &[]).await?;
    let since = Timestamp::now();
    change_all(&lab.client, NAMESPACE, names.iter().cloned(), "at once").await?;
    let at_once = rollouts(lab, &controller, since).await?;
    let since = Timestamp::now();
    gradually(lab, &names, "gradually").await?;
    let gradual = rollouts(lab, &controller, since).await?;
    controller.stop().await?;

    let controller = Controller::start(lab, "long", &["--coalesce-window=2s"]).await?;
    let since = Timestamp::now();
    gradually(lab, &names, "again").await?;
    let gradual_long = rollouts(lab, &controller, since).await?;

    Ok(vec![
        Figure::new(SCENARIO, "20 sources at once", "", at_once, AT_ONCE),
        Figure::new(SCENARIO, "20 sources over 5 s", "", gradual, GRADUAL)
            .note("a change each 250 ms, within the default window of 1 s of the previous one"),
        Figure::new(
            SCENARIO,
            "20 sources over 5 s, --coalesce-window=2s",
            "",
            gradual_long,
            GRADUAL_LONG_WINDOW,
        ),
    ])
}

async fn gradually(lab: &Lab, names: &[String], value: &str) -> Result<()> {
    let mut clock = tokio::time::interval(OVER / u32::try_from(SOURCES)?);
    for name in names {
        clock.tick().await;
        change(&lab.client, NAMESPACE, name, value).await?;
    }
    Ok(())
}

async fn rollouts(lab: &Lab, controller: &Controller, since: Timestamp) -> Result<f64> {
    lab.wait_for_quiet(&controller.user, QUIET).await?;
    let trace = lab.trace(since)?;
    let patches = trace.patches(&controller.user, NAMESPACE).len();
    Ok(f64::from(u32::try_from(patches)?))
}
