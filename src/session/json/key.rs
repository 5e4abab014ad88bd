//! Owns map keys that are not texts. JSON writes them as texts all the same.

use std::fmt::Display;

use serde::Serialize;
use serde::de::{self, Visitor};
use serde::ser::{Error, Impossible, Serializer};

use super::notes::Notes;
use super::strict::too_wrapped;

/// The number or boolean that the text of a map key may stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TypedKey {
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl TypedKey {
    /// Parses the text of a key; `None` if it can only be a text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b't' | b'f' => text.parse().ok().map(Self::Bool),
            b'0'..=b'9' | b'-' => None
                .or_else(|| text.parse().ok().map(Self::U64))
                .or_else(|| text.parse().ok().map(Self::I64))
                .or_else(|| text.parse().ok().map(Self::F64)),
            _ => None,
        }
    }

    /// The same number, as a signed one if it has a place there.
    pub(super) fn signed(self) -> Self {
        match self {
            Self::U64(value) => i64::try_from(value).map_or(self, Self::I64),
            key => key,
        }
    }

    pub(super) fn visit<'de, V: Visitor<'de>, E: de::Error>(
        self,
        visitor: V,
    ) -> Result<V::Value, E> {
        match self {
            Self::Bool(value) => visitor.visit_bool(value),
            Self::U64(value) => visitor.visit_u64(value),
            Self::I64(value) => visitor.visit_i64(value),
            Self::F64(value) => visitor.visit_f64(value),
        }
    }
}

/// Notes the kind of a key, and writes nothing.
pub(super) struct KeyProbe<'a> {
    pub(super) notes: &'a Notes,
    /// How many options and newtypes there may be around the key.
    pub(super) wrappings_left: u16,
}

impl KeyProbe<'_> {
    fn wrapped<T: Serialize + ?Sized>(mut self, value: &T) -> serde_json::Result<()> {
        self.wrappings_left = self.wrappings_left.checked_sub(1).ok_or_else(too_wrapped)?;
        value.serialize(self)
    }

    fn typed(self) -> serde_json::Result<()> {
        self.notes.note_typed_key();
        Ok(())
    }
}

macro_rules! typed {
    ($($method:ident($value:ty))*) => {$(
        fn $method(self, _: $value) -> serde_json::Result<()> {
            self.typed()
        }
    )*};
}

/// The error for a key that JSON cannot have.
fn refused<T>() -> serde_json::Result<T> {
    Err(Error::custom("a key of a map has to be a text, a number or a boolean"))
}

impl Serializer for KeyProbe<'_> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Impossible<(), serde_json::Error>;
    type SerializeTuple = Impossible<(), serde_json::Error>;
    type SerializeTupleStruct = Impossible<(), serde_json::Error>;
    type SerializeTupleVariant = Impossible<(), serde_json::Error>;
    type SerializeMap = Impossible<(), serde_json::Error>;
    type SerializeStruct = Impossible<(), serde_json::Error>;
    type SerializeStructVariant = Impossible<(), serde_json::Error>;

    typed! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_f64(f64)
    }

    fn serialize_f32(self, v: f32) -> serde_json::Result<()> {
        self.notes.note_f32_key(v)?;
        self.typed()
    }

    fn serialize_i128(self, _: i128) -> serde_json::Result<()> {
        self.notes.note_wide()?;
        self.typed()
    }

    fn serialize_u128(self, _: u128) -> serde_json::Result<()> {
        self.notes.note_wide()?;
        self.typed()
    }

    fn serialize_char(self, v: char) -> serde_json::Result<()> {
        self.notes.note_text_key(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> serde_json::Result<()> {
        self.notes.note_text_key(v)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> serde_json::Result<()> {
        self.serialize_str(&value.to_string())
    }

    fn serialize_unit_variant(
        self,
        _of: &'static str,
        _number: u32,
        name: &'static str,
    ) -> serde_json::Result<()> {
        self.serialize_str(name)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> serde_json::Result<()> {
        self.wrapped(value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> serde_json::Result<()> {
        self.wrapped(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> serde_json::Result<()> {
        refused()
    }

    fn serialize_none(self) -> serde_json::Result<()> {
        refused()
    }

    fn serialize_unit(self) -> serde_json::Result<()> {
        refused()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> serde_json::Result<()> {
        refused()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _of: &'static str,
        _number: u32,
        _name: &'static str,
        _value: &T,
    ) -> serde_json::Result<()> {
        refused()
    }

    fn serialize_seq(self, _: Option<usize>) -> serde_json::Result<Self::SerializeSeq> {
        refused()
    }

    fn serialize_tuple(self, _: usize) -> serde_json::Result<Self::SerializeTuple> {
        refused()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _: usize,
    ) -> serde_json::Result<Self::SerializeTupleStruct> {
        refused()
    }

    fn serialize_tuple_variant(
        self,
        _of: &'static str,
        _number: u32,
        _name: &'static str,
        _: usize,
    ) -> serde_json::Result<Self::SerializeTupleVariant> {
        refused()
    }

    fn serialize_map(self, _: Option<usize>) -> serde_json::Result<Self::SerializeMap> {
        refused()
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _: usize,
    ) -> serde_json::Result<Self::SerializeStruct> {
        refused()
    }

    fn serialize_struct_variant(
        self,
        _of: &'static str,
        _number: u32,
        _name: &'static str,
        _: usize,
    ) -> serde_json::Result<Self::SerializeStructVariant> {
        refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_typed_only_if_a_number_or_a_boolean_is_written_so() {
        let typed = [
            ("7", TypedKey::U64(7)),
            ("-7", TypedKey::I64(-7)),
            ("0.5", TypedKey::F64(0.5)),
            ("1e300", TypedKey::F64(1e300)),
            ("true", TypedKey::Bool(true)),
            ("007", TypedKey::U64(7)),
        ];
        for (text, key) in typed {
            assert_eq!(TypedKey::parse(text), Some(key), "{text}");
        }
        for text in
            ["", "tea", "2fa", "7 ", "-", "truth", "nan", "inf", "infinity", "+7", "\u{663}"]
        {
            assert_eq!(TypedKey::parse(text), None, "{text}");
        }
    }
}
