//! What a restart costs the API server and the processor, and what a change costs that no workload asks for.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    controller::Controller,
    lab::Lab,
    objects::{change, config_map, create_all, create_namespace, create_pairs, pair},
    references::{CPU, REQUESTS, REQUESTS_UNUSED, own},
    report::Figure,
};

const SCENARIO: &str = "cost";
const NAMESPACE: &str = "cost";
const RELOADS: u32 = 500;
const UNUSED: u32 = 200;
const WORKLOADS: usize = 50;
/// Longer than the ledger waits before it writes (5 s), so that its last batch counts too.
const LEDGER: Duration = Duration::from_secs(7);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    create_pairs(&lab.client, NAMESPACE, WORKLOADS, true).await?;
    let unused = std::iter::once(config_map("unused", "0"));
    create_all::<k8s_openapi::api::core::v1::ConfigMap>(&lab.client, NAMESPACE, unused).await?;
    let controller = Controller::start(lab, "at-once", &["--coalesce-window=0"]).await?;
    // Its first ledger is written now, and no part of a reload.
    lab.wait_for_quiet(&controller.user, LEDGER).await?;

    let (since, cpu) = (Timestamp::now(), controller.cpu()?);
    for number in 0..RELOADS {
        let name = pair(number as usize % WORKLOADS);
        change(&lab.client, NAMESPACE, &name, &format!("1-{number}")).await?;
    }
    lab.wait_for_quiet(&controller.user, LEDGER).await?;
    let spent = controller.cpu()?.saturating_sub(cpu);
    let trace = lab.trace(since)?;
    let reloads = u32::try_from(trace.patches(&controller.user, NAMESPACE).len())?;
    let requests = trace.requests(&controller.user);

    let (since, cpu) = (Timestamp::now(), controller.cpu()?);
    for number in 0..UNUSED {
        change(&lab.client, NAMESPACE, "unused", &format!("2-{number}")).await?;
    }
    lab.wait_for_quiet(&controller.user, LEDGER).await?;
    let spent_unused = controller.cpu()?.saturating_sub(cpu);
    let useless = lab.trace(since)?.requests(&controller.user);

    Ok(vec![
        Figure::new(
            SCENARIO,
            "requests a reload",
            "",
            total(&requests) / f64::from(reloads),
            REQUESTS,
        )
        .note(format!("{reloads} reloads: {}", list(&requests))),
        Figure::new(
            SCENARIO,
            "requests a change nobody uses",
            "",
            total(&useless) / f64::from(UNUSED),
            REQUESTS_UNUSED,
        )
        .note(list(&useless)),
        Figure::new(
            SCENARIO,
            "processor time a reload",
            "ms",
            1000.0 * spent.as_secs_f64() / f64::from(reloads),
            CPU,
        ),
        Figure::new(
            SCENARIO,
            "processor time a change nobody uses",
            "ms",
            1000.0 * spent_unused.as_secs_f64() / f64::from(UNUSED),
            own(1.0),
        ),
    ])
}

#[allow(clippy::cast_precision_loss, reason = "thousands")]
fn total(requests: &HashMap<String, usize>) -> f64 {
    requests.values().sum::<usize>() as f64
}

fn list(requests: &HashMap<String, usize>) -> String {
    let mut items: Vec<_> = requests
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    items.sort();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
