//! What the status of a workload tells of its pods.
//!
//! Input: JSON of the API. Output: [`Pods`], conditions. I/O: none.

use std::hash::{DefaultHasher, Hasher};

use serde::de::MapAccess;

use crate::{
    model::Pods,
    watch::lenient::{Lenient, Loose, wire},
};

/// The status of a workload.
#[derive(Default)]
pub(super) struct StatusWire {
    pub(super) conditions: Vec<ConditionWire>,
    /// A hash of its numbers; `None`: there are none.
    counts: Option<u64>,
    /// How many pods there are, or should be on nodes.
    present: Option<i64>,
    ready: i64,
    /// How many have the present template; `None`: it does not say.
    updated: Option<i64>,
    /// The generation of the spec that all of this is about.
    observed: Option<i64>,
}

impl Lenient for StatusWire {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut status = Self::default();
        let mut hasher = DefaultHasher::new();
        while let Some(field) = object.next_key::<String>()? {
            if field == "conditions" {
                Loose(status.conditions) = object.next_value()?;
                continue;
            }
            // It follows the spec, not the pods.
            if field == "observedGeneration" {
                let Loose(Generation(observed)) = object.next_value()?;
                status.observed = observed;
                continue;
            }
            let Loose(Some(number)) = object.next_value::<Loose<Option<i64>>>()? else {
                continue;
            };
            match field.as_str() {
                "replicas" | "desiredNumberScheduled" => status.present = Some(number),
                "readyReplicas" | "numberReady" => status.ready = number,
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
    /// `replicas`: how many pods the spec asks for; `generation`: the present one.
    pub(super) fn pods(&self, replicas: Option<i64>, generation: Option<i64>) -> Pods {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.counts.unwrap_or_default());
        hasher.write_i64(replicas.unwrap_or_default());
        let are_all = |count: Option<i64>| self.present.is_some() && count == self.present;
        Pods {
            counts: hasher.finish(),
            are_moving: self.present.is_some()
                && (!are_all(Some(self.ready)) || self.updated.is_some() && !are_all(self.updated)),
            are_complete: are_all(Some(self.ready))
                && are_all(self.updated)
                && self.observed.is_some_and(|observed| Some(observed) >= generation),
        }
    }
}

/// A generation as a number, or as Argo Rollouts has it: as a text.
#[derive(Default)]
struct Generation(Option<i64>);

impl Lenient for Generation {
    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.parse().ok()))
    }

    fn from_integer(value: i64) -> Option<Self> {
        Some(Self(Some(value)))
    }
}

wire! {
    ConditionWire { r#type: Option<String>, status: Option<String> }
}
