//! The effects of a group, as data: decided first, written and shown afterwards.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::{Condemned, Touches};
use crate::key::SessionKey;
use crate::record::Record;

#[derive(Debug)]
pub(in crate::engine::redb) struct Effects<'v> {
    pub(in crate::engine::redb) changed: Changes,
    /// How many changes were made, also of a key that had changed before.
    pub(in crate::engine::redb) made: u64,
    /// Keys that were found to have no record. Their touches are void.
    pub(in crate::engine::redb) missing: Vec<SessionKey>,
    /// The number of records afterwards.
    pub(in crate::engine::redb) stored: u64,
    /// How often the file had been reopened when the group began.
    pub(in crate::engine::redb) openings: u64,
    /// Touches that the committed records hold.
    pub(in crate::engine::redb) touched: Touches,
    /// No touch is kept for these sessions until the group is over.
    pub(in crate::engine::redb) condemned: Condemned<'v>,
    /// Whether every key that is not in `changed` was removed.
    pub(in crate::engine::redb) cleared: bool,
    /// Changes of what is no record: values by name, and index entries that are removed.
    pub(in crate::engine::redb) meta: Vec<(String, Vec<u8>)>,
    pub(in crate::engine::redb) strays: Vec<IndexEntry>,
    /// Whether so much has changed for one caller that the log is no place for it.
    pub(in crate::engine::redb) in_bulk: bool,
    /// Whether these are the changes in memory alone, on their way to the disk.
    pub(in crate::engine::redb) flush: bool,
    /// Whether a snapshot must show everything.
    pub(in crate::engine::redb) publish: bool,
}

impl<'v> Effects<'v> {
    pub(in crate::engine::redb) fn new(view: &'v View) -> Self {
        Self {
            changed: Changes::default(),
            made: 0,
            missing: Vec::new(),
            stored: 0,
            openings: 0,
            touched: Touches::default(),
            condemned: Condemned::new(&view.touches),
            cleared: false,
            meta: Vec::new(),
            strays: Vec::new(),
            in_bulk: false,
            flush: false,
            publish: false,
        }
    }

    /// Begins from what was committed.
    pub(in crate::engine::redb) const fn begin(&mut self, committed: &Committed, openings: u64) {
        self.stored = committed.stored;
        self.openings = openings;
    }

    /// Stores a record under a key, or removes the one that is there.
    pub(in crate::engine::redb) fn change(&mut self, key: SessionKey, record: Option<Record>) {
        self.made += 1;
        self.changed.insert(key, record);
    }

    /// Takes the changes in memory alone.
    pub(in crate::engine::redb) fn flush(&mut self, view: &View) {
        self.changed = view.overlay.volatile();
        self.flush = true;
    }

    /// Whether there is anything to commit.
    pub(in crate::engine::redb) fn change_anything(&self) -> bool {
        !self.changed.is_empty() || self.cleared || !self.meta.is_empty() || !self.strays.is_empty()
    }

    /// Whether an entry of the log can tell all of them.
    pub(in crate::engine::redb) fn is_entry(&self) -> bool {
        !self.changed.is_empty() && !self.need_tables()
    }

    /// Their durability when they are answered, in a store of this durability.
    pub(in crate::engine::redb) const fn durability(&self, of_store: Durability) -> Durability {
        match (self.flush, of_store) {
            (true, Durability::Deferred { .. }) => Durability::Immediate,
            _ => of_store,
        }
    }

    /// Whether the log cannot hold them, or is no place for them.
    pub(in crate::engine::redb) fn need_tables(&self) -> bool {
        self.cleared || self.in_bulk || !self.meta.is_empty() || !self.strays.is_empty()
    }

    /// Forgets touches that the commit holds, or that it made void.
    pub(in crate::engine::redb) fn settle(&self, view: &View) {
        view.touches.settle(&self.touched);
        let is_there = |key: &SessionKey| matches!(self.changed.get(key), Some(Some(_)));
        for key in self.changed.keys().chain(&self.missing).filter(|key| !is_there(key)) {
            view.touches.forget(key);
        }
        if self.cleared {
            view.touches.forget_absent(|key| {
                matches!(view.with_snapshot(|snapshot| snapshot.contains(key)), Ok(false))
            });
        }
    }
}
