//! What happens in a run: the objects, and who does what when.
//!
//! Input: a seed. Output: [`Plan`], which can be stored, edited and replayed. I/O: none.

use serde::{Deserialize, Serialize};

use crate::{draws::Draws, link::Weather};

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides what the plan leaves open: delays, hash orders, jitter.
    pub seed: u64,
    /// What there is at the start.
    pub setting: Setting,
    /// What happens, by time.
    pub acts: Vec<Timed>,
}

/// What there is at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Processes of the controller.
    pub replicas: usize,
    /// API servers over one store.
    pub fronts: usize,
    /// Whether the API servers stream lists.
    pub streams_lists: bool,
    /// ConfigMaps, named by their number.
    pub sources: usize,
    /// Who uses them.
    pub workloads: Vec<WorkloadSetting>,
    /// `--reload-strategy`.
    pub strategy: String,
    /// `--coalesce-window`, in milliseconds.
    pub window_ms: u64,
    /// By how many thousandths each replica's boot clock is too fast.
    pub fast_permille: Vec<i64>,
    /// How long a pod takes to be replaced, at most, in milliseconds.
    pub pod_start_ms: u64,
}

/// A workload at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSetting {
    /// `deployments`, `statefulsets` or `daemonsets`.
    pub plural: String,
    /// Numbers of the sources whose change restarts it.
    pub sources: Vec<usize>,
    /// Opts in by `auto` instead of by names.
    pub auto: bool,
    /// Pods.
    pub replicas: usize,
}

/// An act and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// What happens then.
    pub act: Act,
}

/// Something that somebody or something does. Numbers count from 0, modulo what there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// A source gets another content.
    Write {
        /// Its number.
        source: usize,
        /// Its new content; equal numbers are equal contents.
        content: u64,
    },
    /// A source gets a label, and keeps its content.
    Touch {
        /// Its number.
        source: usize,
    },
    /// A source is deleted, and created again with another content.
    Replace {
        /// Its number.
        source: usize,
        /// How long it is gone.
        gone_ms: u64,
        /// Its new content.
        content: u64,
    },
    /// A source and a workload's template change, as by `helm upgrade`.
    Upgrade {
        /// The workload.
        workload: usize,
        /// The content of its first source.
        content: u64,
    },
    /// A workload's template is changed, as by `kubectl set image`.
    Edit {
        /// The workload.
        workload: usize,
    },
    /// The template before the last change is brought back, as by `kubectl rollout undo`.
    Undo {
        /// The workload.
        workload: usize,
    },
    /// Labels of the workload change, its template does not.
    Label {
        /// The workload.
        workload: usize,
    },
    /// The workload is deleted and created again.
    Recreate {
        /// The workload.
        workload: usize,
    },
    /// It gets another number of pods.
    Scale {
        /// The workload.
        workload: usize,
        /// How many.
        pods: usize,
    },
    /// A pod ends and starts again.
    PodDies {
        /// The workload.
        workload: usize,
        /// Which of its pods.
        pod: usize,
    },
    /// The network fails.
    Network {
        /// Of which replica; `None`: of all.
        replica: Option<usize>,
        /// How.
        weather: Weather,
        /// How long.
        for_ms: u64,
    },
    /// An API server's caches lag behind.
    Lag {
        /// Which API server.
        front: usize,
        /// Which kind's.
        plural: String,
        /// By how much.
        lag_ms: u64,
        /// How long.
        for_ms: u64,
    },
    /// An API server restarts.
    RestartFront {
        /// Which.
        front: usize,
    },
    /// etcd forgets its past.
    Compact,
    /// SIGKILL.
    Kill {
        /// Which replica.
        replica: usize,
        /// How long it takes until a new process starts.
        down_ms: u64,
    },
    /// SIGTERM.
    Terminate {
        /// Which replica.
        replica: usize,
        /// How long it takes until a new process starts.
        down_ms: u64,
    },
    /// SIGSTOP, later SIGCONT.
    Stop {
        /// Which replica.
        replica: usize,
        /// How long.
        for_ms: u64,
    },
    /// Its machine is busy.
    Slow {
        /// Which replica.
        replica: usize,
        /// Turns out of a thousand that are put off.
        permille: u64,
        /// How long.
        for_ms: u64,
    },
    /// Its wall clock is set.
    Wall {
        /// Which replica.
        replica: usize,
        /// By how many milliseconds it is ahead from now on.
        ahead_ms: i64,
    },
    /// Its machine was suspended: the boot clock jumps, other clocks do not.
    Suspend {
        /// Which replica.
        replica: usize,
        /// By how much it jumps.
        jump_ms: u64,
    },
    /// The Lease is deleted.
    DeleteLease,
    /// A ConfigMap of the ledger is deleted.
    DeleteLedger,
    /// A permission is missing.
    Forbid {
        /// `patch`, `watch`, ...
        verb: String,
        /// Of which kind.
        plural: String,
        /// How long.
        for_ms: u64,
    },
}

/// How long acts go on, in milliseconds.
const DURATION: u64 = 120_000;

impl Plan {
    /// The plan that follows from a seed.
    pub fn from_seed(seed: u64) -> Self {
        let draws = Draws::new(seed);
        let setting = setting(&mut draws.of("setting", 0));
        let mut acts = Vec::new();
        let mut draw = draws.of("acts", 0);
        let (count, trouble) = (draw.within(4..40), draw.within(0..3));
        for number in 0..count {
            let mut draws = draws.of("act", number);
            acts.push(Timed {
                at_ms: draws.within(0..DURATION),
                act: act(&setting, trouble, &mut draws),
            });
        }
        acts.sort_by_key(|timed| timed.at_ms);
        Self { seed, setting, acts }
    }

    /// Reads a stored plan.
    ///
    /// # Errors
    /// It is not the JSON of a plan.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// As it is stored: one act a line.
    pub fn text(&self) -> String {
        let acts: Vec<String> = self
            .acts
            .iter()
            .map(|timed| format!("    {}", json(timed)))
            .collect();
        format!(
            "{{\n  \"seed\": {},\n  \"setting\": {},\n  \"acts\": [\n{}\n  ]\n}}\n",
            self.seed,
            json(&self.setting),
            acts.join(",\n")
        )
    }

    /// How long its acts go on, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.acts
            .iter()
            .map(|timed| timed.at_ms)
            .max()
            .unwrap_or_default()
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn setting(draws: &mut Draws) -> Setting {
    let sources = usize_within(draws, 1..4);
    let workloads = usize_within(draws, 1..5);
    let workloads = (0..workloads).map(|_| {
        let plural = *draws.one(&["deployments", "deployments", "statefulsets", "daemonsets"]);
        let mut used: Vec<usize> = (0..sources).filter(|_| draws.permille(600)).collect();
        if used.is_empty() {
            used.push(0);
        }
        WorkloadSetting {
            plural: plural.to_owned(),
            sources: used,
            auto: draws.permille(400),
            replicas: usize_within(draws, 1..4),
        }
    });
    let workloads = workloads.collect();
    Setting {
        replicas: 3,
        fronts: 2,
        streams_lists: draws.permille(800),
        sources,
        workloads,
        strategy: draws.one(&["env-vars", "env-vars", "annotations"]).to_string(),
        window_ms: *draws.one(&[1000, 1000, 0, 100]),
        fast_permille: (0..3).map(|_| around_zero(draws, 200)).collect(),
        pod_start_ms: *draws.one(&[200, 3000, 20_000]),
    }
}

fn around_zero(draws: &mut Draws, most: u32) -> i64 {
    let number = draws.within(0..2 * u64::from(most) + 1);
    i64::try_from(number).unwrap_or_default() - i64::from(most)
}

fn usize_within(draws: &mut Draws, range: std::ops::Range<u64>) -> usize {
    usize::try_from(draws.within(range)).unwrap_or_default()
}

/// `trouble`: 0: users only; 1: also faults; 2: mostly faults.
fn act(setting: &Setting, trouble: u64, draws: &mut Draws) -> Act {
    let is_fault = draws.permille(trouble * 300);
    if is_fault {
        fault(setting, draws)
    } else {
        user(setting, draws)
    }
}

fn user(setting: &Setting, draws: &mut Draws) -> Act {
    let source = usize_within(draws, 0..setting.sources as u64);
    let workload = usize_within(draws, 0..setting.workloads.len() as u64);
    // Few, so that contents return.
    let content = draws.within(0..3);
    match draws.within(0..100) {
        0..55 => Act::Write { source, content },
        55..58 => Act::Touch { source },
        58..62 => Act::Replace {
            source,
            gone_ms: draws.skewed(20_000),
            content,
        },
        62..68 => Act::Upgrade { workload, content },
        68..74 => Act::Edit { workload },
        74..80 => Act::Undo { workload },
        80..84 => Act::Label { workload },
        84..88 => Act::Recreate { workload },
        88..92 => Act::Scale {
            workload,
            pods: usize_within(draws, 0..4),
        },
        _ => Act::PodDies {
            workload,
            pod: usize_within(draws, 0..3),
        },
    }
}

fn fault(setting: &Setting, draws: &mut Draws) -> Act {
    let replica = usize_within(draws, 0..setting.replicas as u64);
    let front = usize_within(draws, 0..setting.fronts as u64);
    let kinds = [
        "configmaps",
        "deployments",
        "statefulsets",
        "daemonsets",
        "leases",
    ];
    match draws.within(0..100) {
        0..30 => Act::Network {
            replica: draws.permille(700).then_some(replica),
            weather: weather(draws),
            for_ms: draws.skewed(40_000),
        },
        30..40 => Act::Lag {
            front,
            plural: draws.one(&kinds).to_string(),
            lag_ms: draws.skewed(10_000),
            for_ms: draws.skewed(30_000),
        },
        40..44 => Act::RestartFront { front },
        44..48 => Act::Compact,
        48..62 => Act::Kill {
            replica,
            down_ms: draws.skewed(40_000),
        },
        62..70 => Act::Terminate {
            replica,
            down_ms: draws.skewed(40_000),
        },
        70..80 => Act::Stop {
            replica,
            for_ms: draws.skewed(40_000),
        },
        80..86 => Act::Slow {
            replica,
            permille: draws.within(1..200),
            for_ms: draws.skewed(30_000),
        },
        86..89 => Act::Wall {
            replica,
            ahead_ms: around_zero(draws, 2000),
        },
        89..91 => Act::Suspend {
            replica,
            jump_ms: draws.skewed(30_000),
        },
        91..94 => Act::DeleteLease,
        94..96 => Act::DeleteLedger,
        _ => Act::Forbid {
            verb: draws
                .one(&["patch", "watch", "list", "update", "create"])
                .to_string(),
            plural: draws.one(&kinds[..4]).to_string(),
            for_ms: draws.skewed(40_000),
        },
    }
}

fn weather(draws: &mut Draws) -> Weather {
    let mut weather = Weather::default();
    match draws.within(0..7) {
        0 => weather.lost = 1000,
        1 => weather.unanswered = 1000,
        2 => {
            weather.lost = draws.within(0..500);
            weather.unanswered = draws.within(0..500);
        }
        3 => {
            weather.late = draws.within(100..1000);
            weather.late_ms = draws.skewed(9000);
        }
        4 => weather.refused = draws.within(100..1000),
        5 => weather.silent_watches = true,
        _ => weather.cut_watches = true,
    }
    weather
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_stored_and_read() {
        for seed in 0..50 {
            let plan = Plan::from_seed(seed);
            assert_eq!(Plan::parse(&plan.text()).unwrap(), plan);
            assert_eq!(Plan::from_seed(seed), plan);
        }
    }
}
