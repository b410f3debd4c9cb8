//! Lenient decoding: a value that is null or of an unexpected type counts as absent.
//!
//! Input: JSON of the API. Output: [`Lenient`] values. I/O: none.
//!
//! The API server never sends a wrong type for a built-in kind, but a custom resource holds whatever its definition lets
//! through. The client library decodes a page of a list as one value, and gives up on a watch at the first line that it
//! cannot decode: one such object would hide all the others of its kind, for as long as it exists.
//!
//! What is skipped is skipped without recursion, so nesting cannot overflow the stack or meet `serde_json`'s limit of
//! 128 levels. Invalid JSON is still an error.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// What can be read from a JSON value of any type. Each method is for one type; `None` is "not one of mine".
pub(super) trait Lenient: Default {
    /// Reads a JSON string.
    fn from_text(_text: &str) -> Option<Self> {
        None
    }

    /// Reads a JSON boolean.
    fn from_bool(_value: bool) -> Option<Self> {
        None
    }

    /// Reads a JSON number without fraction, -2⁶³ to 2⁶³-1.
    fn from_integer(_value: i64) -> Option<Self> {
        None
    }

    /// Reads a JSON list, to its end.
    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Reads a JSON object, to its end.
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads a value of any type; the default where it is not of a type that `T` is read from. For `deserialize_with`.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Lenient>(deserializer: D) -> Result<T, D::Error> {
    Loose::deserialize(deserializer).map(|Loose(value)| value)
}

/// A value that is read leniently.
pub(super) struct Loose<T>(pub(super) T);

impl<'de, T: Lenient> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(AnyType(PhantomData))?;
        Ok(Self(value.unwrap_or_default()))
    }
}

struct AnyType<T>(PhantomData<T>);

impl<'de, T: Lenient> Visitor<'de> for AnyType<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(T::from_integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).ok().and_then(T::from_integer))
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::from_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::from_object(object)
    }
}

impl Lenient for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Lenient for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Lenient for i64 {
    fn from_integer(value: i64) -> Option<Self> {
        Some(value)
    }
}

impl<T: Lenient> Lenient for Option<T> {
    fn from_text(text: &str) -> Option<Self> {
        T::from_text(text).map(Some)
    }

    fn from_bool(value: bool) -> Option<Self> {
        T::from_bool(value).map(Some)
    }

    fn from_integer(value: i64) -> Option<Self> {
        T::from_integer(value).map(Some)
    }

    fn from_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        Ok(T::from_list(list)?.map(Some))
    }

    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        Ok(T::from_object(object)?.map(Some))
    }
}

/// An item that is null or of another type is an item without fields, so that the others keep their places.
impl<T: Lenient> Lenient for Vec<T> {
    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut items = Self::new();
        while let Some(Loose(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Some(items))
    }
}

impl<T: Lenient> Lenient for BTreeMap<String, T> {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut pairs = Self::new();
        while let Some((key, Loose(value))) = object.next_entry()? {
            pairs.insert(key, value);
        }
        Ok(Some(pairs))
    }
}

/// Declares structs of the API: every field may be absent, null or of another type, and so may the struct itself.
macro_rules! wire {
    ($($(#[$attribute:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(super) struct $name {
            $(#[serde(deserialize_with = "crate::watch::lenient::lenient")] pub(super) $field: $kind,)*
        }

        impl crate::watch::lenient::Lenient for $name {
            fn from_object<'de, A: serde::de::MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
                let fields = serde::de::value::MapAccessDeserializer::new(object);
                serde::Deserialize::deserialize(fields).map(Some)
            }
        }
    )*};
}
pub(super) use wire;
