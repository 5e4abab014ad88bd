//! Owns a JSON value in memory, and decodes types from it.
//!
//! It decodes as serde_json does, with two differences. A map key that was written as a number or a
//! boolean is one for a type that asks for any value. serde's standard errors hold no value of the
//! text; an error that a type's own `Deserialize` makes is passed on.

mod error;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use self::error::NodeError;
use self::values::Reading;
use super::key::TypedKey;
use super::reserved;

/// A JSON value. The parser that makes it bounds its depth.
pub(super) enum Node {
    Null,
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Whether keys that look like numbers or booleans were written as such.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TypedKeys {
    Yes,
    No,
}

impl Node {
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, typed_keys: TypedKeys) -> Result<T, NodeError> {
        T::deserialize(Reading::new(self, typed_keys))
    }

    /// The text of a number that only its text tells, as `1.50` or one beyond a `u64`.
    fn number(&self) -> Option<&str> {
        match self {
            Self::Map(entries) => match entries.as_slice() {
                [(name, Self::Text(text))] if name == reserved::NUMBER => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::U64(value) => Unexpected::Unsigned(*value),
            Self::I64(value) => Unexpected::Signed(*value),
            Self::F64(value) => Unexpected::Float(*value),
            Self::Text(_) => Unexpected::Str(""),
            Self::List(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! leaves {
    ($($method:ident($value:ident: $kind:ty) => $node:expr;)*) => {$(
        fn $method<E: Error>(self, $value: $kind) -> Result<Node, E> {
            Ok($node)
        }
    )*};
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    leaves! {
        visit_bool(value: bool) => Node::Bool(value);
        visit_u64(value: u64) => Node::U64(value);
        visit_i64(value: i64) => Node::I64(value);
        visit_f64(value: f64) => Node::F64(value);
        visit_str(value: &str) => Node::Text(value.to_owned());
        visit_string(value: String) => Node::Text(value);
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        let number = match entries.as_slice() {
            [(name, Node::Text(text))] if name == reserved::NUMBER => number(text),
            _ => None,
        };
        Ok(number.unwrap_or(Node::Map(entries)))
    }
}

/// The number in a map that serde_json gave for it; `None` if only the text tells all of it.
fn number(text: &str) -> Option<Node> {
    match TypedKey::parse(text)? {
        TypedKey::U64(value) => Some(Node::U64(value)),
        TypedKey::I64(value) => Some(Node::I64(value)),
        TypedKey::F64(value) => {
            let told = serde_json::to_string(&value).ok()?;
            (told == text).then_some(Node::F64(value))
        }
        TypedKey::Bool(_) => None,
    }
}
