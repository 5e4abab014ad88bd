//! Owns how a variant is decoded: by the name that the type lists at the number in the bytes.
//!
//! Invariant: the type receives the name. So the decoded variant is the one with the reported name,
//! even though a derived list of variants omits skipped ones, and contains aliases. bincode would
//! pass the number, which counts skipped variants in writing and omits them in reading.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::compound::{Struct, Tuple};
use super::deserialize::Asked;
use super::observer::{Carries, Observer, Opened, Variant};
use super::{Place, Refusal, Within};

/// The visitor of an enum, and later the access to its variant.
pub(super) struct Variants<'a, T, O> {
    pub(super) inner: T,
    pub(super) name: &'static str,
    pub(super) variants: &'static [&'static str],
    pub(super) place: Place<'a, O>,
}

impl<'de, V: Visitor<'de>, O: Observer> Visitor<'de> for Variants<'_, V, O> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        let Self { inner, name, variants, place } = self;
        inner.visit_enum(Variants { inner: data, name, variants, place })
    }
}

impl<'a, 'de, A: EnumAccess<'de>, O: Observer> EnumAccess<'de> for Variants<'a, A, O> {
    type Error = A::Error;
    type Variant = Chosen<'a, A::Variant, O>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (number, inner) = self.inner.variant_seed(PhantomData::<u32>)?;
        let (of, place) = (self.name, self.place);
        let Some(name) = self.variants.get(number as usize).copied() else {
            let carries = Carries::Nothing;
            place.observer().variant(Variant { of, number, name: None, carries });
            let refusal = Refusal::UnlistedVariant { of, number };
            return Err(place.refuse(refusal, A::Error::custom));
        };
        let tag = seed.deserialize(Tag { number, name, error: PhantomData })?;
        Ok((tag, Chosen { inner, of, number, name, place }))
    }
}

/// The identifier of a variant, given to its type.
struct Tag<E> {
    number: u32,
    name: &'static str,
    error: PhantomData<E>,
}

impl<'de, E: Error> Deserializer<'de> for Tag<E> {
    type Error = E;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_borrowed_str(self.name)
    }

    // A type that requests a number identifies its variants by number alone.
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_u32(self.number)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_u32(self.number)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_u32(self.number)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_u32(self.number)
    }

    // The identifier type may itself be an enum of the names.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.name))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The access to a variant that its type has identified.
pub(super) struct Chosen<'a, A, O> {
    inner: A,
    of: &'static str,
    number: u32,
    name: &'static str,
    place: Place<'a, O>,
}

impl<A, O: Observer> Chosen<'_, A, O> {
    #[inline]
    fn report(&self, carries: Carries) {
        let Self { of, number, name, .. } = *self;
        self.place.observer().variant(Variant { of, number, name: Some(name), carries });
    }
}

/// The visitor charges the level of a variant with several fields, when the format calls it with
/// the sequence of the fields. A newtype variant has no visitor, so its level is charged here.
impl<'de, A: VariantAccess<'de>, O: Observer> VariantAccess<'de> for Chosen<'_, A, O> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.report(Carries::Nothing);
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.report(Carries::Value);
        let inside = self.place.enter(A::Error::custom)?;
        self.inner.newtype_variant_seed(Within::new(seed, inside))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.report(Carries::Tuple);
        self.place.observer().open(Opened::Tuple);
        let asked = Asked { visitor, compound: Tuple { len }, place: self.place };
        self.inner.tuple_variant(len, asked)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.report(Carries::Struct);
        let opened = Opened::Struct { name: self.name, listed: Some(fields) };
        self.place.observer().open(opened);
        let compound = Struct { fields };
        self.inner.struct_variant(fields, Asked { visitor, compound, place: self.place })
    }
}
