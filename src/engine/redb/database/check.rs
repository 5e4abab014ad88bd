//! Compares the tables with one another, entry by entry, as of one commit.
//!
//! Invariant: the check only reads, as of one moment, and holds one entry at a time. It waits for
//! no commit. It walks an index only if the index has more entries than the records account for.
//! Each record is looked up in the indexes, because the three tables have no common order.
//!
//! The tables are compared as of the snapshot. A record that has changed since is reported as it is
//! now, while the tables hold the index entries of its former record until the next checkpoint.

use redb::{ReadOnlyTable, ReadableTableMetadata, StorageError};

use crate::engine::check::{Checked, Finding, Inspect, Problem};
use crate::engine::redb::database::schema::{EXPIRY, KeyBytes, USERS};
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::Changes;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// Reports every sound record and every problem. `records` are those of the snapshot and of the
/// `changes` since, in key order. `failed` converts redb's errors.
pub(in crate::engine::redb) fn check(
    snapshot: &Snapshot,
    changes: &Changes,
    records: impl Iterator<Item = RedbResult<(SessionKey, Result<Record>)>>,
    defaults: &Timeouts,
    inspect: &mut Inspect<'_>,
    failed: &dyn Fn(redb::Error) -> Error,
) -> Result<Checked> {
    let open = |error: redb::TableError| failed(error.into());
    let expiry = snapshot.transaction().open_table(EXPIRY).map_err(open)?;
    let users = snapshot.transaction().open_table(USERS).map_err(open)?;
    let indexes = Indexes { snapshot, expiry, users, failed };

    let mut former = indexes.former_entries(changes)?;
    let (mut accounted, mut coming) = (former, Checked::default());
    for entry in records {
        let (key, record) = entry.map_err(failed)?;
        match record {
            Ok(record) if changes.contains_key(&key) => {
                coming.expiry_entries += 1;
                coming.user_entries += u64::from(record.user().is_some());
                show(key, record, defaults, inspect)?;
            }
            Ok(record) => {
                indexes.look_up(key, &record, &mut accounted, inspect)?;
                show(key, record, defaults, inspect)?;
            }
            Err(Error::DamagedRecord { key, reason }) => {
                inspect(Finding::Problem(Problem::DamagedRecord { key, reason }))?;
            }
            Err(error) => return Err(error),
        }
    }
    let found = indexes.len()?;
    if found.expiry_entries != accounted.expiry_entries {
        former.expiry_entries += indexes.find_strays_in_expiry(changes, inspect)?;
    }
    if found.user_entries != accounted.user_entries {
        former.user_entries += indexes.find_strays_in_users(changes, inspect)?;
    }
    let after = |found: u64, former, coming: u64| found.saturating_sub(former) + coming;
    Ok(Checked {
        expiry_entries: after(found.expiry_entries, former.expiry_entries, coming.expiry_entries),
        user_entries: after(found.user_entries, former.user_entries, coming.user_entries),
    })
}

/// Reports a sound record, after a problem with its own deadline.
fn show(
    key: SessionKey,
    record: Record,
    defaults: &Timeouts,
    inspect: &mut Inspect<'_>,
) -> Result<()> {
    if let Some(problem) = Problem::of_deadline(key, &record, defaults) {
        inspect(Finding::Problem(problem))?;
    }
    inspect(Finding::Record(key, record))
}

struct Indexes<'a> {
    snapshot: &'a Snapshot,
    expiry: ReadOnlyTable<(u64, KeyBytes), ()>,
    users: ReadOnlyTable<(&'static [u8], KeyBytes), ()>,
    failed: &'a dyn Fn(redb::Error) -> Error,
}

impl Indexes<'_> {
    fn failed(&self, error: StorageError) -> Error {
        (self.failed)(error.into())
    }

    fn len(&self) -> Result<Checked> {
        Ok(Checked {
            expiry_entries: self.expiry.len().map_err(|error| self.failed(error))?,
            user_entries: self.users.len().map_err(|error| self.failed(error))?,
        })
    }

    /// The number of entries that the former records of changed sessions have.
    fn former_entries(&self, changes: &Changes) -> Result<Checked> {
        let mut former = Checked::default();
        for key in changes.keys() {
            if let Some(Ok(record)) = self.snapshot.get(key).map_err(self.failed)? {
                self.look_up(*key, &record, &mut former, &mut |_| Ok(()))?;
            }
        }
        Ok(former)
    }

    /// Checks that a record's index entries exist, and counts them.
    fn look_up(
        &self,
        key: SessionKey,
        record: &Record,
        accounted: &mut Checked,
        inspect: &mut Inspect<'_>,
    ) -> Result<()> {
        let deadline = record.index_deadline();
        let entry = self.expiry.get((deadline.as_millis(), key.as_bytes()));
        if entry.map_err(|error| self.failed(error))?.is_some() {
            accounted.expiry_entries += 1;
        } else {
            inspect(Finding::Problem(Problem::NotInExpiry { key, deadline }))?;
        }
        if let (Some(user), Some(user_key)) = (record.user_id(), record.user()) {
            let entry = self.users.get((user_key.as_bytes(), key.as_bytes()));
            if entry.map_err(|error| self.failed(error))?.is_some() {
                accounted.user_entries += 1;
            } else {
                inspect(Finding::Problem(Problem::NotInUsers { key, user }))?;
            }
        }
        Ok(())
    }

    /// Returns how many entries belong to damaged records that have changed since the snapshot.
    fn find_strays_in_expiry(&self, changes: &Changes, inspect: &mut Inspect<'_>) -> Result<u64> {
        let mut leaving = 0;
        let entries = self.expiry.range::<(u64, KeyBytes)>(..);
        for entry in entries.map_err(|error| self.failed(error))? {
            let entry = entry.map_err(|error| self.failed(error))?;
            let (deadline, key) = entry.0.value();
            let (deadline, key) = (Timestamp::from_millis(deadline), SessionKey::from_bytes(*key));
            leaving += u64::from(self.is_former_of_damaged(&key, changes)?);
            if self.is_stray(&key, |record| record.index_deadline() == deadline)? {
                inspect(Finding::Problem(Problem::StrayInExpiry { key, deadline }))?;
            }
        }
        Ok(leaving)
    }

    /// As [`find_strays_in_expiry`](Self::find_strays_in_expiry).
    fn find_strays_in_users(&self, changes: &Changes, inspect: &mut Inspect<'_>) -> Result<u64> {
        let mut leaving = 0;
        let entries = self.users.range::<(&[u8], KeyBytes)>(..);
        for entry in entries.map_err(|error| self.failed(error))? {
            let entry = entry.map_err(|error| self.failed(error))?;
            let (user, key) = entry.0.value();
            let (user, key) = (UserId::from_key(user), SessionKey::from_bytes(*key));
            leaving += u64::from(self.is_former_of_damaged(&key, changes)?);
            if self.is_stray(&key, |record| user.is_some() && record.user_id() == user)? {
                inspect(Finding::Problem(Problem::StrayInUsers { key, user }))?;
            }
        }
        Ok(leaving)
    }

    /// Whether a damaged record under a key has changed since the snapshot.
    fn is_former_of_damaged(&self, key: &SessionKey, changes: &Changes) -> Result<bool> {
        Ok(changes.contains_key(key)
            && matches!(self.snapshot.get(key).map_err(self.failed)?, Some(Err(_))))
    }

    /// Whether no record accounts for an entry. A damaged record's entry may be correct.
    fn is_stray(&self, key: &SessionKey, is_at_home: impl Fn(&Record) -> bool) -> Result<bool> {
        Ok(match self.snapshot.get(key).map_err(self.failed)? {
            None => true,
            Some(Ok(record)) => !is_at_home(&record),
            Some(Err(_)) => false,
        })
    }
}
