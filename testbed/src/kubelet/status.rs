//! What the kubelet says of a pod. Input: what it knows; output: a patch of the pod's status. I/O: none.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::probe::Health;

/// What the one container does.
#[derive(Clone, Debug)]
pub enum State {
    /// It does not run yet, or not again.
    Waiting {
        /// One word.
        reason: &'static str,
        /// What is in the way.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It has ended for good.
    Terminated(Ended),
}

/// How a container ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status, or 128 and the number of the signal.
    pub code: i32,
    /// When it was started.
    pub started: Timestamp,
    /// When it was gone.
    pub finished: Timestamp,
}

/// What is known of a pod.
#[derive(Clone, Debug)]
pub struct Status {
    /// What the container does.
    pub state: State,
    /// What its probes say.
    pub health: Health,
    /// How it ended the last time.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: i32,
    /// Since when it is ready, or is not.
    pub ready_since: Timestamp,
    /// The pod's address, once it has one.
    pub address: Option<std::net::Ipv4Addr>,
}

impl Status {
    /// A pod of which nothing has been done yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            state: waiting("ContainerCreating", ""),
            health: Health::default(),
            last: None,
            restarts: 0,
            ready_since: now,
            address: None,
        }
    }

    /// Notes what the probes say.
    pub fn set_health(&mut self, health: Health, now: Timestamp) {
        if health.ready != self.health.ready {
            self.ready_since = now;
        }
        self.health = health;
    }

    /// A strategic merge patch of the pod; conditions of others stay.
    pub fn patch(&self, pod: &Pod) -> Value {
        let spec = pod.spec.as_ref();
        let container = spec.and_then(|spec| spec.containers.first());
        let created = pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0.to_string());
        let (state, phase) = match &self.state {
            State::Waiting { reason, message } => {
                // A pod that has run once is no longer pending.
                let phase = if self.last.is_some() { "Running" } else { "Pending" };
                (
                    json!({ "waiting": { "reason": reason, "message": message } }),
                    phase,
                )
            }
            State::Running { since } => (
                json!({ "running": { "startedAt": since.to_string() } }),
                "Running",
            ),
            State::Terminated(ended) => (
                terminated(ended),
                if ended.code == 0 { "Succeeded" } else { "Failed" },
            ),
        };
        let condition = |kind: &str, holds: bool, since: &str| {
            json!({
                "type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": since,
                "observedGeneration": pod.metadata.generation,
            })
        };
        let ready_since = self.ready_since.to_string();
        let mut status = json!({
            "observedGeneration": pod.metadata.generation,
            "phase": phase,
            "startTime": created,
            "conditions": [
                condition("Initialized", true, created.as_deref().unwrap_or(&ready_since)),
                condition("ContainersReady", self.health.ready, &ready_since),
                condition("Ready", self.health.ready, &ready_since),
            ],
            "containerStatuses": [{
                "name": container.map(|container| container.name.as_str()),
                "image": container.and_then(|container| container.image.as_deref()),
                "imageID": "",
                "ready": self.health.ready,
                "started": self.health.started,
                "restartCount": self.restarts,
                "state": state,
                "lastState": self.last.as_ref().map_or_else(|| json!({}), terminated),
            }],
        });
        if let Some(address) = self.address {
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{ "ip": address }]);
        }
        // The uid makes the API server refuse what is meant for a pod of the same name before.
        json!({ "metadata": { "uid": pod.metadata.uid }, "status": status })
    }
}

/// A container that does not run.
pub fn waiting(reason: &'static str, message: impl Into<String>) -> State {
    State::Waiting {
        reason,
        message: message.into(),
    }
}

fn terminated(ended: &Ended) -> Value {
    let reason = if ended.code == 0 { "Completed" } else { "Error" };
    json!({ "terminated": {
        "exitCode": ended.code, "reason": reason,
        "startedAt": ended.started.to_string(), "finishedAt": ended.finished.to_string(),
    } })
}
