//! How many changes redb's tables lack, and how many they may lack.
//!
//! Invariant: one checkpoint dirties no more pages than redb's cache holds. So redb never has to
//! write a page early and read it again.
//!
//! An example with a cache of 100 pages. A record weighs 4 and a removal 1, so one checkpoint takes
//! the weight 400, and 800 may be logged. `is_filled(4)` asks for 4 eighths of 800: 100 records, or
//! 400 removals. At 6 eighths, 150 records, hardly any room is left. At 800 an entry is refused
//! until the running checkpoint is over.

use crate::engine::redb::log::PAGE;

/// The weight of a written record.
const RECORD: usize = 4;
/// The weight of a removal. A removal dirties a page too, but keeps no record in memory. A sweep
/// removes so many records that the removals share pages.
const REMOVAL: usize = 1;
/// While a checkpoint runs, or before one begins, this many times the weight of one may be logged.
const GENERATIONS: usize = 2;

#[derive(Debug)]
pub(in crate::engine::redb) struct Backlog {
    /// The weight logged since the last checkpoint began.
    logged: usize,
    /// The weight that one checkpoint takes.
    one_checkpoint: usize,
}

/// The weight of a change.
pub(in crate::engine::redb) const fn weight(is_record: bool) -> usize {
    if is_record { RECORD } else { REMOVAL }
}

impl Backlog {
    /// For a page cache of `page_cache_bytes`; each record may change one of its pages.
    pub(in crate::engine::redb) fn new(page_cache_bytes: usize, logged: usize) -> Self {
        // Very few where interleavings are explored, so that checkpoints come at every point.
        let records = if cfg!(all(test, shuttle)) { 2 } else { page_cache_bytes / PAGE };
        Self { logged, one_checkpoint: records * RECORD }
    }

    pub(in crate::engine::redb) const fn has_room_for(&self, weight: usize) -> bool {
        self.logged + weight <= self.one_checkpoint * GENERATIONS
    }

    pub(in crate::engine::redb) const fn add(&mut self, weight: usize) {
        self.logged += weight;
    }

    /// Whether the logged weight has reached this many eighths of the limit.
    pub(in crate::engine::redb) const fn is_filled(&self, eighths: usize) -> bool {
        self.logged * 8 >= self.one_checkpoint * GENERATIONS * eighths
    }

    /// Called when a checkpoint takes all logged changes, or redb already has them.
    pub(in crate::engine::redb) const fn clear(&mut self) {
        self.logged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backlog in which one checkpoint takes a hundred records.
    fn backlog(records: usize, removals: usize) -> Backlog {
        let logged = records * weight(true) + removals * weight(false);
        Backlog { logged, one_checkpoint: 100 * RECORD }
    }

    #[test]
    fn a_checkpoint_takes_a_record_for_each_page_of_the_cache_and_four_times_as_many_removals() {
        assert_eq!(Backlog::new(100 * PAGE, 0).one_checkpoint, backlog(0, 0).one_checkpoint);
        for (records, removals, is_due) in
            [(99, 3, false), (99, 4, true), (0, 399, false), (0, 400, true)]
        {
            assert_eq!(backlog(records, removals).is_filled(4), is_due, "{records} {removals}");
        }
        assert_eq!([5, 6].map(|eighths| backlog(125, 0).is_filled(eighths)), [true, false]);
    }

    #[test]
    fn there_is_room_for_two_checkpoints_until_the_first_is_over() {
        let mut backlog = backlog(150, 0);
        assert!(backlog.has_room_for(50 * RECORD) && !backlog.has_room_for(50 * RECORD + 1));
        backlog.add(50 * RECORD);
        assert!(backlog.has_room_for(0) && !backlog.has_room_for(1));
        backlog.clear();
        assert!(backlog.has_room_for(200 * RECORD) && !backlog.is_filled(1));
    }
}
