//! Creating and closing a store on a disk that crashes or fails at every step.

use std::time::Duration;

use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Error};

use super::opened::{Opened, beginning_of_time};
use super::oracle::{Content, look};
use super::{DURABILITIES, share};

const DURABILITY: Durability = DURABILITIES[0];

fn open(disk: &SimulatedDisk) -> sessile::Result<Opened> {
    Opened::on(disk, DURABILITY, &beginning_of_time())
}

/// Checks that the store is empty and accepts a session.
fn is_new_and_works(disk: &SimulatedDisk, what: &str) {
    let opened = open(disk).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert!(look(&opened.everything).unwrap().is_empty(), "{what}");
    let session = opened.store.create(Content::new(1)).unwrap();
    assert!(opened.store.read(session.id()).unwrap().is_some());
    assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new());
}

fn operations_of_creation() -> u64 {
    let disk = SimulatedDisk::new();
    let opened = open(&disk).unwrap();
    let operations = disk.operations();
    assert!(operations > 5);
    drop(opened);
    operations
}

#[test]
fn a_kill_at_any_operation_of_creation_leaves_a_store_or_none() {
    let disk = SimulatedDisk::new();
    open(&disk).unwrap().store.close().unwrap();
    for operation in 0..=disk.operations() {
        for seed in 0..10 {
            is_new_and_works(&disk.after_kill(operation, seed), &format!("{operation}, {seed}"));
        }
    }
}

#[test]
fn power_loss_at_any_operation_of_creation_leaves_a_store_or_none() {
    let disk = SimulatedDisk::new();
    open(&disk).unwrap().store.close().unwrap();
    for operation in 0..=disk.operations() {
        for seed in 0..40 / share() {
            let crashed = disk.after_power_loss(operation, seed);
            is_new_and_works(&crashed, &format!("{operation}, {seed}"));
        }
    }
}

#[test]
fn a_fault_at_any_operation_of_creation_is_an_error_and_a_retry_succeeds() {
    for fault in [DiskFault::Full, DiskFault::Write, DiskFault::Sync] {
        let mut refused = 0;
        for operation in 0..operations_of_creation() {
            for lasting in [false, true] {
                let disk = SimulatedDisk::new();
                match lasting {
                    true => disk.fail_from(fault, operation),
                    false => disk.fail_once(fault, operation),
                }
                let what = format!("{fault:?} at {operation}, lasting: {lasting}");
                match open(&disk) {
                    Err(Error::StorageFull { .. }) if fault == DiskFault::Full => refused += 1,
                    Err(Error::Io { .. }) if fault != DiskFault::Full => refused += 1,
                    // The fault struck where nothing depends on it, or is yet to strike.
                    Ok(_) => {}
                    Err(other) => panic!("{what}: {other:?}"),
                }
                disk.repair();
                is_new_and_works(&disk, &what);
            }
        }
        assert!(refused > 10, "{fault:?}: {refused} openings failed");
    }
}

#[test]
fn a_close_that_fails_says_so_and_the_next_open_recovers() {
    let faults = [DiskFault::Full, DiskFault::Write, DiskFault::Sync];
    // With a pending touch, and without.
    for (fault, pending) in faults.into_iter().flat_map(|fault| [(fault, true), (fault, false)]) {
        let mut refused = 0;
        for durability in DURABILITIES {
            for step in 0..20 {
                let disk = SimulatedDisk::new();
                let clock = beginning_of_time();
                let opened = Opened::on(&disk, durability, &clock).unwrap();
                let kept = opened.store.create(Content::new(1)).unwrap();
                opened.store.flush().unwrap();
                clock.advance(Duration::from_millis(200));
                let kept = match pending {
                    true => opened.store.read_and_extend(kept.id()).unwrap().unwrap(),
                    false => kept,
                };
                disk.fail_from(fault, disk.operations() + step);
                let closed = opened.store.clone().close();
                refused += u32::from(closed.is_err());
                drop(opened);
                disk.repair();
                for disk in [disk.after_power_loss(disk.operations(), step), disk] {
                    let again = Opened::on(&disk, durability, &clock).unwrap();
                    let read = again.store.read(kept.id()).unwrap().unwrap();
                    assert!(closed.is_err() || read.last_active() == kept.last_active());
                    assert_eq!(again.engine.disagreements().unwrap(), Vec::<String>::new());
                }
            }
        }
        assert!(refused > 0, "{fault:?}, {pending}: no close failed");
    }
}
