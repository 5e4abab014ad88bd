//! Tests of the engine's internals: a forked process, the state after closing, the warm-up in the
//! background, and which call waits for which.

mod flushing;
mod found;
#[cfg(shuttle)]
mod interleavings;
mod liveness;
mod many_touches;
mod page_zero;
mod phases;
mod users;
mod verified;
mod write_path;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Ended, Insert, Replace};
use crate::engine::redb::commit::question;
use crate::engine::redb::commit::question::{Asked, Question};
use crate::engine::redb::engine::{RedbEngine, STEP};
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::storage::folder::InFolder;
use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::process::Process;
use crate::record::{Parts, Record};
use crate::testing::SimulatedDisk;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

fn record() -> Record {
    record_at(1)
}

/// Extends a session; false if it does not exist.
fn touched(engine: &RedbEngine, key: &SessionKey, now: Timestamp) -> bool {
    let moment = Moment { now, timeouts: Timeouts::default() };
    engine.extend(key, moment, Duration::ZERO).unwrap().is_some()
}

/// Whether it is so within a minute.
fn soon(is_so: impl Fn() -> bool) -> bool {
    (0..6_000).any(|_| {
        thread::sleep(std::time::Duration::from_millis(10));
        is_so()
    })
}

fn record_at(millis: u64) -> Record {
    Record::new(&parts_at(millis), &Timeouts::default()).unwrap()
}

fn parts_at(millis: u64) -> Parts<'static> {
    Parts {
        user: None,
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: Timestamp::from_millis(millis),
        last_active: Timestamp::from_millis(millis),
        content_version: 0,
        content: &[],
    }
}

#[test]
fn a_forked_process_changes_nothing_and_leaves_file_and_lock_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let mut engine = RedbEngine::open(&path).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    assert_eq!(
        engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    assert!(touched(&engine, &key, Timestamp::from_millis(2)));
    // As after a fork by the bare system call, which the engine's first check does not detect.
    Arc::get_mut(&mut engine.writer).unwrap().pretend_forked();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(engine.remove(&key, None, Moment::BEGINNING), Err(Error::Forked { .. })));
    assert!(engine.load(&key, Moment::BEGINNING).unwrap().is_some());

    engine.process = Process::pretended();
    assert!(matches!(engine.load(&key, Moment::BEGINNING), Err(Error::Forked { .. })));
    let extended = engine.extend(&key, Moment::BEGINNING, Duration::ZERO);
    assert!(matches!(extended, Err(Error::Forked { .. })));
    assert!(matches!(engine.flush(), Err(Error::Forked { .. })));
    assert!(matches!(engine.stats(), Err(Error::Forked { .. })));
    // A thread that the fork did not copy may have held any lock.
    let held = engine.wakers.lock();
    engine.set_waker(Waker::new(|| ()));
    drop(held);
    assert!(matches!(engine.close(), Err(Error::Forked { .. })));
    drop(engine);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(matches!(RedbEngine::open(&path), Err(Error::AlreadyOpen { .. })));
}

#[test]
fn what_is_cached_is_closed_with_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path().join("sessions.redb")).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    assert_eq!(
        engine.insert(&key, record(), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    assert!(engine.load(&key, Moment::BEGINNING).unwrap().is_some());
    engine.close().unwrap();
    assert!(matches!(engine.load(&key, Moment::BEGINNING), Err(Error::Closed)));
    let extended = engine.extend(&key, Moment::BEGINNING, Duration::ZERO);
    assert!(matches!(extended, Err(Error::Closed)));
    assert!(matches!(engine.scan(None, &mut |_, _| unreachable!()), Err(Error::Closed)));
    assert!(matches!(engine.flush(), Err(Error::Closed)));
}

/// Scattered like the digests that keys are.
fn key(number: u64) -> SessionKey {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(number.to_le_bytes());
    SessionKey::from_bytes(*digest.first_chunk().unwrap())
}

#[test]
fn while_a_filter_is_built_in_many_steps_every_id_is_answered_right() {
    const STORED: u64 = 300;
    const COMING: u64 = 200;
    let disk = SimulatedDisk::new();
    let options = RedbOptions::new();
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    for number in 0..STORED {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    engine.close().unwrap();
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    assert!(engine.view.filter.is_worn_out(), "there is none yet");
    let built = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in STORED..STORED + COMING {
                assert_eq!(
                    engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
                    Insert::Done(vec![])
                );
                assert!(engine.load(&key(number), Moment::BEGINNING).unwrap().is_some());
                if number % 3 == 0 {
                    assert!(
                        engine.remove(&key(number), None, Moment::BEGINNING).unwrap().is_some()
                    );
                    assert!(engine.load(&key(number), Moment::BEGINNING).unwrap().is_none());
                }
            }
        });
        scope.spawn(|| {
            let mut steps = 0;
            while engine.view.filter.is_worn_out() {
                engine.flush().unwrap();
                steps += 1;
            }
            assert!(steps as u64 > STORED / 4, "{steps} steps");
            built.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let mut last = false;
            while !last {
                last = built.load(Ordering::SeqCst);
                assert!(
                    (0..STORED).all(|number| engine
                        .load(&key(number), Moment::BEGINNING)
                        .unwrap()
                        .is_some())
                );
                assert!(
                    (1_000..1_300).all(|number| engine
                        .load(&key(number), Moment::BEGINNING)
                        .unwrap()
                        .is_none())
                );
            }
        });
    });
    // Read from the file, not from the cache.
    engine.view.cache.invalidate_all(u64::MAX);
    for number in 0..STORED + COMING {
        let there = number < STORED || number % 3 != 0;
        assert_eq!(
            engine.load(&key(number), Moment::BEGINNING).unwrap().is_some(),
            there,
            "{number}"
        );
    }
    let hidden = (1_000..2_000).filter(|number| !engine.view.filter.may_contain(&key(*number)));
    assert!(hidden.count() > 900, "the filter is in use");
}

/// How many of the expiring sessions are left, and whether the session inserted meanwhile exists.
fn look(disk: &SimulatedDisk, operation: u64, expiring: u64, coming: &SessionKey) -> (usize, bool) {
    let engine = RedbEngine::open_on(&disk.after_kill(operation, 0), &RedbOptions::new()).unwrap();
    let left = (0..expiring)
        .filter(|number| engine.load(&key(*number), Moment::BEGINNING).unwrap().is_some());
    (left.count(), engine.load(coming, Moment::BEGINNING).unwrap().is_some())
}

#[test]
fn a_writer_that_comes_during_a_sweep_waits_for_the_step_under_way_and_no_other() {
    const EXPIRING: u64 = 60;
    let (disk, coming) = (SimulatedDisk::new(), key(1_000));
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    for number in 0..EXPIRING {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    let (now, timeouts) = (Timestamp::from_millis(10_000_000), Timeouts::default());
    let before = disk.operations();
    let insert = |number| {
        let record = record_at(now.as_millis());
        assert_eq!(
            engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    };
    // Leads, and does nothing until it is told to.
    let (leading, go_on) = (AtomicBool::new(false), AtomicBool::new(false));
    let lead = || {
        let (key, record) = (key(999), record_at(now.as_millis()));
        let (moment, limits) = (Moment::BEGINNING, Limits::NONE);
        let own = Arc::new(Asked::new(question::Insert { key, record, moment, limits }));
        let queued = Arc::clone(&own) as Arc<dyn Question>;
        let outcome = engine.queue.submit(queued, |batch| {
            leading.store(true, Ordering::Release);
            while !go_on.load(Ordering::Acquire) {
                thread::yield_now();
            }
            engine.writer.commit(&engine.view, batch)
        });
        assert!(outcome.is_ok());
        assert!(matches!(own.take_answer(), Ok(Insert::Done(_))));
    };
    let wait_until_waiting = |threads| {
        while engine.queue.waiting() < threads {
            thread::yield_now();
        }
    };
    let steps = thread::scope(|scope| {
        scope.spawn(lead);
        while !leading.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let sweep = scope.spawn(|| {
            let mut steps = Vec::new();
            loop {
                let step = engine.remove_expired(Moment { now, timeouts }, STEP).unwrap();
                steps.push(step.removed.len() as u64);
                if !step.more {
                    return steps;
                }
            }
        });
        wait_until_waiting(1);
        scope.spawn(|| insert(1_000));
        wait_until_waiting(2);
        go_on.store(true, Ordering::Release);
        sweep.join().unwrap()
    });
    assert_eq!(steps[..2], [16, 16], "a step is small while somebody writes");
    assert_eq!(steps.iter().sum::<u64>(), EXPIRING);
    // The states of the disk after each operation show what was committed, and in which order.
    let mut states: Vec<_> = (before - 1..=disk.operations())
        .map(|operation| look(&disk, operation, EXPIRING, &coming))
        .collect();
    states.dedup();
    assert_eq!(states, [(60, false), (44, true), (28, true), (0, true)]);
}

/// Once a caller was told that a session is gone, it stays gone, whichever step removed it.
#[test]
fn what_a_step_of_a_sweep_has_taken_is_gone_after_a_power_cut() {
    let (now, timeouts) = (Timestamp::from_millis(10_000_000), Timeouts::default());
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    for number in 0..60 {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    let is_there = |engine: &RedbEngine, number: &u64| {
        engine.load(&key(*number), Moment::BEGINNING).unwrap().is_some()
    };
    loop {
        let step = engine.remove_expired(Moment { now, timeouts }, STEP).unwrap();
        let left: Vec<_> = (0..60).filter(|number| is_there(&engine, number)).collect();
        let crashed = disk.after_power_loss(disk.operations(), 0);
        let after = RedbEngine::open_on(&crashed, &RedbOptions::new()).unwrap();
        assert!((0..60).all(|number| is_there(&after, &number) == left.contains(&number)));
        assert_eq!(after.stats().unwrap().stored, left.len() as u64);
        if !step.more {
            assert!(left.is_empty());
            break;
        }
    }
}

#[test]
fn a_step_of_a_flush_or_a_sweep_is_no_larger_than_an_entry_of_the_log_takes_well() {
    const SESSIONS: u64 = 40;
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
    let defaults = Timeouts::from_seconds(1, 1_000).unwrap();
    let at = Timestamp::from_millis;
    for number in 0..SESSIONS {
        let parts = Parts { content: &[7; 64 * 1024], ..parts_at(1) };
        let record = Record::new(&parts, &defaults).unwrap();
        assert_eq!(
            engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
        assert!(touched(&engine, &key(number), at(1_000)));
    }
    let commits = || engine.stats().unwrap().commits;
    let before = commits();
    engine.flush().unwrap();
    assert!(commits() - before >= SESSIONS / 5, "at most five, of which the last is one too many");
    assert_eq!(engine.stats().unwrap().pending_touches, 0);

    // The sessions' index entries have passed, but the sessions have not expired.
    let before = commits();
    while engine.remove_expired(Moment { now: at(1_500), timeouts: defaults }, STEP).unwrap().more {
    }
    assert!(commits() - before >= SESSIONS / 5);
    for number in 0..SESSIONS {
        let record = engine.load(&key(number), Moment::BEGINNING).unwrap().unwrap();
        assert_eq!((record.last_active(), record.index_deadline()), (at(1_000), at(2_000)));
    }
}
