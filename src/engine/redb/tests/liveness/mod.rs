//! What others see of a session while a change of it is being written to the disk, or while its
//! record is read.

mod announced;

use std::ops::ControlFlow;

use super::*;
use crate::engine::limits::{PerUser, UserLimit};
use crate::engine::outcome::{Rekey, Saved};
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::view::extend::{Extended, Extension, Save};
use crate::engine::redb::view::touches::CAPACITY;
use crate::session::user::UserId;
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

fn insert(engine: &RedbEngine, number: u64) {
    let record = Record::new(&parts_at(1), &moment(0).timeouts).unwrap();
    let inserted = engine.insert(&key(number), record, moment(1), Limits::NONE);
    assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
}

fn engine_with_a_session(disk: &SimulatedDisk) -> RedbEngine {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new()).unwrap();
    insert(&engine, 1);
    engine
}

fn extension(millis: u64, saves: bool) -> Extension {
    let save = Save { expected_revision: 1, own_timeouts: OwnTimeouts::default() };
    Extension { moment: moment(millis), at: at(millis), save: saves.then_some(save) }
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
    thread::scope(|scope| {
        let held = disk.hold_syncs();
        if behind_another {
            scope.spawn(|| engine.insert(&key(2), record(), moment(1), Limits::NONE).unwrap());
            disk.wait_for_held_sync();
        }
        scope.spawn(|| save(&engine));
        match behind_another {
            true => {
                while engine.queue.waiting() == 0 {
                    thread::yield_now();
                }
            }
            false => disk.wait_for_held_sync(),
        }
        assert!(is_live(&engine, 1_500), "told that it is gone, and it will be there again");
        let extended = engine.extend(&key(1), moment(1_500), Duration::ZERO).unwrap();
        drop(held);
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
    thread::scope(|scope| {
        let held = disk.hold_syncs();
        scope.spawn(|| engine.insert(&key(2), record(), moment(1), Limits::NONE).unwrap());
        disk.wait_for_held_sync();
        let (end, next) = (moment(1_001), saved_at(1_001));
        let replaced = engine.replace(&key(1), 1, next.clone(), end, Limits::NONE);
        let rekeyed = engine.rekey(&key(1), &key(3), 1, next.clone(), end, Limits::NONE);
        let stale = engine.replace(&key(1), 7, next, moment(1_000), Limits::NONE);
        drop(held);
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
fn a_flush_beside_a_save_that_is_then_refused_extends_nothing() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let announced = engine.view.announce(&key(1), extension(1_000, true), &mut None).unwrap();
    let Extended::Undecided(Some(announced)) = announced else { panic!("{announced:?}") };
    engine.flush().unwrap();
    assert!(is_live(&engine, 1_500), "readers see it until then");
    drop(announced);
    assert!(is_live(&engine, 1_000) && !is_live(&engine, 1_001));
}

/// An engine with more sessions than its memory holds. Whoever reads session 1 reads the disk.
fn engine_that_reads_the_disk(disk: &SimulatedDisk) -> RedbEngine {
    let options = RedbOptions::new().record_cache(false).cache_size(1 << 20);
    let engine = RedbEngine::open_on(disk, &options).unwrap();
    let parts = Parts { content: &vec![7; 20_000], ..parts_at(1) };
    let record = Record::new(&parts, &moment(0).timeouts).unwrap();
    for number in 1..201 {
        let inserted = engine.insert(&key(number), record.clone(), moment(1), Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    engine.close().unwrap();
    let engine = RedbEngine::open_on(disk, &options).unwrap();
    for number in 2..201 {
        assert!(engine.load(&key(number), moment(1)).unwrap().is_some());
    }
    engine
}

/// Has an extension or a save, at 1,000 of the session's 1,001 milliseconds, read the file before
/// and after a reopening. In between somebody `looks` whether the session is live 500 later.
fn look_while_the_file_is_opened(saves: bool, looks: impl Fn(&RedbEngine) -> bool) {
    let disk = SimulatedDisk::new();
    let engine = engine_that_reads_the_disk(&disk);
    let extension = extension(1_000, saves);
    let mut presumed = None;
    let mut extend = || match saves {
        true => engine.view.announce(&key(1), extension, &mut presumed),
        false => engine.view.extend(&key(1), extension, &mut presumed),
    };
    disk.fail_once(DiskFault::Read, 0);
    assert!(extend().is_err(), "the read that failed was its own");
    engine.writer.reopen(&engine.view).unwrap();
    let live = looks(&engine);
    let extended = extend().unwrap();
    drop(presumed);
    assert!(matches!(extended, Extended::Live(_) | Extended::Undecided(Some(_))), "{extended:?}");
    assert!(live && looks(&engine), "told that it is gone, and it is there again");
}

#[test]
fn an_extension_or_a_save_that_waits_for_the_file_revives_no_session_that_anybody_found_gone() {
    for saves in [false, true] {
        look_while_the_file_is_opened(saves, |engine| is_live(engine, 1_500));
        look_while_the_file_is_opened(saves, |engine| engine.count(moment(1_500)).unwrap() == 1);
        look_while_the_file_is_opened(saves, |engine| {
            let mut live = 0;
            let visit = &mut |_, record: Result<Record>| {
                live += u32::from(!record?.is_expired(moment(1_500)));
                Ok(ControlFlow::Continue(()))
            };
            let _attached = engine.attach(moment(0).timeouts).unwrap();
            engine.scan(None, visit).unwrap();
            live == 1
        });
        look_while_the_file_is_opened(saves, |engine| {
            let ended = engine.remove_expired(moment(1_500), 1_000).unwrap().removed;
            ended.iter().all(|ended| ended.key != key(1)) && is_live(engine, 1_500)
        });
        // To another save the session is not missing.
        look_while_the_file_is_opened(saves, |engine| {
            let stale = engine.replace(&key(1), 7, saved_at(1_500), moment(1_500), Limits::NONE);
            stale.unwrap() == Replace::Conflict
        });
    }
}

#[test]
fn whoever_waits_for_a_reopening_is_seen_as_active() {
    let extend = |engine: &RedbEngine| {
        engine.extend(&key(1), moment(1_000), Duration::ZERO).unwrap().unwrap();
    };
    let save = |engine: &RedbEngine| {
        let save = engine.replace(&key(1), 1, saved_at(1_000), moment(1_000), Limits::NONE);
        assert!(matches!(save.unwrap(), Replace::Done(_)));
    };
    for call in [&extend as &(dyn Fn(&RedbEngine) + Sync), &save] {
        let disk = SimulatedDisk::new();
        let engine = engine_that_reads_the_disk(&disk);
        disk.fail_once(DiskFault::Read, 0);
        assert!(engine.load(&key(1), moment(1)).is_err());
        thread::scope(|scope| {
            let held = disk.hold_file_syncs();
            scope.spawn(|| call(&engine));
            disk.wait_for_held_sync();
            let mut record = Record::new(&parts_at(1), &moment(0).timeouts).unwrap();
            engine.view.touches.activity(&key(1)).touch(&mut record, || moment(1_500));
            drop(held);
            assert_eq!(record.last_active(), at(1_000));
        });
        assert!(is_live(&engine, 1_500));
    }
}

#[test]
fn who_waits_for_the_file_revives_no_session_that_had_expired_before() {
    let disk = SimulatedDisk::new();
    drop(engine_with_a_session(&disk));
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new().record_cache(false)).unwrap();
    let _presumed = engine.view.touches.presume(&key(1), extension(1_001, false));
    assert!(!is_live(&engine, 1_001) && is_live(&engine, 1_000));
    assert_eq!(engine.extend(&key(1), moment(1_001), Duration::ZERO).unwrap(), None);
    assert_eq!(engine.view.touches.len(), 1, "what was presumed by this test");
}

/// Fills the touch buffer with touches of other sessions.
fn fill_touches(engine: &RedbEngine) {
    let mut other = 1_000;
    while engine.view.touches.len() < CAPACITY {
        let _ = engine.view.touches.touch_if(&key(other), |_| (Some(at(1)), ()));
        other += 1;
    }
}

/// Has an extension or a save, at 1,000 of the session's 1,001 milliseconds, wait behind `first`,
/// whose sync is held, and reads the session 500 later. Returns whether the reader found it live.
fn look_while_it_waits(
    (engine, disk): (&RedbEngine, &SimulatedDisk),
    first: fn(&RedbEngine),
    act: impl Fn() + Sync,
) -> bool {
    thread::scope(|scope| {
        let held = disk.hold_syncs();
        scope.spawn(|| first(engine));
        disk.wait_for_held_sync();
        scope.spawn(&act);
        while engine.queue.waiting() == 0 {
            thread::yield_now();
        }
        let live = is_live(engine, 1_500);
        drop(held);
        live
    })
}

fn record_of_ann(millis: u64) -> Record {
    let ann = UserId::from("ann").to_key().unwrap();
    Record::new(&Parts { user: Some(&ann), ..parts_at(millis) }, &moment(0).timeouts).unwrap()
}

/// Ends ann's session 2. While the login waits for the disk, none of her sessions takes a touch.
fn log_in_at_the_limit(engine: &RedbEngine) {
    let per_user = Some(PerUser { max: 2, policy: UserLimit::EndLeastRecentlyActive });
    let limits = Limits { per_user, ..Limits::NONE };
    let inserted = engine.insert(&key(3), record_of_ann(900), moment(900), limits).unwrap();
    assert!(matches!(inserted, Insert::Done(ended) if ended.len() == 1));
}

fn engine_with_sessions_of_ann(disk: &SimulatedDisk) -> RedbEngine {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new()).unwrap();
    for (number, millis) in [(1, 1), (2, 0)] {
        let record = record_of_ann(millis);
        let inserted = engine.insert(&key(number), record, moment(1), Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    engine
}

#[test]
fn an_extension_that_waits_in_the_queue_revives_no_session_that_a_reader_found_gone() {
    for is_full in [false, true] {
        let disk = SimulatedDisk::new();
        let engine = engine_with_sessions_of_ann(&disk);
        let mut first: fn(&RedbEngine) = log_in_at_the_limit;
        if is_full {
            fill_touches(&engine);
            first = |engine| {
                drop(engine.insert(&key(4), record(), moment(1), Limits::NONE).unwrap());
            };
        }
        let before = engine.view.touches.len();
        let live = look_while_it_waits((&engine, &disk), first, || {
            let extended = engine.extend(&key(1), moment(1_000), Duration::ZERO).unwrap();
            assert_eq!(extended.unwrap().last_active(), at(1_000));
        });
        assert_eq!(live, is_live(&engine, 1_500), "told that it is gone, and it is there again");
        assert_eq!(engine.view.touches.len(), before, "the touch is in the record");
    }
}

#[test]
fn a_save_of_a_session_that_takes_no_touch_revives_none_that_a_reader_found_gone() {
    let disk = SimulatedDisk::new();
    let engine = engine_with_sessions_of_ann(&disk);
    let ann = UserId::from("ann").to_key().unwrap();
    let parts = Parts { user: Some(&ann), revision: 2, created_at: at(1), ..parts_at(1_000) };
    let next = Record::new(&parts, &moment(0).timeouts).unwrap();
    let live = look_while_it_waits((&engine, &disk), log_in_at_the_limit, || {
        let saved = engine.replace(&key(1), 1, next.clone(), moment(1_000), Limits::NONE).unwrap();
        assert!(matches!(saved, Replace::Done(_)));
    });
    assert_eq!(live, is_live(&engine, 1_500), "told that it is gone, and it is there again");
}

#[test]
fn a_session_that_ends_while_its_extension_waits_keeps_no_touch() {
    let disk = SimulatedDisk::new();
    let engine = engine_with_sessions_of_ann(&disk);
    thread::scope(|scope| {
        let held = disk.hold_syncs();
        scope.spawn(|| log_in_at_the_limit(&engine));
        disk.wait_for_held_sync();
        let extend = scope.spawn(|| engine.extend(&key(2), moment(950), Duration::ZERO));
        while engine.queue.waiting() == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(extend.join().unwrap().unwrap(), None);
    });
    assert_eq!(engine.view.touches.len(), 0);
}

#[test]
fn a_full_buffer_lets_a_touch_take_the_way_of_a_save_and_waits_for_no_others() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    fill_touches(&engine);
    let before = engine.stats().unwrap();
    assert!(engine.extend(&key(1), moment(900), Duration::ZERO).unwrap().is_some());
    assert!(is_live(&engine, 1_800));
    let after = engine.stats().unwrap();
    assert_eq!(after.committed_operations, before.committed_operations + 1);
    assert_eq!(after.pending_touches, before.pending_touches);
}
