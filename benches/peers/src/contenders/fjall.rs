//! fjall: one batch changes two keyspaces and is synced to the disk before it is acknowledged.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::contender::{self, Contender, Population};
use crate::session::{self, Content, Id, Key, Outcome, Times};

/// fjall's manual recommends a cache that holds all data, if possible.
const CACHE_BYTES: u64 = 1 << 30;

pub struct Fjall {
    database: Database,
    sessions: Keyspace,
    expiry: Keyspace,
    // A batch cannot read, so a call that reads before it writes must exclude other writers.
    writer: Mutex<()>,
}

/// An entry in the index of deadlines: the deadline in big-endian bytes, which sort as numbers do,
/// then the key.
fn expiry_key(deadline: u64, key: &Key) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..8].copy_from_slice(&deadline.to_be_bytes());
    entry[8..].copy_from_slice(key);
    entry
}

impl Fjall {
    pub fn open(directory: &Path) -> Outcome<Self> {
        let database = Database::builder(directory).cache_size(CACHE_BYTES).open()?;
        let sessions = database.keyspace("sessions", KeyspaceCreateOptions::default)?;
        let expiry = database.keyspace("expiry", KeyspaceCreateOptions::default)?;
        Ok(Self { database, sessions, expiry, writer: Mutex::new(()) })
    }

    fn only_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn durable_batch(&self) -> fjall::OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncAll))
    }

    fn extend_and(&self, id: &Id, decode: bool) -> Outcome<Option<Option<Content>>> {
        let key = session::key_of(id);
        let _only = self.only_writer();
        let Some(record) = self.sessions.get(key)? else {
            return Ok(None);
        };
        let Some(extended) = session::extend_record(&record, session::now())? else {
            return Ok(None);
        };
        let mut batch = self.durable_batch();
        batch.insert(&self.sessions, key, extended.record);
        batch.remove(&self.expiry, expiry_key(extended.old_deadline, &key));
        batch.insert(&self.expiry, expiry_key(extended.new_deadline, &key), []);
        batch.commit()?;
        let content = if decode { session::read_record(&record)? } else { None };
        Ok(Some(content))
    }
}

impl Contender for Fjall {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        let population = contender::in_batches(first, live, expired, |planned_batch| {
            let mut batch = self.database.batch();
            for planned in planned_batch {
                let record = session::encode_record(planned.times, &planned.content)?;
                batch.insert(&self.sessions, planned.key, record);
                batch.insert(&self.expiry, expiry_key(planned.times.deadline(), &planned.key), []);
            }
            Ok(batch.commit()?)
        })?;
        // Once everything is in sorted tables, reads are fastest and no compaction disturbs the
        // timed calls.
        for keyspace in [&self.sessions, &self.expiry] {
            keyspace.rotate_memtable_and_wait()?;
            keyspace.major_compact()?;
        }
        self.database.persist(PersistMode::SyncAll)?;
        Ok(population)
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        match self.sessions.get(session::key_of(id))? {
            Some(record) => session::read_record(&record),
            None => Ok(None),
        }
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        Ok(self.extend_and(id, false)?.is_some())
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        Ok(self.extend_and(id, true)?.flatten())
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        let id = session::draw_id()?;
        let key = session::key_of(&id);
        let times = Times::starting(session::now());
        let mut batch = self.durable_batch();
        batch.insert(&self.sessions, key, session::encode_record(times, content)?);
        batch.insert(&self.expiry, expiry_key(times.deadline(), &key), []);
        batch.commit()?;
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let key = session::key_of(id);
        let _only = self.only_writer();
        let Some(record) = self.sessions.get(key)? else {
            return Ok(false);
        };
        let Some(updated) = session::update_record(&record, content)? else {
            return Ok(false);
        };
        let mut batch = self.durable_batch();
        batch.insert(&self.sessions, key, updated);
        batch.commit()?;
        Ok(true)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        let key = session::key_of(id);
        let _only = self.only_writer();
        let Some(record) = self.sessions.get(key)? else {
            return Ok(false);
        };
        let (times, _) = session::open_record(&record)?;
        let mut batch = self.durable_batch();
        batch.remove(&self.sessions, key);
        batch.remove(&self.expiry, expiry_key(times.deadline(), &key));
        batch.commit()?;
        Ok(true)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        let end = expiry_key(session::now() + 1, &Key::default());
        let _only = self.only_writer();
        let mut batch = self.durable_batch();
        let mut deleted = 0;
        for entry in self.expiry.range(..end) {
            let entry = entry.key()?;
            batch.remove(&self.sessions, &entry[8..]);
            batch.remove(&self.expiry, entry);
            deleted += 1;
        }
        batch.commit()?;
        Ok(deleted)
    }

    fn cache_bytes(&self) -> u64 {
        CACHE_BYTES
    }
}
