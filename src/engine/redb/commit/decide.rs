//! How each operation of a batch is carried out.
//!
//! Invariant: an operation checks its condition and makes its change on the same ground, which
//! nobody else changes meanwhile, so its neighbours in the batch see all of it or nothing. A
//! condition that does not hold is an outcome of that operation alone.

use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Rekey, Removed, Replace};
use crate::engine::redb::commit::effects::Effects;
pub(in crate::engine::redb) use crate::engine::redb::commit::ground::{AsRead, Ground};
use crate::engine::redb::commit::operation::{OnSessions, Outcome};
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::touches::TouchBuffer;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;

/// The state that a batch of operations works on.
pub(in crate::engine::redb) struct Decider<'b, 'e, G> {
    pub(in crate::engine::redb) ground: G,
    pub(in crate::engine::redb) touches: &'b TouchBuffer,
    pub(in crate::engine::redb) effects: &'b mut Effects<'e>,
}

impl<'b, 'e, G: Ground> Decider<'b, 'e, G> {
    pub(in crate::engine::redb) fn new(
        ground: G,
        touches: &'b TouchBuffer,
        effects: &'b mut Effects<'e>,
    ) -> Self {
        Self { ground, touches, effects }
    }

    /// Carries out one operation. The outer error is the end of the whole batch; the inner one is
    /// the answer to this operation.
    pub(in crate::engine::redb) fn apply_keyed(
        &mut self,
        operation: OnSessions,
    ) -> RedbResult<Result<Outcome>> {
        Ok(match operation {
            OnSessions::Insert { key, record, limits } => {
                Ok(Outcome::Insert(self.insert(&key, &record, limits)?))
            }
            OnSessions::Replace { key, expected_revision, record, limits } => {
                self.replace(&key, expected_revision, record, limits)?.map(Outcome::Replace)
            }
            OnSessions::Rekey { old, new, expected_revision, record, limits } => {
                self.rekey(&old, &new, expected_revision, record, limits)?.map(Outcome::Rekey)
            }
            OnSessions::Remove { key } => {
                let removed = self.remove(&key)?;
                Ok(Outcome::Removed(removed.map(|removed| vec![removed])))
            }
            OnSessions::RemoveUser { user } => {
                let keys = self.keys_of(&user)?;
                Ok(Outcome::Removed(Some(self.remove_all(keys)?)))
            }
            OnSessions::RemoveOthers { keep } => self.remove_others(&keep)?.map(Outcome::Removed),
            OnSessions::Touch { key, at } => Ok(Outcome::Touched(self.touch(&key, at)?)),
            OnSessions::Touches(touches) => Ok(Outcome::Wrote(self.touch_all(&touches)?)),
            OnSessions::RemoveExpired { keys, now, defaults } => {
                Ok(self.remove_expired(&keys, now, &defaults)?)
            }
        })
    }

    fn insert(&mut self, key: &SessionKey, record: &Record, limits: Limits) -> RedbResult<Insert> {
        if self.contains(key)? {
            return Ok(Insert::Occupied);
        }
        let Some(ending) = self.make_room(record, limits)? else {
            return Ok(Insert::UserFull);
        };
        if self.effects.stored.saturating_sub(ending.len() as u64) >= limits.max_sessions {
            return Ok(Insert::Full);
        }
        self.remove_all(ending)?;
        self.effects.stored += 1;
        self.put(key, Some(record.clone()))?;
        Ok(Insert::Done)
    }

    fn replace(
        &mut self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> RedbResult<Result<Replace>> {
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
        self.put(key, Some(in_place_of(&stored, record)))?;
        Ok(Ok(Replace::Done))
    }

    fn rekey(
        &mut self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> RedbResult<Result<Rekey>> {
        let stored = match self.load(old)? {
            None => return Ok(Ok(Rekey::Missing)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(stored)) => stored,
        };
        if stored.revision() != expected_revision {
            return Ok(Ok(Rekey::Conflict));
        }
        if self.contains(new)? {
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
        self.effects.stored += 1;
        self.put(new, Some(record))?;
        Ok(Ok(Rekey::Done))
    }

    /// Which of the user's sessions have to end before `record` is stored; `None` if it may not be.
    fn make_room(&self, record: &Record, limits: Limits) -> RedbResult<Option<Vec<SessionKey>>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Ok(Some(Vec::new()));
        };
        let mut others = Vec::new();
        for key in self.keys_of(&user)? {
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
    ) -> RedbResult<Option<Vec<SessionKey>>> {
        match stored.user() == record.user() {
            true => Ok(Some(Vec::new())),
            false => self.make_room(record, limits),
        }
    }

    pub(in crate::engine::redb) fn remove(
        &mut self,
        key: &SessionKey,
    ) -> RedbResult<Option<Removed>> {
        let pending = self.condemn(key);
        let Some(stored) = self.get(key)? else {
            self.effects.changed.insert(*key, None);
            return Ok(None);
        };
        self.effects.stored = self.effects.stored.saturating_sub(1);
        self.put(key, None)?;
        Ok(Some(match (stored, pending) {
            (Ok(record), Some(at)) => Removed::Record(record.touched(at)),
            (Ok(record), None) => Removed::Record(record),
            (Err(_), _) => Removed::Damaged,
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

    fn remove_all(&mut self, keys: Vec<SessionKey>) -> RedbResult<Vec<Removed>> {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            all.extend(self.remove(&key)?);
        }
        Ok(all)
    }

    fn remove_others(&mut self, keep: &SessionKey) -> RedbResult<Result<Option<Vec<Removed>>>> {
        let record = match self.get(keep)? {
            None => return Ok(Ok(None)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(record)) => record,
        };
        let Some(user) = record.user() else { return Ok(Ok(Some(Vec::new()))) };
        let mut keys = self.keys_of(&user)?;
        keys.retain(|key| key != keep);
        Ok(Ok(Some(self.remove_all(keys)?)))
    }

    /// The record under a key, with its pending touch.
    pub(in crate::engine::redb) fn load(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        // The touch first: once it is gone from the buffer, it is in the table.
        let pending = self.touches.pending(key);
        let record = self.get(key)?;
        Ok(record.map(|record| {
            record.map(|record| match pending {
                Some(at) => record.touched(at),
                None => record,
            })
        }))
    }

    fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        match self.effects.changed.get(key) {
            Some(changed) => Ok(changed.is_some()),
            None => self.ground.contains(key),
        }
    }

    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        match self.effects.changed.get(key) {
            Some(changed) => Ok(changed.clone().map(Ok)),
            None => self.ground.get(key),
        }
    }

    fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let changed = &self.effects.changed;
        let mut keys = self.ground.keys_of(user)?;
        keys.retain(|key| !changed.contains_key(key));
        let is_of_user = |record: &Record| record.user().as_ref() == Some(user);
        let theirs = changed.iter().filter(|(_, record)| record.as_ref().is_some_and(is_of_user));
        keys.extend(theirs.map(|(key, _)| *key));
        Ok(keys)
    }

    pub(in crate::engine::redb) fn put(
        &mut self,
        key: &SessionKey,
        record: Option<Record>,
    ) -> RedbResult<()> {
        self.ground.put(key, record.as_ref())?;
        self.effects.changed.insert(*key, record);
        self.effects.wrote = true;
        Ok(())
    }
}

/// A record as it is stored in place of another: an index entry that is early enough stays, which
/// spares the page it is on.
pub(in crate::engine::redb) fn in_place_of(old: &Record, new: Record) -> Record {
    let entry = old.index_deadline().min(new.index_deadline());
    new.indexed_under(entry)
}
