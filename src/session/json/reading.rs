//! Owns how a value is read from a JSON text.
//!
//! Invariant: the text of an error holds no value of the JSON text. serde_json's own do ("invalid
//! type: string \"4111 1111\""), so where one occurs the text is read again, by a reader that tells
//! less.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use super::node::{Node, TypedKeys};

/// Why a text could not be read, with no value of it.
#[derive(Debug)]
pub(in crate::session) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Reads a value.
#[inline]
pub(in crate::session) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| told::<T>(text, &error))
}

/// Reads a value of which every key that looks like a number or a boolean was written as one.
pub(in crate::session) fn from_text_with_typed_keys<T: DeserializeOwned>(
    text: &str,
) -> Result<T, Unreadable> {
    let node = Node::parse(text).map_err(|error| told::<T>(text, &error))?;
    node.read(TypedKeys::Yes).map_err(|error| Unreadable(error.to_string()))
}

#[cold]
fn told<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Unreadable {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        Category::Syntax => "it is not JSON, or nested more than 127 levels deep".into(),
        Category::Eof => "it is not JSON: it ends too early".into(),
        Category::Io => "it could not be read".into(),
        Category::Data => match Node::parse(text).map(|node| node.read::<T>(TypedKeys::No)) {
            Ok(Err(error)) => error.to_string(),
            _ => "a value in it is of another type".into(),
        },
    };
    match line {
        0 => Unreadable(what),
        _ => Unreadable(format!("{what} (line {line}, column {column} of the JSON text)")),
    }
}

/// Whether a text is JSON, no deeper than it can be read, and says nothing twice.
pub(in crate::session) fn check(text: &str) -> Result<(), Unreadable> {
    serde_json::from_str::<Sound>(text).map(drop).map_err(|error| match error.classify() {
        // The one such error that `Sound` has.
        Category::Data => Unreadable("a key occurs twice in the same map".into()),
        _ => told::<IgnoredAny>(text, &error),
    })
}

/// Any value without the same key twice in one map.
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
            if !keys.insert(key) {
                return Err(A::Error::custom("a key occurs twice"));
            }
            map.next_value::<Sound>()?;
        }
        Ok(Sound)
    }
}
