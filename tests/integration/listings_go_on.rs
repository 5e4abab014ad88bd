//! A reader never waits for another caller's disk: listings, counts and statistics continue while a
//! commit waits for its sync. A checkpoint that fails in the background does not end a listing.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sessile::engine::{Engine, Moment, RedbOptions, Timestamp, Waker};
use sessile::testing::{DiskFault, HeldSyncs, SimulatedDisk};
use sessile::{Durability, Error, RedbEngine, SessionId, SessionStore, Timeouts};

type Store = SessionStore<u32>;

fn open(disk: &SimulatedDisk, durability: Durability) -> Store {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new().durability(durability)).unwrap();
    SessionStore::builder().engine(engine).manual_maintenance().build().unwrap()
}

/// Reads in every way while `write` waits for a sync. The reads must show the state before that
/// write.
fn look_while<C: Serialize + DeserializeOwned + Send + Sync>(
    disk: &SimulatedDisk,
    held: HeldSyncs<'_>,
    store: &SessionStore<C>,
    id: &SessionId,
    write: impl FnOnce() + Send,
) {
    let before = store.len().unwrap();
    let look = || {
        assert!(store.read(id).unwrap().is_some());
        assert!(store.extend_lifetime(id).unwrap());
        assert_eq!(store.sessions_of("ann").unwrap().len() as u64, before);
        assert_eq!(store.for_each(|_, _| ()).unwrap(), before);
        assert_eq!(store.len().unwrap(), before);
        assert!(!store.is_empty().unwrap());
        assert_eq!(store.stats().unwrap().sessions, before);
        let checked = store.check().unwrap();
        assert!(checked.is_sound() && checked.sessions == before);
        assert_eq!((checked.expiry_entries, checked.user_entries), (before, before));
    };
    thread::scope(|scope| {
        let writer = scope.spawn(write);
        disk.wait_for_held_sync();
        let (looked, has_looked) = channel();
        let looker = scope.spawn(move || {
            look();
            looked.send(()).unwrap();
        });
        let in_time = has_looked.recv_timeout(Duration::from_secs(60));
        drop(held);
        looker.join().unwrap();
        writer.join().unwrap();
        assert!(in_time.is_ok(), "it waited for the sync");
    });
}

#[test]
fn a_listing_waits_for_no_sync() {
    for durability in [Durability::Immediate, Durability::TwoPhase] {
        let disk = SimulatedDisk::new();
        let store = open(&disk, durability);
        let id = store.create_for_user("ann", 1).unwrap().id().clone();
        look_while(&disk, disk.hold_syncs(), &store, &id, || {
            drop(store.create_for_user("ann", 2).unwrap())
        });
        assert_eq!((store.len().unwrap(), store.sessions_of("ann").unwrap().len()), (2, 2));
        store.close().unwrap();
    }
}

#[test]
fn a_listing_waits_for_no_durable_commit_of_the_tables() {
    let disk = SimulatedDisk::new();
    // With another durability the log may move first, during which no lock is held.
    let store = open(&disk, Durability::TwoPhase);
    let create = |number| store.create_for_user("ann", number).unwrap().id().clone();
    let ids: Vec<_> = (0..20).map(create).collect();
    look_while(&disk, disk.hold_file_syncs(), &store, &ids[7], || store.clear().unwrap());
    assert_eq!((store.len().unwrap(), store.for_each(|_, _| ()).unwrap()), (0, 0));
}

/// A reader checks by the log's last entry whether another program has written to the file.
#[test]
fn an_entry_that_is_written_over_the_last_one_is_taken_for_nobody_elses() {
    let disk = SimulatedDisk::new();
    let engine = Arc::new(RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap());
    engine.set_waker(Waker::new(|| ()));
    let builder = SessionStore::<String>::builder().engine(Arc::clone(&engine));
    let store = builder.manual_maintenance().build().unwrap();
    // More than half of the log of 64 KiB, so that each entry starts at the same offset.
    let content = |round: u32| round.to_string().repeat(40 * 1024);
    let mut session = store.create_for_user("ann", content(0)).unwrap();
    for round in 1..8 {
        engine.run_background_work().unwrap();
        *session.content_mut() = content(round);
        let id = session.id().clone();
        match round {
            // The file grows with the first ones, and the log moves.
            1..5 => store.update(&mut session).unwrap(),
            _ => {
                look_while(&disk, disk.hold_syncs(), &store, &id, || {
                    store.update(&mut session).unwrap()
                });
            }
        }
    }
    store.close().unwrap();
}

/// A store of 3,000 sessions, more than its page cache holds, on an engine whose checkpoint is due.
fn with_a_checkpoint_due(disk: &SimulatedDisk) -> (Arc<RedbEngine>, SessionStore<String>, u64) {
    let content = || "x".repeat(200);
    let open = |durability| {
        let options = RedbOptions::new().durability(durability).cache_size(1024 * 1024);
        let engine = Arc::new(RedbEngine::open_on(disk, &options).unwrap());
        let builder = SessionStore::<String>::builder().engine(Arc::clone(&engine));
        let builder = builder.max_content_len(2 * 1024 * 1024);
        (engine, builder.manual_maintenance().build().unwrap())
    };
    let (_, store) = open(Durability::Deferred { interval: Duration::from_secs(3_600) });
    (0..3_000_u64).for_each(|user| drop(store.create_for_user(user, content()).unwrap()));
    store.close().unwrap();
    let (engine, store) = open(Durability::Immediate);
    // With a waker set, no caller runs a checkpoint itself until the log is almost full. A
    // checkpoint is due after 64 records, as many as the cache has pages.
    engine.set_waker(Waker::new(|| ()));
    (0..80).for_each(|_| drop(store.create_for_user("ann", content()).unwrap()));
    (engine, store, 3_080)
}

#[test]
fn a_listing_goes_on_though_a_checkpoint_finds_no_room() {
    let disk = SimulatedDisk::new();
    let (engine, store, stored) = with_a_checkpoint_due(&disk);
    let (mut seen, mut before) = (HashSet::new(), 0);
    store
        .for_each(|info, _| {
            assert!(seen.insert(info.key()), "shown twice");
            if seen.len() == 1_000 {
                before = engine.stats().unwrap().reopenings;
                disk.fail_once(DiskFault::Full, 0);
                engine.run_background_work().unwrap_err();
            }
        })
        .unwrap();
    assert_eq!(seen.len() as u64, stored);
    assert!(engine.stats().unwrap().reopenings > before, "the handle was never lost");
    assert_eq!(store.len().unwrap(), stored);
    assert_eq!(store.sessions_of("ann").unwrap().len() as u64, stored - 3_000);
    store.create_for_user("ann", "there is room".into()).unwrap();
    store.close().unwrap();
}

#[test]
fn users_are_counted_to_the_end_though_a_checkpoint_finds_no_room() {
    let disk = SimulatedDisk::new();
    let (engine, _store, stored) = with_a_checkpoint_due(&disk);
    let (mut users, mut sessions) = (0, 0);
    let now = Timestamp::from_millis(1);
    let moment = Moment { now, timeouts: Timeouts::default() };
    engine
        .scan_users(None, moment, &mut |_, count| {
            (users, sessions) = (users + 1, sessions + count);
            if users == 1_000 {
                disk.fail_once(DiskFault::Full, 0);
                engine.run_background_work().unwrap_err();
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!((users, sessions), (3_001, stored));
    assert!(engine.stats().unwrap().reopenings > 0, "the handle was never lost");
}

#[test]
fn a_listing_goes_on_though_a_write_finds_no_room() {
    // The log of this store never holds so much, so the session goes into the tables, which grow.
    let create =
        |store: &SessionStore<String>| store.create_for_user("bob", "x".repeat(1024 * 1024));
    let operations = {
        let disk = SimulatedDisk::new();
        let (_, store, _) = with_a_checkpoint_due(&disk);
        let before = disk.operations();
        create(&store).unwrap();
        disk.operations() - before
    };
    // Whether the write found no room, so that the listing goes on.
    let fails_at = |operation| {
        let disk = SimulatedDisk::new();
        let (_, store, stored) = with_a_checkpoint_due(&disk);
        let (mut seen, mut answer) = (HashSet::new(), None);
        let listed = store.for_each(|info, _| {
            assert!(seen.insert(info.key()), "shown twice");
            if seen.len() == 1_000 {
                disk.fail_once(DiskFault::Full, disk.operations() + operation);
                answer = Some(create(&store));
            }
        });
        match answer.unwrap() {
            // The commit took fewer operations than the one that was counted.
            Ok(_) => assert!(disk.repair(), "operation {operation}: the error was lost"),
            Err(Error::StorageFull { .. }) => {
                assert!(listed.is_ok(), "operation {operation}: {listed:?}");
                assert_eq!((store.len().unwrap(), seen.len() as u64), (stored, stored));
                return true;
            }
            // The commit is in the file, and so the listing may not go on.
            Err(Error::OutcomeUnknown { .. }) => assert_eq!(store.len().unwrap(), stored + 1),
            Err(error) => panic!("operation {operation}: {error:?}"),
        }
        false
    };
    // The first operations come before redb's commit.
    assert!((0..3).all(fails_at));
    // The last ones belong to it, so that only the reopened file tells whether the commit took
    // place. Their number depends on the keys, which are random.
    let mut failed = 0;
    for operation in (3..operations).rev() {
        failed += u32::from(fails_at(operation));
        if failed == 5 {
            return;
        }
    }
    panic!("{failed} of the last writes failed");
}

/// Such a listing would not show one moment.
#[test]
fn a_listing_ends_with_its_error_if_something_was_shown_before_the_file_was_opened_again() {
    let disk = SimulatedDisk::new();
    let (engine, store, _) = with_a_checkpoint_due(&disk);
    let mut seen = 0;
    let listed = store.for_each(|_, _| {
        seen += 1;
        if seen == 1_000 {
            store.create_for_user("ann", "shown to others".into()).unwrap();
            disk.fail_once(DiskFault::Full, 0);
            engine.run_background_work().unwrap_err();
        }
    });
    assert!(matches!(listed, Err(Error::Io { .. })), "{listed:?}");
}
