//! Owns what differs between the compounds that a type can ask for while it is decoded.
//!
//! Invariant: what is reported when one closes is what was asked for or claimed, never what the
//! type happened to take of it. A type that takes less leaves bytes to its neighbours, and another
//! shape.

use super::names;
use super::observer::{Closed, Item};

pub(super) trait Compound {
    /// Whether the data says how many values there are, so that each is charged.
    const IS_CHARGED: bool;

    /// The value at this place.
    fn item(at: usize) -> Item;

    /// What is reported at the end of one of which the format claims that it has so many values.
    fn closed(&self, claimed: usize) -> Closed;
}

pub(super) struct List;

impl Compound for List {
    const IS_CHARGED: bool = true;

    #[inline]
    fn item(_at: usize) -> Item {
        Item::Element
    }

    #[inline]
    fn closed(&self, claimed: usize) -> Closed {
        Closed::List(claimed)
    }
}

pub(super) struct Map;

impl Compound for Map {
    const IS_CHARGED: bool = true;

    #[inline]
    fn item(_at: usize) -> Item {
        Item::Key
    }

    #[inline]
    fn closed(&self, claimed: usize) -> Closed {
        Closed::Map(claimed)
    }
}

pub(super) struct Tuple {
    pub(super) len: usize,
}

impl Compound for Tuple {
    const IS_CHARGED: bool = false;

    #[inline]
    fn item(_at: usize) -> Item {
        Item::Element
    }

    #[inline]
    fn closed(&self, _claimed: usize) -> Closed {
        Closed::Tuple(self.len)
    }
}

pub(super) struct Struct {
    pub(super) fields: &'static [&'static str],
}

impl Compound for Struct {
    const IS_CHARGED: bool = false;

    #[inline]
    fn item(at: usize) -> Item {
        Item::FieldAt(at)
    }

    #[inline]
    fn closed(&self, _claimed: usize) -> Closed {
        Closed::Struct(names::of_fields(self.fields))
    }
}
