//! Owns the encoding half of the adapter: a serializer that charges each level and each element,
//! reports each call, and forwards it to the format's own serializer.
//!
//! Invariant: every call reaches the format's serializer with the same arguments and in the same
//! order as without the adapter, so the bytes are identical. `collect_seq` and `collect_map` are
//! the exception: they keep serde's own definition, which calls `serialize_seq` and `serialize_map`
//! here, and every element is charged there.
//!
//! It must not know which format it writes, nor how the budget is charged while decoding.

use std::fmt::Display;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::observer::{Carries, Closed, Item, Leaf, Observer, Opened, Variant};
use super::{Place, Refusal, Refused, Watched, Within, names};
use crate::record::content::ContentKind;

impl<T: Serialize + ?Sized, O: Observer> Serialize for Watched<'_, T, O> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = Place::outermost(self.watch);
        self.value.serialize(Within::new(serializer, place))
    }
}

/// A value inside the content. Its level and its element are already charged.
impl<T: Serialize + ?Sized, O: Observer> Serialize for Within<'_, &T, O> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Within::new(serializer, self.place))
    }
}

/// A list, a map or a tuple during encoding.
pub(super) struct Items<'a, C, O> {
    inner: C,
    place: Place<'a, O>,
    /// `None` if the type fixes the number, as for a tuple.
    announced: Option<usize>,
    given: usize,
}

impl<'a, C, O: Observer> Items<'a, C, O> {
    #[inline]
    fn new(inner: C, place: Place<'a, O>, announced: Option<usize>) -> Self {
        Self { inner, place, announced, given: 0 }
    }

    /// Charges and reports an element or an entry; an element of a tuple is not charged.
    #[inline]
    fn begin<E>(&mut self, item: Item, custom: impl FnOnce(Refused) -> E) -> Result<(), E> {
        self.given += 1;
        if self.announced.is_some() {
            self.place.take_element(custom)?;
        }
        self.place.observer().item(item);
        Ok(())
    }

    #[inline]
    fn finish<E>(&self, closed: Closed, custom: impl FnOnce(Refused) -> E) -> Result<(), E> {
        match self.announced {
            Some(announced) if announced != self.given => {
                let refusal = Refusal::Miscounted { announced, given: self.given };
                Err(self.place.refuse(refusal, custom))
            }
            _ => {
                self.place.observer().close(closed);
                Ok(())
            }
        }
    }
}

/// A struct, or a struct variant, during encoding.
pub(super) struct Fields<'a, C, O> {
    inner: C,
    place: Place<'a, O>,
    structure: &'static str,
    names: u64,
}

impl<'a, C, O: Observer> Fields<'a, C, O> {
    #[inline]
    fn new(inner: C, place: Place<'a, O>, structure: &'static str) -> Self {
        place.observer().open(Opened::Struct { name: structure, listed: None });
        Self { inner, place, structure, names: names::NO_FIELDS }
    }
}

/// Forwards the values that contain no other value and so cost nothing.
macro_rules! leaves {
    ($($method:ident($value:ty) is $leaf:ident)*) => {$(
        #[inline]
        fn $method(self, v: $value) -> Result<S::Ok, S::Error> {
            self.place.observer().leaf(Leaf::$leaf);
            self.inner.$method(v)
        }
    )*};
}

impl<'a, S: Serializer, O: Observer> Serializer for Within<'a, S, O> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Items<'a, S::SerializeSeq, O>;
    type SerializeTuple = Items<'a, S::SerializeTuple, O>;
    type SerializeTupleStruct = Items<'a, S::SerializeTupleStruct, O>;
    type SerializeTupleVariant = Items<'a, S::SerializeTupleVariant, O>;
    type SerializeMap = Items<'a, S::SerializeMap, O>;
    type SerializeStruct = Fields<'a, S::SerializeStruct, O>;
    type SerializeStructVariant = Fields<'a, S::SerializeStructVariant, O>;

    leaves! {
        serialize_bool(bool) is Bool
        serialize_i8(i8) is I8
        serialize_i16(i16) is I16
        serialize_i32(i32) is I32
        serialize_i64(i64) is I64
        serialize_i128(i128) is I128
        serialize_u8(u8) is U8
        serialize_u16(u16) is U16
        serialize_u32(u32) is U32
        serialize_u64(u64) is U64
        serialize_u128(u128) is U128
        serialize_f32(f32) is F32
        serialize_f64(f64) is F64
        serialize_char(char) is Char
        serialize_str(&str) is Text
        serialize_bytes(&[u8]) is Bytes
        serialize_unit_struct(&'static str) is Unit
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.place.observer().leaf(Leaf::Unit);
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.place.observer().option(false);
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.place.observer().option(true);
        let inside = self.place.enter(S::Error::custom)?;
        self.inner.serialize_some(&Within::new(value, inside))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if let Some(kind) = ContentKind::marked_by(name) {
            self.place.observer().kind(kind);
        }
        let inside = self.place.enter(S::Error::custom)?;
        self.inner.serialize_newtype_struct(name, &Within::new(value, inside))
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
    ) -> Result<S::Ok, S::Error> {
        let carries = Carries::Nothing;
        self.place.observer().variant(Variant { of, number, name: Some(name), carries });
        self.inner.serialize_unit_variant(of, number, name)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let carries = Carries::Value;
        self.place.observer().variant(Variant { of, number, name: Some(name), carries });
        let inside = self.place.enter(S::Error::custom)?;
        self.inner.serialize_newtype_variant(of, number, name, &Within::new(value, inside))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        if len.is_none() {
            return Err(self.place.refuse(Refusal::ListOfUnknownLength, S::Error::custom));
        }
        let inside = self.place.enter(S::Error::custom)?;
        self.place.observer().open(Opened::List);
        Ok(Items::new(self.inner.serialize_seq(len)?, inside, len))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let inside = self.place.enter(S::Error::custom)?;
        self.place.observer().open(Opened::Tuple);
        Ok(Items::new(self.inner.serialize_tuple(len)?, inside, None))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let inside = self.place.enter(S::Error::custom)?;
        self.place.observer().open(Opened::Tuple);
        Ok(Items::new(self.inner.serialize_tuple_struct(name, len)?, inside, None))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let carries = Carries::Tuple;
        self.place.observer().variant(Variant { of, number, name: Some(name), carries });
        let inside = self.place.enter(S::Error::custom)?;
        self.place.observer().open(Opened::Tuple);
        let fields = self.inner.serialize_tuple_variant(of, number, name, len)?;
        Ok(Items::new(fields, inside, None))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        if len.is_none() {
            return Err(self.place.refuse(Refusal::MapOfUnknownLength, S::Error::custom));
        }
        let inside = self.place.enter(S::Error::custom)?;
        self.place.observer().open(Opened::Map);
        Ok(Items::new(self.inner.serialize_map(len)?, inside, len))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let inside = self.place.enter(S::Error::custom)?;
        Ok(Fields::new(self.inner.serialize_struct(name, len)?, inside, name))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        of: &'static str,
        number: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let carries = Carries::Struct;
        self.place.observer().variant(Variant { of, number, name: Some(name), carries });
        let inside = self.place.enter(S::Error::custom)?;
        let fields = self.inner.serialize_struct_variant(of, number, name, len)?;
        Ok(Fields::new(fields, inside, name))
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.place.observer().leaf(Leaf::Text);
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A compound whose values have no names.
macro_rules! unnamed {
    ($($compound:ident::$method:ident is $closed:ident)*) => {$(
        impl<C: $compound, O: Observer> $compound for Items<'_, C, O> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.begin(Item::Element, C::Error::custom)?;
                self.inner.$method(&Within::new(value, self.place))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.finish(Closed::$closed(self.given), C::Error::custom)?;
                self.inner.end()
            }
        }
    )*};
}

unnamed! {
    SerializeSeq::serialize_element is List
    SerializeTuple::serialize_element is Tuple
    SerializeTupleStruct::serialize_field is Tuple
    SerializeTupleVariant::serialize_field is Tuple
}

/// A compound with named fields. If it leaves a field out, it cannot be decoded.
macro_rules! named {
    ($($compound:ident)*) => {$(
        impl<C: $compound, O: Observer> $compound for Fields<'_, C, O> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.names = names::and(self.names, key);
                self.place.observer().item(Item::Field(key));
                self.inner.serialize_field(key, &Within::new(value, self.place))
            }

            #[cold]
            fn skip_field(&mut self, field: &'static str) -> Result<(), C::Error> {
                let refusal = Refusal::FieldLeftOut { structure: self.structure, field };
                Err(self.place.refuse(refusal, C::Error::custom))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.place.observer().close(Closed::Struct(self.names));
                self.inner.end()
            }
        }
    )*};
}

named! {
    SerializeStruct
    SerializeStructVariant
}

/// `serialize_entry` keeps serde's own definition, which calls the two other methods.
impl<C: SerializeMap, O: Observer> SerializeMap for Items<'_, C, O> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.begin(Item::Key, C::Error::custom)?;
        self.inner.serialize_key(&Within::new(key, self.place))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.place.observer().item(Item::Value);
        self.inner.serialize_value(&Within::new(value, self.place))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.finish(Closed::Map(self.given), C::Error::custom)?;
        self.inner.end()
    }
}
