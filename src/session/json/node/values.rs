//! Decodes types from a JSON value in memory, as serde_json decodes them from the text.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::NodeError;
use super::{Node, TypedKeys};
use crate::session::json::key::TypedKey;

/// A JSON value to decode from.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    node: &'a Node,
    typed_keys: TypedKeys,
}

impl<'a> Reading<'a> {
    pub(super) fn new(node: &'a Node, typed_keys: TypedKeys) -> Self {
        Self { node, typed_keys }
    }

    fn of(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn map<V: Visitor<'a>>(
        self,
        entries: &'a [(String, Node)],
        has_fields: bool,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        let is_typed = self.typed_keys == TypedKeys::Yes;
        let entries = entries
            .iter()
            .map(|(text, node)| (Key { text, is_typed, is_field: has_fields }, self.of(node)));
        let mut map = MapDeserializer::new(entries);
        let value = visitor.visit_map(&mut map)?;
        map.end()?;
        Ok(value)
    }
}

/// Refuses what an `f32` would take for infinity, as serde_json does.
fn check_f32(value: f64) -> Result<(), NodeError> {
    match (value as f32).is_finite() {
        true => Ok(()),
        false => Err(NodeError::custom("it has a float that is too large for an `f32`")),
    }
}

/// A number that may be one which only its text tells.
macro_rules! numbers {
    ($($method:ident is $visit:ident($kind:ty))*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
            match self.node.number().and_then(|text| serde_json::from_str::<$kind>(text).ok()) {
                Some(value) => visitor.$visit(value),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reading<'de> {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::U64(value) => visitor.visit_u64(*value),
            Node::I64(value) => visitor.visit_i64(*value),
            Node::F64(value) => visitor.visit_f64(*value),
            Node::Text(text) => visitor.visit_borrowed_str(text),
            Node::List(list) => {
                let mut seq = SeqDeserializer::new(list.iter().map(|node| self.of(node)));
                let value = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(value)
            }
            Node::Map(entries) => self.map(entries, false, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Text(name) => visitor.visit_enum(Choice { name, carried: None }),
            Node::Map(entries) => match entries.as_slice() {
                [(name, node)] => visitor.visit_enum(Choice { name, carried: Some(self.of(node)) }),
                _ => Err(NodeError::invalid_value(Unexpected::Map, &"a map with one variant")),
            },
            node => Err(NodeError::invalid_type(node.unexpected(), &"a variant")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Map(entries) => self.map(entries, true, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    /// A tag would take a number for the position of a variant.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Text(name) => visitor.visit_borrowed_str(name),
            node => Err(NodeError::invalid_type(node.unexpected(), &visitor)),
        }
    }

    /// A list of numbers is one for a type that asks for bytes, too.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.node {
            Node::Text(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.deserialize_bytes(visitor)
    }

    numbers! {
        deserialize_i128 is visit_i128(i128)
        deserialize_u128 is visit_u128(u128)
        deserialize_f64 is visit_f64(f64)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let float = match self.node {
            Node::F64(value) => Some(*value),
            node => node.number().and_then(|text| text.parse().ok()),
        };
        float.map_or(Ok(()), check_f32)?;
        self.deserialize_f64(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 char str string unit unit_struct seq tuple tuple_struct map
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, NodeError> for Reading<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A key of a map.
#[derive(Clone, Copy)]
struct Key<'a> {
    text: &'a str,
    /// Whether the key is a number or a boolean if it looks like one.
    is_typed: bool,
    /// Whether the key can only be the name of a field. A struct with a `flatten`ed map asks for a
    /// map, whose keys may be anything.
    is_field: bool,
}

impl<'de> IntoDeserializer<'de, NodeError> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A number or boolean that a type asks for explicitly.
macro_rules! asked_for {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
            match TypedKey::parse(self.text) {
                None => visitor.visit_borrowed_str(self.text),
                Some(key) => key.visit(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = NodeError;

    /// A type that buffers its data does not say yet what the key is for. It would later take an
    /// unsigned number for the position of a field or a variant; a signed one can only be a number.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match TypedKey::parse(self.text).filter(|_| self.is_typed) {
            None => visitor.visit_borrowed_str(self.text),
            Some(key) => key.signed().visit(visitor),
        }
    }

    asked_for! {
        deserialize_bool
        deserialize_i8
        deserialize_i16
        deserialize_i32
        deserialize_i64
        deserialize_i128
        deserialize_u8
        deserialize_u16
        deserialize_u32
        deserialize_u64
        deserialize_u128
        deserialize_f64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        if let Some(TypedKey::F64(value)) = TypedKey::parse(self.text) {
            check_f32(value)?;
        }
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_borrowed_bytes(self.text.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.deserialize_bytes(visitor)
    }

    /// A struct would take a number for the position of a field.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.is_field {
            true => visitor.visit_borrowed_str(self.text),
            false => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_enum(Choice { name: self.text, carried: None })
    }

    forward_to_deserialize_any! {
        unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

/// An enum variant and its value.
struct Choice<'a> {
    name: &'a str,
    carried: Option<Reading<'a>>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = NodeError;
    type Variant = Carried<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Carried<'de>), NodeError> {
        let name = Key { text: self.name, is_typed: false, is_field: true };
        Ok((seed.deserialize(name)?, Carried(self.carried)))
    }
}

struct Carried<'a>(Option<Reading<'a>>);

impl<'a> Carried<'a> {
    fn value(self, expected: &dyn Expected) -> Result<Reading<'a>, NodeError> {
        self.0.ok_or_else(|| NodeError::invalid_type(Unexpected::UnitVariant, expected))
    }
}

impl<'de> VariantAccess<'de> for Carried<'de> {
    type Error = NodeError;

    fn unit_variant(self) -> Result<(), NodeError> {
        self.0.map_or(Ok(()), Deserialize::deserialize)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, NodeError> {
        seed.deserialize(self.value(&"a newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, NodeError> {
        self.value(&visitor)?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        self.value(&visitor)?.deserialize_struct("", fields, visitor)
    }
}
