//! Neighbours: single changes in one namespace, before and while another one has a storm.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use crate::{
    controller::Controller,
    floor::{self, Floor},
    lab::Lab,
    objects::{IN_FLIGHT, change, create_namespace, create_pairs, pair},
    references::{Goal, Reference, STORM_ALLOWANCE, STORM_IDLE, STORM_UPSTREAM},
    report::Figure,
    statistics::percentile,
    trace::answered,
};

const SCENARIO: &str = "storm";
/// The namespace of the storm.
pub(super) const STORM: &str = "storm";
/// The namespace of the single changes, and the same for the floor.
const CALM: [&str; 2] = ["calm", "floor"];
/// Workloads of the storm, with a ConfigMap each.
pub(super) const STORM_WORKLOADS: usize = 100;
const STORM_CHANGES: usize = 3_000;
const STORM_PAUSE: Duration = Duration::from_millis(1);
const CALM_WORKLOADS: usize = 20;
const CALM_PAUSE: Duration = Duration::from_millis(50);
/// Single changes before the storm.
const CALM_CHANGES: usize = 100;

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    for (namespace, workloads) in [
        (STORM, STORM_WORKLOADS),
        (CALM[0], CALM_WORKLOADS),
        (CALM[1], CALM_WORKLOADS),
    ] {
        create_namespace(&lab.client, namespace).await?;
        create_pairs(&lab.client, namespace, workloads, namespace != CALM[1]).await?;
    }
    let _floor = Floor::start(lab, CALM[1], |source| vec![source.to_owned()]).await?;
    let controller = Controller::start(lab, "default", &[]).await?;

    let since = Timestamp::now();
    for number in 0..CALM_CHANGES {
        single_changes(lab, number).await?;
    }
    lab.wait_for_quiet(&controller.user, Duration::from_secs(2))
        .await?;
    let idle = p99(lab, since, &controller.user)?;

    let since = Timestamp::now();
    let storm = tokio::spawn(storm(lab.client.clone()));
    let mut number = CALM_CHANGES;
    while !storm.is_finished() {
        single_changes(lab, number).await?;
        number += 1;
    }
    storm.await??;
    let took = Timestamp::now().duration_since(since).as_secs_f64();
    lab.wait_for_quiet(&controller.user, Duration::from_secs(3))
        .await?;
    let during = p99(lab, since, &controller.user)?;

    let reference = Reference {
        upstream: Some(STORM_UPSTREAM),
        goal: Goal::AtMost(2.0 * idle.controller + STORM_ALLOWANCE),
    };
    Ok(vec![
        Figure::new(
            SCENARIO,
            "change → PATCH beside no storm, p99",
            "ms",
            idle.controller,
            STORM_IDLE,
        )
        .floor(idle.floor),
        Figure::new(
            SCENARIO,
            "change → PATCH beside the storm, p99",
            "ms",
            during.controller,
            reference,
        )
        .floor(during.floor)
        .note(format!(
            "default window, so 1 s of both is wanted; the API server took {took:.1} s for the storm's 3,000 changes"
        )),
    ])
}

/// One change of the controller's namespace and one of the floor's.
async fn single_changes(lab: &Lab, number: usize) -> Result<()> {
    for namespace in CALM {
        change(
            &lab.client,
            namespace,
            &pair(number % CALM_WORKLOADS),
            &number.to_string(),
        )
        .await?;
        tokio::time::sleep(CALM_PAUSE / 2).await;
    }
    Ok(())
}

/// A change each millisecond, as far as the API server keeps up.
pub(super) async fn storm(client: kube::Client) -> Result<()> {
    let clock = tokio::time::interval(STORM_PAUSE);
    let ticks = stream::unfold(clock, |mut clock| async move {
        clock.tick().await;
        Some(((), clock))
    });
    ticks
        .take(STORM_CHANGES)
        .enumerate()
        .map(|(number, ())| {
            let client = client.clone();
            async move {
                let name = pair(number % STORM_WORKLOADS);
                change(&client, STORM, &name, &number.to_string()).await
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

struct Both {
    controller: f64,
    floor: f64,
}

fn p99(lab: &Lab, since: Timestamp, user: &str) -> Result<Both> {
    let trace = lab.trace(since)?;
    let of = |user: &str, namespace: &str| percentile(&answered(&trace.answers(user, namespace)), 99.0);
    Ok(Both {
        controller: of(user, CALM[0]),
        floor: of(floor::USER, CALM[1]),
    })
}
