//! The phases of redb's commits, and the list of pages in use that they store.

use std::thread;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::redb::commit::question::Flush;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::pages::verify::Verdict;
use crate::engine::redb::tests::verified::{in_memory, verdict};
use crate::testing::SimulatedDisk;

/// The bit of redb's header that selects the current one of its two commit slots. It follows the
/// nine bytes of the magic number.
fn slot_that_counts(disk: &SimulatedDisk) -> u8 {
    disk.store_bytes()[9] & 1
}

/// The current slot before a commit to the disk, while the commit waits for its first sync, and
/// after it.
fn slots_of_a_commit(durability: Durability) -> [u8; 3] {
    let disk = SimulatedDisk::new();
    let options = RedbOptions::new().durability(durability);
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    let before = slot_that_counts(&disk);
    let at_first_sync = thread::scope(|scope| {
        let held = disk.hold_syncs();
        let committing = scope.spawn(|| engine.store_meta("durable", b""));
        disk.wait_for_held_sync();
        let slot = slot_that_counts(&disk);
        drop(held);
        committing.join().unwrap().unwrap();
        slot
    });
    [before, at_first_sync, slot_that_counts(&disk)]
}

#[test]
fn a_commit_counts_only_once_its_pages_are_synced() {
    let deferred = Durability::Deferred { interval: Duration::from_secs(3600) };
    for durability in [Durability::Immediate, Durability::TwoPhase, deferred] {
        let [before, at_first_sync, after] = slots_of_a_commit(durability);
        assert_eq!(at_first_sync, before, "{durability:?}");
        assert_ne!(after, before, "{durability:?}");
    }
}

#[test]
fn a_commit_says_which_pages_are_in_use_but_where_every_write_would_pay_for_it() {
    let deferred = Durability::Deferred { interval: Duration::from_secs(3600) };
    for durability in [Durability::Immediate, Durability::TwoPhase, deferred] {
        let disk = SimulatedDisk::new();
        let options = RedbOptions::new().durability(durability);
        let engine = RedbEngine::open_on(&disk, &options).unwrap();
        engine.store_meta("something", b"").unwrap();
        engine.submit(Flush).unwrap();
        // The file that a killed process leaves.
        let file = in_memory(&disk.store_bytes());
        let is_sound = matches!(verdict(&file), Verdict::Sound { .. });
        assert_eq!(is_sound, durability != Durability::TwoPhase, "{durability:?}");
    }
}
