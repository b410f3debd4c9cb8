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
            let Loose(Some(number)) = object.next_value::<Loose<Option<i64>>>()? else {
                continue;
            };
            match field.as_str() {
                // It follows the spec, not the pods.
                "observedGeneration" => continue,
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
    /// `replicas`: how many pods the spec asks for.
    pub(super) fn pods(&self, replicas: Option<i64>) -> Pods {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.counts.unwrap_or_default());
        hasher.write_i64(replicas.unwrap_or_default());
        Pods {
            counts: hasher.finish(),
            are_moving: self.present.is_some_and(|present| {
                self.ready != present || self.updated.is_some_and(|updated| updated != present)
            }),
        }
    }
}

wire! {
    ConditionWire { r#type: Option<String>, status: Option<String> }
}
