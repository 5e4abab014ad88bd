//! Opening the file of a killed process: the order of its steps, and a callback that panics.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile::engine::RedbOptions;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Error, Recovery, RedbEngine, Result, SessionId, SessionStore};

use super::DURABILITIES;
use super::opened::options;

type Store = SessionStore<Vec<u8>>;

/// Longer than pages are, so that a cut-off write is on some of them and not on others.
const LEN: usize = 10_000;

fn open(disk: &SimulatedDisk, options: &RedbOptions) -> Result<Store> {
    Store::builder().engine(RedbEngine::open_on(disk, options)?).manual_maintenance().build()
}

/// A disk after the kill of a process that used it.
struct Used {
    disk: SimulatedDisk,
    /// The disk's count when the process opened the store, and when it was killed.
    from: u64,
    to: u64,
    /// Sessions, each with the disk's count when it was acknowledged.
    sessions: Vec<(u64, SessionId)>,
}

impl Used {
    fn with(durability: Durability) -> Self {
        let disk = SimulatedDisk::new();
        let mut sessions = Vec::new();
        let mut create = |store: &Store| {
            let id = store.create_for_user("ann", vec![1; LEN]).unwrap().id().clone();
            sessions.push((disk.operations(), id));
        };
        let earlier = open(&disk, &options(durability)).unwrap();
        create(&earlier);
        earlier.close().unwrap();
        let from = disk.operations();
        let killed = open(&disk, &options(durability)).unwrap();
        (0..3).for_each(|_| create(&killed));
        let to = disk.operations();
        // Its later operations do not count.
        drop(killed);
        Self { disk, from, to, sessions }
    }

    fn assert_there(&self, store: &Store, operation: u64, what: &str) {
        for (acknowledged, id) in &self.sessions {
            let there = store.read(id).unwrap().is_some();
            assert!(there || operation < *acknowledged, "{what}: acknowledged, and lost");
        }
    }
}

#[test]
fn a_file_is_synced_before_anything_is_written_to_it_or_not_opened_at_all() {
    for durability in [DURABILITIES[0], DURABILITIES[1]] {
        let used = Used::with(durability);
        for operation in used.from..=used.to {
            let what = format!("{durability:?}, killed at {operation}");
            let disk = used.disk.after_kill(operation, operation);
            disk.fail_once(DiskFault::Sync, 0);
            let refused = open(&disk, &options(durability));
            assert!(matches!(refused, Err(Error::Io { .. })), "{what}: {refused:?}");
            assert!(!disk.repair(), "{what}: nothing was synced");
            assert_eq!(disk.operations(), 1, "{what}: something came before the sync, or after it");

            let store = open(&disk, &options(durability)).unwrap();
            used.assert_there(&store, operation, &what);
            let new = store.create(vec![2; LEN]).unwrap();
            for seed in 0..4 {
                let crashed = disk.after_power_loss(disk.operations(), seed);
                let store = open(&crashed, &options(durability)).unwrap();
                used.assert_there(&store, operation, &what);
                assert!(store.read(new.id()).unwrap().is_some(), "{what}");
            }
        }
    }
}

/// The panic value of the callback.
#[derive(Debug, PartialEq)]
struct Theirs(u64);

#[test]
fn a_panic_of_the_callback_comes_out_of_open_and_the_file_can_be_opened_again() {
    // With `TwoPhase`, redb calls it too.
    for durability in [DURABILITIES[0], DURABILITIES[1]] {
        a_panic_comes_out_of_open(durability);
    }
}

fn a_panic_comes_out_of_open(durability: Durability) {
    let used = Used::with(durability);
    let killed = || used.disk.after_kill(used.to, 0);
    let open_with = |disk: &SimulatedDisk, panics_at: Option<u64>| {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let callback = move |_: &mut Recovery| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            if Some(call) == panics_at {
                resume_unwind(Box::new(Theirs(call)));
            }
        };
        let options = options(durability).on_recovery(callback);
        let opened = catch_unwind(AssertUnwindSafe(|| open(disk, &options)));
        (opened, calls.load(Ordering::SeqCst))
    };
    let (opened, calls) = open_with(&killed(), None);
    opened.unwrap().unwrap();
    assert!(calls > 1, "{calls} calls");
    for call in 0..calls {
        let disk = killed();
        let (opened, made) = open_with(&disk, Some(call));
        let panic = opened.expect_err("the panic is the caller's, and no error of the file");
        assert_eq!((panic.downcast_ref(), made), (Some(&Theirs(call)), call + 1));
        let store = open(&disk, &options(durability)).unwrap();
        used.assert_there(&store, used.to, &format!("call {call}"));
    }
}
