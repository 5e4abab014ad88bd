//! The store as of one of the last commits. The overlay has the changes since.
//!
//! Invariant: a snapshot is replaced, never changed. A held snapshot pins every page freed since it
//! was taken, so no snapshot is held for longer than a call.

use std::iter;

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableError,
};

use crate::caught::caught;
use crate::engine::redb::database::schema::{
    EXPIRY, IndexEntry, KeyBytes, LAST_KEY, META, SEQUENCE, SESSIONS, USERS, of_user,
};
use crate::engine::redb::error::RedbResult;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;

/// A key and its record; the inner error is one damaged record.
type Stored = RedbResult<(SessionKey, Result<Record>)>;

pub(in crate::engine::redb) struct Snapshot {
    /// The snapshot's number, counted since the file was opened.
    commit: u64,
    transaction: ReadTransaction,
    sessions: ReadOnlyTable<KeyBytes, &'static [u8]>,
}

impl Snapshot {
    pub(in crate::engine::redb) fn of(database: &Database, commit: u64) -> RedbResult<Self> {
        let transaction = database.begin_read()?;
        let sessions = transaction.open_table(SESSIONS)?;
        Ok(Self { commit, transaction, sessions })
    }

    pub(in crate::engine::redb) const fn commit(&self) -> u64 {
        self.commit
    }

    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        let bytes = reading(|| Ok(self.sessions.get(key.as_bytes())?))?;
        Ok(bytes.map(|bytes| Record::decode(key, bytes.value())))
    }

    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        Ok(self.sessions.get(key.as_bytes())?.is_some())
    }

    pub(in crate::engine::redb) fn len(&self) -> RedbResult<u64> {
        Ok(self.sessions.len()?)
    }

    pub(in crate::engine::redb) fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        reading(|| {
            let users = self.transaction.open_table(USERS)?;
            let mut keys = Vec::new();
            for entry in users.range(of_user(user))? {
                keys.push(SessionKey::from_bytes(*entry?.0.value().1));
            }
            Ok(keys)
        })
    }

    /// The entries of the index by user, in order, for the users after this one. Entries of
    /// malformed users are left out.
    pub(in crate::engine::redb) fn users_after(
        &self,
        after: Option<&UserKey>,
    ) -> RedbResult<impl Iterator<Item = RedbResult<(UserKey, SessionKey)>> + use<>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let users = reading(|| Ok(self.transaction.open_table(USERS)?))?;
        let start = after.map_or(Unbounded, |user| Excluded((user.as_bytes(), &LAST_KEY)));
        let range = || Ok(users.range::<(&[u8], &[u8; SessionKey::LEN])>((start, Unbounded))?);
        Ok(each(reading(range)?).filter_map(|entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let (user, key) = entry.0.value();
            Some(Ok((UserKey::from_bytes(user)?, SessionKey::from_bytes(*key))))
        }))
    }

    /// The passed index entries after this one, earliest first.
    pub(in crate::engine::redb) fn passed(
        &self,
        after: Option<&IndexEntry>,
        now: Timestamp,
    ) -> RedbResult<impl Iterator<Item = RedbResult<IndexEntry>> + use<>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let expiry = reading(|| Ok(self.transaction.open_table(EXPIRY)?))?;
        let last = (now.as_millis(), &LAST_KEY);
        let first = after.map(|(deadline, key)| (*deadline, key.as_bytes()));
        let first = first.filter(|first| *first < last);
        let range = || Ok(expiry.range((first.map_or(Unbounded, Excluded), Included(last)))?);
        Ok(each(reading(range)?).map(|entry| {
            let entry = entry?;
            let (deadline, key) = entry.0.value();
            Ok((deadline, SessionKey::from_bytes(*key)))
        }))
    }

    /// Every record after a key, in key order.
    pub(in crate::engine::redb) fn records_after(
        &self,
        key: Option<SessionKey>,
    ) -> RedbResult<impl Iterator<Item = Stored> + use<>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = key.as_ref().map_or(Unbounded, |key| Excluded(key.as_bytes()));
        let range = || Ok(self.sessions.range::<&[u8; SessionKey::LEN]>((start, Unbounded))?);
        Ok(each(reading(range)?).map(|entry| {
            let (key, bytes) = entry?;
            let key = SessionKey::from_bytes(*key.value());
            Ok((key, Record::decode(&key, bytes.value())))
        }))
    }

    pub(in crate::engine::redb) fn meta(&self, name: &str) -> RedbResult<Option<Vec<u8>>> {
        let value = self.transaction.open_table(META)?.get(name)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// The transaction, to read all tables as of one moment.
    pub(in crate::engine::redb) const fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Snapshot")
    }
}

/// Reads pages. redb may panic on one that another program wrote, and its handle then counts as
/// lost.
fn reading<T>(act: impl FnOnce() -> RedbResult<T>) -> RedbResult<T> {
    caught(act).unwrap_or(Err(redb::Error::PreviousIo))
}

/// The entries of a table, as [`reading`] reads them. They end with the first error.
fn each<T, E: Into<redb::Error>>(
    mut entries: impl Iterator<Item = std::result::Result<T, E>>,
) -> impl Iterator<Item = RedbResult<T>> {
    let mut is_over = false;
    iter::from_fn(move || {
        let read = |entry: Option<std::result::Result<T, E>>| entry.transpose().map_err(Into::into);
        let next = match is_over {
            true => Ok(None),
            false => reading(|| read(entries.next())),
        };
        is_over = !matches!(next, Ok(Some(_)));
        next.transpose()
    })
}

/// The number of the last durable commit, which holds all log entries with lower numbers.
pub(in crate::engine::redb) fn stored_sequence(database: &Database) -> RedbResult<u64> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        // The file is still being created.
        Err(TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let value = meta.get(SEQUENCE)?;
    let number = value.and_then(|value| value.value().first_chunk().copied());
    Ok(number.map_or(0, u64::from_le_bytes))
}
