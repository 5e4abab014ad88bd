//! More touches at a time than the log has room for: the other commits go on.

use super::*;
use crate::engine::durability::Durability;

/// An engine whose log is a sixteenth as long as its records, and whose waker wakes nobody.
fn with_large_records(disk: &SimulatedDisk, durability: Durability) -> RedbEngine {
    let engine = RedbEngine::open_on(disk, &RedbOptions::new().durability(durability)).unwrap();
    engine.set_waker(Waker::new(|| {}));
    (0..LARGE).for_each(|number| insert_large(&engine, number));
    engine.flush().unwrap();
    engine
}

const LARGE: u64 = 800;
const LARGE_LEN: usize = 20_000;

fn insert_large(engine: &RedbEngine, number: u64) {
    let parts = Parts { content: &[7; LARGE_LEN], ..parts_at(1) };
    let record = Record::new(&parts, &Timeouts::default()).unwrap();
    let inserted = engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE);
    assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
}

fn touch_all_large(engine: &RedbEngine, at: u64) {
    assert!((0..LARGE).all(|number| touched(engine, &key(number), Timestamp::from_millis(at))));
}

/// A step that found the log full would go into the tables, with everything that is logged, under
/// the lock of all commits.
#[test]
fn a_flush_of_more_touches_than_the_log_holds_runs_checkpoints_beside_other_commits() {
    let deferred = Durability::Deferred { interval: Duration::from_secs(3_600) };
    for durability in [Durability::Immediate, deferred] {
        let engine = with_large_records(&SimulatedDisk::new(), durability);
        // The first commit to the log makes room for it.
        insert_large(&engine, LARGE);
        engine.flush().unwrap();
        let before = engine.stats().unwrap();
        let (room, _) = before.log_bytes.unwrap();
        touch_all_large(&engine, 2);
        engine.flush().unwrap();
        let after = engine.stats().unwrap();
        assert_eq!(after.pending_touches, 0);
        // Each checkpoint has taken what the log held, and nothing went past the log.
        let least = LARGE * LARGE_LEN as u64 / room;
        assert!(after.checkpoints - before.checkpoints >= least, "{after:?}, at least {least}");
    }
}

#[test]
fn touches_that_are_late_leave_other_commits_room_while_a_checkpoint_runs() {
    let disk = SimulatedDisk::new();
    let engine = with_large_records(&disk, Durability::Immediate);
    // The file grows now, and not in the checkpoint below: a log that moves takes no entry.
    touch_all_large(&engine, 2);
    engine.flush().unwrap();
    let is_filled = |eighths: u64| {
        let (room, used) = engine.stats().unwrap().log_bytes.unwrap_or((1, 0));
        used * 8 >= room * eighths
    };
    let mut number = LARGE;
    while !is_filled(4) {
        insert_large(&engine, number);
        number += 1;
    }
    touch_all_large(&engine, 3);
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        let checkpointing = scope.spawn(|| engine.run_background_work().unwrap());
        disk.wait_for_held_sync();
        let flushing = scope.spawn(|| engine.flush().unwrap());
        let go_on = soon(|| is_filled(6));
        // The flush has come as far as it can.
        let used = || engine.stats().unwrap().log_bytes;
        let waits = soon(|| {
            let before = used();
            thread::sleep(std::time::Duration::from_millis(100));
            used() == before
        });
        let inserting = scope.spawn(|| insert_large(&engine, number));
        let inserted = soon(|| inserting.is_finished());
        drop(held);
        assert!(go_on && waits, "the touches are late, and do not go on");
        assert!(inserted, "the commit waited for the checkpoint");
        checkpointing.join().unwrap();
        flushing.join().unwrap();
    });
    assert_eq!(engine.stats().unwrap().pending_touches, 0);
}
