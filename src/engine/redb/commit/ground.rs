//! What a batch finds when it begins: open tables, or the store as its readers see it.
//!
//! Invariant: a ground answers for the store as the last commit left it, or for that with what was
//! put into it since; the batch knows its own changes and asks them first.

use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::database::tables::Tables;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::View;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

pub(in crate::engine::redb) trait Ground {
    fn contains(&self, key: &SessionKey) -> RedbResult<bool>;

    /// The record under a key; the inner error is one damaged record.
    fn get(&self, key: &SessionKey) -> RedbResult<Option<Result<Record>>>;

    fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>>;

    /// Leaves a record or nothing under a key, where there is a place for it.
    fn put(&mut self, key: &SessionKey, record: Option<&Record>) -> RedbResult<()>;
}

impl Ground for Tables<'_> {
    fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        Tables::contains(self, key)
    }

    fn get(&self, key: &SessionKey) -> RedbResult<Option<Result<Record>>> {
        Tables::get(self, key)
    }

    fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        Tables::keys_of(self, user)
    }

    fn put(&mut self, key: &SessionKey, record: Option<&Record>) -> RedbResult<()> {
        Tables::put(self, key, record)
    }
}

/// The store as its readers see it: what is in memory first, and then a snapshot. The tables may
/// be behind it, and busy; what is put here gets into them later.
pub(in crate::engine::redb) struct AsRead<'s> {
    view: &'s View,
}

impl<'s> AsRead<'s> {
    pub(in crate::engine::redb) const fn of(view: &'s View) -> Self {
        Self { view }
    }

    fn with_snapshot<T>(&self, look: impl FnOnce(&Snapshot) -> RedbResult<T>) -> RedbResult<T> {
        match self.view.snapshot.load().as_deref() {
            Some(snapshot) => look(snapshot),
            None => Err(redb::Error::DatabaseClosed),
        }
    }
}

impl Ground for AsRead<'_> {
    fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        match self.view.contains_in_memory(key) {
            Some(there) => Ok(there),
            None => self.with_snapshot(|snapshot| snapshot.contains(key)),
        }
    }

    fn get(&self, key: &SessionKey) -> RedbResult<Option<Result<Record>>> {
        match self.view.get_in_memory(key) {
            Some(found) => Ok(found.map(Ok)),
            None => self.with_snapshot(|snapshot| snapshot.get(key)),
        }
    }

    fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let mut keys = self.with_snapshot(|snapshot| snapshot.keys_of(user))?;
        keys.retain(|key| self.view.overlay.contains(key).is_none());
        keys.extend(self.view.overlay.keys_of(user));
        Ok(keys)
    }

    fn put(&mut self, _: &SessionKey, _: Option<&Record>) -> RedbResult<()> {
        Ok(())
    }
}
