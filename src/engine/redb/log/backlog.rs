//! How much redb has to catch up with, and how much of that may come together.
//!
//! Invariant: what redb commits at once finds room in its cache for pages, so that it need not write
//! a page before its time and read it again.

use crate::engine::redb::keyed::Change;
use crate::engine::redb::log::PAGE;

/// What a record that was written weighs.
const RECORD: usize = 4;
/// One that was removed dirties a page, too, but keeps no room in memory; and sweeps remove so many
/// that they share pages.
const REMOVAL: usize = 1;
/// While a checkpoint is under way, or nobody comes to it, there may be so many times as much as for one.
const GENERATIONS: usize = 2;

#[derive(Debug)]
pub(in crate::engine::redb) struct Backlog {
    /// What has been logged since the last checkpoint began.
    logged: usize,
    /// What one checkpoint takes.
    one_checkpoint: usize,
}

/// What a change weighs.
pub(in crate::engine::redb) const fn weight(change: &Change) -> usize {
    match change {
        (_, Some(_)) => RECORD,
        (_, None) => REMOVAL,
    }
}

impl Backlog {
    /// For so much cache for pages, each of which a record may change.
    pub(in crate::engine::redb) fn new(page_cache_bytes: usize, logged: usize) -> Self {
        // So few where threads are explored that checkpoints come in the middle of everything.
        let records = if cfg!(all(test, shuttle)) { 2 } else { page_cache_bytes / PAGE };
        Self { logged, one_checkpoint: records * RECORD }
    }

    pub(in crate::engine::redb) const fn has_room_for(&self, weight: usize) -> bool {
        self.logged + weight <= self.one_checkpoint * GENERATIONS
    }

    pub(in crate::engine::redb) const fn add(&mut self, weight: usize) {
        self.logged += weight;
    }

    /// Whether so many eighths of what there may be are there.
    pub(in crate::engine::redb) const fn is_filled(&self, eighths: usize) -> bool {
        self.logged * 8 >= self.one_checkpoint * GENERATIONS * eighths
    }

    /// A checkpoint takes all of it, or redb has it.
    pub(in crate::engine::redb) const fn clear(&mut self) {
        self.logged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SessionKey;

    const KEY: SessionKey = SessionKey::from_bytes([1; 16]);

    /// One of which a checkpoint takes a hundred records.
    fn backlog(records: usize, removals: usize) -> Backlog {
        let logged = records * weight(&(KEY, Some(Vec::new()))) + removals * weight(&(KEY, None));
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
