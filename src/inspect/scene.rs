//! What the change of a source would meet, as this replica sees it.
//!
//! Input: the source, those that it would restart. Output: [`Cast`]. I/O: none.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use tokio::task::yield_now;

use super::about::Inspector;
use crate::{
    admit::{Actor, Budget, ChangedSource, Concerned, Last, Scene},
    explain::{Planned, Planner, Scope, SourceFacts},
    model::{Policy, Source, SourceKey, SourceRef, UnixSeconds, Workload, WorkloadKey},
};

/// Workloads that are looked up before other tasks may run.
const SLICE: usize = 64;
/// Steps of a plan, of some nanoseconds, before other tasks may run.
const STEPS: usize = 50_000;

/// All that takes part, kept while a plan is made of it.
struct Cast {
    sources: Vec<Known>,
    numbers: HashMap<SourceRef, usize>,
    players: Vec<Player>,
    /// The place of each of these.
    places: HashMap<WorkloadKey, usize>,
}

/// Another source than the one that changes.
struct Known {
    source: Source,
    /// It is gone, and says nothing any more.
    is_absent: bool,
    changed_at: Option<UnixSeconds>,
}

struct Player {
    workload: Arc<Workload>,
    concerned_by: Vec<usize>,
    owes: Vec<usize>,
    healthy_since: Option<UnixSeconds>,
    moved_at: Option<UnixSeconds>,
    last: Option<Last>,
}

impl Player {
    const fn new(workload: Arc<Workload>, last: Option<Last>) -> Self {
        Self {
            workload,
            concerned_by: Vec::new(),
            owes: Vec::new(),
            healthy_since: None,
            moved_at: None,
            last,
        }
    }

    fn add(&mut self, source: usize, owes: bool) {
        if !self.concerned_by.contains(&source) {
            self.concerned_by.push(source);
            if owes {
                self.owes.push(source);
            }
        }
    }
}

impl Cast {
    /// The number of a source: the one that changes is 0.
    fn number(&mut self, known: Known) -> usize {
        let next = self.sources.len() + 1;
        let number = *self.numbers.entry(known.source.key.reference()).or_insert(next);
        if number == next {
            self.sources.push(known);
        }
        number
    }

    fn scene<'a>(
        &'a self,
        facts: &'a SourceFacts,
        scope: &'a Scope,
        restarting: usize,
        [in_namespace, in_all]: [Budget; 2],
    ) -> Scene<'a> {
        let first = Concerned {
            reference: facts.source.clone(),
            changed: facts.changed(),
        };
        let others = self.sources.iter().map(|known| Concerned {
            reference: known.source.key.reference(),
            changed: ChangedSource {
                kind: known.source.key.kind,
                name: &known.source.key.name,
                policy: known.source.policy.as_deref().filter(|_| !known.is_absent),
                changed_at: known.changed_at,
            },
        });
        Scene {
            sources: std::iter::once(first).chain(others).collect(),
            actors: self.players.iter().map(Player::actor).collect(),
            restarting,
            namespace: scope.policy.as_deref(),
            texts: &scope.windows,
            flags: &scope.limits,
            in_namespace,
            in_all,
        }
    }
}

impl Player {
    fn actor(&self) -> Actor<'_> {
        Actor {
            workload: &self.workload,
            concerned_by: self.concerned_by.clone(),
            owes: self.owes.clone(),
            healthy_since: self.healthy_since,
            moved_at: self.moved_at,
            last: self.last,
        }
    }
}

impl Inspector {
    /// What limits make of a change of the source, which would restart these.
    pub(super) async fn plan(
        &self,
        key: &SourceKey,
        facts: &SourceFacts,
        restarting: Vec<Arc<Workload>>,
        scope: &Scope,
    ) -> Planned {
        let count = restarting.len();
        let cast = self.cast(key, restarting, scope.policy.as_deref()).await;
        let now = Timestamp::now();
        let gate = self.context().gate();
        let budgets = gate.budgets(&key.namespace, scope.policy.as_deref(), now);
        let mut planner = Planner::new(cast.scene(facts, scope, count, budgets), now);
        while planner.advance(STEPS) {
            yield_now().await;
        }
        planner.finish(Vec::new())
    }

    async fn cast(
        &self,
        key: &SourceKey,
        restarting: Vec<Arc<Workload>>,
        namespace: Option<&Policy>,
    ) -> Cast {
        let (index, gate) = (self.context().index(), self.context().gate());
        let is_limited = gate.are_limited(&key.namespace, namespace);
        let mut cast = Cast {
            sources: Vec::new(),
            numbers: HashMap::from([(key.reference(), 0)]),
            players: Vec::with_capacity(restarting.len()),
            places: HashMap::new(),
        };
        for slice in restarting.chunks(SLICE) {
            for workload in slice {
                let mut player = Player::new(Arc::clone(workload), gate.last(workload));
                player.add(0, true);
                for owed in index
                    .pending(&workload.key)
                    .into_iter()
                    .flat_map(|pending| pending.owed)
                {
                    let known = Known {
                        is_absent: owed.is_absent(),
                        changed_at: Some(owed.changed_at()),
                        source: owed.source,
                    };
                    player.add(cast.number(known), true);
                }
                let others = if is_limited {
                    index.sources_concerning(&workload.key)
                } else {
                    Vec::new()
                };
                // Of those that it owes nothing for, the budget counts.
                let has_budget = |source: &Source| gate.rules(source, namespace).max_concurrent.is_some();
                for source in others.into_iter().filter(has_budget) {
                    let known = Known {
                        source,
                        is_absent: false,
                        changed_at: None,
                    };
                    player.add(cast.number(known), false);
                }
                cast.places.insert(workload.key.clone(), cast.players.len());
                cast.players.push(player);
            }
            yield_now().await;
        }
        self.add_members(&mut cast, key, is_limited).await;
        cast
    }

    /// How far those are that take part, and who else takes places of the sources.
    async fn add_members(&self, cast: &mut Cast, key: &SourceKey, is_limited: bool) {
        let others = cast.sources.iter().map(|known| known.source.key.clone());
        let others: Vec<_> = others.filter(|_| is_limited).collect();
        for (number, source) in std::iter::once(key.clone()).chain(others).enumerate() {
            for member in self.context().index().members(&source) {
                let place = match cast.places.get(&member.workload.key) {
                    Some(place) => *place,
                    // All that the change concerns would restart.
                    None if number == 0 => continue,
                    None => {
                        let place = cast.players.len();
                        cast.places.insert(member.workload.key.clone(), place);
                        cast.players.push(Player::new(member.workload, None));
                        place
                    }
                };
                let player = &mut cast.players[place];
                player.add(number, false);
                (player.healthy_since, player.moved_at) = (member.healthy_since, member.moved_at);
            }
            yield_now().await;
        }
    }
}
