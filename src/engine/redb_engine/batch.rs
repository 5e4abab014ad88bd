//! How each operation of a batch is carried out on the tables.
//!
//! Invariant: an operation checks its condition and makes its change on the same open tables, so
//! its neighbours in the batch see all of it or nothing. A condition that does not hold is an
//! outcome of that operation alone.

use super::operation::{Operation, Outcome};
use super::overlay::Changes;
use super::tables::{Outer, Tables};
use super::touch_buffer::{Condemned, TouchBuffer, Touches};
use crate::clock::Timestamp;
use crate::engine::{Insert, Limits, Record, Rekey, Removed, Replace, Sweep};
use crate::{Result, SessionKey, Timeouts};

/// What a batch does beyond the tables, once it is committed or has failed.
#[derive(Debug)]
pub(super) struct Effects<'b> {
    pub(super) changed: Changes,
    /// Touches that the committed records hold.
    pub(super) touched: Touches,
    /// No touch is recorded for them until the batch is over.
    pub(super) condemned: Condemned<'b>,
    /// Whether every key that is not in `changed` is void.
    pub(super) cleared: bool,
    /// Whether `changed` is not all that the batch does, or so much that the log is no place for it.
    pub(super) in_bulk: bool,
    /// Whether anything of it has to be on the disk before it is answered.
    pub(super) promised: bool,
    /// Whether a sweep was among it.
    pub(super) swept: bool,
    /// Whether it promises that sessions are gone which an earlier sweep may have taken.
    pub(super) ends_unseen: bool,
    /// Whether everything has to be in redb's part of the file afterwards.
    pub(super) sync: bool,
    /// Whether a snapshot has to show everything afterwards.
    pub(super) publish: bool,
}

impl<'b> Effects<'b> {
    pub(super) fn new(touches: &'b TouchBuffer) -> Self {
        Self {
            changed: Changes::default(),
            touched: Touches::default(),
            condemned: Condemned::new(touches),
            cleared: false,
            in_bulk: false,
            promised: false,
            swept: false,
            ends_unseen: false,
            sync: false,
            publish: false,
        }
    }
}

/// The state that a batch of operations works on.
pub(super) struct Batch<'t, 'b, 'e> {
    tables: Tables<'t>,
    touches: &'b TouchBuffer,
    effects: &'b mut Effects<'e>,
}

impl<'t, 'b, 'e> Batch<'t, 'b, 'e> {
    pub(super) fn new(
        tables: Tables<'t>,
        touches: &'b TouchBuffer,
        effects: &'b mut Effects<'e>,
    ) -> Self {
        Self { tables, touches, effects }
    }

    pub(super) fn into_tables(self) -> Tables<'t> {
        self.tables
    }

    /// Carries out one operation. The outer error is the end of the whole batch; the inner one is
    /// the answer to this operation.
    pub(super) fn apply(mut self, operation: Operation) -> Outer<(Self, Result<Outcome>)> {
        self.effects.in_bulk |= operation.is_in_bulk();
        self.effects.promised |= operation.is_promised();
        self.effects.ends_unseen |= operation.ends_unseen();
        let outcome = match operation {
            Operation::Insert { key, record, limits } => {
                self.insert(&key, &record, limits)?.map(Outcome::Insert)
            }
            Operation::Replace { key, expected_revision, record, limits } => {
                self.replace(&key, expected_revision, record, limits)?.map(Outcome::Replace)
            }
            Operation::Rekey { old, new, expected_revision, record, limits } => {
                self.rekey(&old, &new, expected_revision, record, limits)?.map(Outcome::Rekey)
            }
            Operation::Touch { key, at } => Ok(Outcome::Touched(self.touch(&key, at)?)),
            Operation::Touches(touches) => {
                for (key, at) in touches {
                    self.touch(&key, at)?;
                }
                Ok(Outcome::Done)
            }
            Operation::Remove { key } => {
                let removed = self.remove(&key)?;
                Ok(Outcome::Removed(removed.map(|removed| vec![removed])))
            }
            Operation::RemoveUser { user } => {
                let keys = self.tables.keys_of(&user)?;
                Ok(Outcome::Removed(Some(self.remove_all(keys)?)))
            }
            Operation::RemoveOthers { keep } => self.remove_others(&keep)?.map(Outcome::Removed),
            Operation::Sweep { now, defaults, limit } => {
                Ok(Outcome::Swept(self.sweep(now, &defaults, limit)?))
            }
            Operation::Reindex { after, defaults, limit } => {
                let last = self.reindex(after, &defaults, limit)?;
                Ok(Outcome::Reindexed { last })
            }
            Operation::Clear => {
                self.tables = self.tables.cleared()?;
                self.effects.changed.clear();
                self.effects.cleared = true;
                Ok(Outcome::Done)
            }
            Operation::StoreMeta { name, value } => {
                self.tables.store_meta(&name, &value)?;
                Ok(Outcome::Done)
            }
            Operation::Sync => {
                self.effects.sync = true;
                Ok(Outcome::Done)
            }
            Operation::Publish => {
                self.effects.publish = true;
                Ok(Outcome::Published)
            }
        };
        Ok((self, outcome))
    }

    fn insert(
        &mut self,
        key: &SessionKey,
        record: &Record,
        limits: Limits,
    ) -> Outer<Result<Insert>> {
        if self.tables.contains(key)? {
            return Ok(Ok(Insert::Occupied));
        }
        let Some(ending) = self.make_room(record, limits)? else {
            return Ok(Ok(Insert::UserFull));
        };
        if self.tables.len()?.saturating_sub(ending.len() as u64) >= limits.max_sessions {
            return Ok(Ok(Insert::Full));
        }
        self.remove_all(ending)?;
        self.tables.insert(key, record)?;
        self.effects.changed.insert(*key, Some(record.clone()));
        Ok(Ok(Insert::Done))
    }

    fn replace(
        &mut self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Outer<Result<Replace>> {
        let stored = match self.load(key)? {
            None => return Ok(Ok(Replace::Missing)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(stored)) => stored,
        };
        if stored.revision() != expected_revision {
            return Ok(Ok(Replace::Conflict));
        }
        let Some(ending) = self.make_room_after(&stored, &record, limits)? else {
            return Ok(Ok(Replace::UserFull));
        };
        self.remove_all(ending)?;
        let record = record.touched(stored.last_active());
        self.effects.touched.insert(*key, record.last_active());
        let written = self.tables.replace(key, &stored, record)?;
        self.effects.changed.insert(*key, Some(written));
        Ok(Ok(Replace::Done))
    }

    fn rekey(
        &mut self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Outer<Result<Rekey>> {
        let stored = match self.load(old)? {
            None => return Ok(Ok(Rekey::Missing)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(stored)) => stored,
        };
        if stored.revision() != expected_revision {
            return Ok(Ok(Rekey::Conflict));
        }
        if self.tables.contains(new)? {
            return Ok(Ok(Rekey::Occupied));
        }
        let Some(ending) = self.make_room_after(&stored, &record, limits)? else {
            return Ok(Ok(Rekey::UserFull));
        };
        self.remove_all(ending)?;
        let record = match self.remove(old)? {
            // With every touch up to this moment; a later one waits and finds the old id gone.
            Some(Removed::Record(removed)) => record.touched(removed.last_active()),
            _ => record,
        };
        self.tables.insert(new, &record)?;
        self.effects.changed.insert(*new, Some(record));
        Ok(Ok(Rekey::Done))
    }

    /// Which of the user's sessions have to end before `record` is stored; `None` if it may not be.
    fn make_room(&self, record: &Record, limits: Limits) -> Outer<Option<Vec<SessionKey>>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Ok(Some(Vec::new()));
        };
        let mut others = Vec::new();
        for key in self.tables.keys_of(&user)? {
            if let Some(Ok(other)) = self.load(&key)? {
                others.push((key, other));
            }
        }
        Ok(per_user.make_room(others))
    }

    /// The same for a record in place of another: one that stays with its user needs no room.
    fn make_room_after(
        &self,
        stored: &Record,
        record: &Record,
        limits: Limits,
    ) -> Outer<Option<Vec<SessionKey>>> {
        match stored.user() == record.user() {
            true => Ok(Some(Vec::new())),
            false => self.make_room(record, limits),
        }
    }

    /// Whether there is such a record; a damaged one is left as it is.
    fn touch(&mut self, key: &SessionKey, at: Timestamp) -> Outer<bool> {
        let Some(stored) = self.tables.get(key)? else {
            self.effects.changed.insert(*key, None);
            return Ok(false);
        };
        if let Ok(stored) = stored {
            let touched = stored.clone().touched(at);
            if touched != stored {
                let written = self.tables.replace(key, &stored, touched)?;
                self.effects.changed.insert(*key, Some(written));
            }
        }
        self.effects.touched.insert(*key, at);
        Ok(true)
    }

    fn remove(&mut self, key: &SessionKey) -> Outer<Option<Removed>> {
        let pending = self.condemn(key);
        let removed = self.tables.remove(key)?;
        self.effects.changed.insert(*key, None);
        Ok(removed.map(|removed| match (removed, pending) {
            (Removed::Record(record), Some(at)) => Removed::Record(record.touched(at)),
            (removed, _) => removed,
        }))
    }

    /// Takes the pending touch into view, and keeps later ones waiting until the batch is over: so
    /// whoever was told that the session lives on was told so before it ended.
    fn condemn(&mut self, key: &SessionKey) -> Option<Timestamp> {
        let mut pending = None;
        self.touches.condemn_if(key, |touch| {
            pending = touch;
            true
        });
        self.effects.condemned.push(*key);
        pending
    }

    fn remove_all(&mut self, keys: Vec<SessionKey>) -> Outer<Vec<Removed>> {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            all.extend(self.remove(&key)?);
        }
        Ok(all)
    }

    fn remove_others(&mut self, keep: &SessionKey) -> Outer<Result<Option<Vec<Removed>>>> {
        let record = match self.tables.get(keep)? {
            None => return Ok(Ok(None)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(record)) => record,
        };
        let Some(user) = record.user() else { return Ok(Ok(Some(Vec::new()))) };
        let mut keys = self.tables.keys_of(&user)?;
        keys.retain(|key| key != keep);
        Ok(Ok(Some(self.remove_all(keys)?)))
    }

    fn sweep(&mut self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Outer<Sweep> {
        self.effects.swept = true;
        let mut entries = self.tables.passed(now, limit)?;
        let mut sweep = Sweep { removed: 0, more: entries.len() == limit };
        // In the order of their records: neighbours share a page.
        entries.sort_unstable_by_key(|(_, key)| *key);
        for (deadline, key) in entries {
            match self.tables.get(&key)? {
                None => self.tables.remove_stray_entry(deadline, &key)?,
                Some(Err(_)) => {
                    // Nobody can tell more of it than that its index entry has passed.
                    self.remove(&key)?;
                    sweep.removed += 1;
                }
                Some(Ok(record)) => {
                    if self.sweep_one(&key, record, now, defaults)? {
                        sweep.removed += 1;
                    }
                }
            }
        }
        Ok(sweep)
    }

    /// Removes the session if it is expired; moves its index entry to its true deadline if not.
    fn sweep_one(
        &mut self,
        key: &SessionKey,
        record: Record,
        now: Timestamp,
        defaults: &Timeouts,
    ) -> Outer<bool> {
        let mut true_record = record.clone();
        let expired = self.touches.condemn_if(key, |pending| {
            if let Some(at) = pending {
                true_record = record.touched(at);
            }
            true_record.is_expired(now, defaults)
        });
        if expired {
            self.remove(key)?;
        } else {
            let deadline = true_record.deadline(defaults);
            self.effects.touched.insert(*key, true_record.last_active());
            let written = self.tables.reindex(key, true_record, deadline)?;
            self.effects.changed.insert(*key, Some(written));
        }
        Ok(expired)
    }

    /// One step of rebuilding the index under shorter timeouts; the last key looked at, if there
    /// may be more after it.
    fn reindex(
        &mut self,
        after: Option<SessionKey>,
        defaults: &Timeouts,
        limit: usize,
    ) -> Outer<Option<SessionKey>> {
        let keys = self.tables.keys_after(after, limit)?;
        for key in &keys {
            // A damaged record has no deadline to go by, and keeps the entry it has.
            let Some(Ok(record)) = self.load(key)? else { continue };
            let deadline = record.deadline(defaults);
            if deadline < record.index_deadline() {
                self.effects.touched.insert(*key, record.last_active());
                let written = self.tables.reindex(key, record, deadline)?;
                self.effects.changed.insert(*key, Some(written));
            }
        }
        Ok(keys.last().copied())
    }

    /// The record under a key, with its pending touch.
    fn load(&self, key: &SessionKey) -> Outer<Option<Result<Record>>> {
        // The touch first: once it is gone from the buffer, it is in the table.
        let pending = self.touches.pending(key);
        let record = self.tables.get(key)?;
        Ok(record.map(|record| {
            record.map(|record| match pending {
                Some(at) => record.touched(at),
                None => record,
            })
        }))
    }
}
