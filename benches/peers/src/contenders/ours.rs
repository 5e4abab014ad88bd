//! The crate itself: a store on its redb engine, with the builder's documented defaults.
//!
//! The race sets only what a user with these sessions would set: the two timeouts, the durability,
//! and a higher limit of sessions. The maintenance thread flushes every second, as by default. Its
//! sweeps are put off for a day, because lines h and i time their own sweeps. An extension returns
//! once every thread sees it, and is on the disk within a second: line d measures this promise.

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

/// The level at which a crash may lose the commits of the last second, as it may lose touches by
/// default.
pub const DEFERRED: Durability = Durability::Deferred { interval: Duration::from_secs(1) };
/// The interval of sweeps, which puts them off until the race has ended.
const DAY: Duration = Duration::from_secs(86_400);
/// The most threads that add expired sessions to a store in use. Many threads share commits.
const THREADS: u64 = 256;

/// The longest time that the maintenance thread takes to checkpoint the log.
const SETTLING: Duration = Duration::from_secs(1);

/// The tables as `docs/internals/format.md` describes them.
const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
const EXPIRY: TableDefinition<'_, (u64, &[u8; 16]), ()> = TableDefinition::new("expiry");

/// The store. The first call opens it; the population opens and closes the file itself.
pub struct Ours {
    path: PathBuf,
    durability: Durability,
    store: OnceLock<SessionStore<Content>>,
    /// Held by the thread that opens the store, so that no other thread opens it.
    opening: Mutex<()>,
}

fn timeouts() -> Outcome<Timeouts> {
    Ok(Timeouts::new(Duration::from_millis(INACTIVITY), Duration::from_millis(ABSOLUTE))?)
}

fn known(id: &Id) -> Outcome<&SessionId> {
    match id {
        Id::Ours(id) => Ok(id),
        Id::Raw(_) => Err("the id belongs to another side".into()),
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
        // The default limit is ten million, and line n has as many before it creates one.
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

    /// Writes a population into the file of a closed store. The crate makes the records in memory,
    /// and they are copied unchanged.
    fn fill(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        // This creates the file with its timeouts.
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
        // These sessions have expired before this call returns.
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
            // The maintenance thread finishes its work here, so that no timed call waits for it.
            std::thread::sleep(SETTLING);
            Ok(ids)
        })
    }
}

/// A clock with a settable time, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A record's key, its place in the index of deadlines, and its bytes.
type Stored = ([u8; 16], u64, Vec<u8>);

/// Creates the planned sessions in memory, each at the time of its last use, and appends their ids
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

/// Writes records in one transaction, each table in the order of its keys.
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
            return Err("live sessions can be populated only into a new store".into());
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

    /// Replaces the content without a given revision, as the other sides do. The crate's `update`
    /// takes a session, so this call reads the session first, and also moves the deadline.
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

    fn settle(&self) -> Outcome<()> {
        let store = self.store()?;
        let mut was_busy = false;
        while store.stats()?.pending_touches > 0 {
            was_busy = true;
            std::thread::sleep(Duration::from_millis(10));
        }
        if was_busy {
            std::thread::sleep(SETTLING);
        }
        Ok(())
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
