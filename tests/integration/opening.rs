//! Openings that write to the file, on a disk that fails at each of their operations.

use sessile::engine::{RedbEngine, RedbOptions};
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Error, Result, SessionId, SessionStore, Timeouts};

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
