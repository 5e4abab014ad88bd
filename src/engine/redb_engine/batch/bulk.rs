//! Operations that need the tables themselves: they go through an index, through all records, or
//! change what is no record.

use super::super::operation::{OnTables, Operation, Outcome};
use super::super::tables::Tables;
use super::{Batch, Outer, in_place_of};
use crate::clock::Timestamp;
use crate::engine::{Record, Sweep};
use crate::{Result, SessionKey, Timeouts};

impl<'t> Batch<'_, '_, Tables<'t>> {
    pub(in super::super) fn into_tables(self) -> Tables<'t> {
        self.ground
    }

    /// Carries out one operation of either kind. The outer error is the end of the whole batch; the
    /// inner one is the answer to this operation.
    pub(in super::super) fn apply(
        mut self,
        operation: Operation,
    ) -> Outer<(Self, Result<Outcome>)> {
        match operation {
            Operation::Keyed(operation) => {
                let outcome = self.apply_keyed(operation)?;
                Ok((self, outcome))
            }
            Operation::OnTables(operation) => {
                let (batch, outcome) = self.apply_on_tables(operation)?;
                Ok((batch, Ok(outcome)))
            }
        }
    }

    fn apply_on_tables(mut self, operation: OnTables) -> Outer<(Self, Outcome)> {
        self.effects.in_bulk |= operation.is_in_bulk();
        self.effects.promised |= operation.is_in_bulk();
        let outcome = match operation {
            OnTables::Touch { key, at } => Outcome::Touched(self.touch(&key, at)?),
            OnTables::Touches(touches) => {
                for (key, at) in touches {
                    self.touch(&key, at)?;
                }
                Outcome::Done
            }
            OnTables::Sweep { now, defaults, limit } => {
                Outcome::Swept(self.sweep(now, &defaults, limit)?)
            }
            OnTables::Reindex { after, defaults, limit } => {
                Outcome::Reindexed { last: self.reindex(after, &defaults, limit)? }
            }
            OnTables::Clear => {
                self.ground = self.ground.cleared()?;
                self.effects.changed.clear();
                self.effects.stored = 0;
                self.effects.cleared = true;
                Outcome::Done
            }
            OnTables::StoreMeta { name, value } => {
                self.ground.store_meta(&name, &value)?;
                Outcome::Done
            }
            OnTables::Sync => {
                self.effects.sync = true;
                Outcome::Done
            }
            OnTables::Publish => {
                self.effects.publish = true;
                Outcome::Published
            }
        };
        Ok((self, outcome))
    }

    /// Whether there is such a record; a damaged one is left as it is.
    fn touch(&mut self, key: &SessionKey, at: Timestamp) -> Outer<bool> {
        let Some(stored) = self.get(key)? else {
            self.effects.changed.insert(*key, None);
            return Ok(false);
        };
        if let Ok(stored) = stored {
            let touched = stored.clone().touched(at);
            if touched != stored {
                self.put(key, Some(in_place_of(&stored, touched)))?;
            }
        }
        self.effects.touched.insert(*key, at);
        Ok(true)
    }

    fn sweep(&mut self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Outer<Sweep> {
        self.effects.swept = true;
        let mut entries = self.ground.passed(now, limit)?;
        let mut sweep = Sweep { removed: 0, more: entries.len() == limit };
        // In the order of their records: neighbours share a page.
        entries.sort_unstable_by_key(|(_, key)| *key);
        for (deadline, key) in entries {
            match self.get(&key)? {
                None => self.ground.remove_stray_entry(deadline, &key)?,
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
            self.put(key, Some(true_record.indexed_under(deadline)))?;
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
        let keys = self.ground.keys_after(after, limit)?;
        for key in &keys {
            // A damaged record has no deadline to go by, and keeps the entry it has.
            let Some(Ok(record)) = self.load(key)? else { continue };
            let deadline = record.deadline(defaults);
            if deadline < record.index_deadline() {
                self.effects.touched.insert(*key, record.last_active());
                self.put(key, Some(record.indexed_under(deadline)))?;
            }
        }
        Ok(keys.last().copied())
    }
}
