//! Owns the differences between the compounds that a type can request during decoding.
//!
//! Invariant: the report at the end of a compound has the requested or claimed number, never the
//! number of values that the type read. A type that reads fewer leaves bytes for the next values,
//! and gets another shape.

use super::names;
use super::observer::{Closed, Item};

pub(super) trait Compound {
    /// Whether the data determines the number of values, so that each is charged.
    const IS_CHARGED: bool;

    /// The value at this position.
    fn item(at: usize) -> Item;

    /// The report at the end of a compound that claims this number of values.
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
