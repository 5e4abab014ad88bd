//! How each operation of a batch is carried out.
//!
//! Invariant: an operation checks its condition and makes its change on the same ground, which
//! nobody else changes meanwhile, so its neighbours in the batch see all of it or nothing. A
//! condition that does not hold is an outcome of that operation alone.

use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Rekey, Replace, Saved};
use crate::engine::redb::commit::effects::Effects;
pub(in crate::engine::redb) use crate::engine::redb::commit::ground::{AsRead, Ground};
use crate::engine::redb::commit::operation::{OnSessions, Outcome};
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::touches::TouchBuffer;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

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
            OnSessions::Insert { key, record, moment, limits } => {
                Ok(Outcome::Insert(self.insert(&key, &record, moment, limits)?))
            }
            OnSessions::Replace { key, expected_revision, record, moment, limits } => {
                let found = self.expect(&key, expected_revision, moment)?;
                match found {
                    Ok(Found::Live(stored)) => {
                        Ok(Outcome::Replace(self.replace(&key, stored, record, moment, limits)?))
                    }
                    Ok(Found::Missing) => Ok(Outcome::Replace(Replace::Missing)),
                    Ok(Found::Stale) => Ok(Outcome::Replace(Replace::Conflict)),
                    Err(error) => Err(error),
                }
            }
            OnSessions::Rekey { old, new, expected_revision, record, moment, limits } => {
                let found = self.expect(&old, expected_revision, moment)?;
                match found {
                    Ok(Found::Live(stored)) => Ok(Outcome::Rekey(self.rekey(
                        (&old, stored),
                        &new,
                        record,
                        moment,
                        limits,
                    )?)),
                    Ok(Found::Missing) => Ok(Outcome::Rekey(Rekey::Missing)),
                    Ok(Found::Stale) => Ok(Outcome::Rekey(Rekey::Conflict)),
                    Err(error) => Err(error),
                }
            }
            OnSessions::Extend { key, moment } => self.extend(&key, moment)?.map(Outcome::Extended),
            OnSessions::Remove { key, owner, moment } => {
                let theirs = self.is_owned_by(&key, owner.as_ref())?;
                Ok(Outcome::Ended(Some(self.end_all(theirs.then_some(key), moment)?)))
            }
            OnSessions::RemoveUser { user, moment } => {
                let keys = self.keys_of(&user)?;
                Ok(Outcome::Ended(Some(self.end_all(keys, moment)?)))
            }
            OnSessions::RemoveOthers { keep, moment } => {
                self.remove_others(&keep, moment)?.map(Outcome::Ended)
            }
            OnSessions::RenameUser { old, new, moment } => {
                Ok(Outcome::Renamed(self.rename_user(&old, &new, moment)?))
            }
            OnSessions::Touches(touches) => Ok(Outcome::Wrote(self.touch_all(&touches)?)),
            OnSessions::RemoveExpired { keys, moment } => Ok(self.remove_expired(&keys, moment)?),
        })
    }

    fn insert(
        &mut self,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Insert> {
        if self.contains(key)? {
            return Ok(Insert::Occupied);
        }
        let Some(ending) = self.make_room(record, moment, limits)? else {
            return Ok(Insert::UserFull);
        };
        if self.effects.stored.saturating_sub(ending.len() as u64) >= limits.max_sessions {
            return Ok(Insert::Full);
        }
        let ended = self.end_all(ending, moment)?;
        self.effects.stored += 1;
        self.put(key, Some(record.clone()))?;
        Ok(Insert::Done(ended))
    }

    /// The record that is to be changed, if it is live and nobody else has changed it.
    fn expect(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        moment: Moment,
    ) -> RedbResult<Result<Found>> {
        Ok(match self.load(key)? {
            None => Ok(Found::Missing),
            Some(Err(error)) => Err(error),
            Some(Ok(stored)) if stored.is_expired(moment) => Ok(Found::Missing),
            Some(Ok(stored)) if stored.revision() != expected_revision => Ok(Found::Stale),
            Some(Ok(stored)) => Ok(Found::Live(stored)),
        })
    }

    fn replace(
        &mut self,
        key: &SessionKey,
        stored: Record,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Replace> {
        let Some(ending) = self.make_room_after(&stored, &record, moment, limits)? else {
            return Ok(Replace::UserFull);
        };
        let ended = self.end_all(ending, moment)?;
        let record = record.touched(stored.last_active());
        let last_active = record.last_active();
        self.effects.touched.insert(*key, last_active);
        self.put(key, Some(in_place_of(&stored, record)))?;
        Ok(Replace::Done(Saved { last_active, ended }))
    }

    fn rekey(
        &mut self,
        (old, stored): (&SessionKey, Record),
        new: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Rekey> {
        if self.contains(new)? {
            return Ok(Rekey::Occupied);
        }
        let Some(ending) = self.make_room_after(&stored, &record, moment, limits)? else {
            return Ok(Rekey::UserFull);
        };
        let ended = self.end_all(ending, moment)?;
        let record = match self.remove(old)? {
            // With every touch up to this moment; a later one waits and finds the old id gone.
            Some(Ok(removed)) => record.touched(removed.last_active()),
            _ => record,
        };
        let last_active = record.last_active();
        self.effects.stored += 1;
        self.put(new, Some(record))?;
        Ok(Rekey::Done(Saved { last_active, ended }))
    }

    /// Which of the user's sessions have to end before `record` is stored; `None` if it may not be.
    fn make_room(
        &self,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Option<Vec<SessionKey>>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Ok(Some(Vec::new()));
        };
        let mut others = Vec::new();
        for key in self.keys_of(&user)? {
            if let Some(Ok(other)) = self.load(&key)? {
                others.push((key, other));
            }
        }
        Ok(per_user.make_room(others, moment))
    }

    /// The same for a record in place of another: one that stays with its user needs no room.
    fn make_room_after(
        &self,
        stored: &Record,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Option<Vec<SessionKey>>> {
        match stored.user() == record.user() {
            true => Ok(Some(Vec::new())),
            false => self.make_room(record, moment, limits),
        }
    }

    fn rename_user(&mut self, old: &UserKey, new: &UserKey, moment: Moment) -> RedbResult<u64> {
        let mut renamed = 0;
        for key in self.keys_of(old)? {
            let Some(Ok(stored)) = self.load(&key)? else { continue };
            renamed += u64::from(!stored.is_expired(moment));
            self.effects.touched.insert(key, stored.last_active());
            self.put(&key, Some(stored.renamed(new)))?;
        }
        Ok(renamed)
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

    pub(super) fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
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

/// What a change finds under the key that it is for.
enum Found {
    Live(Record),
    Missing,
    /// It has another revision than the change was made from.
    Stale,
}

/// A record as it is stored in place of another: an index entry that is early enough stays, which
/// spares the page it is on.
pub(in crate::engine::redb) fn in_place_of(old: &Record, new: Record) -> Record {
    let entry = old.index_deadline().min(new.index_deadline());
    new.indexed_under(entry)
}
