//! What the status of a workload tells of its pods and of its rollout.
//!
//! Input: JSON of the API. Output: [`StatusWire`], [`Pods`], whether a Job has ended. I/O: none.

use std::hash::{DefaultHasher, Hasher};

use jiff::Timestamp;
use serde::de::MapAccess;

use crate::{
    model::{Pods, UnixSeconds, WorkloadKind},
    watch::lenient::{Lenient, Loose, wire},
};

/// The status of a workload. Of texts only what they are compared with is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct StatusWire {
    pub(super) conditions: Vec<ConditionWire>,
    /// A hash of its numbers; `None`: there are none.
    counts: Option<u64>,
    /// How many pods there are, or should be on nodes.
    pub(super) present: Option<i64>,
    pub(super) ready: Option<i64>,
    pub(super) available: Option<i64>,
    /// How many have the present template; `None`: it does not say.
    pub(super) updated: Option<i64>,
    /// The generation of the spec that all of this is about.
    pub(super) observed: Observed,
    /// `currentRevision` and `updateRevision`.
    pub(super) revisions: [Option<TextHash>; 2],
    /// `phase` of a Rollout.
    pub(super) phase: Phase,
    /// `restartedAt` of a Rollout: the `spec.restartAt` that has been carried out.
    pub(super) restarted_at: Time,
}

impl StatusWire {
    /// Whether a Job has succeeded or failed for good.
    pub(super) fn is_finished(&self) -> bool {
        let is_last = |condition: &ConditionWire| {
            matches!(condition.r#type, ConditionType::Complete | ConditionType::Failed)
        };
        let is_true = |condition: &ConditionWire| condition.status == Truth::True;
        self.conditions
            .iter()
            .any(|condition| is_last(condition) && is_true(condition))
    }

    pub(super) fn condition(&self, wanted: ConditionType) -> Option<&ConditionWire> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.r#type == wanted)
    }
}

impl Lenient for StatusWire {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut status = Self::default();
        let mut hasher = DefaultHasher::new();
        while let Some(field) = object.next_key::<String>()? {
            match field.as_str() {
                "conditions" => {
                    Loose(status.conditions) = object.next_value()?;
                    continue;
                }
                // It follows the spec, not the pods.
                "observedGeneration" => {
                    Loose(status.observed) = object.next_value()?;
                    continue;
                }
                "currentRevision" => {
                    Loose(status.revisions[0]) = object.next_value()?;
                    continue;
                }
                "updateRevision" => {
                    Loose(status.revisions[1]) = object.next_value()?;
                    continue;
                }
                "phase" => {
                    Loose(status.phase) = object.next_value()?;
                    continue;
                }
                "restartedAt" => {
                    Loose(status.restarted_at) = object.next_value()?;
                    continue;
                }
                _ => {}
            }
            let Loose(Some(number)) = object.next_value::<Loose<Option<i64>>>()? else {
                continue;
            };
            match field.as_str() {
                "replicas" | "desiredNumberScheduled" => status.present = Some(number),
                "readyReplicas" | "numberReady" => status.ready = Some(number),
                "availableReplicas" | "numberAvailable" => status.available = Some(number),
                "updatedReplicas" | "updatedNumberScheduled" => status.updated = Some(number),
                _ => {}
            }
            hasher.write(field.as_bytes());
            hasher.write_i64(number);
            status.counts = Some(hasher.finish());
        }
        Ok(Some(status))
    }
}

impl StatusWire {
    /// What it says of the pods of that kind. `replaces`: a change of the template replaces them; `replicas`: how many the spec
    /// asks for; `generation`: the present one.
    pub(super) fn pods(
        &self,
        (kind, replaces): (WorkloadKind, bool),
        replicas: Option<i64>,
        generation: Option<i64>,
    ) -> Pods {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.counts.unwrap_or_default());
        hasher.write_i64(replicas.unwrap_or_default());
        let observed = match self.observed {
            Observed::At(observed) => Some(observed),
            Observed::Never | Observed::Unreadable => None,
        };
        // Kubernetes' own kinds leave out a count that is zero, as a rollout has it that cannot start a pod.
        let leaves_out_zero = !matches!(kind, WorkloadKind::Custom(_));
        let zero = Some(0).filter(|_| leaves_out_zero);
        // An aborted Rollout stays with none updated until it is retried.
        let is_replacing = replaces && !matches!(self.phase, Phase::Degraded | Phase::Paused);
        let present = self.present.or(zero);
        let updated = self.updated.or(zero.filter(|_| is_replacing));
        let are_all = |count: Option<i64>| present.is_some() && count == present;
        let ready = Some(self.ready.unwrap_or_default());
        // The counts are of an earlier spec: the controller may start pods for this one, and report that later.
        let is_behind = observed.is_some() && observed < generation;
        // Where there is no pod, none can be of an earlier template, and the first one will be another count.
        let is_short = leaves_out_zero && present > Some(0) && present < replicas;
        Pods {
            counts: hasher.finish(),
            are_moving: is_behind
                || is_short
                || present.is_some() && (!are_all(ready) || updated.is_some() && !are_all(updated)),
            are_complete: self.present.is_some()
                && are_all(ready)
                && are_all(updated)
                && observed.is_some_and(|observed| Some(observed) >= generation),
        }
    }
}

/// Up to which generation of the spec a status is about: a number, or as Argo Rollouts has it, a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Observed {
    /// It does not say: no controller has looked at the object yet, or its kind has no such field.
    #[default]
    Never,
    /// This one.
    At(i64),
    /// Something that is no number, as Argo Rollouts wrote before its version 1.0.
    Unreadable,
}

impl Lenient for Observed {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.parse().map_or(Self::Unreadable, Self::At))
    }

    fn from_integer(value: i64) -> Option<Self> {
        Some(Self::At(value))
    }
}

/// A text that is only compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TextHash(u64);

impl TextHash {
    pub(super) fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        Self(hasher.finish())
    }
}

impl Lenient for TextHash {
    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::of(text))
    }
}

/// A time of the API, if it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time(pub(super) Option<UnixSeconds>);

impl Lenient for Time {
    fn from_text(text: &str) -> Option<Self> {
        let time: Timestamp = text.parse().ok()?;
        Some(Self(Some(time.into())))
    }
}

/// Which of these words a text is; [`Default`] for any other, and for what is no text.
macro_rules! words {
    ($(#[$attribute:meta])* $name:ident { $($(#[$variant_attribute:meta])* $variant:ident = $($text:literal)|+,)* } else $other:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub(super) enum $name {
            #[default]
            $other,
            $($(#[$variant_attribute])* $variant,)*
        }

        impl Lenient for $name {
            fn from_text(text: &str) -> Option<Self> {
                Some(match text {
                    $($($text)|+ => Self::$variant,)*
                    _ => Self::$other,
                })
            }
        }
    };
}

words! {
    ConditionType {
        Complete = "Complete",
        Failed = "Failed",
        Progressing = "Progressing",
        Ready = "Ready",
        Reconciling = "Reconciling",
        Stalled = "Stalled",
    } else Other
}

words! {
    Truth { True = "True", False = "False", } else Unknown
}

words! {
    /// `phase` of a Rollout of Argo.
    Phase {
        Healthy = "Healthy",
        Progressing = "Progressing",
        Degraded = "Degraded",
        Paused = "Paused",
    } else Other
}

words! {
    /// Why a condition is as it is: those of Deployments and OpenShift's DeploymentConfigs that mean the end of a rollout.
    Reason {
        Available = "NewReplicaSetAvailable" | "NewReplicationControllerAvailable",
        DeadlineExceeded = "ProgressDeadlineExceeded",
        Cancelled = "RolloutCancelled",
    } else Other
}

wire! {
    #[derive(Clone, Copy, Debug)]
    ConditionWire { r#type: ConditionType, status: Truth, reason: Reason, last_update_time: Time }
}
