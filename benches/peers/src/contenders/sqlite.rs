//! SQLite through rusqlite: a write-ahead log, `synchronous=FULL` so that each commit is on the
//! disk, cached prepared statements, one table without a row id and an index on the deadline.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::contender::{self, Contender, Population};
use crate::session::{self, ABSOLUTE, Content, INACTIVITY, Id, Outcome, Times};

const CACHE_BYTES: u64 = 256 << 20;
const MAP_BYTES: u64 = 64 << 30;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sessions (
        key BLOB PRIMARY KEY,
        created_at INTEGER NOT NULL,
        last_active INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        content BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS sessions_by_deadline ON sessions (deadline);";
const INSERT: &str =
    "INSERT INTO sessions (key, created_at, last_active, deadline, content) VALUES (?1, ?2, ?3, ?4, ?5)";
const SELECT: &str = "SELECT content FROM sessions WHERE key = ?1 AND deadline > ?2";
const EXTEND: &str = "UPDATE sessions SET last_active = ?2, deadline = min(?2 + ?3, created_at + ?4)
    WHERE key = ?1 AND deadline > ?2";
const READ_AND_EXTEND: &str = "UPDATE sessions SET last_active = ?2, deadline = min(?2 + ?3, created_at + ?4)
    WHERE key = ?1 AND deadline > ?2 RETURNING content";
const UPDATE: &str = "UPDATE sessions SET content = ?3 WHERE key = ?1 AND deadline > ?2";
const DELETE: &str = "DELETE FROM sessions WHERE key = ?1";
const SWEEP: &str = "DELETE FROM sessions WHERE deadline <= ?1";

/// One connection writes and one reads; the write-ahead log lets them work at the same time.
pub struct Sqlite {
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
}

fn connect(directory: &Path) -> Outcome<Connection> {
    let connection = Connection::open(directory.join("sessions.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -((CACHE_BYTES >> 10) as i64))?;
    connection.pragma_update(None, "mmap_size", MAP_BYTES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(std::time::Duration::from_secs(60))?;
    Ok(connection)
}

fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sqlite {
    pub fn open(directory: &Path) -> Outcome<Self> {
        let writer = connect(directory)?;
        writer.execute_batch(SCHEMA)?;
        Ok(Self { reader: Mutex::new(connect(directory)?), writer: Mutex::new(writer) })
    }
}

impl Contender for Sqlite {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        let mut writer = locked(&self.writer);
        let population = contender::in_batches(first, live, expired, |batch| {
            let transaction = writer.transaction()?;
            {
                let mut insert = transaction.prepare_cached(INSERT)?;
                for planned in batch {
                    let Times { created_at, last_active } = planned.times;
                    let content = session::encode_content(&planned.content)?;
                    insert.execute(params![
                        planned.key,
                        created_at,
                        last_active,
                        planned.times.deadline(),
                        content
                    ])?;
                }
            }
            Ok(transaction.commit()?)
        })?;
        // Otherwise later reads would search a log as long as the whole population.
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(population)
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        let reader = locked(&self.reader);
        let mut select = reader.prepare_cached(SELECT)?;
        let mut rows = select.query(params![session::key_of(id), session::now()])?;
        match rows.next()? {
            Some(row) => session::decode_content(row.get_ref(0)?.as_blob()?).map(Some),
            None => Ok(None),
        }
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        let writer = locked(&self.writer);
        let mut extend = writer.prepare_cached(EXTEND)?;
        Ok(extend.execute(params![session::key_of(id), session::now(), INACTIVITY, ABSOLUTE])? == 1)
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        let writer = locked(&self.writer);
        let mut extend = writer.prepare_cached(READ_AND_EXTEND)?;
        let values = params![session::key_of(id), session::now(), INACTIVITY, ABSOLUTE];
        let content: Option<Vec<u8>> = extend.query_row(values, |row| row.get(0)).optional()?;
        content.map(|content| session::decode_content(&content)).transpose()
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        let id = session::draw_id()?;
        let times = Times::starting(session::now());
        let content = session::encode_content(content)?;
        let key = session::key_of(&id);
        let writer = locked(&self.writer);
        let mut insert = writer.prepare_cached(INSERT)?;
        insert.execute(params![key, times.created_at, times.last_active, times.deadline(), content])?;
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let content = session::encode_content(content)?;
        let writer = locked(&self.writer);
        let mut update = writer.prepare_cached(UPDATE)?;
        Ok(update.execute(params![session::key_of(id), session::now(), content])? == 1)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        let writer = locked(&self.writer);
        let mut delete = writer.prepare_cached(DELETE)?;
        Ok(delete.execute(params![session::key_of(id)])? == 1)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        let writer = locked(&self.writer);
        let mut sweep = writer.prepare_cached(SWEEP)?;
        Ok(sweep.execute(params![session::now()])? as u64)
    }

    fn cache_bytes(&self) -> u64 {
        2 * CACHE_BYTES
    }
}
