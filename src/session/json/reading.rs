//! Decodes values from a JSON text.
//!
//! Invariant: no standard error holds a value of the JSON text. serde_json's own errors do
//! ("invalid type: string \"4111 1111\""), so after one the text is decoded again with errors that
//! hide values. An error that a type's own `Deserialize` makes is passed on.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use super::key::TypedKey;
use super::node::{Node, TypedKeys};
use super::reserved;

/// The reason why a text could not be decoded, without its values.
#[derive(Debug)]
pub(in crate::session) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Decodes a value.
///
/// From a `str` that is not ASCII, serde_json makes invalid text: asked for a boolean as a key, it
/// takes the first byte off before it reads the rest as text. From bytes, it checks the text.
#[inline]
pub(in crate::session) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    let read = match text.is_ascii() {
        true => serde_json::from_str(text),
        false => serde_json::from_slice(text.as_bytes()),
    };
    read.map_err(|error| told::<T>(text, &error))
}

/// Decodes a value whose keys were written as numbers or booleans wherever they look so.
pub(in crate::session) fn from_text_with_typed_keys<T: DeserializeOwned>(
    text: &str,
) -> Result<T, Unreadable> {
    let node = Node::parse(text).map_err(|error| told::<T>(text, &error))?;
    node.read(TypedKeys::Yes).map_err(|error| Unreadable(error.to_string()))
}

#[cold]
fn told<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Unreadable {
    let (line, column) = (error.line(), error.column());
    let otherwise = match error.classify() {
        Category::Eof => "it is not JSON: it ends too early",
        Category::Io => "it could not be read",
        Category::Data => "a value in it is of another type, or is an escaped text to be borrowed",
        Category::Syntax => {
            "it is not JSON, it is nested more than 127 levels deep, or it has a number that is too \
             large or half a surrogate pair"
        }
    };
    let what = match Node::parse(text).map(|node| node.read::<T>(TypedKeys::No)) {
        Ok(Err(error)) => error.to_string(),
        _ => otherwise.into(),
    };
    match line {
        0 => Unreadable(what),
        _ => Unreadable(format!("{what} (line {line}, column {column} of the JSON text)")),
    }
}

const TWICE: &str = "a key occurs twice in the same map";

/// Checks that a text is JSON, not too deep to decode, and that no key in it occurs twice in a map
/// or is one that serde_json keeps for itself.
pub(in crate::session) fn check(text: &str) -> Result<(), Unreadable> {
    serde_json::from_str::<Sound>(text).map(drop).map_err(|error| match error.classify() {
        Category::Data if error.to_string().starts_with(TWICE) => Unreadable(TWICE.into()),
        // `Sound` makes no other error of this kind.
        Category::Data => Unreadable(reserved::REFUSAL.into()),
        _ => told::<IgnoredAny>(text, &error),
    })
}

/// Any JSON value without such keys.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SoundVisitor)
    }
}

struct SoundVisitor;

macro_rules! sound {
    ($($method:ident($value:ty))*) => {$(
        fn $method<E: serde::de::Error>(self, _: $value) -> Result<Sound, E> {
            Ok(Sound)
        }
    )*};
}

impl<'de> Visitor<'de> for SoundVisitor {
    type Value = Sound;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    sound! {
        visit_bool(bool)
        visit_i64(i64)
        visit_u64(u64)
        visit_f64(f64)
        visit_str(&str)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sound, A::Error> {
        while seq.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == reserved::NUMBER && keys.is_empty() && reserved::numbers_are_maps() {
                return number(map);
            }
            if reserved::is_reserved(&key) {
                return Err(A::Error::custom(reserved::REFUSAL));
            }
            if !keys.insert(key) {
                return Err(A::Error::custom(TWICE));
            }
            map.next_value::<Sound>()?;
        }
        Ok(Sound)
    }
}

/// The rest of a map that serde_json may have given for a number.
fn number<'de, A: MapAccess<'de>>(mut map: A) -> Result<Sound, A::Error> {
    let key = TypedKey::parse(&map.next_value::<String>()?);
    let is_number = key.is_some_and(|key| !matches!(key, TypedKey::Bool(_)));
    match is_number && map.next_key::<IgnoredAny>()?.is_none() {
        true => Ok(Sound),
        false => Err(A::Error::custom(reserved::REFUSAL)),
    }
}
