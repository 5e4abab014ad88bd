//! What others see of a session while a change of it is being written to the disk.

use super::*;
use crate::engine::outcome::{Rekey, Saved};
use crate::engine::redb::engine::RedbEngine;
use crate::testing::DiskFault;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Sessions live for a second after their last activity.
fn moment(millis: u64) -> Moment {
    Moment { now: at(millis), timeouts: Timeouts::from_seconds(1, 1_000).unwrap() }
}

fn saved_at(millis: u64) -> Record {
    let parts = Parts { revision: 2, created_at: at(1), ..parts_at(millis) };
    Record::new(&parts, &moment(0).timeouts).unwrap()
}

fn engine_with_a_session(disk: &SimulatedDisk) -> RedbEngine {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new()).unwrap();
    let record = Record::new(&parts_at(1), &moment(0).timeouts).unwrap();
    let inserted = engine.insert(&key(1), record, moment(1), Limits::NONE);
    assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    engine
}

fn is_live(engine: &RedbEngine, millis: u64) -> bool {
    engine.load(&key(1), moment(millis)).unwrap().is_some()
}

/// Saves the session at 1,000 of its 1,001 milliseconds, and reads it 500 later, while the save
/// waits for a sync: another commit's, or its own.
fn look_while_a_save_waits(behind_another: bool, save: impl Fn(&RedbEngine) + Sync) {
    for disk in [SimulatedDisk::new(), SimulatedDisk::syncing_whole_files()] {
        look_while_a_save_waits_on(&disk, behind_another, &save);
    }
}

fn look_while_a_save_waits_on(
    disk: &SimulatedDisk,
    behind_another: bool,
    save: impl Fn(&RedbEngine) + Sync,
) {
    let engine = engine_with_a_session(disk);
    disk.hold_syncs();
    thread::scope(|scope| {
        if behind_another {
            scope.spawn(|| engine.insert(&key(2), record(), moment(1), Limits::NONE).unwrap());
            disk.wait_for_held_sync();
        }
        scope.spawn(|| save(&engine));
        match behind_another {
            true => {
                while engine.view.touches.len() == 0 {
                    thread::yield_now();
                }
            }
            false => disk.wait_for_held_sync(),
        }
        assert!(is_live(&engine, 1_500), "told that it is gone, and it will be there again");
        let extended = engine.extend(&key(1), moment(1_500), Duration::ZERO).unwrap();
        disk.release_syncs();
        // An extension waits for a running removal, but there is none here.
        assert_eq!(extended.unwrap().last_active(), at(1_500));
    });
}

#[test]
fn whoever_looks_while_an_update_waits_for_the_disk_finds_the_session_live() {
    for behind_another in [true, false] {
        look_while_a_save_waits(behind_another, |engine| {
            let save = engine.replace(&key(1), 1, saved_at(1_000), moment(1_000), Limits::NONE);
            // A save that is decided after the touch keeps the touch.
            let last_active = at(if behind_another { 1_500 } else { 1_000 });
            let saved = Saved { last_active, ended: vec![] };
            assert_eq!(save.unwrap(), Replace::Done(saved));
            assert!(is_live(engine, 2_499), "by the touch that came meanwhile");
            assert!(!is_live(engine, 2_500));
        });
    }
}

#[test]
fn whoever_looks_while_an_id_is_changed_behind_another_commit_finds_the_session_live() {
    look_while_a_save_waits(true, |engine| {
        let (old, new, moment) = (key(1), key(3), moment(1_000));
        let moved = engine.rekey(&old, &new, 1, saved_at(1_000), moment, Limits::NONE).unwrap();
        assert!(matches!(moved, Rekey::Done(_)));
        assert!(!is_live(engine, 1_000));
        let moved = engine.load(&new, Moment::BEGINNING).unwrap().unwrap();
        assert_eq!(moved.last_active(), at(1_500), "with the touch that came meanwhile");
    });
}

#[test]
fn a_save_that_would_come_too_late_is_refused_before_it_waits_for_anything() {
    let disk = SimulatedDisk::new();
    let engine = engine_with_a_session(&disk);
    disk.hold_syncs();
    thread::scope(|scope| {
        scope.spawn(|| engine.insert(&key(2), record(), moment(1), Limits::NONE).unwrap());
        disk.wait_for_held_sync();
        let (end, next) = (moment(1_001), saved_at(1_001));
        let replaced = engine.replace(&key(1), 1, next.clone(), end, Limits::NONE);
        let rekeyed = engine.rekey(&key(1), &key(3), 1, next.clone(), end, Limits::NONE);
        let stale = engine.replace(&key(1), 7, next, moment(1_000), Limits::NONE);
        disk.release_syncs();
        assert_eq!(replaced.unwrap(), Replace::Missing);
        assert_eq!(rekeyed.unwrap(), Rekey::Missing);
        assert_eq!(stale.unwrap(), Replace::Conflict);
    });
    assert_eq!(engine.view.touches.len(), 0, "what is refused extends nothing");
}

#[test]
fn a_save_that_fails_or_is_refused_extends_nothing() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let inserted = engine.insert(&key(3), record(), moment(1), Limits::NONE);
    assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    let refused = engine.rekey(&key(1), &key(3), 1, saved_at(1_000), moment(1_000), Limits::NONE);
    assert_eq!(refused.unwrap(), Rekey::Occupied);
    assert!(is_live(&engine, 1_000) && !is_live(&engine, 1_001));

    for disk in [SimulatedDisk::new(), SimulatedDisk::syncing_whole_files()] {
        let engine = engine_with_a_session(&disk);
        // After a failed sync the store refuses to write.
        disk.fail_once(DiskFault::Sync, disk.operations());
        assert!(engine.insert(&key(2), record(), moment(1), Limits::NONE).is_err());
        let failed = engine.replace(&key(1), 1, saved_at(1_000), moment(1_000), Limits::NONE);
        assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
        assert!(is_live(&engine, 1_000) && !is_live(&engine, 1_001));
    }
}

#[test]
fn a_full_buffer_lets_a_touch_take_the_way_of_a_save_and_waits_for_no_others() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let mut others = 0;
    while engine.view.touches.len() < crate::engine::redb::view::touches::CAPACITY {
        others += 1;
        let _ = engine.view.touches.touch_if(&key(others), |_| (Some(at(1)), ()));
        if others == 1 {
            engine.view.touches.forget(&key(1));
        }
    }
    let before = engine.stats().unwrap();
    assert!(engine.extend(&key(1), moment(900), Duration::ZERO).unwrap().is_some());
    assert!(is_live(&engine, 1_800));
    let after = engine.stats().unwrap();
    assert_eq!(after.committed_operations, before.committed_operations + 1);
    assert_eq!(after.pending_touches, before.pending_touches);
}
