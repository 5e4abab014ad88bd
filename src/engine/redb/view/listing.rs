//! All sessions as of one moment: a snapshot, and the changes since.
//!
//! Invariant: a listing only reads. If it had to write, it would take longer and fail on a full
//! disk. It waits for no commit. A listing of a user copies that user's changes alone.

use std::sync::Arc;

use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::Changes;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;

pub(in crate::engine::redb) struct Listing {
    snapshot: Arc<Snapshot>,
    changes: Changes,
    /// The number of records.
    stored: u64,
    /// How often readers had been shown a change by then.
    shown: u64,
}

impl Listing {
    pub(in crate::engine::redb) const fn new(
        snapshot: Arc<Snapshot>,
        changes: Changes,
        stored: u64,
        shown: u64,
    ) -> Self {
        Self { snapshot, changes, stored, shown }
    }

    pub(in crate::engine::redb) const fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether both listings show the same sessions, because readers were shown no change in
    /// between.
    pub(in crate::engine::redb) const fn is_of_one_moment_with(&self, other: &Self) -> bool {
        self.shown == other.shown
    }

    pub(in crate::engine::redb) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The changes since the snapshot.
    pub(in crate::engine::redb) const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The number of the listing's snapshot.
    pub(in crate::engine::redb) fn commit(&self) -> u64 {
        self.snapshot.commit()
    }

    /// The record under a key; the inner error is one damaged record.
    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone().map(Ok)),
            None => self.snapshot.get(key),
        }
    }

    pub(in crate::engine::redb) fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let mut keys = self.snapshot.keys_of(user)?;
        keys.retain(|key| !self.changes.contains_key(key));
        keys.extend(self.changed(|record| record.user().as_ref() == Some(user)));
        keys.sort_unstable();
        Ok(keys)
    }

    /// The keys of all sessions whose index deadline has passed; some of the sessions may be live.
    pub(in crate::engine::redb) fn passed(
        &self,
        now: Timestamp,
    ) -> RedbResult<impl Iterator<Item = RedbResult<SessionKey>>> {
        let changed = self.changed(move |record| record.index_deadline() <= now);
        let unchanged = self.snapshot.passed(None, now)?.map(|entry| Ok(entry?.1));
        let unchanged = unchanged.filter(|key| match key {
            Ok(key) => !self.changes.contains_key(key),
            Err(_) => true,
        });
        Ok(unchanged.chain(changed.map(Ok)))
    }

    /// Every record after a key, in key order.
    pub(in crate::engine::redb) fn records_after(
        &self,
        after: Option<&SessionKey>,
    ) -> RedbResult<impl Iterator<Item = RedbResult<(SessionKey, Result<Record>)>>> {
        let mut changed: Vec<_> = self.changed(|_| true).collect();
        changed.retain(|key| after.is_none_or(|after| key > after));
        changed.sort_unstable_by(|one, other| other.cmp(one));
        let mut unchanged = self
            .snapshot
            .records_after(after.copied())?
            .filter(|entry| match entry {
                Ok((key, _)) => !self.changes.contains_key(key),
                Err(_) => true,
            })
            .peekable();
        Ok(std::iter::from_fn(move || {
            let next = match unchanged.peek() {
                // The smaller key comes first; an error comes before any key.
                Some(Ok((key, _))) => changed.pop_if(|changed| *changed < *key),
                Some(Err(_)) => None,
                None => changed.pop(),
            };
            let record = next.and_then(|key| Some((key, self.changes.get(&key)?.clone()?)));
            match record {
                Some((key, record)) => Some(Ok((key, Ok(record)))),
                None => unchanged.next(),
            }
        }))
    }

    /// The user and key of every record whose user comes after this one, in the order of the users.
    pub(in crate::engine::redb) fn users_after(
        &self,
        after: Option<&UserKey>,
    ) -> RedbResult<impl Iterator<Item = RedbResult<(UserKey, SessionKey)>>> {
        let there = self.changes.iter().filter_map(|(key, record)| Some((key, record.as_ref()?)));
        let changed = there.filter_map(|(key, record)| Some((record.user()?, *key)));
        let mut changed: Vec<_> =
            changed.filter(|(user, _)| after.is_none_or(|after| user > after)).collect();
        changed.sort_unstable_by(|one, other| other.cmp(one));
        let unchanged = self.snapshot.users_after(after)?.filter(|entry| match entry {
            Ok((_, key)) => !self.changes.contains_key(key),
            Err(_) => true,
        });
        let mut unchanged = unchanged.peekable();
        Ok(std::iter::from_fn(move || {
            let next = match unchanged.peek() {
                Some(Ok(entry)) => changed.pop_if(|changed| *changed < *entry),
                Some(Err(_)) => None,
                None => changed.pop(),
            };
            next.map(Ok).or_else(|| unchanged.next())
        }))
    }

    /// The keys of changed, existing records that are `wanted`.
    fn changed(&self, wanted: impl Fn(&Record) -> bool) -> impl Iterator<Item = SessionKey> {
        let there = self.changes.iter().filter_map(|(key, record)| Some((key, record.as_ref()?)));
        there.filter(move |(_, record)| wanted(record)).map(|(key, _)| *key)
    }
}
