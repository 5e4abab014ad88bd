//! The crate itself: a store on its engine for redb, with the defaults that its builder documents.
//!
//! What is set is what a user with this race's sessions would set: the two timeouts, the
//! durability, and a higher limit to the number of sessions. The maintenance thread runs and
//! flushes every second, as it does by default; only its sweeps are put off for a day, because
//! lines h and i count what a sweep of theirs deletes. An extension of a session's life returns
//! once every thread sees it, and is on the disk within that second: that is the crate's promise,
//! and line d is about it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{Database, TableDefinition};
use sessile::engine::{Engine, RedbOptions};
use sessile::{Clock, Durability, MemoryEngine, SessionId, SessionOptions, SessionStore, Timeouts};

use crate::contender::{self, Contender, Population};
use crate::session::{ABSOLUTE, Content, INACTIVITY, Id, Outcome, Planned};

/// The level at which a commit may be lost for as long as a touch by default may.
pub const DEFERRED: Durability = Durability::Deferred { interval: Duration::from_secs(1) };
/// What the builder documents as its default.
const DAY: Duration = Duration::from_secs(86_400);
/// The most threads that add expired sessions to a store that is in use, so that they share
/// commits.
const THREADS: u64 = 256;

/// So long it takes the maintenance thread at the most to bring the tables up to the log.
const SETTLING: Duration = Duration::from_secs(1);

/// The tables as `docs/internals/format.md` describes them.
const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
const EXPIRY: TableDefinition<'_, (u64, &[u8; 16]), ()> = TableDefinition::new("expiry");

/// The store is opened by the first call, or by the population, which needs the file for itself.
pub struct Ours {
    path: PathBuf,
    durability: Durability,
    store: OnceLock<SessionStore<Content>>,
    /// Held by the thread that opens the store, so that no other does.
    opening: Mutex<()>,
}

fn timeouts() -> Outcome<Timeouts> {
    Ok(Timeouts::new(Duration::from_millis(INACTIVITY), Duration::from_millis(ABSOLUTE))?)
}

fn known(id: &Id) -> Outcome<&SessionId> {
    match id {
        Id::Ours(id) => Ok(id),
        Id::Raw(_) => Err("that id is another side's".into()),
    }
}

impl Ours {
    pub fn new(directory: &Path, durability: Durability) -> Self {
        Self {
            path: directory.join("sessions.redb"),
            durability,
            store: OnceLock::new(),
            opening: Mutex::default(),
        }
    }

    fn open(&self) -> Outcome<SessionStore<Content>> {
        let builder = SessionStore::<Content>::builder().timeouts(timeouts()?).durability(self.durability);
        // Ten million are the default, and line n has them before it creates one.
        Ok(builder.sweep_interval(DAY).max_sessions(20_000_000).open(&self.path)?)
    }

    fn store(&self) -> Outcome<&SessionStore<Content>> {
        match self.store.get() {
            Some(store) => Ok(store),
            None => self.open_once(),
        }
    }

    #[cold]
    fn open_once(&self) -> Outcome<&SessionStore<Content>> {
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match self.store.get() {
            Some(store) => Ok(store),
            None => {
                let opened = self.open()?;
                Ok(self.store.get_or_init(|| opened))
            }
        }
    }

    /// Writes a population into the file of a store that is not open. The crate makes the records,
    /// in memory, and they are copied as they are.
    fn fill(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        // This makes the file, and notes its timeouts.
        self.open()?.close()?;
        let database = redb::Builder::new().set_cache_size(1 << 30).open(&self.path)?;
        let mut ids = Vec::new();
        contender::in_order(first, live, expired, |batch| {
            let mut records = Vec::new();
            make_records(&batch, &mut ids, &mut records)?;
            write_records(&database, records)
        })?;
        let expired = ids.split_off(live as usize);
        Ok(Population { live: ids, expired })
    }

    /// Adds sessions that have expired to the store in use.
    fn add_expired(&self, first: u64, expired: u64) -> Outcome<Vec<Id>> {
        let store = self.store()?;
        // By the time that this returns.
        let at_once = SessionOptions::new().inactivity(Duration::from_millis(1));
        let create = |index| -> Outcome<Id> {
            Ok(Id::Ours(store.create_with(Content::of(index, 0), &at_once)?.id().clone()))
        };
        let share = expired.div_ceil(THREADS).max(16);
        let shares = (first..first + expired).step_by(share as usize);
        std::thread::scope(|scope| {
            let threads: Vec<_> = shares
                .map(|start| {
                    let numbers = start..(start + share).min(first + expired);
                    scope.spawn(move || numbers.map(create).collect::<Outcome<Vec<Id>>>())
                })
                .collect();
            let mut ids = Vec::new();
            for thread in threads {
                ids.extend(thread.join().map_err(|_| "a thread panicked")??);
            }
            // What they left for the maintenance thread to do is no part of what is timed next.
            std::thread::sleep(SETTLING);
            Ok(ids)
        })
    }
}

/// A clock that shows what it was set to, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A record's key, its place in the index of deadlines, and its bytes.
type Stored = ([u8; 16], u64, Vec<u8>);

/// Creates the planned sessions in memory, each at the time it was last used, and adds their ids
/// and records.
fn make_records(batch: &[Planned], ids: &mut Vec<Id>, records: &mut Vec<Stored>) -> Outcome<()> {
    let (clock, engine) = (SetClock::default(), Arc::new(MemoryEngine::new()));
    let builder = SessionStore::<Content>::builder().timeouts(timeouts()?).clock(clock.clone());
    let store = builder.manual_maintenance().engine(Arc::clone(&engine)).build()?;
    for planned in batch {
        clock.0.store(planned.times.created_at, Ordering::Relaxed);
        ids.push(Id::Ours(store.create(planned.content.clone())?.id().clone()));
    }
    Ok(engine.scan(None, &mut |key, record| {
        let record = record?;
        records.push((*key.as_bytes(), record.index_deadline().as_millis(), record.encode(&key)));
        Ok(ControlFlow::Continue(()))
    })?)
}

/// Writes records in one transaction, each table in the order of its keys, which is the order of
/// its pages.
fn write_records(database: &Database, mut records: Vec<Stored>) -> Outcome<()> {
    let transaction = database.begin_write()?;
    {
        let mut sessions = transaction.open_table(SESSIONS)?;
        records.sort_unstable();
        for (key, _, record) in &records {
            sessions.insert(key, record.as_slice())?;
        }
        let mut expiry = transaction.open_table(EXPIRY)?;
        records.sort_unstable_by_key(|(key, deadline, _)| (*deadline, *key));
        for (key, deadline, _) in &records {
            expiry.insert((*deadline, key), ())?;
        }
    }
    Ok(transaction.commit()?)
}

impl Contender for Ours {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        if self.store.get().is_none() && !fs::exists(&self.path)? {
            let population = self.fill(first, live, expired)?;
            self.store()?;
            return Ok(population);
        }
        if live > 0 {
            return Err("live sessions are populated into a new store alone".into());
        }
        Ok(Population { live: Vec::new(), expired: self.add_expired(first, expired)? })
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        Ok(self.store()?.read(known(id)?)?.map(|session| session.into_content()))
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        Ok(self.store()?.extend_lifetime(known(id)?)?)
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        Ok(self.store()?.read_and_extend(known(id)?)?.map(|session| session.into_content()))
    }

    fn draw_unknown(&self) -> Outcome<Id> {
        Ok(Id::Ours(SessionId::generate()?))
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        Ok(Id::Ours(self.store()?.create(content.clone())?.id().clone()))
    }

    /// Replaces what is there, as the other sides do. The crate's `update` asks for the session
    /// that is to be changed, so this reads it first, and moves the deadline as well.
    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let replace = |session: &mut sessile::Session<Content>| *session.content_mut() = content.clone();
        Ok(self.store()?.modify(known(id)?, replace)?.is_some())
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        Ok(self.store()?.destroy(known(id)?)?)
    }

    fn delete_expired(&self) -> Outcome<u64> {
        Ok(self.store()?.clean_up_expired()?)
    }

    fn cache_bytes(&self) -> u64 {
        RedbOptions::default_cache_size() as u64
    }

    fn commits(&self) -> Outcome<Option<(u64, u64)>> {
        let stats = self.store()?.stats()?;
        Ok(Some((stats.commits, stats.committed_operations)))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        match self.store.into_inner() {
            Some(store) => Ok(store.close()?),
            None => Ok(()),
        }
    }
}
