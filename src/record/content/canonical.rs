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

use std::collections::BTreeMap;

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
    /// The lists and maps that are sorted though their order may count.
    ordered: Vec<Ordered>,
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

/// A list or a map that was sorted to find out whether its order alone differs.
struct Ordered {
    /// Where it begins. Equal forms have the same lists in the same places.
    at: usize,
    /// The digest of its elements before they were sorted. What is inside them is sorted already,
    /// so it differs by the list's own order alone.
    order: u128,
    /// How many elements differ from one another.
    distinct: usize,
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

    /// The lists and maps whose elements another value has in another order: the place of each,
    /// which is the same for all values that differ in no more than this, and the number of its
    /// distinct elements. `None` if the two values differ in more than that.
    pub(super) fn reordered<T: Serialize>(one: &T, other: &T) -> Option<BTreeMap<usize, usize>> {
        let form = |value| Self::written(value, Sorting::All, false);
        let (one, other) = (form(one), form(other));
        if one.first_difference(&other).is_some() {
            return None;
        }
        let orders: BTreeMap<_, _> =
            other.ordered.iter().map(|list| (list.at, list.order)).collect();
        let is_moved = |list: &&Ordered| orders.get(&list.at) != Some(&list.order);
        Some(one.ordered.iter().filter(is_moved).map(|list| (list.at, list.distinct)).collect())
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

    /// Sorts the parts that begin at `starts`. If their order may count, it is noted.
    fn sort(&mut self, starts: &[usize], may_have_order: bool) {
        let Some(begin) = starts.first().copied() else { return };
        let written = self.bytes.split_off(begin);
        let ends = starts.iter().skip(1).copied().chain([begin + written.len()]);
        let mut parts: Vec<(usize, &[u8])> = starts
            .iter()
            .zip(ends)
            .map(|(start, end)| (*start, written.get(start - begin..end - begin).unwrap_or(&[])))
            .collect();
        // Stable, so that equal parts keep their order.
        parts.sort_by_key(|(_, bytes)| *bytes);
        if self.sorting == Sorting::All {
            if !may_have_order {
                self.sort_equal(begin, &mut parts);
            }
            let moves = parts.iter().scan(begin, |at, (start, bytes)| {
                let to = *at;
                *at += bytes.len();
                Some((*start, to))
            });
            self.move_lists(begin, moves.collect());
            if may_have_order {
                let order = XxHash3_128::oneshot(&written);
                let mut distinct = parts.clone();
                distinct.dedup_by_key(|(_, bytes)| *bytes);
                self.ordered.push(Ordered { at: begin, order, distinct: distinct.len() });
            }
        }
        parts.iter().for_each(|(_, bytes)| self.bytes.extend_from_slice(bytes));
        // Marks inside are removed, because the bytes at their positions have moved. Marks stand in
        // order, so the others are not looked at.
        self.marks.truncate(self.marks.partition_point(|mark| mark.at <= begin));
    }

    /// Sorts parts that are equal by the orders of the lists in them. Two such elements of a
    /// `HashSet` differ only by these, and no position tells which is which.
    fn sort_equal(&self, begin: usize, parts: &mut [(usize, &[u8])]) {
        let inside = self.ordered.iter().rev().take_while(|list| list.at >= begin);
        let mut lists: Vec<_> = inside.map(|list| (list.at, list.order)).collect();
        lists.sort_unstable();
        let orders = |(start, bytes): &(usize, &[u8])| {
            let (start, end) = (*start, start + bytes.len());
            let first = lists.partition_point(|(at, _)| *at < start);
            let after = lists.partition_point(|(at, _)| *at < end);
            let lists = lists.get(first..after).unwrap_or_default();
            lists.iter().map(move |(at, order)| (at - start, *order))
        };
        let equal = parts.chunk_by_mut(|(_, one), (_, other)| one == other);
        for equal in equal.filter(|equal| equal.len() > 1 && !lists.is_empty()) {
            equal.sort_by(|one, other| orders(one).cmp(orders(other)));
        }
    }

    /// The parts from `begin` on were moved, each from the first to the second place of its pair.
    /// The lists in them go along: those that were written last.
    fn move_lists(&mut self, begin: usize, moves: BTreeMap<usize, usize>) {
        for list in self.ordered.iter_mut().rev().take_while(|list| list.at >= begin) {
            if let Some((from, to)) = moves.range(..=list.at).next_back() {
                list.at = to + (list.at - from);
            }
        }
    }
}
