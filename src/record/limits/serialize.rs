//! Owns the encoding half of the limits: a serializer that charges for each level and each element
//! and hands everything on to the format's own serializer.
//!
//! Invariant: every call reaches the format's serializer with the same arguments and in the same
//! order as without the limits, so the bytes are identical. `collect_seq` and `collect_map` are the
//! exception: they keep serde's own definition, which calls `serialize_seq` and `serialize_map`
//! here, and every element is charged there.
//!
//! It must not know which format it writes, nor how the limits are charged while decoding.

use std::fmt::Display;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::record::limits::{Elements, LimitedContent, Limits, Within};

impl<T: Serialize + ?Sized> Serialize for LimitedContent<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let elements = Elements::new(self.max_elements);
        let result = self.value.serialize(Within::new(serializer, Limits::new(&elements)));
        self.elements_used.set(elements.used());
        result
    }
}

/// A value inside the content. Its level and its element are charged before it gets here.
impl<T: Serialize + ?Sized> Serialize for Within<'_, &T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Within::new(serializer, self.limits))
    }
}

/// Hands on the values that hold no other value and so cost nothing.
macro_rules! leaves {
    ($($method:ident($value:ty))*) => {$(
        #[inline]
        fn $method(self, v: $value) -> Result<S::Ok, S::Error> {
            self.inner.$method(v)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Within<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Within<'a, S::SerializeSeq>;
    type SerializeTuple = Within<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Within<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Within<'a, S::SerializeTupleVariant>;
    type SerializeMap = Within<'a, S::SerializeMap>;
    type SerializeStruct = Within<'a, S::SerializeStruct>;
    type SerializeStructVariant = Within<'a, S::SerializeStructVariant>;

    leaves! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_f32(f32)
        serialize_f64(f64)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        self.inner.serialize_some(&Within::new(value, inside))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        self.inner.serialize_newtype_struct(name, &Within::new(value, inside))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        self.inner.serialize_newtype_variant(name, index, variant, &Within::new(value, inside))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        Ok(Within::new(self.inner.serialize_seq(len)?, inside))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        Ok(Within::new(self.inner.serialize_tuple(len)?, inside))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        let fields = self.inner.serialize_tuple_struct(name, len)?;
        Ok(Within::new(fields, inside))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        let fields = self.inner.serialize_tuple_variant(name, index, variant, len)?;
        Ok(Within::new(fields, inside))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        Ok(Within::new(self.inner.serialize_map(len)?, inside))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        Ok(Within::new(self.inner.serialize_struct(name, len)?, inside))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let inside = self.limits.enter().map_err(S::Error::custom)?;
        let fields = self.inner.serialize_struct_variant(name, index, variant, len)?;
        Ok(Within::new(fields, inside))
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Charges one element for each value of a compound that has no names for its values.
macro_rules! unnamed_elements {
    ($($compound:ident::$method:ident)*) => {$(
        impl<C: $compound> $compound for Within<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.limits.take_element().map_err(C::Error::custom)?;
                self.inner.$method(&Within::new(value, self.limits))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

unnamed_elements! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// Charges one element for each field of a compound with named fields. A field that is skipped is
/// not there to be decoded either, and so costs nothing.
macro_rules! named_fields {
    ($($compound:ident)*) => {$(
        impl<C: $compound> $compound for Within<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.limits.take_element().map_err(C::Error::custom)?;
                self.inner.serialize_field(key, &Within::new(value, self.limits))
            }

            #[inline]
            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

named_fields! {
    SerializeStruct
    SerializeStructVariant
}

impl<C: SerializeMap> SerializeMap for Within<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.limits.take_element().map_err(C::Error::custom)?;
        self.inner.serialize_key(&Within::new(key, self.limits))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.limits.take_element().map_err(C::Error::custom)?;
        self.inner.serialize_value(&Within::new(value, self.limits))
    }

    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        self.limits.take_element().map_err(C::Error::custom)?;
        self.limits.take_element().map_err(C::Error::custom)?;
        self.inner.serialize_entry(&Within::new(key, self.limits), &Within::new(value, self.limits))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
