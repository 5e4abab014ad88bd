//! `Deferred`: acknowledged changes stay, whatever happens to the file, and reach the disk as the
//! state of one moment.

use std::time::Duration;

use sessile::engine::RedbOptions;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Error, RedbEngine, SessionId, SessionStore};

type Store = SessionStore<String>;

const DEFERRED: Durability = Durability::Deferred { interval: Duration::from_secs(3_600) };
const FAULTS: [DiskFault; 3] = [DiskFault::Full, DiskFault::Write, DiskFault::Late];

fn open(disk: &SimulatedDisk) -> Store {
    let options = RedbOptions::new().durability(DEFERRED).record_cache(false);
    let engine = RedbEngine::open_on(disk, &options.cache_size(1024 * 1024)).unwrap();
    Store::builder().engine(engine).manual_maintenance().build().unwrap()
}

fn create(store: &Store, number: usize, len: usize) -> Vec<SessionId> {
    let create = |_| store.create_for_user("ann", "x".repeat(len)).unwrap().id().clone();
    (0..number).map(create).collect()
}

fn there(store: &Store, ids: &[SessionId]) -> usize {
    ids.iter().filter(|id| store.read(id).unwrap().is_some()).count()
}

/// A store with one ended session and some new ones since the last flush.
fn with_unflushed(disk: &SimulatedDisk, len: usize) -> (Store, SessionId, Vec<SessionId>) {
    let store = open(disk);
    let ended = create(&store, 1, 10).remove(0);
    store.flush().unwrap();
    assert!(store.destroy(&ended).unwrap());
    let new = create(&store, 5, len);
    (store, ended, new)
}

fn check(store: &Store, ended: &SessionId, new: &[SessionId]) {
    assert!(store.read(ended).unwrap().is_none(), "a logout is undone");
    assert_eq!(there(store, new), new.len());
    assert_eq!(store.len().unwrap(), new.len() as u64);
    assert_eq!(store.sessions_of("ann").unwrap().len(), new.len());
}

/// A length that fits the log, and one that does not.
const LENGTHS: [usize; 2] = [10, 20_000];

#[test]
fn a_flush_that_fails_for_a_moment_loses_nothing_and_the_next_one_writes_it() {
    for (fault, len) in FAULTS.into_iter().flat_map(|fault| LENGTHS.map(|len| (fault, len))) {
        let disk = SimulatedDisk::new();
        let (store, ended, new) = with_unflushed(&disk, len);
        disk.fail_from(fault, disk.operations());
        let flushed = store.flush();
        assert!(
            matches!(flushed, Err(Error::Io { .. } | Error::StorageFull { .. })),
            "{flushed:?}"
        );
        disk.repair();
        check(&store, &ended, &new);
        store.flush().unwrap();
        check(&store, &ended, &new);
        check(&open(&disk.after_power_loss(disk.operations(), 1)), &ended, &new);
        store.close().unwrap();
        check(&open(&disk), &ended, &new);
    }
}

#[test]
fn whichever_write_of_a_flush_fails_the_next_flush_writes_everything() {
    for (fault, len) in FAULTS.into_iter().flat_map(|fault| LENGTHS.map(|len| (fault, len))) {
        for operation in 0.. {
            let disk = SimulatedDisk::new();
            let (store, ended, new) = with_unflushed(&disk, len);
            disk.fail_once(fault, disk.operations() + operation);
            let flushed = store.flush();
            if disk.repair() {
                assert!(operation > 0, "it never struck");
                flushed.unwrap();
                break;
            }
            check(&store, &ended, &new);
            store.flush().unwrap();
            check(&store, &ended, &new);
            check(&open(&disk.after_power_loss(disk.operations(), 1)), &ended, &new);
        }
    }
}

#[test]
fn after_a_failed_sync_each_flush_and_the_close_say_so_and_what_was_deferred_is_read() {
    for len in LENGTHS {
        let disk = SimulatedDisk::new();
        let (store, ended, new) = with_unflushed(&disk, len);
        disk.fail_once(DiskFault::Sync, disk.operations());
        assert!(store.flush().is_err());
        assert!(!disk.repair(), "it struck");
        for _ in 0..2 {
            assert!(store.flush().is_err());
            assert!(store.read(&ended).unwrap().is_none(), "a logout is undone");
            assert_eq!(there(&store, &new), new.len());
        }
        assert!(store.close().is_err());
    }
}

#[test]
fn a_close_that_cannot_write_what_was_deferred_says_so() {
    for len in LENGTHS {
        let disk = SimulatedDisk::new();
        let (store, ..) = with_unflushed(&disk, len);
        disk.fail_from(DiskFault::Full, disk.operations());
        assert!(store.flush().is_err());
        let closed = store.close();
        assert!(matches!(closed, Err(Error::StorageFull { .. } | Error::Io { .. })), "{closed:?}");
    }
}

#[test]
fn a_read_error_takes_nothing_along_that_was_deferred() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let old = create(&store, 200, 20_000);
    store.flush().unwrap();
    assert!(store.check().unwrap().is_sound());
    assert!(store.destroy(&old[0]).unwrap());
    let new = create(&store, 5, 10);
    disk.fail_once(DiskFault::Read, 0);
    let failed = old.iter().filter(|id| store.read(id).is_err()).count();
    assert!(failed > 0 && !disk.repair(), "it struck");
    assert!(store.read(&old[0]).unwrap().is_none(), "a logout is undone");
    assert_eq!((there(&store, &old), there(&store, &new)), (199, 5));
    assert_eq!(store.len().unwrap(), 204);
    // So does a handle that reads the changes in memory, and continues to write.
    assert!(store.destroy(&new[0]).unwrap());
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!((there(&store, &old), there(&store, &new)), (199, 4));
}

#[test]
fn an_operation_on_the_whole_store_that_fails_takes_nothing_along_that_was_deferred() {
    let mut seen = [false; 3];
    for fault in FAULTS {
        for operation in 0.. {
            let disk = SimulatedDisk::new();
            let (store, ended, new) = with_unflushed(&disk, 10);
            let kept = create(&store, 1, 10);
            store.flush().unwrap();
            let new = [new, kept, create(&store, 2, 10)].concat();
            disk.fail_once(fault, disk.operations() + operation);
            let cleared = store.clear();
            if disk.repair() {
                assert!(operation > 0, "it never struck");
                cleared.unwrap();
                break;
            }
            // All sessions are there, or none; and an error that names the outcome is right.
            match (cleared, store.len().unwrap()) {
                (Ok(()), _) => assert_eq!(there(&store, &new), 0, "{fault:?} {operation}"),
                (Err(Error::OutcomeUnknown { .. }), 0) => {
                    seen[0] = true;
                    assert_eq!(there(&store, &new), 0, "{fault:?} {operation}");
                }
                (Err(error), 0) => panic!("{fault:?} {operation}: cleared, and {error:?}"),
                (Err(error), _) => {
                    seen[if matches!(error, Error::OutcomeUnknown { .. }) { 1 } else { 2 }] = true;
                    check(&store, &ended, &new);
                }
            }
            let left = there(&store, &new);
            store.flush().unwrap();
            let after = open(&disk.after_power_loss(disk.operations(), 1));
            assert_eq!((there(&after, &new), after.len().unwrap() as usize), (left, left));
        }
    }
    assert_eq!(seen[1..], [false, true], "whether it was rolled back is known");
}

#[test]
fn a_crash_leaves_what_was_deferred_as_of_one_moment() {
    for len in [10, 2_000] {
        let disk = SimulatedDisk::new();
        let store = open(&disk);
        let old = create(&store, 60, len);
        store.flush().unwrap();
        let before = disk.operations();
        let mut new = Vec::new();
        for id in &old {
            let mut session = store.read(id).unwrap().unwrap();
            store.regenerate_id(&mut session).unwrap();
            new.push(session.id().clone());
        }
        assert_eq!(disk.operations(), before, "all of it is in memory");
        store.flush().unwrap();
        let mut seen = [false; 2];
        for operation in before..=disk.operations() {
            for crashed in [disk.after_power_loss(operation, 7), disk.after_kill(operation, 7)] {
                let store = open(&crashed);
                match (there(&store, &old), there(&store, &new)) {
                    (60, 0) => seen[0] = true,
                    (0, 60) => seen[1] = true,
                    mixture => panic!("{mixture:?} at {operation}"),
                }
                assert_eq!(store.len().unwrap(), 60);
            }
        }
        assert_eq!(seen, [true; 2]);
    }
}

/// Changes in memory alone have a limit. Beyond it a write waits for the disk, or reports its
/// error.
#[test]
fn what_is_deferred_takes_limited_memory_and_is_written_before_its_time() {
    const LEN: usize = 50_000;
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let before = disk.operations();
    let mut ids = create(&store, 100, LEN);
    assert!(disk.operations() > before, "5 MB, and nothing was written");
    disk.fail_from(DiskFault::Full, disk.operations());
    let refused = loop {
        match store.create_for_user("ann", "x".repeat(LEN)) {
            Ok(session) => ids.push(session.id().clone()),
            Err(error) => break error,
        }
        assert!(ids.len() < 1_000, "50 MB wait in memory");
    };
    assert!(matches!(refused, Error::StorageFull { .. } | Error::Io { .. }), "{refused:?}");
    disk.repair();
    store.flush().unwrap();
    assert_eq!(there(&store, &ids), ids.len());
    assert_eq!(there(&open(&disk.after_power_loss(disk.operations(), 1)), &ids), ids.len());
}
