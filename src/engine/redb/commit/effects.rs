//! What a group of operations does, as data: decided first, written and shown afterwards.

use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::keyed::{Change, Changes};
use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::{Condemned, TouchBuffer, Touches};

/// What a batch does beyond the tables, once it is committed or has failed.
#[derive(Debug)]
pub(in crate::engine::redb) struct Effects<'b> {
    pub(in crate::engine::redb) changed: Changes,
    /// How many records there are.
    pub(in crate::engine::redb) stored: u64,
    /// How often the file had been opened anew when it was begun.
    pub(in crate::engine::redb) openings: u64,
    /// Whether there is anything to commit.
    pub(in crate::engine::redb) wrote: bool,
    /// Touches that the committed records hold.
    pub(in crate::engine::redb) touched: Touches,
    /// No touch is recorded for them until the batch is over.
    pub(in crate::engine::redb) condemned: Condemned<'b>,
    /// Whether every key that is not in `changed` is void.
    pub(in crate::engine::redb) cleared: bool,
}

impl<'b> Effects<'b> {
    pub(in crate::engine::redb) fn new(touches: &'b TouchBuffer) -> Self {
        Self {
            changed: Changes::default(),
            stored: 0,
            openings: 0,
            wrote: false,
            touched: Touches::default(),
            condemned: Condemned::new(touches),
            cleared: false,
        }
    }
}

impl Effects<'_> {
    /// Begins on what the ledger says.
    pub(in crate::engine::redb) const fn begin(&mut self, ledger: &Committed, openings: u64) {
        self.stored = ledger.stored;
        self.openings = openings;
    }

    /// What it leaves under the keys that it changed, for the log.
    pub(in crate::engine::redb) fn entry(&self) -> impl Iterator<Item = Change> {
        entry_of(&self.changed)
    }

    /// Forgets the touches that are shown with the changes, or that those have made void.
    pub(in crate::engine::redb) fn settle(&self, view: &View) {
        view.touches.settle(&self.touched);
        for (key, _) in self.changed.iter().filter(|(_, record)| record.is_none()) {
            view.touches.forget(key);
        }
        if self.cleared {
            view.touches.forget_absent(|key| {
                matches!(view.with_snapshot(|snapshot| snapshot.contains(key)), Ok(false))
            });
        }
    }
}

/// Changes as the log takes them.
pub(in crate::engine::redb) fn entry_of(changes: &Changes) -> impl Iterator<Item = Change> {
    changes.iter().map(|(key, record)| {
        let bytes = record.as_ref().map(|record| record.encode(key));
        (*key, bytes)
    })
}
