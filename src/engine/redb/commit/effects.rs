//! The effects of a group, as data: first decided, then written and shown.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::view::View;
use crate::engine::redb::view::overlay;
use crate::engine::redb::view::touches::{Condemned, Touches};
use crate::key::SessionKey;
use crate::record::Record;

#[derive(Debug)]
pub(in crate::engine::redb) struct Effects<'v> {
    pub(in crate::engine::redb) changed: Changes,
    /// The bytes that the changes take in memory, those of a flush left out.
    pub(in crate::engine::redb) bytes: usize,
    /// The number of changes made, counting each change of the same key.
    pub(in crate::engine::redb) made: u64,
    /// Keys without a record. Their touches are void.
    pub(in crate::engine::redb) missing: Vec<SessionKey>,
    /// The number of records after the group.
    pub(in crate::engine::redb) stored: u64,
    /// How often the file had been reopened when the group began.
    pub(in crate::engine::redb) openings: u64,
    /// The touches that the committed records include.
    pub(in crate::engine::redb) touched: Touches,
    /// Sessions that accept no touch until the group is over.
    pub(in crate::engine::redb) condemned: Condemned<'v>,
    /// Whether every key outside `changed` was removed.
    pub(in crate::engine::redb) cleared: bool,
    /// Changes of things other than records: named values, and index entries to remove.
    pub(in crate::engine::redb) meta: Vec<(String, Vec<u8>)>,
    pub(in crate::engine::redb) strays: Vec<IndexEntry>,
    /// Whether one caller has changed too much for the log.
    pub(in crate::engine::redb) in_bulk: bool,
    /// Whether these are the changes that are only in memory, to be written to the disk.
    pub(in crate::engine::redb) flush: bool,
}

impl<'v> Effects<'v> {
    pub(in crate::engine::redb) fn new(view: &'v View) -> Self {
        Self {
            changed: Changes::default(),
            bytes: 0,
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
        }
    }

    /// Starts from the committed state.
    pub(in crate::engine::redb) const fn begin(&mut self, committed: &Committed, openings: u64) {
        self.stored = committed.stored;
        self.openings = openings;
    }

    /// Stores a record under a key, or removes the existing one.
    pub(in crate::engine::redb) fn change(&mut self, key: SessionKey, record: Option<Record>) {
        self.made += 1;
        self.bytes += overlay::weight(record.as_ref());
        if let Some(earlier) = self.changed.insert(key, record) {
            self.bytes -= overlay::weight(earlier.as_ref());
        }
    }

    /// Takes the changes that are only in memory.
    pub(in crate::engine::redb) fn flush(&mut self, view: &View) {
        self.changed = view.overlay.volatile();
        self.flush = true;
    }

    /// Whether there is anything to commit.
    pub(in crate::engine::redb) fn change_anything(&self) -> bool {
        !self.changed.is_empty() || self.cleared || !self.meta.is_empty() || !self.strays.is_empty()
    }

    /// Whether one log entry can hold all the effects.
    pub(in crate::engine::redb) fn is_entry(&self) -> bool {
        !self.changed.is_empty() && !self.need_tables()
    }

    /// The durability of these effects when they are answered, in a store with the durability
    /// `of_store`.
    pub(in crate::engine::redb) const fn durability(&self, of_store: Durability) -> Durability {
        match (self.flush, of_store) {
            (true, Durability::Deferred { .. }) => Durability::Immediate,
            _ => of_store,
        }
    }

    /// Whether the effects must go to the tables: the log cannot hold them, or they are too large
    /// for it.
    pub(in crate::engine::redb) fn need_tables(&self) -> bool {
        self.cleared || self.in_bulk || !self.meta.is_empty() || !self.strays.is_empty()
    }

    /// Forgets the touches that the commit includes or made void. The commit may be `deferred`:
    /// only in memory.
    pub(in crate::engine::redb) fn forget_written(&self, view: &View, deferred: bool) {
        view.touches.drop_written(&self.touched, deferred);
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
