//! How far a bad content could get: Deployments of one Secret with a canary and a limit, whose leader is killed in the middle.
//!
//! Statuses are played: pods are ready two seconds after a restart. How many are in progress is counted by a watch of its own,
//! how often each was restarted by the audit log.

mod observer;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{Played, Rollouts, digest_of, eventually};

use crate::{
    lab::Lab,
    objects::{create_all, create_namespace, deployment, pair},
    references::{BLAST_GAPS, BLAST_MISSED, BLAST_PEAK, BLAST_TIME, BLAST_TWICE, NO_GOAL},
    replicas::Replicas,
    report::Figure,
};
use observer::Observer;

const SCENARIO: &str = "blast-radius";
const NAMESPACE: &str = "blast-radius";
const SECRET: &str = "shared";
const NEW: &str = "new";
const CANARY: usize = 1;
const LIMIT: usize = 5;
/// How long pods take to get ready.
const TAKES: Duration = Duration::from_secs(2);
/// Longest wait for a new leader, beside what rollouts take.
const TAKEOVER: Duration = Duration::from_mins(1);

/// Measures it.
pub async fn measure(lab: &Lab, count: usize) -> Result<Vec<Figure>> {
    create_namespace(&lab.client, NAMESPACE).await?;
    let api = Api::<Deployment>::namespaced(lab.client.clone(), NAMESPACE);
    let observer = Observer::start(api);
    let deployments = Played::deployments(lab.client.clone(), NAMESPACE);
    let _player = Rollouts::play([deployments], TAKES, &[]);
    create_all::<Secret>(&lab.client, NAMESPACE, std::iter::once(secret("old"))).await?;
    create_all::<Deployment>(&lab.client, NAMESPACE, (0..count).map(workload)).await?;
    wait("every Deployment to be ready", TAKEOVER, || {
        observer.is_calm(count)
    })
    .await?;

    let mut replicas = Replicas::new(lab, SCENARIO);
    replicas.launch_all().await?;
    replicas.wait_until_calm().await?;
    observer.begin();
    let ideal = TAKES * u32::try_from(rounds(count))?;
    // A new leader finds everything as it is, and time may be short on a busy machine.
    let patience = 4 * ideal + TAKEOVER;
    let begun = Instant::now();
    change(lab).await?;
    wait("half of the restarts", patience, || observer.ready() >= count / 2).await?;
    let killed_at = Instant::now();
    let killed = replicas.kill_leader()?;
    let at_kill = observer.ready();
    wait("the first restart by the next leader", patience, || {
        // Those that the killed one had begun end by themselves.
        observer.ready() > at_kill + LIMIT || observer.ready() == count
    })
    .await?;
    let taken_over = killed_at.elapsed();
    let all = wait("every restart", patience, || observer.ready() == count).await;
    // What is restarted twice would be so now.
    replicas.wait_until_calm().await?;
    let seen = observer.seen();
    let ended = seen.last_ready.unwrap_or(begun);
    let took = ended.duration_since(begun);
    let Restarts { missed, twice } = restarts(lab, count)?;
    replicas.stop().await?;
    if let Err(error) = all {
        eprintln!("  {error:#}");
    }
    let note = format!(
        "{count} Deployments; {killed} was killed when {at_kill} were ready, the sixth restart after that was ready {:.1} s later",
        taken_over.as_secs_f64()
    );
    let gaps = seen.gaps;
    Ok(vec![
        Figure::count(SCENARIO, "in progress at a time, at most", seen.peak, BLAST_PEAK).has_to_hold(),
        Figure::count(SCENARIO, "gaps of the watch that counts them", gaps, BLAST_GAPS).has_to_hold(),
        Figure::count(
            SCENARIO,
            "missed, or without the new content",
            missed,
            BLAST_MISSED,
        )
        .has_to_hold(),
        Figure::count(SCENARIO, "restarted more than once", twice, BLAST_TWICE).has_to_hold(),
        Figure::new(SCENARIO, "change → all ready", "s", took.as_secs_f64(), NO_GOAL)
            .floor(ideal.as_secs_f64())
            .note(note),
        Figure::new(
            SCENARIO,
            "the same against the rollouts that have to follow each other",
            "",
            took.saturating_sub(taken_over).as_secs_f64() / ideal.as_secs_f64(),
            BLAST_TIME,
        )
        .note(format!(
            "without the takeover; the floor above is {} rollouts of {TAKES:?}",
            rounds(count)
        )),
    ])
}

/// How many rollouts follow each other at least: as many as are proved, and never more than may.
fn rounds(count: usize) -> usize {
    let (mut served, mut rounds) = (0, 0);
    while served < count {
        served += served.clamp(CANARY, LIMIT);
        rounds += 1;
    }
    rounds
}

fn secret(value: &str) -> Value {
    json!({
        "metadata": { "name": SECRET, "annotations": {
            "reloader.stakater.com/canary": CANARY.to_string(),
            "reloader.stakater.com/max-concurrent-rollouts": LIMIT.to_string(),
        } },
        "stringData": { "key": value },
    })
}

fn workload(number: usize) -> Value {
    let mut workload = deployment(&pair(number), &[], true);
    workload["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "secretRef": { "name": SECRET } }]);
    workload
}

async fn change(lab: &Lab) -> Result<()> {
    let body = json!({ "stringData": { "key": NEW } });
    Api::<Secret>::namespaced(lab.client.clone(), NAMESPACE)
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(body))
        .await
        .context("change the Secret")?;
    Ok(())
}

async fn wait(what: &str, patience: Duration, is_there: impl Fn() -> bool) -> Result<()> {
    eventually(patience, what, async || is_there().then_some(())).await?;
    Ok(())
}

struct Restarts {
    /// Never, or not to the new content.
    missed: usize,
    /// More often than once.
    twice: usize,
}

/// How often each was restarted.
fn restarts(lab: &Lab, count: usize) -> Result<Restarts> {
    let mut restarts = Restarts { missed: 0, twice: 0 };
    let digest = digest_of(NEW);
    for number in 0..count {
        let changes = lab
            .plane
            .audit()
            .template_changes("deployments", NAMESPACE, &pair(number))?;
        let shows_new = changes.last().and_then(|entry| entry.pod_template());
        let shows_new = shows_new.is_some_and(|template| template.to_string().contains(&digest));
        restarts.missed += usize::from(!shows_new);
        restarts.twice += usize::from(changes.len() > 1);
    }
    Ok(restarts)
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn rollouts_double_until_the_limit() {
        // 1, 1, 2, 4, then fives.
        assert_eq!(
            [1, 2, 3, 4, 5, 8, 9, 13, 14, 500].map(rounds),
            [1, 2, 3, 3, 4, 4, 5, 5, 6, 103]
        );
    }
}
