//! The tables of the file. No other code writes them.
//!
//! Invariant, at every commit: each record in `sessions` has one entry in `expiry`, under the index
//! deadline in its header, and one in `users` if it has a user. The indexes have no other entries.

use redb::{ReadableTable, Table, WriteTransaction};

use crate::engine::redb::database::schema::{EXPIRY, KeyBytes, META, SESSIONS, USERS};
use crate::engine::redb::error::RedbResult;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

/// The three tables of sessions, open in one transaction.
pub(in crate::engine::redb) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    sessions: Table<'t, KeyBytes, &'static [u8]>,
    expiry: Table<'t, (u64, KeyBytes), ()>,
    users: Table<'t, (&'static [u8], KeyBytes), ()>,
}

impl<'t> Tables<'t> {
    /// Opens the tables, and creates missing ones.
    pub(in crate::engine::redb) fn open(transaction: &'t WriteTransaction) -> RedbResult<Self> {
        Ok(Self {
            transaction,
            sessions: transaction.open_table(SESSIONS)?,
            expiry: transaction.open_table(EXPIRY)?,
            users: transaction.open_table(USERS)?,
        })
    }

    /// The record under a key; the inner error is one damaged record, not a failed transaction.
    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<crate::error::Result<Record>>> {
        let bytes = self.sessions.get(key.as_bytes())?;
        Ok(bytes.map(|bytes| Record::decode(key, bytes.value())))
    }

    /// Stores a record unchanged under a key, or removes it, whatever the key has now.
    pub(in crate::engine::redb) fn put(
        &mut self,
        key: &SessionKey,
        record: Option<&Record>,
    ) -> RedbResult<()> {
        let mut entries = Entries::default();
        self.put_record(key, record, &mut entries)?;
        self.put_entries(&entries)
    }

    /// As [`put`](Self::put), for many keys. They should come in table order, because neighbours
    /// share pages.
    pub(in crate::engine::redb) fn put_all<'r>(
        &mut self,
        changes: impl IntoIterator<Item = (&'r SessionKey, Option<&'r Record>)>,
    ) -> RedbResult<()> {
        let mut entries = Entries::default();
        for (key, record) in changes {
            self.put_record(key, record, &mut entries)?;
        }
        entries.expiry.sort_unstable();
        entries.users.sort_unstable();
        self.put_entries(&entries)
    }

    /// Makes the change in `sessions`, and collects the resulting changes of index entries.
    fn put_record(
        &mut self,
        key: &SessionKey,
        record: Option<&Record>,
        entries: &mut Entries,
    ) -> RedbResult<()> {
        let before = match record {
            Some(record) => self.sessions.insert(key.as_bytes(), record.encode(key).as_slice())?,
            None => self.sessions.remove(key.as_bytes())?,
        };
        let before = before.map(|bytes| Record::decode(key, bytes.value())).transpose();
        let before = match before {
            Ok(before) => before,
            Err(_) => {
                self.remove_entries_of(key)?;
                None
            }
        };
        entries.follow(key, before.as_ref(), record);
        Ok(())
    }

    fn put_entries(&mut self, entries: &Entries) -> RedbResult<()> {
        for (deadline, key, there) in &entries.expiry {
            match there {
                true => self.expiry.insert((*deadline, key.as_bytes()), ())?,
                false => self.expiry.remove((*deadline, key.as_bytes()))?,
            };
        }
        for (user, key, there) in &entries.users {
            match there {
                true => self.users.insert((user.as_bytes(), key.as_bytes()), ())?,
                false => self.users.remove((user.as_bytes(), key.as_bytes()))?,
            };
        }
        Ok(())
    }

    /// Removes an index entry that belongs to no record. A sound file has none, but a stray entry
    /// must not stop every sweep that meets it.
    pub(in crate::engine::redb) fn remove_stray_entry(
        &mut self,
        deadline: u64,
        key: &SessionKey,
    ) -> RedbResult<()> {
        self.expiry.remove((deadline, key.as_bytes()))?;
        Ok(())
    }

    /// Removes every session. Takes the open tables and returns them empty.
    pub(in crate::engine::redb) fn cleared(self) -> RedbResult<Self> {
        let transaction = self.transaction;
        drop(self);
        transaction.delete_table(SESSIONS)?;
        transaction.delete_table(EXPIRY)?;
        transaction.delete_table(USERS)?;
        Self::open(transaction)
    }

    pub(in crate::engine::redb) fn store_meta(
        &mut self,
        name: &str,
        value: &[u8],
    ) -> RedbResult<()> {
        self.transaction.open_table(META)?.insert(name, value)?;
        Ok(())
    }

    /// Removes the index entries of a damaged record, whose header cannot locate them, by searching
    /// both indexes. This is slow but rare, because redb's own checksums find damage first.
    fn remove_entries_of(&mut self, key: &SessionKey) -> RedbResult<()> {
        self.expiry.retain(|(_, entry), ()| entry != key.as_bytes())?;
        self.users.retain(|(_, entry), ()| entry != key.as_bytes())?;
        Ok(())
    }
}

/// Entries of the two indexes, each with a flag: `true` to add it, `false` to remove it.
#[derive(Default)]
struct Entries {
    expiry: Vec<(u64, SessionKey, bool)>,
    users: Vec<(UserKey, SessionKey, bool)>,
}

impl Entries {
    /// Collects the entries that change with a record. The page of an unchanged entry is not
    /// written.
    fn follow(&mut self, key: &SessionKey, old: Option<&Record>, new: Option<&Record>) {
        let deadline = |record: &Record| record.index_deadline().as_millis();
        let (before, after) = (old.map(deadline), new.map(deadline));
        if before != after {
            self.expiry.extend(before.map(|deadline| (deadline, *key, false)));
            self.expiry.extend(after.map(|deadline| (deadline, *key, true)));
        }
        let (before, after) = (old.and_then(Record::user), new.and_then(Record::user));
        if before != after {
            self.users.extend(before.map(|user| (user, *key, false)));
            self.users.extend(after.map(|user| (user, *key, true)));
        }
    }
}

/// Whether an index entry's key has no record, or a record with another index deadline. A damaged
/// record's entry may be correct.
pub(in crate::engine::redb) fn is_stray(
    found: Option<&crate::error::Result<Record>>,
    deadline: u64,
) -> bool {
    match found {
        None => true,
        Some(Ok(record)) => record.index_deadline().as_millis() != deadline,
        Some(Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Parts;
    use crate::time::clock::Timestamp;
    use crate::time::timeouts::{OwnTimeouts, Timeouts};

    #[test]
    fn an_entry_is_at_home_with_a_record_that_says_so_and_with_one_that_cannot_say() {
        let parts = Parts {
            user: None,
            csrf_token: None,
            own_timeouts: OwnTimeouts::default(),
            revision: 1,
            created_at: Timestamp::from_millis(1),
            last_active: Timestamp::from_millis(1),
            content_version: 0,
            content: &[],
        };
        let record = Record::new(&parts, &Timeouts::from_seconds(1, 10).unwrap());
        let damaged = Record::decode(&SessionKey::from_bytes([1; 16]), &[]);
        assert!(damaged.is_err());
        let strays = [None, Some(&record), Some(&damaged)].map(|found| is_stray(found, 1_001));
        assert_eq!(strays, [true, false, false]);
        assert!(is_stray(Some(&record), 1_000));
    }
}
