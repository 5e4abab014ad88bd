//! Openings that write, on a disk or a server that fails at each of their operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sessile::engine::{Engine, RedbEngine, RedbOptions};
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Error, MemoryEngine, Result, SessionId, SessionStore, Timeouts};

type Store = SessionStore<String>;

fn opened(disk: &SimulatedDisk, minutes: i64, name: &str) -> Result<Store> {
    let timeouts = Timeouts::from_seconds(minutes * 60, 86_400).unwrap();
    let builder = Store::builder().manual_maintenance().timeouts(timeouts);
    let builder = builder.adopt_shorter_timeouts().content_name(name).rename_content("first");
    builder.engine(RedbEngine::open_on(disk, &RedbOptions::new())?).build()
}

/// A disk with a store, closed or as a killed process leaves it, and the session in it.
fn disk_with_store(closed: bool) -> (SimulatedDisk, SessionId) {
    let disk = SimulatedDisk::new();
    let store = opened(&disk, 60, "first").unwrap();
    let id = store.create("content".into()).unwrap().id().clone();
    if closed {
        store.close().unwrap();
        return (disk, id);
    }
    let killed = disk.after_kill(disk.operations(), 1);
    (killed, id)
}

#[test]
fn whichever_operation_of_an_opening_fails_no_outcome_is_unknown_and_the_next_opening_works() {
    let faults = [DiskFault::Full, DiskFault::Write, DiskFault::Late, DiskFault::Sync];
    for (fault, minutes, name) in
        faults.iter().flat_map(|fault| [(fault, 60, "first"), (fault, 10, "second")])
    {
        for (lasting, closed) in [(false, false), (false, true), (true, false), (true, true)] {
            for operation in 0.. {
                let (disk, id) = disk_with_store(closed);
                let from = disk.operations() + operation;
                match lasting {
                    true => disk.fail_from(*fault, from),
                    false => disk.fail_once(*fault, from),
                }
                let failed = opened(&disk, minutes, name).err();
                let what = format!("{fault:?} {lasting} {closed} {name} {operation}: {failed:?}");
                assert!(
                    matches!(failed, None | Some(Error::Io { .. } | Error::StorageFull { .. })),
                    "{what}"
                );
                let is_over = disk.operations() <= from;
                disk.repair();
                let store = opened(&disk, minutes, name).expect(&what);
                assert!(store.read(&id).unwrap().is_some(), "{what}");
                if is_over {
                    break;
                }
            }
        }
    }
}

/// An engine whose server carries out one of its writes and does not answer.
#[derive(Debug, Default)]
struct Cut {
    inner: Arc<MemoryEngine>,
    /// The number of that write.
    at: u32,
    writes: AtomicU32,
}

impl Cut {
    fn answered<T>(&self, answer: T) -> Result<T> {
        match self.writes.fetch_add(1, Ordering::SeqCst) == self.at {
            true => Err(Error::OutcomeUnknown { source: Arc::new(std::fmt::Error) }),
            false => Ok(answer),
        }
    }
}

impl Engine for Cut {
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.inner.store_meta(name, value)?;
        self.answered(())
    }

    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let found = self.inner.init_meta(name, value)?;
        self.answered(found)
    }

    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        let is_whole = self.inner.reindex(timeouts, goes_on)?;
        self.answered(is_whole)
    }

    sessile::forward_engine!(inner, but store_meta, init_meta, reindex);
}

#[test]
fn an_opening_whose_write_is_not_answered_says_that_the_server_is_unavailable() {
    let mut failed = 0;
    for at in 0.. {
        let engine = Arc::<MemoryEngine>::default();
        let open = |at| {
            let engine = Cut { inner: Arc::clone(&engine), at, ..Cut::default() };
            let builder = SessionStore::<u32>::builder().content_name("carts").engine(engine);
            builder.manual_maintenance().build()
        };
        match open(at) {
            Ok(_) => break,
            Err(Error::Unavailable { .. }) => failed += 1,
            Err(error) => panic!("{at}: {error:?}"),
        }
        open(u32::MAX).unwrap().create(1).unwrap();
    }
    assert!(failed >= 3, "the name, the creation and the timeouts");
}
