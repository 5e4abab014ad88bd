//! What calls that wait have announced: it decides who is live, and leaves no trace if it is
//! refused. And what waits when the engine closes.

use super::*;
use crate::engine::redb::view::touches::Touched;

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
