//! Questions about the whole store. They walk an index or all records, or change named values and
//! index entries. [`Flush`] only asks that committed changes be on the disk.

use crate::engine::redb::commit::decide::Decider;
#[cfg(any(test, feature = "testing"))]
use crate::engine::redb::commit::question::Publish;
use crate::engine::redb::commit::question::{
    Ask, Clear, Flush, InitMeta, Reindex, RemoveStrays, SMALL, StoreMeta,
};
use crate::engine::redb::database::tables::is_stray;
use crate::engine::redb::error::RedbResult;
use crate::error::Result;
use crate::key::SessionKey;

impl Ask for RemoveStrays {
    type Answer = ();
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    /// Checks each entry again, because its record may have been written since the entry was seen.
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        for (deadline, key) in &self.0 {
            if is_stray(decider.get(key)?.as_ref(), *deadline) {
                decider.effects.strays.push((*deadline, *key));
            }
        }
        Ok(Ok(()))
    }

    fn weight(&self) -> usize {
        self.0.len() * SMALL
    }
}

impl Ask for Reindex {
    /// The last key that was examined, if more may follow.
    type Answer = Option<SessionKey>;
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Self::Answer>> {
        decider.effects.in_bulk = true;
        let listing = match decider.view.listing() {
            Ok(listing) => listing,
            Err(error) => return Ok(Err(error)),
        };
        let mut last = None;
        let records = listing.records_after(self.after.as_ref())?.take(self.limit);
        for (count, entry) in (1..).zip(records) {
            let (key, _) = entry?;
            last = Some(key).filter(|_| count == self.limit);
            // A damaged record has no deadline, so its index entry stays.
            let Some(Ok(record)) = decider.load_decided(&key)? else { continue };
            let deadline = record.deadline(&self.timeouts);
            if deadline < record.index_deadline() {
                decider.effects.touched.insert(key, record.last_active());
                decider.effects.change(key, Some(record.indexed_under(deadline)));
            }
        }
        Ok(Ok(last))
    }

    fn weight(&self) -> usize {
        self.limit * SMALL
    }
}

impl Ask for Clear {
    type Answer = ();
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        decider.effects.cleared = true;
        decider.effects.stored = 0;
        Ok(Ok(()))
    }
}

impl Ask for StoreMeta {
    type Answer = ();
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        decider.effects.meta.push((self.name.clone(), self.value.clone()));
        Ok(Ok(()))
    }
}

impl Ask for InitMeta {
    /// The value that the name has now.
    type Answer = Vec<u8>;
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Vec<u8>>> {
        // Only durable commits change named values, and each publishes a snapshot.
        if let Some(found) = decider.view.in_snapshot(|snapshot| snapshot.meta(&self.name))? {
            return Ok(Ok(found));
        }
        decider.effects.meta.push((self.name.clone(), self.value.clone()));
        Ok(Ok(self.value.clone()))
    }
}

impl Ask for Flush {
    type Answer = ();
    const STANDS_ALONE: bool = true;
    const MAY_CHECKPOINT: bool = false;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        decider.effects.flush(decider.view);
        Ok(Ok(()))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Ask for Publish {
    type Answer = ();
    const STANDS_ALONE: bool = true;
    const NEEDS_TABLES: bool = true;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        decider.effects.changed = decider.view.overlay.all();
        decider.effects.in_bulk = true;
        Ok(Ok(()))
    }
}
