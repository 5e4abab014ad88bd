//! The reference engine: maps in memory under one lock, in the simplest correct way.
//!
//! Invariant: each call but `reindex` is one step under the lock, and no lock is held while a
//! closure runs. Other engines are correct if they behave like this one.

mod tables;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::engine::attachment::{Attachment, Attachments};
use crate::engine::check::{Checked, Finding, Inspect, Problem};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::memory::tables::Tables;
use crate::engine::outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Saved, Sweep, Visit, VisitUser,
};
use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// Stores sessions in memory: for tests, and for programs whose sessions may end with the process.
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
    attachments: Attachments,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self { tables: RwLock::new(Some(Tables::default())), attachments: Attachments::new() }
    }

    fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> Result<T> {
        self.tables.read().as_ref().map(look).ok_or(Error::Closed)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> Result<T> {
        self.tables.write().as_mut().map(change).ok_or(Error::Closed)
    }
}

impl Engine for MemoryEngine {
    fn insert(
        &self,
        key: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Insert> {
        self.write(|tables| {
            if tables.sessions.contains_key(key) {
                return Insert::Occupied;
            }
            let Some(ending) = tables.make_room(&record, moment, limits) else {
                return Insert::UserFull;
            };
            if (tables.sessions.len() - ending.len()) as u64 >= limits.max_sessions {
                return Insert::Full;
            }
            let ended = tables.take_all(ending, moment);
            tables.put(*key, record);
            Insert::Done(ended)
        })
    }

    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
        self.read(|tables| tables.live(key, moment).cloned())
    }

    fn extend(
        &self,
        key: &SessionKey,
        moment: Moment,
        _resolution: Duration,
    ) -> Result<Option<Record>> {
        self.write(|tables| {
            let touched = tables.live(key, moment)?.clone().touched(moment.now);
            tables.sessions_mut().insert(*key, touched.clone());
            Some(touched)
        })
    }

    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Replace> {
        self.write(|tables| {
            let Some(stored) = tables.live(key, moment) else { return Replace::Missing };
            if stored.revision() != expected_revision {
                return Replace::Conflict;
            }
            let record = record.touched(stored.last_active());
            let Some(ending) = tables.make_room_after(stored, &record, moment, limits) else {
                return Replace::UserFull;
            };
            let last_active = record.last_active();
            let ended = tables.take_all(ending, moment);
            tables.put(*key, record);
            Replace::Done(Saved { last_active, ended })
        })
    }

    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Rekey> {
        self.write(|tables| {
            let Some(stored) = tables.live(old, moment) else { return Rekey::Missing };
            if stored.revision() != expected_revision {
                return Rekey::Conflict;
            }
            if tables.sessions.contains_key(new) {
                return Rekey::Occupied;
            }
            let record = record.touched(stored.last_active());
            let Some(ending) = tables.make_room_after(stored, &record, moment, limits) else {
                return Rekey::UserFull;
            };
            let last_active = record.last_active();
            let ended = tables.take_all(ending, moment);
            tables.take(old);
            tables.put(*new, record);
            Rekey::Done(Saved { last_active, ended })
        })
    }

    fn remove(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Result<Option<Ended>> {
        self.write(|tables| {
            let stored = tables.sessions.get(key)?;
            if owner.is_some() && stored.user().as_ref() != owner {
                return None;
            }
            tables.take_all([*key], moment).pop()
        })
    }

    fn remove_user(&self, user: &UserKey, moment: Moment) -> Result<Vec<Ended>> {
        self.write(|tables| {
            let keys = tables.keys_of(user);
            tables.take_all(keys, moment)
        })
    }

    fn remove_others(&self, keep: &SessionKey, moment: Moment) -> Result<Option<Vec<Ended>>> {
        self.write(|tables| {
            let user = tables.live(keep, moment)?.user();
            let keys = user.map(|user| tables.keys_of(&user)).unwrap_or_default();
            Some(tables.take_all(keys.into_iter().filter(|key| key != keep), moment))
        })
    }

    fn rename_user(&self, old: &UserKey, new: &UserKey, moment: Moment) -> Result<u64> {
        self.write(|tables| {
            let mut renamed = 0;
            for key in tables.keys_of(old) {
                let Some(record) = tables.take(&key) else { continue };
                renamed += u64::from(!record.is_expired(moment));
                tables.put(key, record.renamed(new));
            }
            renamed
        })
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        let records: Vec<_> = self.read(|tables| {
            let keys = tables.keys_of(user).into_iter();
            keys.filter_map(|key| Some((key, tables.sessions.get(&key)?.clone()))).collect()
        })?;
        show_all(records, |(key, record)| visit(key, Ok(record)))
    }

    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> Result<()> {
        let sessions = self.read(|tables| Arc::clone(&tables.sessions))?;
        let records = sessions.range((after.map_or(Unbounded, Excluded), Unbounded));
        show_all(records, |(key, record)| visit(*key, Ok(record.clone())))
    }

    fn scan_users(
        &self,
        after: Option<&UserKey>,
        moment: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()> {
        let users = self.read(|tables| {
            let mut users = BTreeMap::<_, u64>::new();
            for (user, key) in &tables.users {
                if tables.live(key, moment).is_some() && after.is_none_or(|after| user > after) {
                    *users.entry(user.clone()).or_default() += 1;
                }
            }
            users
        })?;
        show_all(users, |(user, sessions)| visit(user, sessions))
    }

    fn listing(&self) -> Listing {
        Listing::Snapshot
    }

    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        self.write(|tables| {
            let keys: Vec<_> = tables.passed(moment.now).take(limit).copied().collect();
            let more = keys.len() == limit;
            let mut sweep = Sweep { removed: Vec::new(), more, busy: false };
            for key in keys {
                let Some(record) = tables.take(&key) else { continue };
                if record.is_expired(moment) {
                    sweep.removed.push(Ended::of(&key, &record, moment));
                } else {
                    let deadline = record.deadline(&moment.timeouts);
                    tables.put(key, record.indexed_under(deadline));
                }
            }
            sweep
        })
    }

    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut after = None;
        loop {
            after = self.write(|tables| tables.reindex(after.as_ref(), timeouts))?;
            match after {
                None => return Ok(true),
                Some(_) if !goes_on() => return Ok(false),
                Some(_) => {}
            }
        }
    }

    fn count(&self, moment: Moment) -> Result<u64> {
        self.read(|tables| {
            let passed = tables.passed(moment.now);
            let expired = passed.filter(|key| tables.is_expired(key, moment)).count();
            (tables.sessions.len() - expired) as u64
        })
    }

    fn check(&self, timeouts: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        let (sessions, expiry, users) = self.read(|tables| {
            (Arc::clone(&tables.sessions), tables.expiry.clone(), tables.users.clone())
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
        for (key, record) in &*sessions {
            let deadline = record.index_deadline();
            if !expiry.contains(&(deadline, *key)) {
                problem(Problem::NotInExpiry { key: *key, deadline })?;
            }
            if let Some(late) = Problem::of_deadline(*key, record, timeouts) {
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
        sessions
            .iter()
            .try_for_each(|(key, record)| inspect(Finding::Record(*key, record.clone())))?;
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

    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        self.write(|tables| tables.meta.entry(name.into()).or_insert_with(|| value.into()).clone())
    }

    fn server_time(&self) -> Result<Option<Timestamp>> {
        self.read(|_| None)
    }

    fn attach(&self, timeouts: Timeouts) -> Result<Attachment> {
        self.read(|_| ())?;
        self.attachments.attach(timeouts)
    }

    fn flush(&self) -> Result<()> {
        self.read(|_| ())
    }

    fn flush_interval(&self) -> Option<Duration> {
        None
    }

    fn late_by(&self) -> Duration {
        Duration::ZERO
    }

    fn set_waker(&self, waker: Waker) {
        drop(waker);
    }

    fn run_background_work(&self) -> Result<()> {
        Ok(())
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

/// Shows items, without a lock, until `show` ends the listing.
fn show_all<T>(
    items: impl IntoIterator<Item = T>,
    mut show: impl FnMut(T) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for item in items {
        if show(item)?.is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
