//! The maps of the memory engine, and the changes that keep them consistent.
//!
//! Invariant: `expiry` and `users` hold exactly one entry for each record that should have one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::engine::limits::Limits;
use crate::engine::outcome::Ended;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The records that one step of a reindexing examines.
const REINDEXED: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Shared with scans in progress; a change meanwhile copies the map.
    pub(super) sessions: Arc<BTreeMap<SessionKey, Record>>,
    pub(super) expiry: BTreeSet<(Timestamp, SessionKey)>,
    pub(super) users: BTreeSet<(UserKey, SessionKey)>,
    pub(super) meta: BTreeMap<String, Vec<u8>>,
}

impl Tables {
    pub(super) fn live(&self, key: &SessionKey, moment: Moment) -> Option<&Record> {
        self.sessions.get(key).filter(|record| !record.is_expired(moment))
    }

    pub(super) fn is_expired(&self, key: &SessionKey, moment: Moment) -> bool {
        self.sessions.get(key).is_some_and(|record| record.is_expired(moment))
    }

    pub(super) fn sessions_mut(&mut self) -> &mut BTreeMap<SessionKey, Record> {
        Arc::make_mut(&mut self.sessions)
    }

    pub(super) fn put(&mut self, key: SessionKey, record: Record) {
        self.take(&key);
        self.expiry.insert((record.index_deadline(), key));
        if let Some(user) = record.user() {
            self.users.insert((user, key));
        }
        self.sessions_mut().insert(key, record);
    }

    pub(super) fn take(&mut self, key: &SessionKey) -> Option<Record> {
        let record = self.sessions_mut().remove(key)?;
        self.expiry.remove(&(record.index_deadline(), *key));
        if let Some(user) = record.user() {
            self.users.remove(&(user, *key));
        }
        Some(record)
    }

    /// Removes records, and returns their sessions.
    pub(super) fn take_all(
        &mut self,
        keys: impl IntoIterator<Item = SessionKey>,
        moment: Moment,
    ) -> Vec<Ended> {
        let taken = keys.into_iter().filter_map(|key| Some((key, self.take(&key)?)));
        taken.map(|(key, record)| Ended::of(&key, &record, moment)).collect()
    }

    pub(super) fn keys_of(&self, user: &UserKey) -> Vec<SessionKey> {
        let first = (user.clone(), SessionKey::from_bytes([0; 16]));
        let of_user = self.users.range(first..).take_while(|(owner, _)| owner == user);
        of_user.map(|(_, key)| *key).collect()
    }

    /// Returns the user's sessions that must end before `record` is stored; `None` if `record` is
    /// refused.
    pub(super) fn make_room(
        &self,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Option<Vec<SessionKey>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Some(Vec::new());
        };
        let keys = self.keys_of(&user).into_iter();
        let others = keys.filter_map(|key| Some((key, self.sessions.get(&key)?.clone())));
        per_user.make_room(others, moment)
    }

    /// As [`make_room`](Self::make_room), for a record that replaces another: a record that stays
    /// with its user needs no room.
    pub(super) fn make_room_after(
        &self,
        stored: &Record,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Option<Vec<SessionKey>> {
        match stored.user() == record.user() {
            true => Some(Vec::new()),
            false => self.make_room(record, moment, limits),
        }
    }

    /// Moves the late index entries of the next records after a key. Returns the last of them, if
    /// more may follow.
    pub(super) fn reindex(
        &mut self,
        after: Option<&SessionKey>,
        timeouts: &Timeouts,
    ) -> Option<SessionKey> {
        let start = after.map_or(Unbounded, Excluded);
        let records = self.sessions.range((start, Unbounded)).take(REINDEXED);
        let keys: Vec<_> = records.map(|(key, _)| *key).collect();
        for key in &keys {
            let Some(record) = self.sessions.get(key) else { continue };
            let deadline = record.deadline(timeouts);
            if deadline < record.index_deadline() {
                self.put(*key, record.clone().indexed_under(deadline));
            }
        }
        keys.last().copied().filter(|_| keys.len() == REINDEXED)
    }

    pub(super) fn passed(&self, now: Timestamp) -> impl Iterator<Item = &SessionKey> {
        self.expiry.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }
}
