//! Owns the canonical form of a value: every call of its `Serialize`, with every name and all data,
//! as bytes. Two values have the same bytes only if `Serialize` makes the same calls for both.
//!
//! It compares values that may be encoded to different bytes. Invariant: order counts, except in
//! types that are known to have none: `HashSet` and similar types, recognised by name, and maps in
//! a JSON text. A list of another type whose order changed is a different value.

mod compounds;
#[cfg(test)]
mod tests;
mod unordered;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use twox_hash::XxHash3_128;

use self::writer::CanonicalWriter;

/// Enough for most content.
const FIRST_CAPACITY: usize = 512;

/// A value in its canonical form.
#[derive(Default)]
pub(super) struct Canonical {
    bytes: Vec<u8>,
    /// Where fields begin and end, to report where two values differ.
    marks: Vec<Mark>,
    depth: usize,
    /// Whether marks are kept. They take several times the bytes.
    has_marks: bool,
    sorting: Sorting,
    /// If all lists and maps are sorted: the digests of each before that, by its digest after that.
    /// What is inside it is sorted already, so these differ by its own order alone.
    orders: BTreeMap<u128, Vec<u128>>,
    /// Whether `Serialize` failed, so that there is nothing to compare.
    has_failed: bool,
}

/// Which lists and maps are sorted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sorting {
    #[default]
    None,
    /// Those that are known to have no order.
    Unordered,
    All,
}

struct Mark {
    at: usize,
    depth: usize,
    /// `None` at the end of the struct.
    field: Option<(&'static str, &'static str)>,
}

impl Canonical {
    #[cfg(test)]
    fn of<T: Serialize>(value: &T) -> Self {
        Self::written(value, Sorting::Unordered, true)
    }

    /// Where two values differ; `None` if they do not. The order of unordered elements seldom
    /// changes, so they are sorted only if the values differ without sorting. The place is looked
    /// for only once there is one.
    pub(super) fn difference<T: Serialize>(one: &T, other: &T) -> Option<String> {
        let difference = |sorting, has_marks| {
            let form = |value| Self::written(value, sorting, has_marks);
            form(one).first_difference(&form(other))
        };
        difference(Sorting::None, false)?;
        let unknown = difference(Sorting::Unordered, false)?;
        Some(difference(Sorting::Unordered, true).unwrap_or(unknown))
    }

    /// The lists and maps, by their digests, whose elements another value has in another order;
    /// `None` if the two values differ in more than that.
    pub(super) fn reordered<T: Serialize>(one: &T, other: &T) -> Option<BTreeSet<u128>> {
        let form = |value| Self::written(value, Sorting::All, false);
        let (one, other) = (form(one), form(other));
        if one.first_difference(&other).is_some() {
            return None;
        }
        let is_moved =
            |(list, orders): &(&u128, &Vec<u128>)| other.orders.get(list) != Some(*orders);
        Some(one.orders.iter().filter(is_moved).map(|(list, _)| *list).collect())
    }

    fn written<T: Serialize>(value: &T, sorting: Sorting, has_marks: bool) -> Self {
        let bytes = Vec::with_capacity(FIRST_CAPACITY);
        let mut form = Self { bytes, has_marks, sorting, ..Self::default() };
        form.has_failed = value.serialize(CanonicalWriter::outermost::<T>(&mut form)).is_err();
        form
    }

    /// Where two values differ; `None` if they do not.
    pub(super) fn first_difference(&self, other: &Self) -> Option<String> {
        if self.bytes == other.bytes && !(self.has_failed || other.has_failed) {
            return None;
        }
        let mut both = self.bytes.iter().zip(&other.bytes);
        let same = both.position(|(one, other)| one != other);
        Some(self.place_of(same.unwrap_or_else(|| self.bytes.len().min(other.bytes.len()))))
    }

    fn place_of(&self, at: usize) -> String {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for mark in self.marks.iter().take_while(|mark| mark.at <= at) {
            fields.truncate(mark.depth);
            fields.extend(mark.field);
        }
        let Some((structure, _)) = fields.first() else { return "the content itself".into() };
        let names = fields.iter().map(|(_, field)| *field).collect::<Vec<_>>().join(".");
        format!("`{structure}.{names}`")
    }

    fn mark(&mut self, depth: usize, field: Option<(&'static str, &'static str)>) {
        if self.has_marks {
            self.marks.push(Mark { at: self.bytes.len(), depth, field });
        }
    }

    /// Sorts the parts that begin at `starts`.
    fn sort(&mut self, starts: &[usize]) {
        let Some(begin) = starts.first().copied() else { return };
        let written = self.bytes.split_off(begin);
        let ends = starts.iter().skip(1).copied().chain([begin + written.len()]);
        let mut parts: Vec<&[u8]> = starts
            .iter()
            .zip(ends)
            .map(|(start, end)| written.get(start - begin..end - begin).unwrap_or_default())
            .collect();
        parts.sort_unstable();
        let sorted = parts.concat();
        if self.sorting == Sorting::All {
            let order = XxHash3_128::oneshot(&written);
            self.orders.entry(XxHash3_128::oneshot(&sorted)).or_default().push(order);
        }
        self.bytes.extend(sorted);
        // Marks inside are removed, because the bytes at their positions have moved. Marks stand in
        // order, so the others are not looked at.
        self.marks.truncate(self.marks.partition_point(|mark| mark.at <= begin));
    }
}
