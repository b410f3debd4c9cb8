//! What happens in a run: the objects, and who does what when.
//!
//! Input: a seed. Output: [`Plan`], which can be stored, edited and replayed. I/O: none.

mod episodes;
mod policies;
mod random;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::link::Weather;

/// Pods that start with this content never get ready.
pub const BAD: u64 = 9;

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
    /// What users say about when restarts may happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Policies>,
}

/// What users say about when restarts may happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Annotations of each source, without their prefix.
    pub sources: Vec<BTreeMap<String, String>>,
    /// Annotations of each workload, without their prefix.
    pub workloads: Vec<BTreeMap<String, String>>,
    /// Flags.
    pub flags: Vec<String>,
    /// `progressDeadlineSeconds` of Deployments.
    pub deadline_s: u64,
}

/// Whose annotations they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// The source of that number.
    Source(usize),
    /// The workload of that number.
    Workload(usize),
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
    /// SIGKILL of the replica that leads at that moment.
    KillLeader {
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
    /// Its machine is suspended: nothing runs, and its monotonic clock stands still, unlike the boot clock.
    Suspend {
        /// Which replica.
        replica: usize,
        /// For how long.
        for_ms: u64,
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
        /// Only in Reloader's own namespace.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        at_home: bool,
        /// How long.
        for_ms: u64,
    },
    /// Restarts are suspended.
    Hold {
        /// Of what.
        whose: Whose,
    },
    /// They are not any more.
    Unhold {
        /// Of what.
        whose: Whose,
    },
    /// A user releases what has changed.
    Release {
        /// Of what.
        whose: Whose,
    },
    /// Another authority signs the API servers' certificates. Processes that run know the one before, and no other.
    ReplaceAuthority,
}

impl Plan {
    /// The plan that follows from a seed.
    pub fn from_seed(seed: u64) -> Self {
        random::plan(seed)
    }

    /// The same, with policies.
    pub fn with_policies(seed: u64) -> Self {
        let mut plan = random::plan(seed);
        policies::add(&mut plan);
        plan
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_stored_and_read() {
        for seed in 0..50 {
            let plan = Plan::from_seed(seed);
            assert_eq!(Plan::parse(&plan.text()).unwrap(), plan);
            assert_eq!(Plan::from_seed(seed), plan);
            let plan = Plan::with_policies(seed);
            assert_eq!(Plan::parse(&plan.text()).unwrap(), plan);
        }
    }
}
