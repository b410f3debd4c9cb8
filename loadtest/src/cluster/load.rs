//! One scenario: its objects made, its sources changed, and what came of it.
//!
//! Input: a [`Scenario`]. Output: figures. I/O: makes namespaces and objects, changes them, kills a pod, waits.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{ConfigMap, Pod, Secret},
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    columns::Figure,
    counting::{Change, Count, Use, count},
    figures::figures,
    metrics,
    observer::Observer,
    owned::{self, SYSTEM, namespace},
    record::History,
    release::{self, Release},
    shapes::{Meanwhile, Order, Scenario, Shape, Sizes, Source, SourceKind, WorkloadKind, workload},
};
use crate::objects::create_all;

/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(500);
/// Between the objects' creation and the first change: what a controller does about new objects is not measured.
const SETTLE: Duration = Duration::from_secs(2);
/// Without a rollout for so long, nothing comes twice any more. Longer than a resync of the default window.
const QUIET: Duration = Duration::from_secs(4);
/// Between two Deployments of [`Meanwhile::Churn`], and how many there are at a time.
const CHURN: (Duration, usize) = (Duration::from_millis(500), 10);

/// What scenarios stand on.
pub struct Ground<'a> {
    /// Who changes sources.
    pub client: &'a Client,
    /// What sees rollouts.
    pub observer: &'a Observer,
    /// What is measured.
    pub release: &'a Release<'a>,
    /// Objects of [`Scenario::Thousands`].
    pub sizes: Sizes,
    /// Workloads with a pod, of each scenario.
    pub pods: usize,
    /// The image of their pods.
    pub image: &'a str,
    /// How long changes go on.
    pub duration: Duration,
    /// How long to wait for what has not arrived.
    pub patience: Duration,
}

/// A scenario's objects, made.
pub struct Made {
    /// What was asked for.
    pub shape: Shape,
    /// Who uses what.
    pub uses: Vec<Use>,
}

impl Ground<'_> {
    /// Runs one; its namespaces are asked to go at the end.
    pub async fn run(&self, scenario: Scenario) -> Result<Vec<Figure>> {
        let made = self.make(scenario).await?;
        let before = metrics::read(self.client).await?;
        let begun = Instant::now();
        let meanwhile = async {
            match made.shape.meanwhile {
                Meanwhile::Nothing => Ok(Vec::new()),
                Meanwhile::Churn => self.churn(&made.shape, begun).await,
                Meanwhile::Kill => {
                    sleep(self.duration / 3).await;
                    self.kill_leader().await.map(|()| Vec::new())
                }
            }
        };
        let (changes, further) = tokio::try_join!(self.change_all(&made.shape, begun), meanwhile)?;
        let mut uses = made.uses.clone();
        uses.extend(further);
        let counted = self.settle(&changes, &uses).await;
        if made.shape.meanwhile == Meanwhile::Kill {
            self.release.wait_ready().await?;
        }
        let after = metrics::read(self.client).await?;
        let taken = begun.elapsed();
        self.remove(&made.shape).await?;
        let unseen = self.observer.record().unseen();
        Ok(figures(
            scenario,
            changes.len(),
            &counted,
            metrics::cost(&before, &after, taken),
            unseen,
        ))
    }

    /// Makes a scenario's objects and waits until the watch has shown them and their pods run.
    pub async fn make(&self, scenario: Scenario) -> Result<Made> {
        let shape = scenario.shape(&self.sizes);
        for suffix in shape.namespaces() {
            owned::create(self.client, &namespace(&suffix)).await?;
        }
        for (kind, name, sources) in grouped(&shape.sources, |source| (source.kind, source.namespace.clone()))
        {
            let manifests = sources.into_iter().map(|source| source.manifest("0"));
            let name = namespace(&name);
            match kind {
                SourceKind::ConfigMap => create_all::<ConfigMap>(self.client, &name, manifests).await?,
                SourceKind::Secret => create_all::<Secret>(self.client, &name, manifests).await?,
            }
        }
        let numbered: Vec<(usize, _)> = shape.workloads.iter().enumerate().collect();
        for (kind, name, workloads) in grouped(&numbered, |(_, one)| (one.kind, one.namespace.clone())) {
            let manifests = workloads
                .into_iter()
                .map(|(number, one)| one.manifest(&shape.sources, self.image, *number < self.pods));
            let name = namespace(&name);
            match kind {
                WorkloadKind::Deployment => create_all::<Deployment>(self.client, &name, manifests).await?,
                WorkloadKind::StatefulSet => create_all::<StatefulSet>(self.client, &name, manifests).await?,
                WorkloadKind::DaemonSet => create_all::<DaemonSet>(self.client, &name, manifests).await?,
            }
        }
        let ids = |positions: &[(usize, _)]| -> Vec<String> {
            let mut ids: Vec<String> = positions
                .iter()
                .map(|(position, _)| shape.sources[*position].id())
                .collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let uses: Vec<Use> = shape
            .workloads
            .iter()
            .map(|one| (one.id(), ids(&one.uses)))
            .collect();
        self.wait_for_workloads(&uses).await?;
        sleep(SETTLE).await;
        Ok(Made { shape, uses })
    }

    /// Asks for the deletion of a scenario's namespaces.
    pub async fn remove(&self, shape: &Shape) -> Result<()> {
        let names: Vec<String> = shape
            .namespaces()
            .iter()
            .map(|suffix| namespace(suffix))
            .collect();
        for one in owned::list(self.client).await? {
            if one
                .metadata
                .name
                .as_ref()
                .is_some_and(|name| names.contains(name))
            {
                owned::delete(self.client, &one).await?;
            }
        }
        Ok(())
    }

    async fn wait_for_workloads(&self, uses: &[Use]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (mut missing, mut unready) = (0, 0);
            // A cluster's controllers may need minutes for thousands of workloads, but show that they work.
            let quiet = {
                let record = self.observer.record();
                for (id, _) in uses {
                    match record.get(id) {
                        None => missing += 1,
                        Some(history) => unready += usize::from(!history.ready),
                    }
                }
                record
                    .last_event()
                    .map_or(begun, |last| last.max(begun))
                    .elapsed()
            };
            if missing + unready == 0 {
                return Ok(());
            }
            if quiet > self.patience {
                bail!(
                    "for {} s nothing went on: the watch has not shown {missing} workloads, and {unready} are not ready; \
                     raise --patience, lower --pods, or use --no-pods",
                    self.patience.as_secs()
                );
            }
            sleep(LOOK).await;
        }
    }

    async fn change_all(&self, shape: &Shape, begun: Instant) -> Result<Vec<Change>> {
        let writers = (0..shape.writers).map(|writer| self.write(shape, writer, begun));
        let changes = futures::future::try_join_all(writers).await?;
        Ok(changes.into_iter().flatten().collect())
    }

    /// One writer: every `writers`-th source is its own, so the contents of a source have one order.
    async fn write(&self, shape: &Shape, writer: usize, begun: Instant) -> Result<Vec<Change>> {
        let own: Vec<&Source> = shape.sources.iter().skip(writer).step_by(shape.writers).collect();
        let mut changes = Vec::new();
        let mut ticks = interval(shape.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_usize.. {
            let position = match shape.order {
                Order::Once if number >= own.len() => break,
                Order::Once => number,
                Order::InTurn | Order::Random if begun.elapsed() >= self.duration => break,
                Order::InTurn => number % own.len().max(1),
                Order::Random => scattered(number) % own.len().max(1),
            };
            let Some(source) = own.get(position) else { break };
            ticks.tick().await;
            let content = format!("{writer}-{}", number + 1);
            if shape.annotations_only {
                let body = json!({ "metadata": { "annotations": { "reloader-loadtest/number": content } } });
                self.patch(source, body).await?;
            } else {
                changes.push(self.change(source, &content).await?);
            }
        }
        Ok(changes)
    }

    /// Writes a content; gives when that was answered.
    pub async fn change(&self, source: &Source, content: &str) -> Result<Change> {
        let begun = Instant::now();
        self.patch(source, source.content(content)).await?;
        Ok(Change {
            begun,
            answered: Instant::now(),
            source: source.id(),
            marker: source.marker(content),
        })
    }

    async fn patch(&self, source: &Source, body: Value) -> Result<()> {
        match source.kind {
            SourceKind::ConfigMap => patch::<ConfigMap>(self.client, source, body).await,
            SourceKind::Secret => patch::<Secret>(self.client, source, body).await,
        }
    }

    /// Makes a Deployment every so often and deletes the oldest beyond some; gives all that were made.
    async fn churn(&self, shape: &Shape, begun: Instant) -> Result<Vec<Use>> {
        let Some(source) = shape.sources.first() else {
            return Ok(Vec::new());
        };
        let api = Api::<Deployment>::namespaced(self.client.clone(), &namespace(&source.namespace));
        let mut ticks = interval(CHURN.0);
        let mut uses: Vec<Use> = Vec::new();
        while begun.elapsed() < self.duration {
            ticks.tick().await;
            let number = uses.len();
            let one = workload(&source.namespace, number, &[0]);
            let manifest = one.manifest(&shape.sources, self.image, self.pods > 0);
            api.create(&PostParams::default(), &serde_json::from_value(manifest)?)
                .await
                .context("create a Deployment")?;
            uses.push((one.id(), vec![source.id()]));
            if let Some(oldest) = number.checked_sub(CHURN.1) {
                api.delete(&uses[oldest].0.name, &DeleteParams::background())
                    .await
                    .context("delete a Deployment")?;
            }
        }
        Ok(uses)
    }

    /// Kills the leader's pod at once.
    async fn kill_leader(&self) -> Result<()> {
        let leader = release::leader(self.client)
            .await?
            .context("no pod holds the Lease")?;
        Api::<Pod>::namespaced(self.client.clone(), SYSTEM)
            .delete(&leader, &DeleteParams::default().grace_period(0))
            .await
            .with_context(|| format!("kill pod {leader}"))?;
        Ok(())
    }

    /// Waits until everything has arrived and nothing more comes, or nothing has come for too long.
    pub async fn settle(&self, changes: &[Change], uses: &[Use]) -> Count {
        let begun = Instant::now();
        loop {
            let (mut counted, quiet, rolling) = {
                let record = self.observer.record();
                let counted = count(changes, uses, &record);
                let since = record.last_rollout().map_or(begun, |last| last.max(begun));
                let is_rolling = |one: &&Use| record.get(&one.0).is_some_and(History::is_rolling);
                (counted, since.elapsed(), uses.iter().filter(is_rolling).count())
            };
            let is_over = counted.missed == 0 && rolling == 0 && quiet >= QUIET;
            if is_over || quiet >= self.patience {
                counted.unfinished = rolling;
                return counted;
            }
            sleep(LOOK).await;
        }
    }
}

/// A number that looks random: the same in every run.
fn scattered(number: usize) -> usize {
    let mixed = (number as u64)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from((mixed ^ (mixed >> 29)) >> 33).unwrap_or(0)
}

/// Items by kind and namespace.
fn grouped<'a, T, K: Copy + Eq + std::hash::Hash + std::fmt::Debug>(
    items: &'a [T],
    key: impl Fn(&T) -> (K, String),
) -> Vec<(K, String, Vec<&'a T>)> {
    let mut groups: BTreeMap<String, (K, String, Vec<&'a T>)> = BTreeMap::new();
    for item in items {
        let (kind, namespace) = key(item);
        let group = groups
            .entry(format!("{kind:?}/{namespace}"))
            .or_insert_with(|| (kind, namespace, Vec::new()));
        group.2.push(item);
    }
    groups.into_values().collect()
}

async fn patch<K>(client: &Client, source: &Source, body: Value) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), &namespace(&source.namespace))
        .patch(&source.name, &PatchParams::default(), &Patch::Merge(body))
        .await
        .with_context(|| format!("change {}", source.id()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_numbers_reach_every_position() {
        let reached: std::collections::HashSet<usize> =
            (0..200).map(|number| scattered(number) % 20).collect();
        assert_eq!(reached.len(), 20);
    }
}
