//! The tables of the file, and the only code that writes them together.
//!
//! Invariant, at every commit: each record in `sessions` stands once in `expiry`, under the index
//! deadline in its header, and once in `users` if it has a user; nothing else stands there.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use crate::SessionKey;
use crate::clock::Timestamp;
use crate::engine::{Record, Removed, UserKey};

pub(super) type KeyBytes = &'static [u8; SessionKey::LEN];

pub(super) const SESSIONS: TableDefinition<'_, KeyBytes, &[u8]> = TableDefinition::new("sessions");
pub(super) const EXPIRY: TableDefinition<'_, (u64, KeyBytes), ()> = TableDefinition::new("expiry");
pub(super) const USERS: TableDefinition<'_, (&[u8], KeyBytes), ()> = TableDefinition::new("users");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

pub(super) const FIRST_KEY: [u8; SessionKey::LEN] = [0; SessionKey::LEN];
pub(super) const LAST_KEY: [u8; SessionKey::LEN] = [0xff; SessionKey::LEN];

/// A failure of the transaction as a whole.
pub(super) type Outer<T> = Result<T, redb::Error>;

/// The three tables of sessions, open in one transaction.
pub(super) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    sessions: Table<'t, KeyBytes, &'static [u8]>,
    expiry: Table<'t, (u64, KeyBytes), ()>,
    users: Table<'t, (&'static [u8], KeyBytes), ()>,
    changed: bool,
}

impl<'t> Tables<'t> {
    /// Opens the tables; creates them where they are not there yet.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Outer<Self> {
        Ok(Self {
            transaction,
            sessions: transaction.open_table(SESSIONS)?,
            expiry: transaction.open_table(EXPIRY)?,
            users: transaction.open_table(USERS)?,
            changed: false,
        })
    }

    /// Whether there is anything to commit.
    pub(super) const fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn len(&self) -> Outer<u64> {
        Ok(self.sessions.len()?)
    }

    pub(super) fn contains(&self, key: &SessionKey) -> Outer<bool> {
        Ok(self.sessions.get(key.as_bytes())?.is_some())
    }

    /// The record under a key; the inner error is one damaged record, not a failed transaction.
    pub(super) fn get(&self, key: &SessionKey) -> Outer<Option<crate::Result<Record>>> {
        let bytes = self.sessions.get(key.as_bytes())?;
        Ok(bytes.map(|bytes| Record::decode(key, bytes.value())))
    }

    /// Stores a record where there is none.
    pub(super) fn insert(&mut self, key: &SessionKey, record: &Record) -> Outer<()> {
        self.changed = true;
        self.expiry.insert((record.index_deadline().as_millis(), key.as_bytes()), ())?;
        if let Some(user) = record.user() {
            self.users.insert((user.as_bytes(), key.as_bytes()), ())?;
        }
        self.write_record(key, record)
    }

    /// Stores a record in place of another. An index entry that is early enough stays, which
    /// spares the page it is on. Returns the record as it is stored.
    pub(super) fn replace(&mut self, key: &SessionKey, old: &Record, new: Record) -> Outer<Record> {
        self.changed = true;
        let new = if old.index_deadline() <= new.index_deadline() {
            let entry = old.index_deadline();
            new.indexed_under(entry)
        } else {
            self.move_index_entry(key, old.index_deadline(), new.index_deadline())?;
            new
        };
        let (old_user, new_user) = (old.user(), new.user());
        if old_user != new_user {
            if let Some(user) = old_user {
                self.users.remove((user.as_bytes(), key.as_bytes()))?;
            }
            if let Some(user) = new_user {
                self.users.insert((user.as_bytes(), key.as_bytes()), ())?;
            }
        }
        self.write_record(key, &new)?;
        Ok(new)
    }

    /// Stores a record, exactly as it is, in place of whatever is there.
    pub(super) fn put(&mut self, key: &SessionKey, record: &Record) -> Outer<()> {
        self.remove(key)?;
        self.insert(key, record)
    }

    /// Moves a session's index entry to its true deadline and writes the record that says so.
    pub(super) fn reindex(
        &mut self,
        key: &SessionKey,
        record: Record,
        deadline: Timestamp,
    ) -> Outer<Record> {
        self.changed = true;
        self.move_index_entry(key, record.index_deadline(), deadline)?;
        let record = record.indexed_under(deadline);
        self.write_record(key, &record)?;
        Ok(record)
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Outer<Option<Removed>> {
        let Some(record) = self.get(key)? else { return Ok(None) };
        self.changed = true;
        self.sessions.remove(key.as_bytes())?;
        match record {
            Ok(record) => {
                self.expiry.remove((record.index_deadline().as_millis(), key.as_bytes()))?;
                if let Some(user) = record.user() {
                    self.users.remove((user.as_bytes(), key.as_bytes()))?;
                }
                Ok(Some(Removed::Record(record)))
            }
            Err(_) => {
                self.remove_entries_of(key)?;
                Ok(Some(Removed::Damaged))
            }
        }
    }

    pub(super) fn keys_of(&self, user: &UserKey) -> Outer<Vec<SessionKey>> {
        let mut keys = Vec::new();
        for entry in self.users.range(of_user(user))? {
            keys.push(SessionKey::from_bytes(*entry?.0.value().1));
        }
        Ok(keys)
    }

    /// Up to `limit` index entries that have passed, earliest first.
    pub(super) fn passed(&self, now: Timestamp, limit: usize) -> Outer<Vec<(u64, SessionKey)>> {
        let mut entries = Vec::new();
        for entry in self.expiry.range(..=(now.as_millis(), &LAST_KEY))?.take(limit) {
            let entry = entry?;
            let (deadline, key) = entry.0.value();
            entries.push((deadline, SessionKey::from_bytes(*key)));
        }
        Ok(entries)
    }

    /// Up to `limit` keys after `after`, in order.
    pub(super) fn keys_after(
        &self,
        after: Option<SessionKey>,
        limit: usize,
    ) -> Outer<Vec<SessionKey>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.as_ref().map_or(Unbounded, |key| Excluded(key.as_bytes()));
        let mut keys = Vec::new();
        for entry in self.sessions.range::<&[u8; SessionKey::LEN]>((start, Unbounded))?.take(limit)
        {
            keys.push(SessionKey::from_bytes(*entry?.0.value()));
        }
        Ok(keys)
    }

    /// Removes an index entry that leads to no record. There is none in a sound file; one must not
    /// stop every sweep that meets it.
    pub(super) fn remove_stray_entry(&mut self, deadline: u64, key: &SessionKey) -> Outer<()> {
        self.changed = true;
        self.expiry.remove((deadline, key.as_bytes()))?;
        Ok(())
    }

    /// Removes every session. Takes the open tables and gives them back empty.
    pub(super) fn cleared(self) -> Outer<Self> {
        let transaction = self.transaction;
        drop(self);
        transaction.delete_table(SESSIONS)?;
        transaction.delete_table(EXPIRY)?;
        transaction.delete_table(USERS)?;
        let mut tables = Self::open(transaction)?;
        tables.changed = true;
        Ok(tables)
    }

    pub(super) fn store_meta(&mut self, name: &str, value: &[u8]) -> Outer<()> {
        self.changed = true;
        self.transaction.open_table(META)?.insert(name, value)?;
        Ok(())
    }

    fn write_record(&mut self, key: &SessionKey, record: &Record) -> Outer<()> {
        self.sessions.insert(key.as_bytes(), record.encode(key).as_slice())?;
        Ok(())
    }

    fn move_index_entry(&mut self, key: &SessionKey, from: Timestamp, to: Timestamp) -> Outer<()> {
        self.expiry.remove((from.as_millis(), key.as_bytes()))?;
        self.expiry.insert((to.as_millis(), key.as_bytes()), ())?;
        Ok(())
    }

    /// Finds the index entries of a damaged record, which cannot tell where they are, by looking
    /// at all of them. Slow, and rare: redb's own checksums catch damage before this one does.
    fn remove_entries_of(&mut self, key: &SessionKey) -> Outer<()> {
        self.expiry.retain(|(_, entry), ()| entry != key.as_bytes())?;
        self.users.retain(|(_, entry), ()| entry != key.as_bytes())?;
        Ok(())
    }
}

/// The range of a user's entries.
pub(super) fn of_user(user: &UserKey) -> std::ops::RangeInclusive<(&[u8], &[u8; SessionKey::LEN])> {
    (user.as_bytes(), &FIRST_KEY)..=(user.as_bytes(), &LAST_KEY)
}
