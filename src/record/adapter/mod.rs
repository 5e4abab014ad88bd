//! Owns the adapter around serde, between a caller's content type and bincode. It sees every call
//! in both directions, limits the type, and reports the calls to an observer.
//!
//! bincode bounds neither depth nor the number of elements. With a damaged record, a recursive type
//! recurses until the stack ends, which no caller can catch, and a `Vec<()>` loops for as long as
//! its length prefix says. The adapter ends both with an error. Nor does bincode write the names of
//! fields and variants, so the same bytes can be decoded as another value; the observer learns the
//! names.
//!
//! Invariants: the bytes are those that bincode writes on its own. For a type whose `Serialize` and
//! `Deserialize` agree, both directions charge the same levels and elements and report the same
//! [events](observer::Observer). A type receives a variant by the name at its number, never by the
//! number alone. So the reported name is that of the decoded variant.
//!
//! One level is charged for a sequence, a tuple, a tuple struct, a map, a struct, a newtype struct,
//! a `Some`, and an enum variant that carries data. One element is charged for each element of a
//! sequence and each entry of a map. Fields are not charged, because the type fixes their number.
//!
//! The adapter relies on a format that answers each request with the requested type, and presents
//! structs and tuples as sequences, as bincode does. It must not know the record's layout, nor the
//! use of the events.

mod budget;
mod compound;
mod deserialize;
mod names;
pub(super) mod observer;
mod serialize;
pub(super) mod shape;
#[cfg(test)]
mod tests;
pub(super) mod trace;
mod variants;

use std::marker::PhantomData;

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

pub(super) use self::budget::{Budget, Refusal, elements_allowed};
use self::budget::{MAX_DEPTH, Refused};
use self::observer::Observer;

/// The budget of one value, and its observer.
pub(super) struct Watch<O> {
    pub(super) budget: Budget,
    pub(super) observer: O,
}

impl<O: Observer> Watch<O> {
    #[inline]
    pub(super) fn new(budget: Budget, observer: O) -> Self {
        Self { budget, observer }
    }
}

/// A value that encodes to the same bytes as without the adapter.
pub(super) struct Watched<'a, T: ?Sized, O> {
    value: &'a T,
    watch: &'a Watch<O>,
}

impl<'a, T: ?Sized, O: Observer> Watched<'a, T, O> {
    #[inline]
    pub(super) fn new(value: &'a T, watch: &'a Watch<O>) -> Self {
        Self { value, watch }
    }
}

/// Decodes a `T` from the same bytes as a `T` itself.
///
/// It is a seed and not a wrapper type, because `Deserialize` has no parameter for the watch.
pub(super) struct WatchedSeed<'a, T, O> {
    watch: &'a Watch<O>,
    produces: PhantomData<fn() -> T>,
}

impl<'a, T, O: Observer> WatchedSeed<'a, T, O> {
    #[inline]
    pub(super) fn new(watch: &'a Watch<O>) -> Self {
        Self { watch, produces: PhantomData }
    }
}

/// A place inside a value. The levels left differ from place to place, so they are passed by value;
/// the whole value shares the rest.
struct Place<'a, O> {
    watch: &'a Watch<O>,
    levels_left: u8,
}

impl<O> Clone for Place<'_, O> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for Place<'_, O> {}

impl<'a, O> Place<'a, O> {
    #[inline]
    fn outermost(watch: &'a Watch<O>) -> Self {
        Self { watch, levels_left: MAX_DEPTH }
    }

    #[inline]
    fn observer(self) -> &'a O {
        &self.watch.observer
    }

    /// Charges one level, and returns the place inside it.
    #[inline]
    fn enter<E>(self, custom: impl FnOnce(Refused) -> E) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left, ..self }),
            None => Err(self.refuse(Refusal::TooDeep, custom)),
        }
    }

    /// Charges one element.
    #[inline]
    fn take_element<E>(self, custom: impl FnOnce(Refused) -> E) -> Result<(), E> {
        let budget = &self.watch.budget;
        if budget.take_element() {
            return Ok(());
        }
        Err(self.refuse(Refusal::TooManyElements { allowed: budget.allowed() }, custom))
    }

    /// Records the reason for the refusal, and returns the error that ends the work on the value.
    #[cold]
    fn refuse<E>(self, refusal: Refusal, custom: impl FnOnce(Refused) -> E) -> E {
        self.watch.budget.refuse(refusal);
        custom(Refused)
    }
}

/// A part of serde (a serializer, a visitor, a seed or a value) with its place.
struct Within<'a, T, O> {
    inner: T,
    place: Place<'a, O>,
}

impl<'a, T, O> Within<'a, T, O> {
    #[inline]
    fn new(inner: T, place: Place<'a, O>) -> Self {
        Self { inner, place }
    }
}

/// The visitor of attributes. It visits them as `Some`, which shows them that they come from a
/// record.
struct Recorded<'a, V, O>(Within<'a, V, O>);

impl<'de, V: Visitor<'de>, O: observer::Observer> Visitor<'de> for Recorded<'_, V, O> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.inner.expecting(f)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        let inside = self.0.place.enter(D::Error::custom)?;
        self.0.inner.visit_some(Within::new(from, inside))
    }
}
