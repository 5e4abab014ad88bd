//! redb without the crate: the same file and the same two tables. Each call begins a transaction
//! and opens the tables.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::contender::{self, Contender, Population};
use crate::session::{self, Content, Id, Key, Outcome, Times};

const SESSIONS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("sessions");
const EXPIRY: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("expiry");
/// redb's default cache.
const CACHE_BYTES: u64 = 1 << 30;

pub struct PlainRedb {
    database: Database,
}

impl PlainRedb {
    pub fn open(directory: &Path) -> Outcome<Self> {
        let database = Database::create(directory.join("sessions.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(SESSIONS)?;
        transaction.open_table(EXPIRY)?;
        transaction.commit()?;
        Ok(Self { database })
    }

    fn extend_and(&self, id: &Id, decode: bool) -> Outcome<Option<Option<Content>>> {
        let key = session::key_of(id);
        let transaction = self.database.begin_write()?;
        let content = {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let mut expiry = transaction.open_table(EXPIRY)?;
            let Some(record) = sessions.get(key)?.map(|record| record.value().to_vec()) else {
                return Ok(None);
            };
            let Some(extended) = session::extend_record(&record, session::now())? else {
                return Ok(None);
            };
            sessions.insert(key, extended.record.as_slice())?;
            expiry.remove((extended.old_deadline, key))?;
            expiry.insert((extended.new_deadline, key), ())?;
            if decode { session::read_record(&record)? } else { None }
        };
        transaction.commit()?;
        Ok(Some(content))
    }
}

impl Contender for PlainRedb {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        contender::in_batches(first, live, expired, |batch| {
            let transaction = self.database.begin_write()?;
            {
                let mut sessions = transaction.open_table(SESSIONS)?;
                let mut expiry = transaction.open_table(EXPIRY)?;
                for planned in batch {
                    let record = session::encode_record(planned.times, &planned.content)?;
                    sessions.insert(planned.key, record.as_slice())?;
                    expiry.insert((planned.times.deadline(), planned.key), ())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        let transaction = self.database.begin_read()?;
        let sessions = transaction.open_table(SESSIONS)?;
        match sessions.get(session::key_of(id))? {
            Some(record) => session::read_record(record.value()),
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
        let record = session::encode_record(times, content)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(SESSIONS)?.insert(key, record.as_slice())?;
        transaction.open_table(EXPIRY)?.insert((times.deadline(), key), ())?;
        transaction.commit()?;
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let key = session::key_of(id);
        let transaction = self.database.begin_write()?;
        {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let updated = match sessions.get(key)? {
                Some(record) => session::update_record(record.value(), content)?,
                None => None,
            };
            let Some(updated) = updated else {
                return Ok(false);
            };
            sessions.insert(key, updated.as_slice())?;
        }
        transaction.commit()?;
        Ok(true)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        let key = session::key_of(id);
        let transaction = self.database.begin_write()?;
        {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let Some(record) = sessions.remove(key)? else {
                return Ok(false);
            };
            let (times, _) = session::open_record(record.value())?;
            transaction.open_table(EXPIRY)?.remove((times.deadline(), key))?;
        }
        transaction.commit()?;
        Ok(true)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        let end = (session::now() + 1, Key::default());
        let transaction = self.database.begin_write()?;
        let mut deleted = 0;
        {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let mut expiry = transaction.open_table(EXPIRY)?;
            for entry in expiry.extract_from_if(..end, |_, ()| true)? {
                sessions.remove(entry?.0.value().1)?;
                deleted += 1;
            }
        }
        transaction.commit()?;
        Ok(deleted)
    }

    fn cache_bytes(&self) -> u64 {
        CACHE_BYTES
    }
}
