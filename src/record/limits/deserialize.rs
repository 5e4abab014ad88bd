//! Owns the decoding half of the limits: a deserializer that hands every request on to the format's
//! own deserializer and charges for each level and each element that comes back.
//!
//! Invariant: a level is charged when the format presents it, never when the type asks for it, so a
//! `None` or a unit variant costs nothing; an element is charged when its decoding starts, never
//! when a collection asks for one more, so a value that spends its last element is still read to
//! its end. No allocation is made for a length that the input only claims: an owned string and an
//! owned byte buffer are asked of the format as borrowed ones.
//!
//! It must not know which format it reads, nor how the limits are charged while encoding.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::record::limits::{Elements, LimitedSeed, Limits, Within};

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for LimitedSeed<T> {
    type Value = T;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        let elements = Elements::new(self.max_elements);
        T::deserialize(Within::new(deserializer, Limits::new(&elements)))
    }
}

/// A value inside a level that is charged already, and which is not itself an element.
impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Within<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Within::new(deserializer, self.limits))
    }
}

/// An element. The format starts its decoding only when it has one, and that is when it is charged.
struct Element<'a, S> {
    seed: S,
    limits: Limits<'a>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Element<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.limits.take_element().map_err(D::Error::custom)?;
        self.seed.deserialize(Within::new(deserializer, self.limits))
    }
}

/// Hands on requests, each with the visitor that will charge for what comes back. A request that is
/// answered by another method of the format names it after the arrow.
macro_rules! requests {
    ($($method:ident($($arg:ident: $kind:ty),*) => $asks:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($arg: $kind,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.inner.$asks($($arg,)* Within::new(visitor, self.limits))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Within<'_, D> {
    type Error = D::Error;

    // The last two of these ask for the borrowed form, because bincode makes an owned one by
    // allocating the claimed length before it looks whether the input is that long: a damaged
    // prefix aborts the process. serde's contract makes the two forms equal to a visitor, since
    // `visit_string` must not be implemented without `visit_str`.
    requests! {
        deserialize_any() => deserialize_any
        deserialize_bool() => deserialize_bool
        deserialize_i8() => deserialize_i8
        deserialize_i16() => deserialize_i16
        deserialize_i32() => deserialize_i32
        deserialize_i64() => deserialize_i64
        deserialize_i128() => deserialize_i128
        deserialize_u8() => deserialize_u8
        deserialize_u16() => deserialize_u16
        deserialize_u32() => deserialize_u32
        deserialize_u64() => deserialize_u64
        deserialize_u128() => deserialize_u128
        deserialize_f32() => deserialize_f32
        deserialize_f64() => deserialize_f64
        deserialize_char() => deserialize_char
        deserialize_str() => deserialize_str
        deserialize_bytes() => deserialize_bytes
        deserialize_option() => deserialize_option
        deserialize_unit() => deserialize_unit
        deserialize_unit_struct(name: &'static str) => deserialize_unit_struct
        deserialize_newtype_struct(name: &'static str) => deserialize_newtype_struct
        deserialize_seq() => deserialize_seq
        deserialize_tuple(len: usize) => deserialize_tuple
        deserialize_tuple_struct(name: &'static str, len: usize) => deserialize_tuple_struct
        deserialize_map() => deserialize_map
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
            => deserialize_struct
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
            => deserialize_enum
        deserialize_identifier() => deserialize_identifier
        deserialize_ignored_any() => deserialize_ignored_any
        deserialize_string() => deserialize_str
        deserialize_byte_buf() => deserialize_bytes
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Hands on the values that hold no other value and so cost nothing.
macro_rules! leaves {
    ($($method:ident($value:ty))*) => {$(
        #[inline]
        fn $method<E: Error>(self, v: $value) -> Result<V::Value, E> {
            self.inner.$method(v)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Within<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    leaves! {
        visit_bool(bool)
        visit_i8(i8)
        visit_i16(i16)
        visit_i32(i32)
        visit_i64(i64)
        visit_i128(i128)
        visit_u8(u8)
        visit_u16(u16)
        visit_u32(u32)
        visit_u64(u64)
        visit_u128(u128)
        visit_f32(f32)
        visit_f64(f64)
        visit_char(char)
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let inside = self.limits.enter().map_err(D::Error::custom)?;
        self.inner.visit_some(Within::new(deserializer, inside))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        let inside = self.limits.enter().map_err(D::Error::custom)?;
        self.inner.visit_newtype_struct(Within::new(deserializer, inside))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        let inside = self.limits.enter().map_err(A::Error::custom)?;
        self.inner.visit_seq(Within::new(seq, inside))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let inside = self.limits.enter().map_err(A::Error::custom)?;
        self.inner.visit_map(Within::new(map, inside))
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Within::new(data, self.limits))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Within<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let limits = self.limits;
        self.inner.next_element_seed(Element { seed, limits })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.limits.promise(self.inner.size_hint()?, 1))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Within<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let limits = self.limits;
        self.inner.next_key_seed(Element { seed, limits })
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let limits = self.limits;
        self.inner.next_value_seed(Element { seed, limits })
    }

    #[inline]
    fn next_entry_seed<K: DeserializeSeed<'de>, S: DeserializeSeed<'de>>(
        &mut self,
        key: K,
        value: S,
    ) -> Result<Option<(K::Value, S::Value)>, A::Error> {
        let limits = self.limits;
        self.inner.next_entry_seed(Element { seed: key, limits }, Element { seed: value, limits })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.limits.promise(self.inner.size_hint()?, 2))
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Within<'a, A> {
    type Error = A::Error;
    type Variant = Within<'a, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let limits = self.limits;
        let (tag, variant) = self.inner.variant_seed(Within::new(seed, limits))?;
        Ok((tag, Within::new(variant, limits)))
    }
}

/// The level of a variant with several fields is charged by the visitor, which the format calls with
/// the sequence or the map of the fields; the level of a newtype variant has no visitor of its own.
impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Within<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let inside = self.limits.enter().map_err(A::Error::custom)?;
        self.inner.newtype_variant_seed(Within::new(seed, inside))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Within::new(visitor, self.limits))
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Within::new(visitor, self.limits))
    }
}
