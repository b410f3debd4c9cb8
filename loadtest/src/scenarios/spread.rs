//! A busy cluster: 20 changes a second, spread over 20 namespaces, at fixed times whatever the answers.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::idle::WINDOW;
use crate::{
    controller::Controller,
    floor::{self, Floor},
    lab::Lab,
    objects::{change, create_namespace, create_pairs, pair},
    references::{SPREAD_MEDIAN, SPREAD_P99, own},
    report::Figure,
    statistics::percentile,
    trace::{Trace, answered},
};

const SCENARIO: &str = "spread";
const NAMESPACES: usize = 20;
const WORKLOADS: usize = 5;
const CHANGES: usize = 400;
const PAUSE: Duration = Duration::from_millis(50);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    for namespace in (0..NAMESPACES).map(name) {
        create_namespace(&lab.client, &namespace).await?;
        create_pairs(&lab.client, &namespace, WORKLOADS, true).await?;
    }
    let ours = {
        let controller = Controller::start(lab, "default", &[]).await?;
        let trace = changes(lab, &controller.user).await?;
        controller.stop().await?;
        latencies(&trace, &controller.user)
    };
    let floors = {
        let mut loops = Vec::new();
        for namespace in (0..NAMESPACES).map(name) {
            loops.push(Floor::start(lab, &namespace, |source| vec![source.to_owned()]).await?);
        }
        latencies(&changes(lab, floor::USER).await?, floor::USER)
    };
    let figure = |what: &str, percent, reference| {
        let beyond = percentile(&ours, percent) - WINDOW;
        Figure::new(SCENARIO, what, "ms", beyond, reference).floor(percentile(&floors, percent))
    };
    Ok(vec![
        figure("change → PATCH beyond the window, p50", 50.0, SPREAD_MEDIAN),
        figure("change → PATCH beyond the window, p99", 99.0, SPREAD_P99),
        Figure::count(
            SCENARIO,
            "changes without an answer",
            CHANGES - ours.len(),
            own(0.0),
        ),
    ])
}

fn name(number: usize) -> String {
    format!("spread-{number}")
}

async fn changes(lab: &Lab, user: &str) -> Result<Trace> {
    let since = Timestamp::now();
    let mut clock = tokio::time::interval(PAUSE);
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..CHANGES {
        clock.tick().await;
        let (client, value) = (lab.client.clone(), format!("{user}-{number}"));
        let (namespace, source) = (name(number % NAMESPACES), pair(number / NAMESPACES % WORKLOADS));
        writes.spawn(async move { change(&client, &namespace, &source, &value).await });
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    lab.wait_for_quiet(user, Duration::from_secs(2)).await?;
    lab.trace(since)
}

fn latencies(trace: &Trace, user: &str) -> Vec<f64> {
    (0..NAMESPACES)
        .flat_map(|number| answered(&trace.answers(user, &name(number))))
        .collect()
}
