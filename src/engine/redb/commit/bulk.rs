//! Operations that need the tables themselves: they go through an index, through all records, or
//! change what is no record.

use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::commit::operation::{OnStore, Outcome};
use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::database::tables::{Tables, is_stray};
use crate::engine::redb::error::RedbResult;
use crate::key::SessionKey;
use crate::time::timeouts::Timeouts;

impl<'t> Decider<'_, '_, Tables<'t>> {
    /// Carries out one operation on the tables, and gives them back.
    pub(in crate::engine::redb) fn apply(
        mut self,
        operation: OnStore,
    ) -> RedbResult<(Tables<'t>, Outcome)> {
        let outcome = match operation {
            OnStore::RemoveStray(entries) => {
                self.remove_stray(entries)?;
                Outcome::Done
            }
            OnStore::Reindex { after, timeouts, limit } => {
                Outcome::Reindexed { last: self.reindex(after, &timeouts, limit)? }
            }
            OnStore::Clear => {
                self.ground = self.ground.cleared()?;
                self.effects.changed.clear();
                self.effects.stored = 0;
                self.effects.cleared = true;
                Outcome::Done
            }
            OnStore::StoreMeta { name, value } => {
                self.ground.store_meta(&name, &value)?;
                Outcome::Done
            }
            OnStore::InitMeta { name, value } => match self.ground.meta(&name)? {
                Some(found) => Outcome::Meta(found),
                None => {
                    self.ground.store_meta(&name, &value)?;
                    Outcome::Meta(value)
                }
            },
            // They change nothing; the writer does what they ask for.
            OnStore::Sync | OnStore::Publish => Outcome::Done,
        };
        Ok((self.ground, outcome))
    }

    /// A record to which the entry belongs may have come since it was seen.
    fn remove_stray(&mut self, entries: Vec<IndexEntry>) -> RedbResult<()> {
        for (deadline, key) in entries {
            if is_stray(self.get(&key)?.as_ref(), deadline) {
                self.ground.remove_stray_entry(deadline, &key)?;
            }
        }
        Ok(())
    }

    /// One step of rebuilding the index under shorter timeouts; the last key looked at, if there
    /// may be more after it.
    fn reindex(
        &mut self,
        after: Option<SessionKey>,
        timeouts: &Timeouts,
        limit: usize,
    ) -> RedbResult<Option<SessionKey>> {
        let keys = self.ground.keys_after(after, limit)?;
        for key in &keys {
            // A damaged record has no deadline to go by, and keeps the entry it has.
            let Some(Ok(record)) = self.load(key)? else { continue };
            let deadline = record.deadline(timeouts);
            if deadline < record.index_deadline() {
                self.effects.touched.insert(*key, record.last_active());
                self.put(key, Some(record.indexed_under(deadline)))?;
            }
        }
        Ok(keys.last().copied())
    }
}
