//! Builds the key filter and fills the record cache, in the background after a file is opened.
//!
//! Invariant: a step is short, so that a store can be closed at any time, and keeps no snapshot
//! when it ends. The walk follows key order. A commit adds its new keys to the filter, whether or
//! not the walk has passed them.

use std::sync::Arc;

use crate::engine::redb::view::View;
use crate::engine::redb::view::filter::Bits;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::MIN_LEN;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The most records, or bytes of records, in one step. A step takes a few milliseconds if they are
/// in memory, and some hundred reads if the disk is cold. A test uses a small limit, so that a walk
/// has many steps.
const STEP: usize = if cfg!(test) { 2 } else { 1_024 };
const STEP_BYTES: usize = 1024 * 1024;

/// The state of the walk, if one is running.
#[derive(Debug)]
pub(in crate::engine::redb) struct WarmUp {
    walk: Mutex<Option<Walk>>,
    /// Whether a step was requested, or is running.
    asked: AtomicBool,
}

#[derive(Debug)]
struct Walk {
    bits: Arc<Bits>,
    /// The last key that the walk has passed.
    last: Option<SessionKey>,
}

impl WarmUp {
    pub(in crate::engine::redb) const fn new() -> Self {
        Self { walk: Mutex::new(None), asked: AtomicBool::new(false) }
    }

    /// Whether a step is due that nobody has requested. A caller that gets `true` must request it.
    pub(in crate::engine::redb) fn take_due(&self, view: &View) -> bool {
        view.options.keeps_records()
            && view.filter.is_worn_out()
            && !self.asked.swap(true, Ordering::Relaxed)
    }

    /// Runs a step, if one is due; true if more steps are left.
    pub(in crate::engine::redb) fn step(&self, view: &View) -> Result<bool> {
        let more = self.go_on(view);
        self.asked.store(matches!(more, Ok(true)), Ordering::Relaxed);
        more
    }

    fn go_on(&self, view: &View) -> Result<bool> {
        let mut current = self.walk.lock();
        let going_on = current.take().filter(|walk| view.filter.is_next(&walk.bits));
        let mut walk = match going_on {
            Some(walk) => walk,
            None if !view.options.keeps_records() || !view.filter.is_worn_out() => {
                return Ok(false);
            }
            None => Walk { bits: view.while_nothing_is_shown(|| begin(view))?, last: None },
        };
        let more = walk.go_on(view)?;
        match more {
            true => *current = Some(walk),
            false => view.while_nothing_is_shown(|| view.filter.finish(walk.bits)),
        }
        Ok(more)
    }
}

fn begin(view: &View) -> Result<Arc<Bits>> {
    let claimed = view.with_snapshot(|snapshot| snapshot.len())?;
    Ok(view.filter.begin(at_most_in(view.file.len()?, claimed)))
}

/// The most sessions that the file can hold, given its length. An unverified file may claim any
/// number, and memory is allocated for that many.
fn at_most_in(file_bytes: u64, claimed: u64) -> u64 {
    claimed.min(file_bytes / (SessionKey::LEN + MIN_LEN) as u64)
}

impl Walk {
    /// Runs one step of the walk; true if keys are left.
    fn go_on(&mut self, view: &View) -> Result<bool> {
        let snapshot = view.snapshot.load_full().ok_or(Error::Closed)?;
        let failed = |error| view.failed_to_read(error);
        let (mut walked, mut bytes) = (0, 0);
        for record in snapshot.records_after(self.last).map_err(failed)? {
            let (key, record) = record.map_err(failed)?;
            self.bits.add(&key);
            if let Ok(record) = record {
                view.cache.fill_spare_room(&key, &record, snapshot.commit());
                bytes += record.tail_len();
            }
            self.last = Some(key);
            walked += 1;
            if walked == STEP || bytes >= STEP_BYTES {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_asked_for_as_many_keys_as_the_file_has_room_for_and_no_more() {
        assert_eq!(at_most_in(80 * 1_000, 900), 900);
        assert_eq!(at_most_in(80 * 1_000, u64::MAX), 1_000);
        assert_eq!(at_most_in(0, u64::MAX), 0);
    }
}
