//! Decides each question of a group on the state that readers see.
//!
//! Invariant: a question's condition is checked and its change made in one step. No other question
//! comes in between, so the others of its group see the whole change or nothing. If the condition
//! does not hold, only that question's answer says so. Nothing is written here. What waiting calls
//! have announced may not happen: it decides who is live, and is in no record that is written.

use crate::engine::limits::Limits;
use crate::engine::outcome;
use crate::engine::outcome::Saved;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::question::{Ask, Insert, Rekey, RenameUser, Replace, SMALL};
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::activity::Activity;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

/// A group being decided: the state that was committed before it, and its changes so far.
pub(in crate::engine::redb) struct Decider<'v, 'e> {
    pub(in crate::engine::redb) view: &'v View,
    pub(in crate::engine::redb) effects: &'e mut Effects<'v>,
}

impl Ask for Insert {
    type Answer = outcome::Insert;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<outcome::Insert>> {
        if decider.contains(&self.key)? {
            return Ok(Ok(outcome::Insert::Occupied));
        }
        let Some(ending) = decider.make_room(&self.record, self.moment, self.limits)? else {
            return Ok(Ok(outcome::Insert::UserFull));
        };
        let left = decider.effects.stored.saturating_sub(ending.len() as u64);
        if left >= self.limits.max_sessions {
            return Ok(Ok(outcome::Insert::Full));
        }
        let ended = decider.end_all(ending, self.moment)?;
        decider.effects.stored += 1;
        decider.effects.change(self.key, Some(self.record.clone()));
        Ok(Ok(outcome::Insert::Done(ended)))
    }

    fn weight(&self) -> usize {
        SMALL + self.record.content().len()
    }
}

impl Ask for Replace {
    type Answer = outcome::Replace;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<outcome::Replace>> {
        let stored = match decider.expect(&self.key, self.expected_revision, self.moment)? {
            Ok(Found::Live(stored)) => stored,
            Ok(Found::Missing) => return Ok(Ok(outcome::Replace::Missing)),
            Ok(Found::Stale) => return Ok(Ok(outcome::Replace::Conflict)),
            Err(error) => return Ok(Err(error)),
        };
        let room = decider.make_room_after(&stored, &self.record, self.moment, self.limits)?;
        let Some(ending) = room else { return Ok(Ok(outcome::Replace::UserFull)) };
        let ended = decider.end_all(ending, self.moment)?;
        let record = self.record.clone().touched(stored.last_active());
        let last_active = record.last_active();
        decider.effects.touched.insert(self.key, last_active);
        decider.effects.change(self.key, Some(in_place_of(&stored, record)));
        Ok(Ok(outcome::Replace::Done(Saved { last_active, ended })))
    }

    fn weight(&self) -> usize {
        SMALL + self.record.content().len()
    }
}

impl Ask for Rekey {
    type Answer = outcome::Rekey;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<outcome::Rekey>> {
        let stored = match decider.expect(&self.old, self.expected_revision, self.moment)? {
            Ok(Found::Live(stored)) => stored,
            Ok(Found::Missing) => return Ok(Ok(outcome::Rekey::Missing)),
            Ok(Found::Stale) => return Ok(Ok(outcome::Rekey::Conflict)),
            Err(error) => return Ok(Err(error)),
        };
        if decider.contains(&self.new)? {
            return Ok(Ok(outcome::Rekey::Occupied));
        }
        let room = decider.make_room_after(&stored, &self.record, self.moment, self.limits)?;
        let Some(ending) = room else { return Ok(Ok(outcome::Rekey::UserFull)) };
        let ended = decider.end_all(ending, self.moment)?;
        let record = match decider.remove(&self.old, self.moment)? {
            // The new record gets every touch so far. A later touch waits, and then finds the old
            // id gone.
            Some(Ok(removed)) => self.record.clone().touched(removed.decided.last_active()),
            _ => self.record.clone(),
        };
        let last_active = record.last_active();
        decider.effects.stored += 1;
        decider.effects.change(self.new, Some(record));
        Ok(Ok(outcome::Rekey::Done(Saved { last_active, ended })))
    }

    fn weight(&self) -> usize {
        SMALL + self.record.content().len()
    }
}

impl Ask for RenameUser {
    /// The number of live sessions whose user changed.
    type Answer = u64;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<u64>> {
        let mut renamed = 0;
        for key in decider.keys_of(&self.old)? {
            let Some(Ok(loaded)) = decider.load(&key, self.moment)? else { continue };
            let Loaded { decided, seen } = loaded;
            if !decided.is_of(&self.old) {
                continue;
            }
            renamed += u64::from(!seen.is_expired(self.moment));
            decider.effects.touched.insert(key, decided.last_active());
            decider.effects.change(key, Some(decided.renamed(&self.new)));
        }
        Ok(Ok(renamed))
    }
}

impl Decider<'_, '_> {
    /// The record to change, if it is live and has the expected revision.
    fn expect(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        moment: Moment,
    ) -> RedbResult<Result<Found>> {
        Ok(match self.load(key, moment)? {
            None => Ok(Found::Missing),
            Some(Err(error)) => Err(error),
            Some(Ok(Loaded { seen, .. })) if seen.is_expired(moment) => Ok(Found::Missing),
            Some(Ok(Loaded { decided, .. })) if decided.revision() != expected_revision => {
                Ok(Found::Stale)
            }
            Some(Ok(Loaded { decided, .. })) => Ok(Found::Live(decided)),
        })
    }

    /// The user's sessions to end before `record` is stored; `None` if it may not be stored. Once
    /// one must end, all of them take no touch until the group is over: an extension that is
    /// answered after the choice would change it.
    fn make_room(
        &mut self,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> RedbResult<Option<Vec<SessionKey>>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Ok(Some(Vec::new()));
        };
        let others = self.sessions_of(&user, moment)?;
        let keys: Vec<_> = others.iter().map(|(key, _)| *key).collect();
        let ending = per_user.make_room(others, moment);
        if ending.as_ref().is_none_or(Vec::is_empty) {
            return Ok(ending);
        }
        for key in &keys {
            self.condemn(key);
        }
        Ok(per_user.make_room(self.sessions_of(&user, moment)?, moment))
    }

    /// The sound records of a user, as callers see them.
    fn sessions_of(&self, user: &UserKey, moment: Moment) -> RedbResult<Vec<(SessionKey, Record)>> {
        let mut theirs = Vec::new();
        for key in self.keys_of(user)? {
            if let Some(Ok(Loaded { seen, .. })) = self.load(&key, moment)?
                && seen.is_of(user)
            {
                theirs.push((key, seen));
            }
        }
        Ok(theirs)
    }

    /// As [`make_room`](Self::make_room), for a record that replaces another. A session that stays
    /// with its user needs no room.
    fn make_room_after(
        &mut self,
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

    /// The record under a key with its touch, and as callers see it.
    pub(super) fn load(
        &self,
        key: &SessionKey,
        moment: Moment,
    ) -> RedbResult<Option<Result<Loaded>>> {
        // Activity is read before the record: a touch that has left the buffer is in the record.
        let activity = self.view.touches.activity(key);
        Ok(self.get(key)?.map(|stored| {
            let mut loaded = Loaded::stored(stored?);
            loaded.touch(&activity, moment);
            Ok(loaded)
        }))
    }

    /// The record under a key with its touch, as it may be written.
    pub(super) fn load_decided(&self, key: &SessionKey) -> RedbResult<Option<Result<Record>>> {
        let activity = self.view.touches.activity(key);
        let mut record = self.get(key)?;
        if let Some(Ok(record)) = &mut record {
            activity.touch_decided(record);
        }
        Ok(record)
    }

    fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        match self.effects.changed.get(key) {
            Some(changed) => Ok(changed.is_some()),
            None => self.view.contains(key),
        }
    }

    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        match self.effects.changed.get(key) {
            Some(changed) => Ok(changed.clone().map(Ok)),
            None => self.view.get(key),
        }
    }

    /// The keys of a user's records. A damaged record is its user's in the index; a sound one of
    /// another user is left out, though a stray entry of the index names it.
    pub(super) fn records_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let mut theirs = Vec::new();
        for key in self.keys_of(user)? {
            if !matches!(self.get(&key)?, Some(Ok(record)) if !record.is_of(user)) {
                theirs.push(key);
            }
        }
        Ok(theirs)
    }

    /// The keys that the index has for a user.
    pub(super) fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let changed = &self.effects.changed;
        let mut keys = self.view.keys_of(user)?;
        keys.retain(|key| !changed.contains_key(key));
        let is_theirs = |record: &Record| record.is_of(user);
        let theirs = changed.iter().filter(|(_, record)| record.as_ref().is_some_and(is_theirs));
        keys.extend(theirs.map(|(key, _)| *key));
        Ok(keys)
    }
}

/// A record with its touch, in two forms.
pub(super) struct Loaded {
    /// As it may be written: with what was decided.
    pub(super) decided: Record,
    /// As callers see it: with what waiting calls have announced, too. It is only judged.
    pub(super) seen: Record,
}

impl Loaded {
    pub(super) fn stored(record: Record) -> Self {
        Self { decided: record.clone(), seen: record }
    }

    pub(super) fn touch(&mut self, activity: &Activity, moment: Moment) {
        activity.touch_decided(&mut self.decided);
        activity.touch(&mut self.seen, || moment);
    }
}

/// The state of the key that a change is for.
enum Found {
    Live(Record),
    Missing,
    /// The record's revision is not the expected one.
    Stale,
}

/// The form in which a record replaces another. An index entry that is early enough stays, so its
/// page is not written.
pub(in crate::engine::redb) fn in_place_of(old: &Record, new: Record) -> Record {
    let entry = old.index_deadline().min(new.index_deadline());
    new.indexed_under(entry)
}
