//! Owns the canonical form of a value: every call of its `Serialize`, with every name and all data,
//! in bytes that two values share only if `Serialize` tells them apart nowhere.
//!
//! It is how values are compared that need not be written as the same bytes. Invariant: order
//! counts everywhere, but in what is known to have none: a `HashSet` and its like, by the name of
//! the type. A list of another type that comes back in another order is another value.

mod compounds;
#[cfg(test)]
mod tests;
mod unordered;
mod writer;

use serde::Serialize;

use self::writer::CanonicalWriter;

/// As much as most content takes.
const FIRST_CAPACITY: usize = 512;

/// A value in its canonical form.
#[derive(Default)]
pub(super) struct Canonical {
    bytes: Vec<u8>,
    /// Where fields begin and end, for telling where two values differ.
    marks: Vec<Mark>,
    depth: usize,
    /// Whether what has no order is put in one.
    is_sorted: bool,
    /// Whether `Serialize` failed half way, so that there is nothing to compare.
    has_failed: bool,
}

struct Mark {
    at: usize,
    depth: usize,
    /// `None` where the struct ends.
    field: Option<(&'static str, &'static str)>,
}

impl Canonical {
    #[cfg(test)]
    fn of<T: Serialize>(value: &T) -> Self {
        Self::written(value, true)
    }

    /// Where two values differ; `None` if they do not. What has no order seldom comes back in
    /// another one, so it is put in order only if the values differ without that.
    pub(super) fn difference<T: Serialize>(one: &T, other: &T) -> Option<String> {
        let is_same = |is_sorted| {
            Self::written(one, is_sorted).first_difference(&Self::written(other, is_sorted))
        };
        is_same(false).and_then(|_| is_same(true))
    }

    fn written<T: Serialize>(value: &T, is_sorted: bool) -> Self {
        let bytes = Vec::with_capacity(FIRST_CAPACITY);
        let mut form = Self { bytes, is_sorted, ..Self::default() };
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
        self.marks.push(Mark { at: self.bytes.len(), depth, field });
    }

    /// Puts what was written from each of the starts on in order.
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
        self.bytes.extend(parts.concat());
        // Marks inside would point to where something else is now.
        self.marks.retain(|mark| mark.at <= begin);
    }
}
