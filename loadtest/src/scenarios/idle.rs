//! Single changes: how long from the source's write to the PATCH when nothing else happens.
//!
//! Changes of the controller's and of the floor's namespace alternate, so that both meet the same noise of the machine.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    controller::Controller,
    floor::{self, Floor},
    lab::Lab,
    objects::{change, create_namespace, create_pairs, pair},
    references::{IDLE_MEDIAN, IDLE_P99, WINDOW_MEDIAN},
    report::Figure,
    statistics::percentile,
    trace::answered,
};

const SCENARIO: &str = "idle";
const CHANGES: usize = 300;
const CHANGES_WITH_WINDOW: usize = 50;
const WORKLOADS: usize = 10;
/// The default of `--coalesce-window` in milliseconds.
pub const WINDOW: f64 = 1000.0;

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    for (namespace, opted_in) in [("idle", true), ("floor", false)] {
        create_namespace(&lab.client, namespace).await?;
        create_pairs(&lab.client, namespace, WORKLOADS, opted_in).await?;
    }
    let _floor = Floor::start(lab, "floor", |source| vec![source.to_owned()]).await?;

    let controller = Controller::start(lab, "at-once", &["--coalesce-window=0"]).await?;
    let since = Timestamp::now();
    for number in 1..=CHANGES {
        one_change(lab, "idle", &controller.user, number, since).await?;
        one_change(lab, "floor", floor::USER, number, since).await?;
    }
    let trace = lab.trace(since)?;
    let ours = answered(&trace.answers(&controller.user, "idle"));
    let floors = answered(&trace.answers(floor::USER, "floor"));
    controller.stop().await?;

    let controller = Controller::start(lab, "default", &[]).await?;
    let since = Timestamp::now();
    for number in 1..=CHANGES_WITH_WINDOW {
        one_change(lab, "idle", &controller.user, number, since).await?;
    }
    let waited = answered(&lab.trace(since)?.answers(&controller.user, "idle"));

    let figure = |what: &str, percent, reference| {
        Figure::new(SCENARIO, what, "ms", percentile(&ours, percent), reference)
            .floor(percentile(&floors, percent))
    };
    Ok(vec![
        figure("change → PATCH, no window, p50", 50.0, IDLE_MEDIAN),
        figure("change → PATCH, no window, p99", 99.0, IDLE_P99),
        Figure::new(
            SCENARIO,
            "change → PATCH, default window, p50 beyond it",
            "ms",
            percentile(&waited, 50.0) - WINDOW,
            WINDOW_MEDIAN,
        ),
    ])
}

/// Changes one source after the other and waits for the answer each time.
async fn one_change(lab: &Lab, namespace: &str, user: &str, number: usize, since: Timestamp) -> Result<()> {
    let value = format!("{user}-{number}");
    change(&lab.client, namespace, &pair(number % WORKLOADS), &value).await?;
    // Looking for the answer costs time on the same processors: not before it should be there.
    tokio::time::sleep(Duration::from_millis(10)).await;
    lab.wait_for_patches(user, namespace, number, since).await
}
