//! What the engine does with a damaged record, with stray index entries and without locks; and what
//! its parts print.

use std::io;
use std::path::Path;

use redb::StorageBackend;

use super::*;
use crate::engine::redb::commit::question::Flush;
use crate::engine::redb::database::schema::{EXPIRY, SESSIONS};
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::{Draft, Existing, Opened, Storage, StorageFile};
use crate::testing::DiskFault;

const PARTS: Parts<'_> = Parts {
    user: None,
    csrf_token: None,
    own_timeouts: OwnTimeouts { inactivity_ms: None, absolute_ms: None },
    revision: 1,
    created_at: Timestamp::from_millis(1),
    last_active: Timestamp::from_millis(1),
    content_version: 0,
    content: &[],
};

#[test]
fn a_damaged_record_is_an_error_for_what_needs_it_and_can_be_touched_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let (damaged, other) = (SessionKey::from_bytes([1; 16]), SessionKey::from_bytes([2; 16]));
    let engine = RedbEngine::open(&path).unwrap();
    assert_eq!(
        engine.insert(&damaged, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    engine.close().unwrap();
    drop(engine);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(SESSIONS).unwrap().insert(damaged.as_bytes(), &[7; 70][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let engine = RedbEngine::open_with(&path, &RedbOptions::default()).unwrap();
    let is_damaged =
        |error: Error| matches!(error, Error::DamagedRecord { key, .. } if key == damaged);
    assert!(is_damaged(engine.load(&damaged, Moment::BEGINNING).unwrap_err()));
    assert!(is_damaged(
        engine.replace(&damaged, 1, record(), Moment::BEGINNING, Limits::NONE).unwrap_err()
    ));
    assert!(is_damaged(
        engine.rekey(&damaged, &other, 1, record(), Moment::BEGINNING, Limits::NONE).unwrap_err()
    ));
    assert!(is_damaged(engine.remove_others(&damaged, Moment::BEGINNING).unwrap_err()));
    let extended = engine.extend(&damaged, Moment::BEGINNING, Duration::ZERO);
    assert!(is_damaged(extended.unwrap_err()));
    assert_eq!(engine.stats().unwrap().pending_touches, 0);
    assert_eq!(
        engine.insert(&damaged, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Occupied
    );
    assert!(engine.load(&other, Moment::BEGINNING).unwrap().is_none());

    assert_eq!(
        engine.remove(&damaged, None, Moment::BEGINNING).unwrap(),
        Some(Ended::damaged(&damaged))
    );
    assert!(engine.load(&damaged, Moment::BEGINNING).unwrap().is_none());
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
}

#[test]
fn a_sweep_takes_away_entries_that_lead_nowhere_or_to_a_session_that_stands_elsewhere() {
    const STRAYS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let (stored, logged) = (SessionKey::from_bytes([1; 16]), SessionKey::from_bytes([2; 16]));
    let engine = RedbEngine::open(&path).unwrap();
    assert_eq!(
        engine.insert(&stored, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    engine.close().unwrap();
    drop(engine);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut expiry = transaction.open_table(EXPIRY).unwrap();
        for deadline in 2..2 + STRAYS {
            expiry.insert((deadline, stored.as_bytes()), ()).unwrap();
            expiry.insert((deadline, &[deadline as u8; 16]), ()).unwrap();
        }
        expiry.insert((2, logged.as_bytes()), ()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let engine = RedbEngine::open(&path).unwrap();
    assert_eq!(engine.disagreements().unwrap().len() as u64, 2 * STRAYS);
    // A record that was inserted since does not own the entry.
    assert_eq!(
        engine.insert(&logged, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    let (now, defaults) = (Timestamp::from_millis(1_000), Timeouts::default());
    for sweep in 0.. {
        let step = engine.remove_expired(Moment { now, timeouts: defaults }, STEP).unwrap();
        assert_eq!(step.removed, []);
        if !step.more {
            break;
        }
        assert!(sweep < STRAYS, "it comes to its end");
    }
    // Entries whose sessions have changed since are found once redb's tables have caught up.
    engine.submit(Flush).unwrap();
    engine.snapshot().unwrap();
    let step = engine.remove_expired(Moment { now, timeouts: defaults }, STEP).unwrap();
    assert_eq!(step.removed, []);
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
    for key in [stored, logged] {
        assert!(engine.load(&key, Moment::BEGINNING).unwrap().is_some());
    }
}

/// A disk with a session at the beginning of time, and with stray entries.
fn disk_with(strays: u8) -> SimulatedDisk {
    let (disk, options) = (SimulatedDisk::new(), RedbOptions::new());
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    let inserted = engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE).unwrap();
    assert_eq!(inserted, Insert::Done(vec![]));
    engine.close().unwrap();
    let backend = Storage::open(&disk).unwrap().unwrap().backend;
    let database = redb::Builder::new().create_with_backend(Lockless(backend)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut expiry = transaction.open_table(EXPIRY).unwrap();
        for stray in 0..strays {
            expiry.insert((2, &[100 + stray; 16]), ()).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    disk
}

#[test]
fn a_sweep_returns_what_it_removed_though_the_stray_entries_cannot_be_removed() {
    const STRAYS: u8 = 3;
    let moment = Moment { now: Timestamp::from_millis(1_000_000), timeouts: Timeouts::default() };
    let operations = |strays| {
        let disk = disk_with(strays);
        let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
        let before = disk.operations();
        assert_eq!(engine.remove_expired(moment, STEP).unwrap().removed.len(), 1);
        disk.operations() - before
    };
    let (removal, all) = (operations(0), operations(STRAYS));
    assert!(removal < all, "the strays are a commit of their own");
    for at in removal..all {
        let disk = disk_with(STRAYS);
        let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
        disk.fail_once(DiskFault::Write, disk.operations() + at);
        let swept = engine.remove_expired(moment, STEP);
        assert_eq!(swept.unwrap().removed.len(), 1, "{at}");
        disk.repair();
        engine.snapshot().unwrap();
        while engine.remove_expired(moment, STEP).unwrap().more {}
        assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn what_changes_nothing_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path().join("sessions.redb")).unwrap();
    let (key, missing) = (SessionKey::from_bytes([1; 16]), SessionKey::from_bytes([2; 16]));
    assert_eq!(
        engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    let commits = engine.stats().unwrap().commits;
    assert_eq!(
        engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Occupied
    );
    assert_eq!(
        engine.replace(&key, 7, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Replace::Conflict
    );
    assert_eq!(engine.remove(&missing, None, Moment::BEGINNING).unwrap(), None);
    assert_eq!(engine.stats().unwrap().commits, commits);
    assert!(engine.remove(&key, None, Moment::BEGINNING).unwrap().is_some());
    assert_eq!(engine.stats().unwrap().commits, commits + 1);
}

/// A folder that lacks something.
#[derive(Debug)]
struct Lacking(Lack, InFolder);

#[derive(Debug, PartialEq)]
enum Lack {
    /// The file system has no locks, as some network file systems.
    Locks,
    /// The process may not look up names any more, or the file is about to be deleted.
    Names,
}

/// A backend that implements no locks does not support them.
#[derive(Debug)]
struct Lockless(Box<dyn StorageBackend>);

impl StorageFile for Lockless {}

impl StorageBackend for Lockless {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl Storage for Lacking {
    fn path(&self) -> &Path {
        self.1.path()
    }

    fn found(&self) -> Result<Existing> {
        self.1.found()
    }

    fn open(&self) -> Result<Option<Opened>> {
        let opened = self.1.open()?;
        if self.0 != Lack::Locks {
            return Ok(opened);
        }
        Ok(opened.map(|it| Opened { backend: Box::new(Lockless(it.backend)), ..it }))
    }

    fn create(&self) -> Result<Option<Opened>> {
        self.1.create()
    }

    fn remove(&self, identity: Identity) {
        self.1.remove(identity);
    }

    fn sync_name(&self) -> Result<()> {
        self.1.sync_name()
    }

    fn draft(&self) -> Result<Box<dyn Draft>> {
        self.1.draft()
    }

    fn leads_to(&self, identity: Identity) -> Result<bool> {
        match self.0 {
            Lack::Locks => self.1.leads_to(identity),
            Lack::Names => {
                let cause = io::Error::from(io::ErrorKind::PermissionDenied);
                Err(Error::io("look at", self.path(), cause))
            }
        }
    }

    fn len(&self) -> Result<u64> {
        self.1.len()
    }
}

#[test]
fn a_file_system_without_locks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    RedbEngine::open(&path).unwrap().close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let storage = Lacking(Lack::Locks, InFolder::at(&path).unwrap());
    let refused = RedbEngine::open_storage(Box::new(storage), &RedbOptions::new());
    assert!(matches!(refused, Err(Error::LocksUnsupported { path: named }) if named == path));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_whose_name_nobody_may_look_up_takes_commits_only_if_it_is_known_to_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    RedbEngine::open(&path).unwrap().close().unwrap();
    let storage = Lacking(Lack::Names, InFolder::at(&path).unwrap());
    let engine = RedbEngine::open_storage(Box::new(storage), &RedbOptions::new()).unwrap();
    let insert = |key| {
        let key = SessionKey::from_bytes([key; 16]);
        engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE)
    };
    // Only on Unix does an open file tell whether it has a name.
    assert_eq!(insert(1).is_ok(), cfg!(unix));
    std::fs::remove_file(&path).unwrap();
    let refused = insert(2);
    assert!(matches!(refused, Err(Error::Io { action: "look at", .. })), "{refused:?}");
}

#[test]
fn the_parts_of_an_engine_print_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path().join("sessions.redb")).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    let parts = Parts { content: b"\x2a\x2a\x2a", ..PARTS };
    let record = Record::new(&parts, &Timeouts::default()).unwrap();
    assert_eq!(
        engine.insert(&key, record, Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    assert!(engine.load(&key, Moment::BEGINNING).unwrap().is_some());
    let printed = format!("{:?} {:?} {:?}", engine, engine.view, engine.writer);
    assert!(printed.contains("Snapshot") && printed.contains("Writer"), "{printed}");
    assert!(!printed.contains("42, 42, 42") && !printed.contains("***"), "{printed}");
}
