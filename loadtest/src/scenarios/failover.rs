//! The leader of two replicas ends under load: how long nobody acts, and whether anything is lost.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt, api::ListParams};
use reloader::model::Digest;

use crate::{
    controller::Controller,
    lab::{Lab, PATIENCE},
    objects::{change, create_namespace, create_pairs, pair},
    references::{KILL_GAP, KILL_WRONG, Reference, TERM_GAP, TERM_WRONG},
    report::Figure,
};

const SCENARIO: &str = "failover";
const WORKLOADS: usize = 50;
/// Five changes a second.
const PAUSE: Duration = Duration::from_millis(200);
/// Load before the leader ends, and after the next one has begun.
const CHANGES_AROUND: usize = 25;
/// Longer than the longest wait of a takeover's catching up.
const QUIET: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    figures.extend(ending(lab, "kill -9", Ending::Kill, KILL_GAP, KILL_WRONG).await?);
    figures.extend(ending(lab, "SIGTERM", Ending::Terminate, TERM_GAP, TERM_WRONG).await?);
    Ok(figures)
}

/// How the leader ends.
enum Ending {
    /// At once, as when its node is lost.
    Kill,
    /// In order, as in a rolling update.
    Terminate,
}

async fn ending(
    lab: &Lab,
    how: &'static str,
    end: Ending,
    gap_reference: Reference,
    wrong_reference: Reference,
) -> Result<[Figure; 2]> {
    let word = how.split(' ').next().unwrap_or(how).to_lowercase();
    let namespace = format!("failover-{word}");
    create_namespace(&lab.client, &namespace).await?;
    create_pairs(&lab.client, &namespace, WORKLOADS, true).await?;
    let scope = format!("--namespaces={namespace}");
    let lease = format!("--lease-name={namespace}");
    let args = [scope.as_str(), lease.as_str(), "--enable-ha"];
    let leader = Controller::start(lab, &format!("leader-{word}"), &args).await?;
    let since = Timestamp::now();
    let mut load = Load::new(lab, &namespace);
    // Who answers is the leader. A change that was seen before the lease was held may be taken as settled.
    let begun = Instant::now();
    while lab.trace(since)?.patches(&leader.user, &namespace).is_empty() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "no leader: {}", leader.replica.log());
        load.next().await?;
    }
    let standby = Controller::start(lab, &format!("standby-{word}"), &args).await?;
    for _ in 0..CHANGES_AROUND {
        load.next().await?;
    }

    let ended = Timestamp::now();
    match end {
        Ending::Kill => leader.replica.kill(),
        Ending::Terminate => leader.replica.terminate()?,
    }
    let begun = Instant::now();
    let first = loop {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "no takeover: {}",
            standby.replica.log()
        );
        load.next().await?;
        let trace = lab.trace(ended)?;
        if let Some(first) = trace.patches(&standby.user, &namespace).first() {
            break first.request_received;
        }
    };
    for _ in 0..CHANGES_AROUND {
        load.next().await?;
    }
    lab.wait_for_quiet(&standby.user, QUIET).await?;
    let wrong = load.wrong_for_good().await?;
    standby.stop().await?;
    let gap = first.duration_since(ended).as_secs_f64();
    Ok([
        Figure::new(
            SCENARIO,
            format!("{how}: until the next leader's first PATCH"),
            "s",
            gap,
            gap_reference,
        ),
        Figure::new(
            SCENARIO,
            format!("{how}: workloads wrong for good, of 50"),
            "",
            wrong,
            wrong_reference,
        ),
    ])
}

/// Changes at a fixed rate, one source after the other, and what they end up with.
struct Load<'a> {
    lab: &'a Lab,
    namespace: &'a str,
    clock: tokio::time::Interval,
    number: usize,
    /// The last value of each source.
    written: HashMap<String, String>,
}

impl<'a> Load<'a> {
    fn new(lab: &'a Lab, namespace: &'a str) -> Self {
        let clock = tokio::time::interval(PAUSE);
        Self {
            lab,
            namespace,
            clock,
            number: 0,
            written: HashMap::new(),
        }
    }

    async fn next(&mut self) -> Result<()> {
        self.clock.tick().await;
        self.number += 1;
        let (name, value) = (pair(self.number % WORKLOADS), self.number.to_string());
        change(&self.lab.client, self.namespace, &name, &value).await?;
        self.written.insert(name, value);
        Ok(())
    }

    /// Workloads whose pods would not have the last content of their source.
    async fn wrong_for_good(&self) -> Result<f64> {
        let api = Api::<Deployment>::namespaced(self.lab.client.clone(), self.namespace);
        let workloads = api
            .list(&ListParams::default())
            .await
            .context("list Deployments")?;
        let is_wrong = |workload: &Deployment| {
            let Some(value) = self.written.get(&workload.name_any()) else {
                return false;
            };
            let digest = Digest::of_config_map([("key", value.as_str())], []).to_string();
            marker(workload).as_deref() != Some(digest.as_str())
        };
        let wrong = workloads.iter().filter(|workload| is_wrong(workload)).count();
        #[allow(clippy::cast_precision_loss, reason = "50 at most")]
        Ok(wrong as f64)
    }
}

/// The value of the variable that restarted it last.
fn marker(workload: &Deployment) -> Option<String> {
    let pod = workload.spec.template.spec.as_ref()?;
    let variables = pod.containers.first()?.env.as_ref()?;
    let marker = variables
        .iter()
        .find(|variable| variable.name.starts_with("STAKATER_"))?;
    marker.value.clone()
}
