//! Who only looks waits for nobody's disk: listings, counts and numbers while a commit waits for its
//! sync.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use sessile::engine::RedbOptions;
use sessile::testing::SimulatedDisk;
use sessile::{Durability, RedbEngine, SessionId, SessionStore};

type Store = SessionStore<u32>;

fn open(disk: &SimulatedDisk, durability: Durability) -> Store {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new().durability(durability)).unwrap();
    SessionStore::builder().engine(engine).manual_maintenance().build().unwrap()
}

/// Looks in every way, while `write` waits for a sync, at what was there before it.
fn look_while(disk: &SimulatedDisk, store: &Store, id: &SessionId, write: impl FnOnce() + Send) {
    let before = store.len().unwrap();
    let look = || {
        assert!(store.read(id).unwrap().is_some());
        assert!(store.extend_lifetime(id).unwrap());
        assert_eq!(store.sessions_of("ann").unwrap().len() as u64, before);
        assert_eq!(store.for_each(|_, _| ()).unwrap(), before);
        assert_eq!(store.len().unwrap(), before);
        assert!(!store.is_empty().unwrap());
        assert_eq!(store.stats().unwrap().sessions, before);
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
        disk.release_syncs();
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
        disk.hold_syncs();
        look_while(&disk, &store, &id, || drop(store.create_for_user("ann", 2).unwrap()));
        assert_eq!((store.len().unwrap(), store.sessions_of("ann").unwrap().len()), (2, 2));
        store.close().unwrap();
    }
}

#[test]
fn a_listing_waits_for_no_durable_commit_of_the_tables() {
    let disk = SimulatedDisk::new();
    // With another durability the log may move first, for which nobody holds a lock.
    let store = open(&disk, Durability::TwoPhase);
    let create = |number| store.create_for_user("ann", number).unwrap().id().clone();
    let ids: Vec<_> = (0..20).map(create).collect();
    disk.hold_file_syncs();
    look_while(&disk, &store, &ids[7], || store.clear().unwrap());
    assert_eq!((store.len().unwrap(), store.for_each(|_, _| ()).unwrap()), (0, 0));
}
