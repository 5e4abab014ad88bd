//! The disk keeps its guarantees, and loses only what it may lose.

use std::collections::BTreeSet;

use redb::StorageBackend;

use crate::engine::redb::storage::{Storage, StorageFile};
use crate::testing::disk::file::OpenFile;
use crate::testing::disk::{DiskFault, SimulatedDisk};

/// A disk with a synced store file of 4 KiB of ones, and the opened file.
fn with_ones() -> (SimulatedDisk, OpenFile) {
    let disk = SimulatedDisk::new();
    let backend = disk.create().unwrap().unwrap().backend;
    backend.set_len(4_096).unwrap();
    backend.write(0, &[1; 4_096]).unwrap();
    backend.sync_data().unwrap();
    disk.sync_name().unwrap();
    let store = disk.state.lock().seen.store.unwrap();
    let file = OpenFile::new(&disk, store);
    (disk, file)
}

fn bytes(disk: &SimulatedDisk) -> Vec<u8> {
    let backend = disk.open().unwrap().unwrap().backend;
    let mut bytes = vec![0; backend.len().unwrap() as usize];
    backend.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn power_loss_takes_any_sectors_that_were_not_synced_and_no_others() {
    let (disk, file) = with_ones();
    file.write(1_024, &[2; 1_024]).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let bytes = bytes(&disk.after_power_loss(disk.operations(), seed));
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        assert_eq!((&sectors[..2], &sectors[4..]), (&[1, 1][..], &[1; 4][..]));
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 4, "each of both sectors with and without the other");
    file.sync_data().unwrap();
    for seed in 0..50 {
        assert_eq!(
            bytes(&disk.after_power_loss(disk.operations(), seed))[1_024..2_048],
            [2; 1_024]
        );
    }
}

#[test]
fn a_kill_takes_nothing_that_was_written_until_the_power_goes_too() {
    let (disk, file) = with_ones();
    file.write(0, &[2; 4_096]).unwrap();
    let killed = disk.after_kill(disk.operations(), 3);
    assert_eq!(bytes(&killed), [2; 4_096]);
    let lost = (0..20).any(|seed| bytes(&killed.after_power_loss(0, seed)) == [1; 4_096]);
    assert!(lost, "what was not synced is not on the disk");
}

#[test]
fn what_a_failed_sync_dropped_reads_back_and_is_lost_until_it_is_written_again() {
    let mut lost = 0;
    // The seed that decides what the failing sync wrote is the number of operations.
    for more in 0..20 {
        let (disk, file) = with_ones();
        for _ in 0..more {
            file.sync_data().unwrap();
        }
        file.write(0, &[2; 512]).unwrap();
        disk.fail_once(DiskFault::Sync, 0);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(bytes(&disk)[..512], [2; 512], "it reads back");
        lost += u32::from(bytes(&disk.after_power_loss(disk.operations(), 1))[..512] == [1; 512]);
        file.write(4_095, &[3]).unwrap();
        file.sync_data().unwrap();
        let after = bytes(&disk.after_power_loss(disk.operations(), 1));
        assert_eq!((&after[..512], after[4_095]), (&[2; 512][..], 3), "all of the page");
    }
    assert!((1..20).contains(&lost), "some reach the disk all the same, not all: {lost}");
}

#[test]
fn what_is_forgotten_reads_as_power_loss_would_leave_it_and_what_waits_to_be_written_stays() {
    let mut lost = 0;
    for more in 0..20 {
        let (disk, file) = with_ones();
        for _ in 0..more {
            file.sync_data().unwrap();
        }
        file.write(0, &[2; 512]).unwrap();
        disk.fail_once(DiskFault::Sync, 0);
        assert!(file.sync_data().is_err());
        file.set_len(8_192).unwrap();
        file.write(4_096, &[3; 512]).unwrap();
        file.forget_cached().unwrap();
        let read = bytes(&disk);
        assert_eq!(read[4_096..4_608], [3; 512]);
        file.sync_data().unwrap();
        assert_eq!(bytes(&disk.after_power_loss(disk.operations(), 1)), read);
        lost += u32::from(read[..512] == [1; 512]);
    }
    assert!((1..20).contains(&lost), "some reach the disk all the same, not all: {lost}");
}

#[test]
fn a_disk_that_syncs_whole_files_writes_nothing_where_a_write_is_to_be_synced_and_so_after_crashes()
{
    let disk = SimulatedDisk::syncing_whole_files();
    drop(disk.create().unwrap());
    disk.sync_name().unwrap();
    let operations = disk.operations();
    let crashed = [disk.after_power_loss(operations, 1), disk.after_kill(operations, 1)];
    for disk in crashed.into_iter().chain([disk]) {
        let operations = disk.operations();
        let backend = disk.open().unwrap().unwrap().backend;
        assert!(backend.write_synced(0, &[2; 512]).is_none());
        assert_eq!((disk.operations(), backend.len().unwrap()), (operations, 0));
    }
    assert!(with_ones().1.write_synced(0, &[2; 512]).is_some());
}

#[test]
fn a_full_disk_fails_what_needs_room_and_nothing_else_until_it_is_repaired() {
    let (disk, file) = with_ones();
    disk.fail_from(DiskFault::Full, disk.operations() + 1);
    file.write(0, &[2; 8]).unwrap();
    for _ in 0..2 {
        let error = file.write(8, &[2; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
    assert!(file.set_len(8_192).is_err());
    file.sync_data().unwrap();
    assert!(disk.repair());
    file.set_len(8_192).unwrap();
    assert!(!disk.repair());
}

#[test]
fn a_store_is_locked_by_one_handle_until_that_is_closed() {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    let (disk, file) = with_ones();
    let other = disk.open().unwrap().unwrap().backend;
    assert!(file.try_lock_range(Unbounded, Excluded(10)).unwrap());
    assert!(!other.try_lock_range(Included(9), Unbounded).unwrap());
    assert!(other.query_lock_range(Included(9), Unbounded).unwrap());
    assert!(other.try_lock_range(Included(10), Unbounded).unwrap());
    file.close().unwrap();
    assert!(other.try_lock_shared_range(Included(9), Included(9)).unwrap());
}

#[test]
fn a_disk_with_given_bytes_holds_them_and_keeps_them_when_the_power_goes() {
    let given: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    let disk = SimulatedDisk::with_store(&given);
    assert_eq!(disk.store_bytes(), given);
    assert_eq!(bytes(&disk.after_power_loss(0, 1)), given);
    disk.open().unwrap().unwrap().backend.write(0, &[7]).unwrap();
    assert_eq!((disk.store_bytes()[0], disk.store_bytes().len()), (7, 10_000));
    assert!(SimulatedDisk::new().store_bytes().is_empty());
}
