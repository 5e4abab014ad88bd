//! Tracks which spans of the log's area hold needed entries, and where the next entry goes.
//!
//! Invariant: needed entries never overlap. They stand in order, each right after the one before it
//! or at the start of the area. Freed entries are overwritten oldest first, so the remaining stale
//! entries are the newest versions. Salvage relies on this. With two halves instead of a ring,
//! writers would wait for each checkpoint.

use std::collections::VecDeque;

/// A part of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Span {
    pub(in crate::engine::redb) start: u64,
    pub(in crate::engine::redb) len: u64,
}

impl Span {
    const fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

#[derive(Debug, Default)]
pub(in crate::engine::redb) struct Ring {
    needed: VecDeque<Span>,
    /// The total length of the needed entries, in bytes.
    len: u64,
    /// The end of the last entry, needed or not.
    end: u64,
    /// How many of the first entries the running checkpoint will hold.
    checkpointing: usize,
}

impl Ring {
    /// The start of the next entry, with the length `len`, in an area of this capacity; `None` if
    /// there is no room.
    pub(in crate::engine::redb) fn place_for(&self, len: u64, capacity: u64) -> Option<u64> {
        let ends = |start: u64| start.saturating_add(len);
        match (self.needed.front(), self.needed.back()) {
            (Some(first), Some(last)) if last.start < first.start => {
                (ends(self.end) <= first.start).then_some(self.end)
            }
            _ if ends(self.end) <= capacity => Some(self.end),
            (first, _) => (len <= first.map_or(capacity, |first| first.start)).then_some(0),
        }
    }

    /// Adds an entry that was written at the start that [`place_for`](Self::place_for) returned.
    pub(in crate::engine::redb) fn push(&mut self, span: Span) {
        self.needed.push_back(span);
        self.len += span.len;
        self.end = span.end();
    }

    /// A ring in which these entries are needed.
    pub(in crate::engine::redb) fn of(needed: impl IntoIterator<Item = Span>) -> Self {
        let mut ring = Self::default();
        needed.into_iter().for_each(|span| ring.push(span));
        ring
    }

    /// Forgets all entries: none is needed any more.
    pub(in crate::engine::redb) fn restart(&mut self) {
        *self = Self { end: self.end, ..Self::default() };
    }

    /// Begins a checkpoint that will hold every entry so far.
    pub(in crate::engine::redb) fn begin_checkpoint(&mut self) {
        self.checkpointing = self.needed.len();
    }

    /// Ends the checkpoint, which is on the disk: its entries are free.
    pub(in crate::engine::redb) fn end_checkpoint(&mut self) {
        let checkpointed = self.needed.drain(..self.checkpointing.min(self.needed.len()));
        self.len -= checkpointed.map(|span| span.len).sum::<u64>();
        self.checkpointing = 0;
    }

    pub(in crate::engine::redb) fn is_empty(&self) -> bool {
        self.needed.is_empty()
    }

    /// The total length of the needed entries, in bytes.
    pub(in crate::engine::redb) const fn len(&self) -> u64 {
        self.len
    }

    pub(in crate::engine::redb) fn needed(&self) -> impl Iterator<Item = Span> {
        self.needed.iter().copied()
    }

    /// Called after the needed entries were copied to the start of an area, one after the other.
    pub(in crate::engine::redb) fn straighten(&mut self) {
        let mut start = 0;
        for span in &mut self.needed {
            span.start = start;
            start += span.len;
        }
        self.end = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts an entry into an area of ten bytes.
    fn add(ring: &mut Ring, len: u64) -> Option<u64> {
        let start = ring.place_for(len, 10)?;
        ring.push(Span { start, len });
        Some(start)
    }

    #[test]
    fn entries_follow_one_another_around_the_area_and_never_onto_one_that_is_needed() {
        let mut ring = Ring::default();
        assert_eq!(add(&mut ring, 11), None);
        assert_eq!([add(&mut ring, 4), add(&mut ring, 3)], [Some(0), Some(4)]);
        ring.begin_checkpoint();
        assert_eq!(add(&mut ring, 2), Some(7));
        assert_eq!(add(&mut ring, 2), None, "the first are needed until the checkpoint is over");
        ring.end_checkpoint();
        assert_eq!((ring.len(), add(&mut ring, 2)), (2, Some(0)), "it does not fit at the end");
        assert_eq!(add(&mut ring, 6), None, "the third is at seven");
        assert_eq!(add(&mut ring, 5), Some(2));
        assert_eq!(add(&mut ring, 1), None, "it is full, though there is room at the end");
        ring.begin_checkpoint();
        ring.end_checkpoint();
        assert!(ring.is_empty());
        assert_eq!(add(&mut ring, 2), Some(7), "the oldest are written over first");
        ring.restart();
        assert_eq!([add(&mut ring, 2), add(&mut ring, 9)], [Some(0), None]);
        ring.restart();
        assert_eq!(add(&mut ring, 10), Some(0));
    }

    #[test]
    fn what_is_straightened_keeps_its_order_and_what_is_being_checkpointed() {
        let mut ring = Ring::of([Span { start: 8, len: 2 }, Span { start: 0, len: 3 }]);
        ring.begin_checkpoint();
        assert_eq!(add(&mut ring, 1), Some(3));
        ring.straighten();
        let starts: Vec<_> = ring.needed().map(|span| span.start).collect();
        assert_eq!((starts, ring.len()), (vec![0, 2, 5], 6));
        ring.end_checkpoint();
        assert_eq!(ring.needed().collect::<Vec<_>>(), [Span { start: 5, len: 1 }]);
    }
}
