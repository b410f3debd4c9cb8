//! What a watch has shown of the workloads. Input: objects as they arrive; output: each workload's rollouts. I/O: none.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use serde_json::Value;

/// How long a marker is: SHA-1 in hexadecimal.
const MARKER: usize = 40;

/// The label that a DaemonSet without pods selects its nodes by: no node has it.
pub const NO_NODE: &str = "reloader-loadtest/none";

/// A workload's kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A change of a pod template.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// When the watch showed it.
    pub seen: Instant,
    /// The markers that the template holds since then.
    pub markers: BTreeSet<String>,
    /// When the watch showed that its pods had taken the place of those before; `None`: not yet, or superseded.
    pub complete: Option<Instant>,
}

/// One workload from its creation on.
#[derive(Clone, Debug)]
pub struct History {
    /// When the watch first showed it.
    pub first_seen: Instant,
    /// Every change of its template since then, in order.
    pub rollouts: Vec<Rollout>,
    /// Whether it was deleted since.
    pub deleted: bool,
    /// Whether it has pods.
    pub has_pods: bool,
    /// Whether those that it was made with were ready at some time.
    pub ready: bool,
    template: Value,
    generation: i64,
}

/// Every workload that was shown.
#[derive(Default)]
pub struct Record {
    histories: HashMap<Id, History>,
    unseen: i64,
    /// When the template of any of them changed last.
    last_rollout: Option<Instant>,
    /// When anything of any of them changed last.
    last_event: Option<Instant>,
}

impl History {
    /// Whether the pods of the last rollout are still on their way.
    pub fn is_rolling(&self) -> bool {
        let last = self.rollouts.last();
        self.has_pods && !self.deleted && last.is_some_and(|last| last.complete.is_none())
    }
}

impl Record {
    /// Takes a workload as it is now.
    pub fn apply(&mut self, id: Id, object: &Value, seen: Instant) {
        self.last_event = Some(seen);
        let template = &object["spec"]["template"];
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let is_complete = is_complete(&id.kind, object);
        let history = self.histories.entry(id).or_insert_with(|| History {
            first_seen: seen,
            rollouts: Vec::new(),
            deleted: false,
            has_pods: object["spec"]["replicas"].as_i64() != Some(0)
                && template["spec"]["nodeSelector"][NO_NODE].is_null(),
            ready: false,
            template: template.clone(),
            generation,
        });
        history.ready |= is_complete;
        // A watch without a gap shows every generation.
        self.unseen += (generation - history.generation - 1).max(0);
        history.generation = history.generation.max(generation);
        if history.template != *template {
            history.template = template.clone();
            history.rollouts.push(Rollout {
                seen,
                markers: markers(&template.to_string()),
                complete: None,
            });
            self.last_rollout = Some(seen);
        }
        if is_complete && let Some(last) = history.rollouts.last_mut() {
            last.complete.get_or_insert(seen);
        }
    }

    /// Takes a workload's deletion.
    pub fn delete(&mut self, id: &Id) {
        if let Some(history) = self.histories.get_mut(id) {
            history.deleted = true;
        }
    }

    /// One workload; `None` until the watch has shown it.
    pub fn get(&self, id: &Id) -> Option<&History> {
        self.histories.get(id)
    }

    /// Generations that the watch did not show: above 0 there was a gap, and rollouts may be missing.
    pub fn unseen(&self) -> i64 {
        self.unseen
    }

    /// When the watch showed anything last.
    pub fn last_event(&self) -> Option<Instant> {
        self.last_event
    }

    /// When the template of any workload changed last.
    pub fn last_rollout(&self) -> Option<Instant> {
        self.last_rollout
    }
}

/// The digests in a template, wherever a strategy puts them: runs of exactly 40 hexadecimal digits.
fn markers(text: &str) -> BTreeSet<String> {
    let runs = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let is_marker = |run: &&str| run.len() == MARKER && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    runs.filter(is_marker).map(str::to_owned).collect()
}

/// Whether the last rollout is over, by the rules of `kubectl rollout status`.
fn is_complete(kind: &str, object: &Value) -> bool {
    let status = &object["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    if count("observedGeneration") < object["metadata"]["generation"].as_i64().unwrap_or(i64::MAX) {
        return false;
    }
    let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
    match kind {
        "DaemonSet" => {
            let wanted = count("desiredNumberScheduled");
            count("updatedNumberScheduled") >= wanted && count("numberAvailable") >= wanted
        }
        "StatefulSet" => {
            count("readyReplicas") >= replicas
                && status["updateRevision"] == status["currentRevision"]
                && status["updateRevision"].is_string()
        }
        _ => {
            let updated = count("updatedReplicas");
            updated >= replicas && count("replicas") <= updated && count("availableReplicas") >= updated
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test")]

    use serde_json::json;

    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id() -> Id {
        Id {
            kind: "Deployment".to_owned(),
            namespace: "a".to_owned(),
            name: "b".to_owned(),
        }
    }

    #[test]
    fn markers_are_found_in_variables_and_in_annotations() {
        let text =
            format!(r#"{{"value":"{DIGEST}","hash":"\"{DIGEST}\"","long":"{DIGEST}0","word":"none"}}"#);
        assert_eq!(markers(&text), BTreeSet::from([DIGEST.to_owned()]));
    }

    #[test]
    fn a_change_of_the_template_alone_is_a_rollout_and_a_gap_is_noticed() {
        let object = |generation: i64, marker: &str, observed: i64| {
            json!({
                "metadata": { "generation": generation },
                "spec": { "replicas": 1, "template": { "marker": marker } },
                "status": { "observedGeneration": observed, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 },
            })
        };
        let mut record = Record::default();
        let now = Instant::now();
        record.apply(id(), &object(1, "", 1), now);
        record.apply(id(), &object(2, DIGEST, 1), now);
        let history = record.get(&id()).unwrap();
        assert_eq!(history.rollouts.len(), 1);
        assert!(history.rollouts[0].complete.is_none());
        record.apply(id(), &object(2, DIGEST, 2), now);
        assert!(record.get(&id()).unwrap().rollouts[0].complete.is_some());
        // A pause, say, changes the generation alone.
        record.apply(id(), &object(3, DIGEST, 3), now);
        assert_eq!(record.get(&id()).unwrap().rollouts.len(), 1);
        assert_eq!(record.unseen(), 0);
        record.apply(id(), &object(6, DIGEST, 6), now);
        assert_eq!(record.unseen(), 2);
        let later = now + std::time::Duration::from_secs(1);
        record.apply(id(), &object(6, DIGEST, 6), later);
        assert_eq!(
            (record.last_event(), record.last_rollout()),
            (Some(later), Some(now))
        );
        record.delete(&id());
        assert!(record.get(&id()).unwrap().deleted);
    }

    #[test]
    fn rollouts_are_over_as_kubectl_says() {
        let deployment = |observed: i64, replicas: i64, updated: i64, available: i64| {
            json!({
                "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
                "status": {
                    "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
                    "availableReplicas": available,
                },
            })
        };
        assert!(is_complete("Deployment", &deployment(2, 2, 2, 2)));
        for unfinished in [
            deployment(1, 2, 2, 2),
            deployment(2, 3, 2, 2),
            deployment(2, 2, 1, 2),
            deployment(2, 2, 2, 1),
        ] {
            assert!(!is_complete("Deployment", &unfinished), "{unfinished}");
        }
        let set = |current: &str, ready: i64| {
            json!({
                "metadata": { "generation": 1 }, "spec": { "replicas": 1 },
                "status": {
                    "observedGeneration": 1, "readyReplicas": ready, "currentRevision": current, "updateRevision": "b",
                },
            })
        };
        assert!(is_complete("StatefulSet", &set("b", 1)));
        assert!(!is_complete("StatefulSet", &set("a", 1)));
        assert!(!is_complete("StatefulSet", &set("b", 0)));
        let daemons = |updated: i64| {
            json!({
                "metadata": { "generation": 1 }, "spec": {},
                "status": {
                    "observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": updated,
                    "numberAvailable": 2,
                },
            })
        };
        assert!(is_complete("DaemonSet", &daemons(2)));
        assert!(!is_complete("DaemonSet", &daemons(1)));
    }
}
