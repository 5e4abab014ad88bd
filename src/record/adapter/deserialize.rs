//! Owns the decoding half of the adapter: a deserializer that reports each request, forwards it to
//! the format's own deserializer, and charges each level and element of the answer.
//!
//! Invariants: a level is charged when the format presents it, never when the type requests it; so
//! a `None` or a unit variant costs nothing. An element is charged when its decoding starts, never
//! when a collection asks for one more; so a value that spends its last element is read to its end.
//! Nothing is allocated for a length that the input only claims: owned strings and byte buffers are
//! requested from the format as borrowed ones.
//!
//! It must not know which format it reads, nor how the budget is charged while encoding.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, Expected, MapAccess, SeqAccess, Visitor,
};

use super::compound::{Compound, List, Map, Struct, Tuple};
use super::observer::{Item, Leaf, Observer, Opened};
use super::variants::Variants;
use super::{Place, Recorded, Refusal, WatchedSeed, Within};
use crate::record::content::ContentKind;

impl<'de, T: Deserialize<'de>, O: Observer> DeserializeSeed<'de> for WatchedSeed<'_, T, O> {
    type Value = T;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        let place = Place::outermost(self.watch);
        T::deserialize(Within::new(deserializer, place))
    }
}

/// A value inside a level that is already charged; the value itself is not an element.
impl<'de, S: DeserializeSeed<'de>, O: Observer> DeserializeSeed<'de> for Within<'_, S, O> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Within::new(deserializer, self.place))
    }
}

impl<D, O> Within<'_, D, O> {
    /// Refuses a request that only a self-describing format can answer.
    #[cold]
    fn ask<'de, V: Visitor<'de>>(
        self,
        request: &'static str,
        visitor: &V,
    ) -> Result<V::Value, D::Error>
    where
        D: Deserializer<'de>,
    {
        let expected = (visitor as &dyn Expected).to_string();
        let refusal = Refusal::NotSelfDescribing { request, expected };
        Err(self.place.refuse(refusal, D::Error::custom))
    }
}

/// Requests for values that contain no other value. If another method of the format answers one,
/// that method's name is after the arrow.
macro_rules! leaves {
    ($($method:ident is $leaf:ident => $asks:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.place.observer().leaf(Leaf::$leaf);
            self.inner.$asks(visitor)
        }
    )*};
}

macro_rules! self_describing {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.ask(stringify!($method), &visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>, O: Observer> Deserializer<'de> for Within<'_, D, O> {
    type Error = D::Error;

    // The last two request the borrowed form. For an owned one, bincode allocates the claimed
    // length before it checks whether the input is that long, so a damaged prefix aborts the
    // process. By serde's contract a visitor treats both forms alike, since `visit_string` must not
    // be implemented without `visit_str`.
    leaves! {
        deserialize_bool is Bool => deserialize_bool
        deserialize_i8 is I8 => deserialize_i8
        deserialize_i16 is I16 => deserialize_i16
        deserialize_i32 is I32 => deserialize_i32
        deserialize_i64 is I64 => deserialize_i64
        deserialize_i128 is I128 => deserialize_i128
        deserialize_u8 is U8 => deserialize_u8
        deserialize_u16 is U16 => deserialize_u16
        deserialize_u32 is U32 => deserialize_u32
        deserialize_u64 is U64 => deserialize_u64
        deserialize_u128 is U128 => deserialize_u128
        deserialize_f32 is F32 => deserialize_f32
        deserialize_f64 is F64 => deserialize_f64
        deserialize_char is Char => deserialize_char
        deserialize_str is Text => deserialize_str
        deserialize_bytes is Bytes => deserialize_bytes
        deserialize_unit is Unit => deserialize_unit
        deserialize_string is Text => deserialize_str
        deserialize_byte_buf is Bytes => deserialize_bytes
    }

    self_describing! {
        deserialize_any
        deserialize_identifier
        deserialize_ignored_any
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.place.observer().leaf(Leaf::Unit);
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Within::new(visitor, self.place))
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Within::new(visitor, self.place);
        let Some(kind) = ContentKind::marked_by(name) else {
            return self.inner.deserialize_newtype_struct(name, visitor);
        };
        self.place.observer().kind(kind);
        match kind {
            ContentKind::Attributes => {
                self.inner.deserialize_newtype_struct(name, Recorded(visitor))
            }
            _ => self.inner.deserialize_newtype_struct(name, visitor),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.place.observer().open(Opened::List);
        self.inner.deserialize_seq(Asked { visitor, compound: List, place: self.place })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.place.observer().open(Opened::Tuple);
        let compound = Tuple { len };
        self.inner.deserialize_tuple(len, Asked { visitor, compound, place: self.place })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.place.observer().open(Opened::Tuple);
        let asked = Asked { visitor, compound: Tuple { len }, place: self.place };
        self.inner.deserialize_tuple_struct(name, len, asked)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.place.observer().open(Opened::Map);
        self.inner.deserialize_map(Asked { visitor, compound: Map, place: self.place })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.place.observer().open(Opened::Struct { name, listed: Some(fields) });
        let asked = Asked { visitor, compound: Struct { fields }, place: self.place };
        self.inner.deserialize_struct(name, fields, asked)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let choosing = Variants { inner: visitor, name, variants, place: self.place };
        self.inner.deserialize_enum(name, variants, choosing)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The visitor of an option or of a newtype struct.
impl<'de, V: Visitor<'de>, O: Observer> Visitor<'de> for Within<'_, V, O> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.place.observer().option(false);
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.place.observer().option(true);
        let inside = self.place.enter(D::Error::custom)?;
        self.inner.visit_some(Within::new(deserializer, inside))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        let inside = self.place.enter(D::Error::custom)?;
        self.inner.visit_newtype_struct(Within::new(deserializer, inside))
    }
}

/// The visitor of a compound, with the requested compound.
pub(super) struct Asked<'a, V, K, O> {
    pub(super) visitor: V,
    pub(super) compound: K,
    pub(super) place: Place<'a, O>,
}

impl<'de, V: Visitor<'de>, K: Compound, O: Observer> Visitor<'de> for Asked<'_, V, K, O> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        let place = self.place.enter(A::Error::custom)?;
        let closed = self.compound.closed(seq.size_hint().unwrap_or(usize::MAX));
        let read = self.visitor.visit_seq(Items::<_, K, _>::new(seq, place));
        if read.is_ok() {
            place.observer().close(closed);
        }
        read
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let place = self.place.enter(A::Error::custom)?;
        let closed = self.compound.closed(map.size_hint().unwrap_or(usize::MAX));
        let read = self.visitor.visit_map(Items::<_, K, _>::new(map, place));
        if read.is_ok() {
            place.observer().close(closed);
        }
        read
    }
}

/// A compound during decoding.
struct Items<'a, A, K, O> {
    inner: A,
    place: Place<'a, O>,
    begun: usize,
    /// The elements that a size hint has promised.
    promised: Cell<usize>,
    compound: PhantomData<K>,
}

/// An element. It is charged when the format starts to decode it, which is only if it exists.
struct Element<'a, S, K, O> {
    seed: S,
    place: Place<'a, O>,
    at: usize,
    compound: PhantomData<K>,
}

impl<'de, S: DeserializeSeed<'de>, K: Compound, O: Observer> DeserializeSeed<'de>
    for Element<'_, S, K, O>
{
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        if K::IS_CHARGED {
            self.place.take_element(D::Error::custom)?;
        }
        self.place.observer().item(K::item(self.at));
        self.seed.deserialize(Within::new(deserializer, self.place))
    }
}

impl<'a, A, K: Compound, O: Observer> Items<'a, A, K, O> {
    #[inline]
    fn new(inner: A, place: Place<'a, O>) -> Self {
        Self { inner, place, begun: 0, promised: Cell::new(0), compound: PhantomData }
    }

    #[inline]
    fn next<S>(&mut self, seed: S) -> Element<'a, S, K, O> {
        let at = self.begun;
        self.begun += 1;
        Element { seed, place: self.place, at, compound: PhantomData }
    }

    /// The claimed number of elements left; `None` if the budget cannot promise so many.
    #[inline]
    fn promise(&self, claimed: usize) -> Option<usize> {
        if K::IS_CHARGED && claimed > self.promised.get() {
            if !self.place.watch.budget.promise(claimed) {
                return None;
            }
            self.promised.set(claimed);
        }
        Some(claimed)
    }
}

impl<'de, A: SeqAccess<'de>, K: Compound, O: Observer> SeqAccess<'de> for Items<'_, A, K, O> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let element = self.next(seed);
        self.inner.next_element_seed(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.promise(self.inner.size_hint()?)
    }
}

/// `next_entry_seed` keeps serde's own definition, which calls the two other methods.
impl<'de, A: MapAccess<'de>, K: Compound, O: Observer> MapAccess<'de> for Items<'_, A, K, O> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let key = self.next(seed);
        self.inner.next_key_seed(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.place.observer().item(Item::Value);
        self.inner.next_value_seed(Within::new(seed, self.place))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.promise(self.inner.size_hint()?)
    }
}
