//! Backups and imports on a disk that crashes and fails at every one of their operations.

use std::io::Cursor;
use std::ops::ControlFlow;

use sessile::admin::{ImportOptions, LeaveOut};
use sessile::engine::RedbOptions;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Error, Inspector, RedbEngine, SessionStore};

use super::{go_on, keys};

const SESSIONS: usize = 40;
const IMPORTED: usize = 16;

/// A store, and its disk, which no backup of it is on.
fn store() -> (SimulatedDisk, SessionStore<String>) {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let store = SessionStore::builder().engine(engine).manual_maintenance().build().unwrap();
    for number in 0..SESSIONS {
        store.create_for_user(number as u64 % 3, "x".repeat(number * 20)).unwrap();
    }
    (disk, store)
}

fn inspect(disk: &SimulatedDisk) -> Inspector {
    Inspector::on(RedbEngine::open_on(disk, &RedbOptions::new()).unwrap()).unwrap()
}

/// The whole backup, or no file.
fn is_whole_or_absent(disk: &SimulatedDisk, what: &str) -> bool {
    if disk.store_bytes().is_empty() {
        return false;
    }
    let inspector = inspect(disk);
    assert!(inspector.check().unwrap().is_sound(), "{what}");
    assert_eq!(keys(&inspector).len(), SESSIONS, "{what}");
    true
}

#[test]
fn a_crash_at_any_operation_of_a_backup_leaves_a_whole_one_or_none() {
    let (_source, store) = store();
    let disk = SimulatedDisk::new();
    disk.take_backup(&store).unwrap();
    let mut whole = 0;
    for operation in 0..=disk.operations() {
        for seed in 0..4 {
            let what = format!("{operation}, {seed}");
            whole += u64::from(is_whole_or_absent(&disk.after_kill(operation, seed), &what));
            whole += u64::from(is_whole_or_absent(&disk.after_power_loss(operation, seed), &what));
        }
    }
    let all = 8 * (disk.operations() + 1);
    assert!(whole > 0 && whole < all / 2, "{whole} of {all}: it gets its name at the end");
    assert!(is_whole_or_absent(&disk.after_power_loss(disk.operations(), 0), "acknowledged"));
}

#[test]
fn a_fault_at_any_operation_of_a_backup_is_an_error_or_the_backup_is_whole() {
    let (source, store) = store();
    let before = (source.operations(), source.store_bytes());
    let whole = SimulatedDisk::new();
    whole.take_backup(&store).unwrap();
    for fault in [DiskFault::Full, DiskFault::Write, DiskFault::Sync] {
        let mut refused = 0;
        for operation in 0..whole.operations() {
            for lasting in [false, true] {
                let disk = SimulatedDisk::new();
                match lasting {
                    true => disk.fail_from(fault, operation),
                    false => disk.fail_once(fault, operation),
                }
                let what = format!("{fault:?} at {operation}, lasting: {lasting}");
                let mut is_acknowledged = false;
                match disk.take_backup(&store) {
                    Ok(report) => {
                        assert_eq!(report.sessions, SESSIONS as u64, "{what}");
                        is_acknowledged = true;
                    }
                    Err(Error::StorageFull { .. }) if fault == DiskFault::Full => refused += 1,
                    Err(Error::Io { .. } | Error::OutcomeUnknown { .. }) => refused += 1,
                    Err(other) => panic!("{what}: {other:?}"),
                }
                disk.repair();
                let after = disk.after_power_loss(disk.operations(), operation);
                for disk in [disk, after] {
                    let is_whole = is_whole_or_absent(&disk, &what);
                    assert!(is_whole || !is_acknowledged, "{what}: it was acknowledged");
                }
            }
        }
        assert!(refused > 10, "{fault:?}: {refused} were refused");
    }
    let after = (source.operations(), source.store_bytes());
    assert!(before == after, "no backup writes to the store's own file");
    assert!(store.check().unwrap().is_sound(), "the store itself has nothing to do with it");
}

fn archive() -> Vec<u8> {
    let engine = std::sync::Arc::new(sessile::MemoryEngine::new());
    let builder = SessionStore::<String>::builder().engine(engine.clone()).manual_maintenance();
    let store = builder.content_name("test").build().unwrap();
    for number in 0..IMPORTED {
        store.create_for_user(number as u64 % 3, "x".repeat(number * 20)).unwrap();
    }
    let mut archive = Vec::new();
    let inspector = Inspector::on(engine).unwrap();
    inspector.export(&mut archive, true, &LeaveOut::nothing(), &mut go_on).unwrap();
    archive
}

fn import(inspector: &Inspector, archive: &[u8]) -> sessile::Result<(u64, u64)> {
    let options = ImportOptions::default();
    let report = inspector.import(&mut Cursor::new(archive), &options, &mut go_on)?;
    assert_eq!(report.differing.count(), 0);
    Ok((report.imported, report.already_there))
}

#[test]
fn an_import_that_a_crash_ended_is_taken_up_by_repeating_it() {
    let archive = archive();
    let disk = SimulatedDisk::new();
    let inspector = inspect(&disk);
    let before = disk.operations();
    assert_eq!(import(&inspector, &archive).unwrap(), (IMPORTED as u64, 0));
    let mut partial = 0;
    for operation in before..=disk.operations() {
        for disk in [disk.after_kill(operation, 7), disk.after_power_loss(operation, 7)] {
            let inspector = inspect(&disk);
            assert!(inspector.check().unwrap().is_sound());
            let there = keys(&inspector).len() as u64;
            partial += u64::from(there > 0 && there < IMPORTED as u64);
            assert_eq!(import(&inspector, &archive).unwrap(), (IMPORTED as u64 - there, there));
            assert_eq!(keys(&inspector).len(), IMPORTED);
        }
    }
    assert!(partial > 10, "{partial} were cut in the middle");
}

#[test]
fn an_import_on_a_disk_that_fails_says_so_and_is_taken_up() {
    let archive = archive();
    for fault in [DiskFault::Full, DiskFault::Write, DiskFault::Sync] {
        let mut refused = 0;
        let every = if crate::child::all_cases() { 1 } else { 3 };
        for step in (0..2 * IMPORTED as u64).step_by(every) {
            let disk = SimulatedDisk::new();
            let inspector = inspect(&disk);
            disk.fail_from(fault, disk.operations() + step);
            refused += u64::from(import(&inspector, &archive).is_err());
            drop(inspector);
            disk.repair();
            let inspector = inspect(&disk);
            let (imported, there) = import(&inspector, &archive).unwrap();
            assert_eq!(imported + there, IMPORTED as u64, "{fault:?} after {step}");
            assert!(inspector.check().unwrap().is_sound());
        }
        assert!(refused > 5, "{fault:?}: {refused} were refused");
    }
    let called_off = {
        let disk = SimulatedDisk::new();
        let options = ImportOptions::default();
        let mut archive = Cursor::new(&archive);
        inspect(&disk).import(&mut archive, &options, &mut |_| ControlFlow::Break(()))
    };
    assert!(matches!(called_off, Err(Error::CalledOff { action: "import" })));
}
