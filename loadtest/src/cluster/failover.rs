//! The leader's pod deleted, and killed: how long until another leads, and until it restarts a workload.
//!
//! Input: a release. Output: figures. I/O: deletes pods, reads the Lease, changes sources.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::time::sleep;

use super::{
    columns::Figure,
    counting::{Change, milliseconds},
    load::{Ground, Made},
    owned::SYSTEM,
    release,
    shapes::Scenario,
};
use crate::statistics::percentile;

/// Between two looks at the Lease: how exact the time of the next holder is.
const LOOK: Duration = Duration::from_millis(20);

/// How the pod ends, and what it is called.
const WAYS: [(&str, Option<u32>); 2] = [("deleted", None), ("killed", Some(0))];

/// Ends the leader's pod so often in each way.
pub async fn run(ground: &Ground<'_>, rounds: usize) -> Result<Vec<Figure>> {
    let made = ground.make(Scenario::Failover).await?;
    let mut figures = Vec::new();
    let mut changes = Vec::new();
    for (way, grace) in WAYS {
        let (mut leads, mut restarts) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            ground.release.wait_ready().await?;
            let content = format!("{way}-{round}");
            let (lead, restart, change) = once(ground, &made, round, grace, &content).await?;
            leads.push(lead);
            restarts.push(restart);
            changes.push(change);
        }
        let scenario = Scenario::Failover.name();
        let figure = |what: &str, times: &[f64]| {
            Figure::new(
                &scenario,
                &format!("{way}: {what}"),
                "ms",
                percentile(times, 100.0),
            )
        };
        figures.push(figure("next leader, longest", &leads));
        figures.push(figure("next restart, longest", &restarts));
    }
    ground.release.wait_ready().await?;
    let counted = ground.settle(&changes, &made.uses).await;
    ground.remove(&made.shape).await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let number = |what, count: usize| Figure::new(&Scenario::Failover.name(), what, "", count as f64);
    figures.push(number("reloads missed", counted.missed));
    figures.push(number("reloads twice", counted.twice));
    Ok(figures)
}

/// Ends the leader's pod and changes a source at once; milliseconds from the answer to the deletion until another pod
/// holds the Lease, and until the watch shows the restart.
async fn once(
    ground: &Ground<'_>,
    made: &Made,
    round: usize,
    grace: Option<u32>,
    content: &str,
) -> Result<(f64, f64, Change)> {
    let begun = Instant::now();
    let leader = loop {
        match release::leader(ground.client).await? {
            Some(leader) => break leader,
            None if begun.elapsed() > ground.patience => bail!("no pod holds the Lease"),
            None => sleep(LOOK).await,
        }
    };
    let pods = Api::<Pod>::namespaced(ground.client.clone(), SYSTEM);
    let pod = pods
        .get(&leader)
        .await
        .with_context(|| format!("read pod {leader}, which holds the Lease"))?;
    let params = DeleteParams {
        grace_period_seconds: grace,
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    pods.delete(&leader, &params)
        .await
        .with_context(|| format!("delete pod {leader}"))?;
    let deleted = Instant::now();
    let source = &made.shape.sources[round % made.shape.sources.len()];
    let change = ground.change(source, content).await?;
    let user = &made.uses[round % made.uses.len()].0;
    let (mut led, mut restarted) = (None, None);
    loop {
        if led.is_none() {
            let now = release::leader(ground.client).await?;
            led = now
                .filter(|now| *now != leader)
                .map(|_| milliseconds(deleted, Instant::now()));
        }
        if restarted.is_none() {
            let record = ground.observer.record();
            let rollouts = record.get(user).map(|history| history.rollouts.as_slice());
            let shown = rollouts
                .unwrap_or_default()
                .iter()
                .find(|one| one.markers.contains(&change.marker));
            restarted = shown.map(|one| milliseconds(deleted, one.seen));
        }
        if let (Some(led), Some(restarted)) = (led, restarted) {
            return Ok((led, restarted, change));
        }
        if deleted.elapsed() > ground.patience {
            bail!(
                "{} s after the end of pod {leader} {}; raise --patience, or see the logs of the pods in {SYSTEM}",
                ground.patience.as_secs(),
                if led.is_none() {
                    "no other pod leads"
                } else {
                    "nothing was restarted"
                }
            );
        }
        sleep(LOOK).await;
    }
}
