//! What calls that wait have announced: it decides who is live, and leaves no trace if it is
//! refused. And what waits when the engine closes.

use std::ops::ControlFlow;

use super::*;
use crate::engine::outcome::{Rekey, Saved};
use crate::engine::redb::view::extend::{Extended, Extension};
use crate::engine::redb::view::touches::{Announcement, Touched};
use crate::session::user::UserId;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Sessions live for a second after their last activity.
fn moment(millis: u64) -> Moment {
    Moment { now: at(millis), timeouts: Timeouts::from_seconds(1, 1_000).unwrap() }
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

fn wait_until_waiting(engine: &RedbEngine, threads: usize) {
    while engine.queue.waiting() < threads {
        thread::yield_now();
    }
}

#[test]
fn what_is_queued_before_a_close_is_answered_and_stored() {
    let disk = SimulatedDisk::new();
    let engine = engine_with_a_session(&disk);
    disk.hold_syncs();
    thread::scope(|scope| {
        scope.spawn(|| insert(&engine, 2));
        disk.wait_for_held_sync();
        for number in 3..6 {
            let engine = &engine;
            scope.spawn(move || insert(engine, number));
        }
        wait_until_waiting(&engine, 3);
        let close = scope.spawn(|| engine.close());
        let is_closing = || {
            let touch = engine.view.touches.touch_if(&key(6), |_| (None, ()));
            matches!(touch, Touched::Condemned)
        };
        while !is_closing() {
            thread::yield_now();
        }
        // The close goes as far as it can.
        thread::sleep(Duration::from_millis(50));
        disk.release_syncs();
        close.join().unwrap().unwrap();
    });
    drop(engine);
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    for number in 1..6 {
        assert!(engine.load(&key(number), moment(1)).unwrap().is_some(), "{number}");
    }
}

/// Has an extension wait in the queue, as far as others see.
fn announce(engine: &RedbEngine, number: u64, millis: u64) -> Announcement<'_> {
    let extension = Extension { moment: moment(millis), at: at(millis), revision: None };
    match engine.view.announce(&key(number), extension, &mut None).unwrap() {
        Extended::Undecided(Some(announced)) => announced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listing_shows_a_touch_that_is_later_than_what_a_waiting_call_has_announced() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    insert(&engine, 2);
    let mut numbers = [1, 2];
    numbers.sort_unstable_by_key(|number| key(*number));
    let announced = announce(&engine, numbers[1], 500);
    let mut seen = Vec::new();
    let visit = &mut |key, record: Result<Record>| {
        if seen.is_empty() {
            let second = self::key(numbers[1]);
            assert!(engine.extend(&second, moment(900), Duration::ZERO).unwrap().is_some());
            engine.flush().unwrap();
        }
        seen.push((key, record?.last_active()));
        Ok(ControlFlow::Continue(()))
    };
    engine.scan(None, visit).unwrap();
    drop(announced);
    assert_eq!(seen, [(key(numbers[0]), at(1)), (key(numbers[1]), at(900))]);
}

/// The record of ann's session 1 in its next revision, without activity since 1.
fn next_record() -> Record {
    let ann = UserId::from("ann").to_key().unwrap();
    let parts = Parts { user: Some(&ann), revision: 2, ..parts_at(1) };
    Record::new(&parts, &moment(0).timeouts).unwrap()
}

#[test]
fn no_record_that_is_written_holds_what_a_waiting_call_has_announced() {
    let [ann, bob] = ["ann", "bob"].map(|user| UserId::from(user).to_key().unwrap());
    let saved = |millis| Saved { last_active: at(millis), ended: vec![] };
    // Each writes session 1, or moves it to 3, and returns its latest activity.
    let calls: [&dyn Fn(&RedbEngine) -> u64; 5] = [
        &|engine| {
            let next = next_record();
            let replaced = engine.replace(&key(1), 1, next, moment(500), Limits::NONE);
            assert_eq!(replaced.unwrap(), Replace::Done(saved(1)));
            1
        },
        &|engine| {
            let (old, new, next) = (key(1), key(3), next_record());
            let moved = engine.rekey(&old, &new, 1, next, moment(500), Limits::NONE);
            assert_eq!(moved.unwrap(), Rekey::Done(saved(1)));
            1
        },
        &|engine| {
            assert_eq!(engine.rename_user(&ann, &bob, moment(500)).unwrap(), 1);
            1
        },
        &|engine| {
            assert!(engine.reindex(&moment(0).timeouts, &|| true).unwrap());
            1
        },
        &|engine| {
            let extended = engine.submit(question::Extend { key: key(1), moment: moment(500) });
            assert_eq!(extended.unwrap().unwrap().last_active(), at(900), "as others see it");
            500
        },
    ];
    for call in calls {
        let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
        let longer = Timeouts::from_seconds(2, 1_000).unwrap();
        let record = Record::new(&Parts { user: Some(&ann), ..parts_at(1) }, &longer).unwrap();
        let inserted = engine.insert(&key(1), record, moment(1), Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
        let announced = announce(&engine, 1, 900);
        let last_active = call(&engine);
        drop(announced);
        let load = |number| engine.load(&key(number), Moment::BEGINNING).unwrap();
        let left = load(1).or_else(|| load(3)).unwrap();
        assert_eq!(left.last_active(), at(last_active));
    }
}

#[test]
fn a_sweep_that_spares_a_session_for_a_waiting_call_writes_nothing_and_comes_again() {
    for in_tables in [false, true] {
        let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
        for number in 1..61 {
            insert(&engine, number);
        }
        if in_tables {
            drop(engine.snapshot().unwrap());
        }
        let sweep = || {
            let mut removed = 0;
            loop {
                let step = engine.remove_expired(moment(1_500), STEP).unwrap();
                removed += step.removed.len();
                if !step.more {
                    return removed;
                }
            }
        };
        let announced: Vec<_> = (1..4).map(|number| announce(&engine, number, 1_000)).collect();
        assert_eq!(sweep(), 57);
        let before = engine.stats().unwrap().commits;
        assert_eq!(sweep(), 0);
        assert_eq!(engine.stats().unwrap().commits, before);
        drop(announced);
        let left = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
        assert_eq!((left.last_active(), left.index_deadline()), (at(1), at(1_001)));
        assert_eq!(sweep(), 3);
    }
}

#[test]
fn a_sweep_that_only_spares_sessions_ends() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let mut announced = vec![announce(&engine, 1, 1_000)];
    for number in 2..41 {
        insert(&engine, number);
        announced.push(announce(&engine, number, 1_000));
    }
    let step = engine.remove_expired(moment(1_500), STEP).unwrap();
    assert!(step.removed.is_empty() && !step.more);
}
