//! LMDB through heed: one named database for the records and one for the deadlines, both changed in
//! one transaction, and a sync on every commit, which is LMDB's default.
//!
//! A reader that begins a transaction for each read sees every commit. With thread-local storage
//! each thread keeps its slot in LMDB's table of readers, so a transaction begins without a lock. A
//! kept transaction reads faster but does not see later commits, so here it is kept only until this
//! process commits again. A kept transaction must not belong to a thread.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use heed::types::{Bytes, Unit};
use heed::{AnyTls, Database, Env, EnvOpenOptions, RoTxn, RwTxn, TlsUsage, WithTls, WithoutTls};

use crate::contender::{self, Contender, Population};
use crate::session::{self, Content, Id, Key, Outcome, Times};

/// The address space reserved for the map; the file takes only the space that it needs.
const MAP_BYTES: usize = 64 << 30;

/// How a read gets its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    TransactionPerGet,
    KeptWhileUnchanged,
}

/// The environment, opened for one of the two ways of reading.
enum Environment {
    PerGet(Env<WithTls>),
    // Fields drop in order: the transaction must end before the environment.
    Kept(Mutex<Option<RoTxn<'static, WithoutTls>>>, Env<WithoutTls>),
}

pub struct Lmdb {
    environment: Environment,
    sessions: Database<Bytes, Bytes>,
    expiry: Database<Bytes, Unit>,
}

/// An entry in the index of deadlines: the deadline in big-endian bytes, which sort as numbers do,
/// then the key.
fn expiry_key(deadline: u64, key: &Key) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..8].copy_from_slice(&deadline.to_be_bytes());
    entry[8..].copy_from_slice(key);
    entry
}

#[allow(unsafe_code)]
fn open_environment<T: TlsUsage>(mut options: EnvOpenOptions<T>, directory: &Path) -> Outcome<Env<T>> {
    options.map_size(MAP_BYTES).max_dbs(2).max_readers(256);
    // SAFETY: only this race uses the directory, nothing else changes or truncates the mapped file,
    // and a process opens it once.
    Ok(unsafe { options.open(directory)? })
}

fn create_databases<T>(environment: &Env<T>) -> Outcome<(Database<Bytes, Bytes>, Database<Bytes, Unit>)> {
    let mut transaction = environment.write_txn()?;
    let sessions = environment.create_database(&mut transaction, Some("sessions"))?;
    let expiry = environment.create_database(&mut transaction, Some("expiry"))?;
    transaction.commit()?;
    Ok((sessions, expiry))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lmdb {
    pub fn open(directory: &Path, reading: Reading) -> Outcome<Self> {
        let options = EnvOpenOptions::new();
        let (environment, (sessions, expiry)) = match reading {
            Reading::TransactionPerGet => {
                let environment = open_environment(options.read_txn_with_tls(), directory)?;
                let databases = create_databases(&environment)?;
                (Environment::PerGet(environment), databases)
            }
            Reading::KeptWhileUnchanged => {
                let environment = open_environment(options.read_txn_without_tls(), directory)?;
                let databases = create_databases(&environment)?;
                (Environment::Kept(Mutex::new(None), environment), databases)
            }
        };
        Ok(Self { environment, sessions, expiry })
    }

    fn write_transaction(&self) -> Outcome<RwTxn<'_>> {
        Ok(match &self.environment {
            Environment::PerGet(environment) => environment.write_txn()?,
            Environment::Kept(_, environment) => environment.write_txn()?,
        })
    }

    /// Ends the kept read transaction once a commit has made it stale, before the write is
    /// acknowledged.
    fn commit(&self, transaction: RwTxn<'_>) -> Outcome<()> {
        transaction.commit()?;
        if let Environment::Kept(kept, _) = &self.environment {
            *locked(kept) = None;
        }
        Ok(())
    }

    fn read_in(&self, transaction: &RoTxn<'_, AnyTls>, key: &Key) -> Outcome<Option<Content>> {
        match self.sessions.get(transaction, key)? {
            Some(record) => session::read_record(record),
            None => Ok(None),
        }
    }

    fn extend_and(&self, id: &Id, decode: bool) -> Outcome<Option<Option<Content>>> {
        let key = session::key_of(id);
        let mut transaction = self.write_transaction()?;
        let Some(record) = self.sessions.get(&transaction, &key)? else {
            return Ok(None);
        };
        let Some(extended) = session::extend_record(record, session::now())? else {
            return Ok(None);
        };
        let content = if decode { session::read_record(record)? } else { None };
        self.sessions.put(&mut transaction, &key, &extended.record)?;
        self.expiry.delete(&mut transaction, &expiry_key(extended.old_deadline, &key))?;
        self.expiry.put(&mut transaction, &expiry_key(extended.new_deadline, &key), &())?;
        self.commit(transaction)?;
        Ok(Some(content))
    }
}

impl Contender for Lmdb {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        contender::in_batches(first, live, expired, |batch| {
            let mut transaction = self.write_transaction()?;
            for planned in batch {
                let record = session::encode_record(planned.times, &planned.content)?;
                self.sessions.put(&mut transaction, &planned.key, &record)?;
                let entry = expiry_key(planned.times.deadline(), &planned.key);
                self.expiry.put(&mut transaction, &entry, &())?;
            }
            self.commit(transaction)
        })
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        let key = session::key_of(id);
        match &self.environment {
            Environment::PerGet(environment) => {
                let transaction = environment.read_txn()?;
                self.read_in(&transaction, &key)
            }
            Environment::Kept(kept, environment) => {
                let mut kept = locked(kept);
                let transaction = match kept.take() {
                    Some(transaction) => transaction,
                    None => environment.clone().static_read_txn()?,
                };
                let content = self.read_in(&transaction, &key);
                *kept = Some(transaction);
                content
            }
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
        let mut transaction = self.write_transaction()?;
        self.sessions.put(&mut transaction, &key, &record)?;
        self.expiry.put(&mut transaction, &expiry_key(times.deadline(), &key), &())?;
        self.commit(transaction)?;
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let key = session::key_of(id);
        let mut transaction = self.write_transaction()?;
        let Some(record) = self.sessions.get(&transaction, &key)? else {
            return Ok(false);
        };
        let Some(updated) = session::update_record(record, content)? else {
            return Ok(false);
        };
        self.sessions.put(&mut transaction, &key, &updated)?;
        self.commit(transaction)?;
        Ok(true)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        let key = session::key_of(id);
        let mut transaction = self.write_transaction()?;
        let Some(record) = self.sessions.get(&transaction, &key)? else {
            return Ok(false);
        };
        let (times, _) = session::open_record(record)?;
        self.sessions.delete(&mut transaction, &key)?;
        self.expiry.delete(&mut transaction, &expiry_key(times.deadline(), &key))?;
        self.commit(transaction)?;
        Ok(true)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        let end = expiry_key(session::now() + 1, &Key::default());
        let passed = (Bound::Unbounded, Bound::Excluded(end.as_slice()));
        let mut transaction = self.write_transaction()?;
        let mut keys: Vec<Key> = Vec::new();
        for entry in self.expiry.range(&transaction, &passed)? {
            keys.push(entry?.0[8..].try_into()?);
        }
        for key in &keys {
            self.sessions.delete(&mut transaction, key)?;
        }
        self.expiry.delete_range(&mut transaction, &passed)?;
        self.commit(transaction)?;
        Ok(keys.len() as u64)
    }
}
