//! Serializes attributes: a map from names to JSON texts.
//!
//! Invariant: a text from a record was checked when it was written. A text from any other format is
//! checked here. The adapter that decodes records shows that it is one: it visits the attributes as
//! `Some`, which no format does with a newtype.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{ATTRIBUTES, AttributeValue, Attributes};

impl Serialize for Attributes {
    /// Serializes a map from the names to the JSON texts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(ATTRIBUTES, &Texts(self))
    }
}

struct Texts<'a>(&'a Attributes);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.0.values.iter().map(|(name, value)| (name, value.as_stored()));
        serializer.collect_map(texts)
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ATTRIBUTES, TextsVisitor { is_of_a_record: false })
    }
}

struct TextsVisitor {
    is_of_a_record: bool,
}

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Attributes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map from names to JSON texts")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, texts: D) -> Result<Attributes, D::Error> {
        texts.deserialize_map(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, texts: D) -> Result<Attributes, D::Error> {
        texts.deserialize_map(Self { is_of_a_record: true })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            let value = match self.is_of_a_record {
                true => AttributeValue::stored(text),
                false => AttributeValue::from_stored(text).map_err(A::Error::custom)?,
            };
            values.insert(name, value);
        }
        Ok(Attributes { values })
    }
}
