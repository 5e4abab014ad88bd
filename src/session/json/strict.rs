//! Encodes a value as a JSON text from which it can be decoded again.
//!
//! JSON has one `null` for a `None`, a unit and a float that is not finite, and it cannot nest
//! options. serde_json writes all of these without an error. Invariant: a text written here has no
//! float that is not finite, no `Some` that holds a `null`, at most 127 levels, and at most
//! [`MAX_TEXT_LEN`] bytes. Encoding ends at the first byte beyond them.
//!
//! This file cannot know how the type's `Deserialize` reads the text.

use std::fmt::Display;
use std::io::{self, Write};

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::key::KeyProbe;
use super::notes::{Notes, survives_f64};

/// The most nested lists and maps that serde_json reads.
const MAX_LEVELS: u8 = 127;

/// The most options and newtypes around one another. They add no level to the text, but a call to
/// the stack.
const MAX_WRAPPINGS: u16 = 381;

/// The most bytes of a JSON text.
pub(crate) const MAX_TEXT_LEN: usize = 16 * 1024 * 1024;

/// Why a value has no JSON text.
#[derive(Debug, thiserror::Error)]
pub(in crate::session) enum NoText {
    /// With the bytes up to the first one beyond the limit.
    #[error("its JSON text is longer than 16 MiB, the most that a store can hold")]
    TooLong(Vec<u8>),
    #[error(transparent)]
    Refused(#[from] serde_json::Error),
}

/// Encodes a value as a JSON text.
pub(in crate::session) fn to_text<T: Serialize + ?Sized>(
    value: &T,
    notes: &Notes,
) -> Result<String, NoText> {
    let mut text = BoundedText(Vec::with_capacity(128));
    let mut json = serde_json::Serializer::new(&mut text);
    let place =
        Place { notes, levels_left: MAX_LEVELS, wrappings_left: MAX_WRAPPINGS, in_some: false };
    let written = value.serialize(Strict { inner: &mut json, place });
    let BoundedText(bytes) = text;
    if bytes.len() > MAX_TEXT_LEN {
        return Err(NoText::TooLong(bytes));
    }
    written?;
    Ok(String::from_utf8(bytes).map_err(serde_json::Error::custom)?)
}

/// Takes one byte more than a JSON text may have, and then no more.
struct BoundedText(Vec<u8>);

impl Write for BoundedText {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MAX_TEXT_LEN + 1).saturating_sub(self.0.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The position of a value in the text.
#[derive(Clone, Copy)]
struct Place<'a> {
    notes: &'a Notes,
    levels_left: u8,
    wrappings_left: u16,
    /// Whether the value is the whole content of a `Some`.
    in_some: bool,
}

impl Place<'_> {
    fn enter<E: Error>(self, levels: u8) -> Result<Self, E> {
        match self.levels_left.checked_sub(levels) {
            Some(levels_left) => Ok(Self { levels_left, in_some: false, ..self }),
            None => Err(E::custom("it is nested more than 127 levels deep")),
        }
    }

    fn wrap<E: Error>(self) -> Result<Self, E> {
        match self.wrappings_left.checked_sub(1) {
            Some(wrappings_left) => Ok(Self { wrappings_left, ..self }),
            None => Err(too_wrapped()),
        }
    }

    /// Called before a `null` is written; refuses it inside a `Some`.
    fn null<E: Error>(self) -> Result<(), E> {
        match self.in_some {
            true => Err(E::custom(
                "it holds a `Some` that holds nothing (`Some(None)` or `Some(())`), which JSON \
                 cannot tell from `None`",
            )),
            false => Ok(()),
        }
    }
}

/// A serde serializer or value, with its position.
struct Strict<'a, T> {
    inner: T,
    place: Place<'a>,
}

impl<T: Serialize + ?Sized> Serialize for Strict<'_, &T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Strict { inner: serializer, place: self.place })
    }
}

pub(super) fn too_wrapped<E: Error>() -> E {
    E::custom(format_args!("more than {MAX_WRAPPINGS} options or newtypes are in one another"))
}

fn not_finite<E: Error>() -> E {
    E::custom("it holds a float that is not finite (NaN or infinity), which JSON cannot write")
}

macro_rules! leaves {
    ($($method:ident($value:ty))*) => {$(
        fn $method(self, v: $value) -> Result<S::Ok, S::Error> {
            self.inner.$method(v)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Strict<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Strict<'a, S::SerializeSeq>;
    type SerializeTuple = Strict<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Strict<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Strict<'a, S::SerializeTupleVariant>;
    type SerializeMap = Strict<'a, S::SerializeMap>;
    type SerializeStruct = Strict<'a, S::SerializeStruct>;
    type SerializeStructVariant = Strict<'a, S::SerializeStructVariant>;

    leaves! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
    }

    fn serialize_i128(self, v: i128) -> Result<S::Ok, S::Error> {
        self.place.notes.note_wide().map_err(S::Error::custom)?;
        self.inner.serialize_i128(v)
    }

    fn serialize_u128(self, v: u128) -> Result<S::Ok, S::Error> {
        self.place.notes.note_wide().map_err(S::Error::custom)?;
        self.inner.serialize_u128(v)
    }

    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        if !v.is_finite() {
            return Err(not_finite());
        }
        match survives_f64(v) {
            true => self.inner.serialize_f32(v),
            false => self.inner.serialize_f64(f64::from(v)),
        }
    }

    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        match v.is_finite() {
            true => self.inner.serialize_f64(v),
            false => Err(not_finite()),
        }
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.inner.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.inner.serialize_unit_struct(name)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.place.null()?;
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let place = Place { in_some: true, ..self.place.wrap()? };
        self.inner.serialize_some(&Strict { inner: value, place })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let place = self.place.wrap()?;
        self.inner.serialize_newtype_struct(name, &Strict { inner: value, place })
    }

    fn serialize_unit_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(of, number, name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.place.notes.note_text_key(name).map_err(S::Error::custom)?;
        let place = self.place.enter(1)?;
        self.inner.serialize_newtype_variant(of, number, name, &Strict { inner: value, place })
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let place = self.place.enter(1)?;
        Ok(Strict { inner: self.inner.serialize_seq(len)?, place })
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let place = self.place.enter(1)?;
        Ok(Strict { inner: self.inner.serialize_tuple(len)?, place })
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let place = self.place.enter(1)?;
        Ok(Strict { inner: self.inner.serialize_tuple_struct(name, len)?, place })
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.place.notes.note_text_key(name).map_err(S::Error::custom)?;
        let place = self.place.enter(2)?;
        Ok(Strict { inner: self.inner.serialize_tuple_variant(of, number, name, len)?, place })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let place = self.place.enter(1)?;
        Ok(Strict { inner: self.inner.serialize_map(len)?, place })
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.place.notes.note_struct(name).map_err(S::Error::custom)?;
        let place = self.place.enter(1)?;
        Ok(Strict { inner: self.inner.serialize_struct(name, len)?, place })
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.place.notes.note_text_key(name).map_err(S::Error::custom)?;
        let place = self.place.enter(2)?;
        Ok(Strict { inner: self.inner.serialize_struct_variant(of, number, name, len)?, place })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }
}

macro_rules! unnamed {
    ($($compound:ident::$method:ident)*) => {$(
        impl<C: $compound> $compound for Strict<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Strict { inner: value, place: self.place })
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

unnamed! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! named {
    ($($compound:ident)*) => {$(
        impl<C: $compound> $compound for Strict<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.place.notes.note_field(key).map_err(C::Error::custom)?;
                self.inner.serialize_field(key, &Strict { inner: value, place: self.place })
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

named! {
    SerializeStruct
    SerializeStructVariant
}

impl<C: SerializeMap> SerializeMap for Strict<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        let Place { notes, wrappings_left, .. } = self.place;
        key.serialize(KeyProbe { notes, wrappings_left }).map_err(C::Error::custom)?;
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Strict { inner: value, place: self.place })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
