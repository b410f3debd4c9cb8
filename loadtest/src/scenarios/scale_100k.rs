//! A large cluster with three replicas, beside a tenth of it: start, memory, ledger, takeovers, latency, a burst.
//!
//! Both sizes are measured on one control plane, the small one first. What grows by more than the objects do, ten times,
//! is superlinear: the growth of each figure has a row of its own.

mod audit;
mod fleet;
mod measured;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};

use crate::{
    controller::Controller,
    lab::Lab,
    objects::{IN_FLIGHT, change, pair},
    replicas::{self, Replicas, WINDOW},
    report::Figure,
    statistics::percentile,
};
use audit::Changes;
use fleet::Fleet;
use futures::{StreamExt, TryStreamExt, stream};
use measured::{Measured, figures};

/// The large cluster: 100,000 sources, 10,000 Deployments.
const LARGE: Fleet = Fleet::new("large", 1_000, 5_000, 300);
/// A tenth of it.
const SMALL: Fleet = Fleet::new("small", 100, 500, 30);
/// Starts of one replica, of which the fastest counts: neighbours on the machine only make one slower.
const STARTS: usize = 3;
/// Longer than jemalloc keeps freed pages (10 s).
const SETTLE: Duration = Duration::from_secs(15);
/// Single changes for the latencies.
const CHANGES: usize = 300;
/// Between two of them, and between those that show a takeover.
const PAUSE: Duration = Duration::from_millis(50);
/// How long sources change after a SIGTERM, and after a SIGKILL, when the Lease has to expire first.
const AFTER_TERM: Duration = Duration::from_secs(3);
const AFTER_KILL: Duration = Duration::from_secs(20);
/// One Deployment of so many gets an annotation with a mistake during the burst.
const MISTAKE_ONE_OF: usize = 100;

/// Measures it.
pub async fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    SMALL.create(lab, 0).await?;
    let small = Run::new(lab, SMALL)
        .measure()
        .await
        .context("the small cluster")?;
    LARGE.create(lab, SMALL.namespaces).await?;
    let large = Run::new(lab, LARGE)
        .measure()
        .await
        .context("the large cluster")?;
    Ok(figures(&small, &large))
}

/// One size.
struct Run<'a> {
    lab: &'a Lab,
    fleet: Fleet,
    since: Timestamp,
    replicas: Replicas<'a>,
    /// What each Deployment's ConfigMap was changed to, in order; by namespace and Deployment.
    contents: HashMap<(usize, usize), Vec<String>>,
    changes: usize,
}

impl<'a> Run<'a> {
    fn new(lab: &'a Lab, fleet: Fleet) -> Self {
        Self {
            lab,
            fleet,
            since: Timestamp::now(),
            replicas: Replicas::new(lab, fleet.name),
            contents: HashMap::new(),
            changes: 0,
        }
    }

    async fn measure(mut self) -> Result<Measured> {
        // What the API server does after so many writes is no part of a start.
        tokio::time::sleep(SETTLE).await;
        let mut measured = Measured::default();
        self.starts(&mut measured).await?;
        progress(self.fleet, &format!("three replicas, load {}", load()?));
        measured.three_at_once = self.replicas.launch_all().await?;
        self.replicas.wait_until_calm().await?;
        measured.ledger = replicas::ledger(self.lab).await?;
        tokio::time::sleep(SETTLE).await;
        (measured.standby, measured.leader) = self.replicas.memory()?;
        measured.metrics = self.replicas.leader()?.metrics_after().await?;

        progress(self.fleet, "latency");
        let since = Timestamp::now();
        self.change_for(PAUSE * u32::try_from(CHANGES)?).await?;
        self.replicas.wait_until_calm().await?;
        let waited = Changes::since(self.lab, since)?.answered(&self.replicas.users);
        (measured.median, measured.p99) = (percentile(&waited, 50.0), percentile(&waited, 99.0));

        progress(self.fleet, "SIGTERM");
        measured.terminated = self.terminate().await?;
        progress(self.fleet, "SIGKILL");
        let since = Timestamp::now();
        self.replicas.leader()?.replica.kill();
        measured.killed = self.taken_over(since, AFTER_KILL).await?;

        progress(self.fleet, "burst");
        self.burst(&mut measured).await?;

        progress(self.fleet, "patterns");
        self.fleet.create_matched(self.lab).await?;
        self.replicas.wait_until_calm().await?;
        let before = self.replicas.leader()?.cpu_exact()?;
        self.fleet.create_matching(self.lab).await?;
        self.replicas.wait_until_calm().await?;
        let after = self.replicas.leader()?.cpu_exact()?;
        measured.patterns_cpu = after.saturating_sub(before).as_secs_f64();
        measured.terminated_with_patterns = self.terminate().await?;

        self.replicas.stop().await?;
        self.verdict(&mut measured)?;
        self.replicas.forget().await?;
        Ok(measured)
    }

    /// One replica alone, which is its own leader.
    async fn starts(&self, measured: &mut Measured) -> Result<()> {
        let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
        for number in 0..STARTS {
            progress(self.fleet, &format!("start alone, load {}", load()?));
            measured.load = measured.load.max(load()?);
            let begun = Instant::now();
            let user = format!("{}-alone-{number}", self.fleet.name);
            let controller = Controller::start(self.lab, &user, &[WINDOW]).await?;
            seconds.push(begun.elapsed().as_secs_f64());
            cpu.push(controller.cpu_exact()?.as_secs_f64());
            controller.stop().await?;
            self.replicas.forget().await?;
        }
        (measured.start, measured.start_cpu) = (percentile(&seconds, 0.0), percentile(&cpu, 0.0));
        Ok(())
    }

    /// The leader gets SIGTERM: how long until another one restarts a workload.
    async fn terminate(&mut self) -> Result<Takeover> {
        let since = Timestamp::now();
        let leader = self.replicas.leader()?;
        leader.replica.terminate()?;
        self.taken_over(since, AFTER_TERM).await
    }

    /// Sources change until a while after the leader has got a signal; then a new replica takes its place.
    async fn taken_over(&mut self, since: Timestamp, until: Duration) -> Result<Takeover> {
        let leader = self.replicas.leader()?.user.clone();
        self.change_for(until).await?;
        self.replicas.replace(&leader).await?;
        self.replicas.wait_until_calm().await?;
        Changes::since(self.lab, since)?
            .takeover(since, &leader)
            .with_context(|| format!("nobody has taken over from {leader}"))
    }

    /// Changes one source after the other.
    async fn change_for(&mut self, duration: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut timer = tokio::time::interval(PAUSE);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while begun.elapsed() < duration {
            timer.tick().await;
            let target = self.fleet.target(self.changes);
            let value = self.next_content(target);
            change(
                &self.lab.client,
                &fleet::namespace(target.0),
                &pair(target.1),
                &value,
            )
            .await?;
        }
        Ok(())
    }

    fn next_content(&mut self, target: (usize, usize)) -> String {
        self.changes += 1;
        let value = format!("{}-{}", self.fleet.name, self.changes);
        self.contents.entry(target).or_default().push(value.clone());
        value
    }

    /// One source of every Deployment changes, and some Deployments get a mistake in their annotations.
    async fn burst(&mut self, measured: &mut Measured) -> Result<()> {
        let since = Timestamp::now();
        let cpu = self.replicas.cpu()?;
        let targets: Vec<_> = self.fleet.targets().collect();
        let changes: Vec<_> = targets
            .iter()
            .enumerate()
            .map(|(number, target)| {
                let is_mistaken = number % MISTAKE_ONE_OF == 0;
                (*target, self.next_content(*target), is_mistaken)
            })
            .collect();
        let (lab, name) = (self.lab, self.fleet.name);
        stream::iter(changes)
            .map(|((space, workload), value, is_mistaken)| async move {
                let (space, workload) = (fleet::namespace(space), pair(workload));
                // First, so that it does not meet the PATCH that it is not about.
                if is_mistaken {
                    mistake(lab, &space, &workload, name).await?;
                }
                change(&lab.client, &space, &workload, &value).await
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        let written = Timestamp::now();
        self.replicas.wait_until_calm().await?;
        let patches = Changes::since(self.lab, since)?.patches(&self.replicas.users);
        let last = patches.last().copied().unwrap_or(written);
        measured.burst_rate = count(patches.len()) / last.duration_since(since).as_secs_f64();
        measured.burst_tail = last.duration_since(written).as_secs_f64();
        let per_restart = |after: Duration, before: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e3 / count(targets.len())
        };
        let after = self.replicas.cpu()?;
        measured.leader_cpu = per_restart(after.leader, cpu.leader);
        measured.standby_cpu = per_restart(after.standby, cpu.standby);
        tokio::time::sleep(SETTLE).await;
        (measured.standby_after, measured.leader_after) = self.replicas.memory()?;
        let mistakes = targets.len().div_ceil(MISTAKE_ONE_OF);
        let warned = self.count_events("InvalidAnnotation").await?;
        measured.warnings_lost = mistakes.saturating_sub(warned);
        measured.events = self.count_events("Reloaded").await?;
        measured.restarts = targets.len();
        Ok(())
    }

    /// The Deployments of this size that have such an Event since the burst began.
    async fn count_events(&self, reason: &str) -> Result<usize> {
        let api = Api::<Event>::all(self.lab.client.clone());
        let events = api
            .list(&ListParams::default().fields(&format!("reason={reason}")))
            .await?;
        let instances = &self.replicas.users;
        let ours = events.items.iter().filter(|event| {
            let instance = event.reporting_instance.as_ref();
            instance.is_some_and(|instance| instances.contains(instance))
        });
        let about: std::collections::HashSet<_> = ours
            .map(|event| (&event.involved_object.namespace, &event.involved_object.name))
            .collect();
        Ok(about.len())
    }

    /// Whether each Deployment shows its last content, and none a content twice.
    fn verdict(&self, measured: &mut Measured) -> Result<()> {
        let markers = Changes::since(self.lab, self.since)?.markers(&self.replicas.users);
        for ((space, workload), contents) in &self.contents {
            let shown = markers.get(&(fleet::namespace(*space), pair(*workload)));
            let shown = shown.map(Vec::as_slice).unwrap_or_default();
            let wanted = contents.last().map(|content| testbed::digest_of(content));
            measured.wrong += usize::from(shown.last() != wanted.as_ref());
            let mut seen = std::collections::HashSet::new();
            measured.twice += shown.iter().filter(|marker| !seen.insert(*marker)).count();
        }
        Ok(())
    }
}

/// How long a takeover took.
#[derive(Clone, Copy, Debug, Default)]
struct Takeover {
    /// Seconds from the signal until another replica has the Lease.
    lease: f64,
    /// Seconds from then until its first PATCH.
    first_patch: f64,
}

impl Takeover {
    const fn all(self) -> f64 {
        self.lease + self.first_patch
    }
}

/// An annotation of the Deployment cannot be read from now on.
/// The pattern differs by size: some workloads are of both, and a mistake is said once.
async fn mistake(lab: &Lab, namespace: &str, name: &str, of: &str) -> Result<()> {
    let annotations = serde_json::json!({ "secret.reloader.stakater.com/reload": format!("({of}") });
    let body = serde_json::json!({ "metadata": { "annotations": annotations } });
    Api::<k8s_openapi::api::apps::v1::Deployment>::namespaced(lab.client.clone(), namespace)
        .patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .with_context(|| format!("annotate Deployment {namespace}/{name}"))?;
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn count(things: usize) -> f64 {
    things as f64
}

/// Processes that wanted a processor in the minute before: above 0.5 others are busy too.
fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn progress(fleet: Fleet, what: &str) {
    eprintln!("  {}: {what}", fleet.name);
}
