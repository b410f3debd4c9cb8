//! Whose the markers are, and who wrote the pod template: what `metadata.managedFields` tell.
//!
//! Input: JSON of the API. Output: [`ManagedFields`]. I/O: none.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    model::opt_in::LAST_RELOADED_FROM,
    watch::lenient::{Lenient, Loose},
};

/// Environment variables with this prefix are markers of the env-vars strategy.
pub(super) const MARKER_PREFIX: &str = "STAKATER_";

/// How many levels of `managedFields` are looked at: the variables of a CronJob's template lie on the tenth, and
/// `serde_json` fails at 128.
const DEEPEST: usize = 16;

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
