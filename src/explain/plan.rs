//! What limits make of a change that has not happened, as JSON and in words.
//!
//! Input: a [`Scene`]. Output: [`Plan`], and what each restart waits for at first. I/O: none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{deferral::Deferral, facts::SourceFacts, next::time};
use crate::{
    admit::{
        Budget, Play, Rules, Scene,
        forecast::{Forecast, Round},
    },
    model::go_duration::GoDuration,
};

/// How a change reaches the workloads that it restarts, if all goes well and nothing else happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How many restart at once.
    pub at_once: usize,
    /// How many wait at first, by the word for what they wait for.
    pub waiting: BTreeMap<String, usize>,
    /// The restarts that follow each other: each begins when those before it have shown that they are well.
    pub rollouts: Vec<Batch>,
    /// There are more of them.
    pub is_cut: bool,
    /// Those that this does not reach, by the word for what they wait for.
    pub not_reached: BTreeMap<String, usize>,
    /// The waves in their order, where there is more than one.
    pub waves: Vec<WaveSize>,
    /// What is not known, and may change all that.
    pub unknown: Vec<String>,
}

/// Restarts that begin at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The time that has to come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// How many restarts.
    pub restarts: usize,
    /// So many times, one after the other.
    pub times: usize,
}

/// A wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveSize {
    /// Its number.
    pub wave: i32,
    /// How many workloads it has.
    pub workloads: usize,
}

/// A plan, what it says in words, and what each restart waits for at first.
#[derive(Clone, Debug)]
pub struct Planned {
    pub(super) plan: Plan,
    pub(super) words: String,
    pub(super) waits: Vec<Option<Deferral>>,
}

/// Makes a plan, a part at a time: there may be thousands of workloads, and a process has other things to do in between.
#[derive(Debug)]
pub struct Planner<'a> {
    play: Play<'a>,
    holds: Holds,
    waves: BTreeMap<i32, usize>,
}

/// What holds for the source that changes.
#[derive(Clone, Copy, Debug)]
struct Holds {
    rules: Option<Rules>,
    concerned: usize,
    namespace: Budget,
    cluster: Budget,
}

impl<'a> Planner<'a> {
    /// Of what that scene meets from `now` on.
    pub fn new(scene: Scene<'a>, now: Timestamp) -> Self {
        let mut waves = BTreeMap::new();
        for actor in scene.actors.iter().take(scene.restarting) {
            *waves.entry(actor.workload.wave()).or_default() += 1;
        }
        let concerned = |actor: &&crate::admit::Actor<'_>| actor.concerned_by.contains(&0);
        Self {
            holds: Holds {
                rules: scene.rules_of_change(),
                concerned: scene.actors.iter().filter(concerned).count(),
                namespace: scene.in_namespace,
                cluster: scene.in_all,
            },
            play: Play::new(scene, now),
            waves,
        }
    }

    /// Goes on for about so many steps of some nanoseconds. Returns whether there is more.
    pub fn advance(&mut self, steps: usize) -> bool {
        self.play.advance(steps)
    }

    /// The plan. `unknown`: what is not known here.
    pub fn finish(self, unknown: Vec<String>) -> Planned {
        let Self { play, holds, waves } = self;
        let Forecast {
            first,
            rounds,
            stay,
            is_cut,
        } = play.finish();
        let mut plan = Plan {
            at_once: first.iter().filter(|wait| wait.is_none()).count(),
            rollouts: batches(&rounds),
            is_cut,
            not_reached: stay
                .into_iter()
                .map(|(word, count)| (word.to_owned(), count))
                .collect(),
            unknown,
            ..Plan::default()
        };
        for wait in first.iter().flatten() {
            *plan.waiting.entry(wait.reason.as_str().to_owned()).or_default() += 1;
        }
        if waves.len() > 1 {
            let sizes = waves.into_iter();
            plan.waves = sizes
                .map(|(wave, workloads)| WaveSize { wave, workloads })
                .collect();
        }
        Planned {
            words: words(&plan, &holds),
            plan,
            waits: first
                .iter()
                .map(|wait| wait.as_ref().map(Deferral::from))
                .collect(),
        }
    }
}

/// What the objects alone do not tell.
pub(super) fn unknown_of_objects(facts: &SourceFacts) -> Vec<String> {
    let mut unknown = Vec::new();
    if facts.exists.is_none() {
        unknown.push("what the annotations of the source limit".to_owned());
    }
    unknown.extend(
        [
            "limits and windows by flags of the controller and by annotations of the Namespace",
            "limits of other sources of these workloads, and restarts that are owed for them",
            "what is in progress in other namespaces",
        ]
        .map(str::to_owned),
    );
    unknown
}

/// Equal rounds that follow each other are one.
fn batches(rounds: &[Round]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for Round { from, restarts } in rounds {
        match batches.last_mut() {
            Some(last) if from.is_none() && last.from.is_none() && last.restarts == *restarts => {
                last.times += 1;
            }
            _ => batches.push(Batch {
                from: *from,
                restarts: *restarts,
                times: 1,
            }),
        }
    }
    batches
}

fn words(plan: &Plan, holds: &Holds) -> String {
    let waiting: usize = plan.waiting.values().sum();
    if waiting == 0 {
        return "All are due at the same time and written as fast as requests go; the order among them is not fixed"
            .to_owned();
    }
    let mut sentences = vec![format!(
        "{} of {} restart at once, the others wait at first: {}",
        plan.at_once,
        plan.at_once + waiting,
        counts(&plan.waiting)
    )];
    sentences.extend(growth(plan, holds));
    if !plan.waves.is_empty() {
        let sizes = plan.waves.iter();
        let sizes: Vec<_> = sizes
            .map(|of| format!("{} (workloads: {})", of.wave, of.workloads))
            .collect();
        sentences.push(format!("Waves, the lower first: {}", sizes.join(", ")));
    }
    if let Some(rules) = holds.rules.filter(Rules::bind) {
        let allowed = rules.max_failures.of(holds.concerned);
        sentences.push(format!("More than {allowed} that fail halt the others"));
    }
    if !plan.not_reached.is_empty() {
        let counts = counts(&plan.not_reached);
        sentences.push(format!("These restarts and times do not reach: {counts}"));
    }
    if plan.at_once > 0
        && plan
            .waiting
            .keys()
            .any(|word| word == "canary" || word == "budget")
    {
        sentences.push("Which ones are first is not fixed".to_owned());
    }
    sentences.join(". ")
}

/// How many restarts follow how many, and by which rule.
fn growth(plan: &Plan, holds: &Holds) -> Option<String> {
    if plan.rollouts.is_empty() {
        return None;
    }
    let mut rules = Vec::new();
    if let Some(of_source) = holds.rules
        && let Some(canary) = of_source.canary
    {
        let first = canary.at_least_one(holds.concerned);
        let bake = of_source.bake_time;
        let bake = if bake.is_zero() {
            String::new()
        } else {
            format!(" (healthy for {})", GoDuration(bake))
        };
        rules.push(format!(
            "{first} first (canary), then as many as are proved{bake}"
        ));
    }
    let of_source = holds.rules.and_then(|rules| rules.max_concurrent);
    let limits = [
        of_source.map(|share| (share.at_least_one(holds.concerned), "")),
        holds.namespace.limit.map(|limit| (limit, " in the namespace")),
        holds.cluster.limit.map(|limit| (limit, " in the cluster")),
    ];
    for (limit, of) in limits.into_iter().flatten() {
        rules.push(format!("at most {limit} at a time{of}"));
    }
    let rules = if rules.is_empty() {
        "Restarts that follow each other".to_owned()
    } else {
        let mut rules = rules.join(", ");
        if let Some(first) = rules.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        rules
    };
    let sizes: Vec<_> = plan.rollouts.iter().map(Batch::words).collect();
    let count: usize = plan.rollouts.iter().map(|batch| batch.times).sum();
    let more = if plan.is_cut { " and more" } else { "" };
    let in_all = if count > 1 {
        format!("; {count} rollouts{more} one after the other")
    } else {
        more.to_owned()
    };
    Some(format!("{rules}: {}{in_all}", sizes.join(", ")))
}

impl Batch {
    fn words(&self) -> String {
        let from = self
            .from
            .map_or_else(String::new, |from| format!("from {} ", time(from)));
        match self.times {
            1 => format!("{from}{}", self.restarts),
            times => format!("{from}{times} times {}", self.restarts),
        }
    }
}

/// `499 canary, 1 window`.
fn counts(counts: &BTreeMap<String, usize>) -> String {
    let counts: Vec<_> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    counts.join(", ")
}
