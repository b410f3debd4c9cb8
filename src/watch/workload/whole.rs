//! JSON that is read as a whole, whatever it is.
//!
//! Input: JSON of the API. Output: a [`Value`], and what is understood of one. I/O: none.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::watch::lenient::{Lenient, Loose};

/// How many levels of nesting are kept. No field of a built-in kind lies deeper than 30; `serde_json` fails at 128, and
/// with one object the list that holds it. The API server stores custom resources nested deeper than that.
const DEEPEST: usize = 100;

/// Reads all of a JSON value that anything in Kubernetes knows.
pub(super) const WHOLE: Levels = Levels(DEEPEST);

/// Reads JSON of which so many levels are kept: what lies deeper is null.
pub(super) struct Levels(usize);

impl Levels {
    const fn below(&self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 == 0 {
            // Skipped without recursion.
            IgnoredAny::deserialize(deserializer).map(|_| Value::Null)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.below())? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            fields.insert(key, object.next_value_seed(self.below())?);
        }
        Ok(fields.into())
    }
}

/// A template without the expected form uses nothing.
pub(super) fn understood<T: Lenient>(value: Value) -> T {
    let Loose(part) = serde_json::from_value(value).unwrap_or(Loose(T::default()));
    part
}
