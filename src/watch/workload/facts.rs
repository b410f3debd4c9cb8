//! What an object tells of its pods besides its template: whether the template is another one, whether pods come and go,
//! whose markers these are.
//!
//! Input: JSON of the API. Output: the parts of the wire form that carry these facts. I/O: none.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    ConditionWire, MARKER_PREFIX, MetaWire, PodSpecWire,
    raw::{WHOLE, understood},
};
use crate::{
    model::{Fingerprint, Pods, opt_in::LAST_RELOADED_FROM},
    watch::lenient::{Lenient, Loose},
};

/// How many levels of `managedFields` are looked at: the variables of a CronJob's template lie on the tenth, and
/// `serde_json` fails at 128.
const DEEPEST: usize = 16;

/// A pod template, and a hash of all of it. The API server always writes an object in the same way.
#[derive(Default)]
pub(super) struct TemplateWire {
    pub(super) metadata: MetaWire,
    pub(super) spec: PodSpecWire,
    pub(super) fingerprint: Fingerprint,
}

impl Lenient for TemplateWire {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut template = Self::default();
        let mut hasher = DefaultHasher::new();
        while let Some(field) = object.next_key::<String>()? {
            let value = object.next_value_seed(WHOLE)?;
            (&field, &value).hash(&mut hasher);
            match field.as_str() {
                "metadata" => template.metadata = understood(value),
                "spec" => template.spec = understood(value),
                _ => {}
            }
        }
        template.fingerprint = Fingerprint::new(hasher.finish());
        Ok(Some(template))
    }
}

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

/// What an entry of `managedFields` owns.
#[derive(Clone, Copy, Default)]
pub(super) struct ManagedFields {
    /// The text of a marker. Where the API server takes a list of containers as one value, all of it.
    pub(super) own_a_marker: bool,
    /// A field of the pod template.
    pub(super) own_template: bool,
    /// Nothing but fields of the pod template, so that its time is that of another template: `kubectl rollout undo` and
    /// `restart` leave such entries. Who owns more may have written something else at that time.
    pub(super) own_template_only: bool,
}

impl Lenient for ManagedFields {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut spec = Spec::default();
        let mut others = false;
        while let Some(field) = object.next_key::<String>()? {
            if field == "f:spec" {
                Loose(spec) = object.next_value()?;
            } else {
                others = true;
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(Self {
            own_a_marker: spec.own_a_marker,
            own_template: spec.own_template,
            own_template_only: spec.own_template && !spec.own_others && !others,
        }))
    }
}

/// What an entry of `managedFields` owns of `spec`.
#[derive(Default)]
struct Spec {
    own_a_marker: bool,
    own_template: bool,
    own_others: bool,
}

impl Lenient for Spec {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut spec = Self::default();
        while let Some(field) = object.next_key::<String>()? {
            if field == "f:template" {
                spec.own_template = true;
            } else {
                spec.own_others = true;
            }
            object.next_value_seed(Fields {
                own_a_marker: &mut spec.own_a_marker,
                levels: DEEPEST,
                of_marker: false,
            })?;
        }
        Ok(Some(spec))
    }
}

/// Looks for the text of a marker, so many levels down.
struct Fields<'a> {
    own_a_marker: &'a mut bool,
    levels: usize,
    /// These are the fields of a variable that is a marker.
    of_marker: bool,
}

impl Fields<'_> {
    /// Returns whether there are any fields.
    fn read<'de, A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut any = false;
        while let Some(field) = object.next_key::<String>()? {
            any = true;
            let variable = field.strip_prefix("k:{\"name\":\"");
            if field.strip_prefix("f:") == Some(LAST_RELOADED_FROM) || self.of_marker && field == "f:value" {
                *self.own_a_marker = true;
            }
            if self.levels == 0 {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            let has_fields = object.next_value_seed(Fields {
                own_a_marker: self.own_a_marker,
                levels: self.levels - 1,
                of_marker: variable.is_some_and(|name| name.starts_with(MARKER_PREFIX)),
            })?;
            if field == "f:containers" && !has_fields {
                *self.own_a_marker = true;
            }
        }
        Ok(any)
    }
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    /// Whether there are any fields.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _text: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        self.read(object)
    }
}
