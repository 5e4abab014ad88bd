//! What calls that wait have announced: it decides who is live, and leaves no trace if it is
//! refused. And what waits when the engine closes.

use std::ops::ControlFlow;

use super::*;
use crate::engine::redb::view::extend::{Extended, Extension};
use crate::engine::redb::view::touches::{Announcement, Touched};

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
