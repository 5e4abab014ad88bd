//! The reference engine: maps in memory under one lock, in the simplest correct way.
//!
//! Invariant: `expiry` and `users` hold exactly one entry for each record that should have one.
//! Other engines are right where they behave like this one.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;

use crate::engine::check::{Checked, Finding, Inspect, Problem};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// Keeps sessions in memory: for tests, and for programs whose sessions may end with the process.
///
/// Nothing is durable. Memory is bounded by `max_sessions` times the size of a session.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// assert!(store.is_empty()?);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryEngine {
    /// `None` once closed.
    tables: RwLock<Option<Tables>>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Default)]
struct Tables {
    sessions: BTreeMap<SessionKey, Record>,
    expiry: BTreeSet<(Timestamp, SessionKey)>,
    users: BTreeSet<(UserKey, SessionKey)>,
    meta: BTreeMap<String, Vec<u8>>,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self { tables: RwLock::new(Some(Tables::default())) }
    }

    fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> Result<T> {
        self.tables.read().as_ref().map(look).ok_or(Error::Closed)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> Result<T> {
        self.tables.write().as_mut().map(change).ok_or(Error::Closed)
    }
}

impl Tables {
    fn put(&mut self, key: SessionKey, record: Record) {
        self.take(&key);
        self.expiry.insert((record.index_deadline(), key));
        if let Some(user) = record.user() {
            self.users.insert((user, key));
        }
        self.sessions.insert(key, record);
    }

    fn take(&mut self, key: &SessionKey) -> Option<Record> {
        let record = self.sessions.remove(key)?;
        self.expiry.remove(&(record.index_deadline(), *key));
        if let Some(user) = record.user() {
            self.users.remove(&(user, *key));
        }
        Some(record)
    }

    fn keys_of(&self, user: &UserKey) -> Vec<SessionKey> {
        let first = (user.clone(), SessionKey::from_bytes([0; 16]));
        let of_user = self.users.range(first..).take_while(|(owner, _)| owner == user);
        of_user.map(|(_, key)| *key).collect()
    }

    fn take_all(&mut self, keys: impl IntoIterator<Item = SessionKey>) -> Vec<Removed> {
        keys.into_iter().filter_map(|key| self.take(&key)).map(Removed::Record).collect()
    }

    /// Which of the user's sessions have to end before `record` is stored; `None` if it may not be.
    fn make_room(&self, record: &Record, limits: Limits) -> Option<Vec<SessionKey>> {
        let (Some(per_user), Some(user)) = (limits.per_user, record.user()) else {
            return Some(Vec::new());
        };
        let keys = self.keys_of(&user).into_iter();
        per_user.make_room(keys.filter_map(|key| Some((key, self.sessions.get(&key)?.clone()))))
    }

    /// The same for a record in place of another: one that stays with its user needs no room.
    fn make_room_after(
        &self,
        stored: &Record,
        record: &Record,
        limits: Limits,
    ) -> Option<Vec<SessionKey>> {
        match stored.user() == record.user() {
            true => Some(Vec::new()),
            false => self.make_room(record, limits),
        }
    }

    fn passed(&self, now: Timestamp) -> impl Iterator<Item = &SessionKey> {
        self.expiry.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }
}

impl Engine for MemoryEngine {
    fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
        self.write(|tables| {
            if tables.sessions.contains_key(key) {
                return Insert::Occupied;
            }
            let Some(ending) = tables.make_room(&record, limits) else { return Insert::UserFull };
            if (tables.sessions.len() - ending.len()) as u64 >= limits.max_sessions {
                return Insert::Full;
            }
            tables.take_all(ending);
            tables.put(*key, record);
            Insert::Done
        })
    }

    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.read(|tables| tables.sessions.get(key).cloned())
    }

    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Replace> {
        self.write(|tables| match tables.sessions.get(key) {
            None => Replace::Missing,
            Some(stored) if stored.revision() != expected_revision => Replace::Conflict,
            Some(stored) => {
                let last_active = stored.last_active();
                let Some(ending) = tables.make_room_after(stored, &record, limits) else {
                    return Replace::UserFull;
                };
                tables.take_all(ending);
                tables.put(*key, record.touched(last_active));
                Replace::Done
            }
        })
    }

    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Rekey> {
        self.write(|tables| match tables.sessions.get(old) {
            None => Rekey::Missing,
            Some(stored) if stored.revision() != expected_revision => Rekey::Conflict,
            Some(_) if tables.sessions.contains_key(new) => Rekey::Occupied,
            Some(stored) => {
                let last_active = stored.last_active();
                let Some(ending) = tables.make_room_after(stored, &record, limits) else {
                    return Rekey::UserFull;
                };
                tables.take_all(ending);
                tables.take(old);
                tables.put(*new, record.touched(last_active));
                Rekey::Done
            }
        })
    }

    fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> {
        self.write(|tables| match tables.sessions.get_mut(key) {
            None => false,
            Some(record) => {
                *record = record.clone().touched(at);
                true
            }
        })
    }

    fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> {
        self.write(|tables| tables.take(key).map(Removed::Record))
    }

    fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> {
        self.write(|tables| {
            let keys = tables.keys_of(user);
            tables.take_all(keys)
        })
    }

    fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> {
        self.write(|tables| {
            let user = tables.sessions.get(keep)?.user();
            let keys = user.map(|user| tables.keys_of(&user)).unwrap_or_default();
            Some(tables.take_all(keys.into_iter().filter(|key| key != keep)))
        })
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        let records: Vec<_> = self.read(|tables| {
            let keys = tables.keys_of(user).into_iter();
            keys.filter_map(|key| Some((key, tables.sessions.get(&key)?.clone()))).collect()
        })?;
        records.into_iter().try_for_each(|(key, record)| visit(key, Ok(record)))
    }

    fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> {
        let records = self.read(|tables| tables.sessions.clone())?;
        records.into_iter().try_for_each(|(key, record)| visit(key, Ok(record)))
    }

    fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep> {
        self.write(|tables| {
            let keys: Vec<_> = tables.passed(now).take(limit).copied().collect();
            let mut sweep = Sweep { removed: 0, more: keys.len() == limit, busy: false };
            for key in keys {
                let Some(record) = tables.take(&key) else { continue };
                if record.is_expired(now, defaults) {
                    sweep.removed += 1;
                } else {
                    let deadline = record.deadline(defaults);
                    tables.put(key, record.indexed_under(deadline));
                }
            }
            sweep
        })
    }

    fn reindex(&self, defaults: &Timeouts) -> Result<()> {
        self.write(|tables| {
            for (key, record) in tables.sessions.clone() {
                let deadline = record.deadline(defaults);
                if deadline < record.index_deadline() {
                    tables.put(key, record.indexed_under(deadline));
                }
            }
        })
    }

    fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> {
        self.read(|tables| {
            let expired = |key: &&SessionKey| match tables.sessions.get(key) {
                Some(record) => record.is_expired(now, defaults),
                None => false,
            };
            (tables.sessions.len() - tables.passed(now).filter(expired).count()) as u64
        })
    }

    fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        let (sessions, expiry, users) = self.read(|tables| {
            (tables.sessions.clone(), tables.expiry.clone(), tables.users.clone())
        })?;
        let mut problem = |problem| inspect(Finding::Problem(problem));
        for (deadline, key) in &expiry {
            if sessions.get(key).is_none_or(|record| record.index_deadline() != *deadline) {
                problem(Problem::StrayInExpiry { key: *key, deadline: *deadline })?;
            }
        }
        for (user, key) in &users {
            if sessions.get(key).is_none_or(|record| record.user().as_ref() != Some(user)) {
                problem(Problem::StrayInUsers { key: *key, user: user.to_id() })?;
            }
        }
        for (key, record) in &sessions {
            let deadline = record.index_deadline();
            if !expiry.contains(&(deadline, *key)) {
                problem(Problem::NotInExpiry { key: *key, deadline })?;
            }
            if let Some(late) = Problem::of_deadline(*key, record, defaults) {
                problem(late)?;
            }
            if let (Some(user), Some(id)) = (record.user(), record.user_id())
                && !users.contains(&(user, *key))
            {
                problem(Problem::NotInUsers { key: *key, user: id })?;
            }
        }
        let checked =
            Checked { expiry_entries: expiry.len() as u64, user_entries: users.len() as u64 };
        sessions.into_iter().try_for_each(|(key, record)| inspect(Finding::Record(key, record)))?;
        Ok(checked)
    }

    fn clear(&self) -> Result<()> {
        self.write(|tables| {
            let meta = std::mem::take(&mut tables.meta);
            *tables = Tables { meta, ..Tables::default() };
        })
    }

    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read(|tables| tables.meta.get(name).cloned())
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.write(|tables| {
            tables.meta.insert(name.into(), value.into());
        })
    }

    fn flush(&self) -> Result<()> {
        self.read(|_| ())
    }

    fn close(&self) -> Result<()> {
        self.tables.write().take();
        Ok(())
    }

    fn stats(&self) -> Result<EngineStats> {
        self.read(|tables| EngineStats {
            stored: tables.sessions.len() as u64,
            ..EngineStats::default()
        })
    }
}

#[cfg(test)]
mod tests;
