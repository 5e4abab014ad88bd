//! Calls made while a thread unwinds, by a panic unrelated to the store: a guard's `Drop` that ends
//! a session, or the drop of the last handle. And an exit that drops no handle.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use sessile::engine::RedbOptions;
use sessile::testing::SimulatedDisk;
use sessile::{Durability, RedbEngine, SessionId, SessionStore};

const DURABILITIES: [Durability; 3] = [
    Durability::Immediate,
    Durability::TwoPhase,
    Durability::Deferred { interval: Duration::from_secs(3_600) },
];

fn open(disk: &SimulatedDisk, durability: Durability) -> SessionStore<u32> {
    let options = RedbOptions::new().durability(durability);
    let engine = RedbEngine::open_on(disk, &options).unwrap();
    SessionStore::builder().engine(engine).manual_maintenance().build().unwrap()
}

/// Runs a closure while a panic unwinds.
struct Unwinding<F: FnMut()>(F);

impl<F: FnMut()> Drop for Unwinding<F> {
    fn drop(&mut self) {
        assert!(thread::panicking());
        (self.0)();
    }
}

fn while_unwinding(act: impl FnMut()) {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _guard = Unwinding(act);
        resume_unwind(Box::new("a bug in a request handler"));
    }));
    assert!(panic.is_err());
}

fn create(store: &SessionStore<u32>, numbers: std::ops::Range<u32>) -> Vec<SessionId> {
    numbers.map(|number| store.create(number).unwrap().id().clone()).collect()
}

#[test]
fn a_write_made_while_a_thread_unwinds_works_as_any_other() {
    for durability in DURABILITIES {
        let disk = SimulatedDisk::new();
        let store = open(&disk, durability);
        let mut ids = create(&store, 0..8);
        let usual = disk.reads();
        ids.extend(create(&store, 8..10));
        let usual = disk.reads() - usual;
        let ended = ids.remove(0);
        let touched = ids[0].clone();
        while_unwinding(|| {
            assert!(store.destroy(&ended).unwrap());
            assert!(store.extend_lifetime(&touched).unwrap());
            ids.extend(create(&store, 10..12));
        });
        let before = disk.reads();
        ids.extend(create(&store, 12..14));
        assert_eq!(disk.reads() - before, usual, "{durability:?}: the file was reopened");
        assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()), "{durability:?}");
        assert!(store.read(&ended).unwrap().is_none(), "{durability:?}");
        assert_eq!(store.len().unwrap(), ids.len() as u64, "{durability:?}");
        store.close().unwrap();
        let store = open(&disk, durability);
        assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()), "{durability:?}");
        assert_eq!(store.len().unwrap(), ids.len() as u64, "{durability:?}");
    }
}

#[test]
fn a_panic_that_drops_the_last_handle_leaves_everything_on_the_disk_and_the_file_closed() {
    for durability in DURABILITIES {
        let disk = SimulatedDisk::new();
        let mut store = Some(open(&disk, durability));
        let ids = create(store.as_ref().unwrap(), 0..100);
        assert!(store.as_ref().unwrap().extend_lifetime(&ids[0]).unwrap());
        while_unwinding(|| drop(store.take()));
        // The bit of value 2 in the byte after redb's magic number is set while the file is open.
        assert_eq!(disk.store_bytes()[9] & 2, 0, "{durability:?}: it was not closed");
        for disk in [disk.after_power_loss(disk.operations(), 1), disk] {
            let store = open(&disk, durability);
            assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()), "{durability:?}");
        }
    }
}

/// Set in a child process: the file, and whether the child closes the store before it exits.
const EXITS: &str = "SESSILE_TEST_EXITS";
const CLOSES: &str = "SESSILE_TEST_CLOSES";

#[test]
fn an_exit_that_drops_no_handle_is_a_kill_unless_the_store_was_closed() {
    let deferred = || SessionStore::<u32>::builder().durability(DURABILITIES[2]);
    if let Some(path) = std::env::var_os(EXITS) {
        let store = deferred().open(path).unwrap();
        store.create(7).unwrap();
        if std::env::var_os(CLOSES).is_some() {
            store.clone().close().unwrap();
        }
        std::process::exit(0);
    }
    for (closes, sessions) in [(false, 0), (true, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let name = "unwinding::an_exit_that_drops_no_handle_is_a_kill_unless_the_store_was_closed";
        let mut child = crate::child::running(name);
        child.env(EXITS, &path);
        if closes {
            child.env(CLOSES, "1");
        }
        assert!(child.output().unwrap().status.success());
        let store = deferred().open_existing(&path).unwrap();
        assert_eq!(store.len().unwrap(), sessions, "closed: {closes}");
    }
}
