//! Work beside callers: flushes, sweeps that checkpoint, the warm-up, and the waker calls for them.

use super::*;
use crate::engine::durability::Durability;
use crate::engine::redb::view::touches::activity::Activity;
use crate::engine::redb::view::touches::{CAPACITY, Touched};
use crate::testing::DiskFault;

/// An engine whose log is more than five and less than six eighths full: 64 KiB, with one sector
/// for each record.
fn with_much_logged() -> RedbEngine {
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
    engine.set_waker(Waker::new(|| {}));
    for number in 0..85 {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    assert!(!engine.view.overlay.is_empty(), "nobody has come");
    engine
}

#[test]
fn a_sweep_checkpoints_the_log_itself_where_whoever_was_woken_for_it_does_not_come() {
    let engine = with_much_logged();
    let (now, timeouts) = (Timestamp::from_millis(10_000_000), Timeouts::default());
    assert!(engine.remove_expired(Moment { now, timeouts }, 2).unwrap().more);
    // The checkpoint has taken every change, the step's own two included.
    assert_eq!(engine.view.overlay.all().len(), 0);
}

/// A checkpoint takes as long as hundreds of commits, and a touch has a deadline.
#[test]
fn a_flush_leaves_a_checkpoint_that_is_due_to_whoever_is_woken() {
    let engine = with_much_logged();
    let woken = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&woken);
    engine.set_waker(Waker::new(move || flag.store(true, Ordering::Release)));
    assert!(touched(&engine, &key(1), Timestamp::from_millis(2)));
    engine.flush().unwrap();
    assert_eq!(engine.stats().unwrap().pending_touches, 0);
    assert!(woken.load(Ordering::Acquire) && !engine.view.overlay.is_empty());
}

/// An extension is written at once only if memory has no room for its touch.
#[test]
fn an_extension_without_room_in_memory_leaves_a_checkpoint_to_whoever_is_woken() {
    let engine = with_much_logged();
    let woken = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&woken);
    engine.set_waker(Waker::new(move || flag.store(true, Ordering::Release)));
    for number in 0..CAPACITY as u64 {
        let touch = |_: &Activity| (Some(Timestamp::from_millis(1)), ());
        assert!(matches!(
            engine.view.touches.touch_if(&key(1_000 + number), touch),
            Touched::Done((), None)
        ));
    }
    // Each takes a sector, and the last ones leave hardly any room.
    for number in 0..20 {
        assert!(touched(&engine, &key(number), Timestamp::from_millis(2)));
    }
    assert_eq!(engine.view.touches.len(), CAPACITY, "they were written");
    assert!(woken.load(Ordering::Acquire));
    assert_eq!(engine.stats().unwrap().checkpoints, 0);
    engine.run_background_work().unwrap();
    assert_eq!(engine.stats().unwrap().checkpoints, 1);
}

#[test]
fn a_flush_of_deferred_commits_leaves_a_checkpoint_too() {
    let durability = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let options = RedbOptions::new().durability(durability);
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &options).unwrap();
    let woken = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&woken);
    engine.set_waker(Waker::new(move || flag.store(true, Ordering::Release)));
    let content = [7; 1_000];
    for number in 0..55 {
        let parts = Parts { content: &content, ..parts_at(1) };
        let record = Record::new(&parts, &Timeouts::default()).unwrap();
        let inserted = engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    woken.store(false, Ordering::Release);
    // One entry of 55 KB, in a log of 64 KiB.
    engine.flush().unwrap();
    assert!(!engine.view.overlay.is_volatile() && !engine.view.overlay.is_empty());
    assert!(woken.load(Ordering::Acquire));
    assert_eq!(engine.stats().unwrap().checkpoints, 0);
}

/// Each failure costs a reopening of the file.
#[test]
fn a_checkpoint_that_failed_is_not_tried_again_because_a_flush_has_succeeded() {
    let durability = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let options = RedbOptions::new().durability(durability);
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    engine.set_waker(Waker::new(|| {}));
    let insert_and_flush = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let inserted = engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE);
            assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
            engine.flush().unwrap();
        }
    };
    insert_and_flush(0..70);
    disk.fail_once(DiskFault::Full, 0);
    let failure = engine.run_background_work().unwrap_err();
    assert!(matches!(failure, Error::StorageFull { .. }), "{failure:?}");
    assert!(!disk.repair() && engine.view.is_handle_lost(), "no checkpoint was tried");
    insert_and_flush(70..75);
    engine.run_background_work().unwrap();
    assert_eq!(engine.stats().unwrap().checkpoints, 0);
}

#[test]
fn a_checkpoint_that_fails_in_a_callers_thread_is_told_by_whoever_is_woken() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let woken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&woken);
    engine.set_waker(Waker::new(move || {
        count.fetch_add(1, Ordering::AcqRel);
    }));
    let insert = |number| {
        let before = disk.operations();
        let inserted = engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
        disk.operations() - before
    };
    let of_an_entry = (0..70).map(insert).last().unwrap();
    let mut before = woken.load(Ordering::Acquire);
    for number in 70.. {
        disk.fail_from(DiskFault::Full, disk.operations() + of_an_entry);
        insert(number);
        // At six eighths the committing thread runs the checkpoint.
        if engine.view.is_handle_lost() {
            break;
        }
        before = woken.load(Ordering::Acquire);
    }
    assert!(woken.load(Ordering::Acquire) > before);
    let failure = engine.run_background_work().unwrap_err();
    assert!(matches!(failure, Error::StorageFull { .. }), "{failure:?}");
    engine.run_background_work().unwrap();
    assert!(disk.repair());
}

#[test]
fn touches_are_written_while_a_checkpoint_waits_for_the_disk() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    engine.set_waker(Waker::new(|| {}));
    let half_a_log = |round: u64| {
        for number in round * 70..(round + 1) * 70 {
            assert_eq!(
                engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
                Insert::Done(vec![])
            );
        }
    };
    // The first checkpoints make the file grow; while the log moves for that, nothing is logged.
    for round in 0..4 {
        half_a_log(round);
        engine.run_background_work().unwrap();
    }
    half_a_log(4);
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        let checkpointing = scope.spawn(|| engine.run_background_work().unwrap());
        disk.wait_for_held_sync();
        assert!(touched(&engine, &key(1), Timestamp::from_millis(2)));
        let flushing = scope.spawn(|| engine.flush().unwrap());
        let flushed = soon(|| engine.stats().unwrap().pending_touches == 0);
        drop(held);
        flushing.join().unwrap();
        checkpointing.join().unwrap();
        assert!(flushed, "the touch waited for the checkpoint");
    });
}

/// While a checkpoint runs and the log is full, every commit waits for the checkpoint, and so does
/// a flush. It is written right after that, and told as late.
#[test]
fn a_flush_beside_a_checkpoint_with_a_full_log_ends_with_the_checkpoint() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    engine.set_waker(Waker::new(|| {}));
    let insert = |number| {
        let inserted = engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    };
    for round in 0..5 {
        (round * 70..(round + 1) * 70).for_each(insert);
        if round < 4 {
            engine.run_background_work().unwrap();
        }
    }
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        scope.spawn(|| engine.run_background_work().unwrap());
        disk.wait_for_held_sync();
        let logged = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&logged);
        // One more than the log has room for.
        let writing = scope.spawn(move || {
            for number in 1_000..1_129 {
                insert(number);
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        let mut before = 0;
        while logged.load(Ordering::Acquire) != before || before == 0 {
            before = logged.load(Ordering::Acquire);
            thread::sleep(Duration::from_millis(100));
        }
        assert!(!writing.is_finished(), "the log is full");
        let extended = engine.extend(
            &key(1),
            Moment { now: Timestamp::from_millis(2), ..Moment::BEGINNING },
            Duration::from_millis(1),
        );
        assert!(extended.unwrap().is_some());
        let flushing = scope.spawn(|| engine.flush().unwrap());
        thread::sleep(Duration::from_millis(50));
        let waiting = engine.stats().unwrap();
        assert_eq!((waiting.pending_touches, waiting.late_touches), (1, 0));
        assert_eq!(waiting.checkpoints, 4);
        drop(held);
        flushing.join().unwrap();
    });
    let written = engine.stats().unwrap();
    assert_eq!((written.pending_touches, written.late_touches), (0, 1));
    assert!(written.touches_late_by >= Duration::from_millis(40));
    let left =
        RedbEngine::open_on(&disk.after_power_loss(disk.operations(), 1), &RedbOptions::new());
    let record = left.unwrap().load(&key(1), Moment::BEGINNING).unwrap().unwrap();
    assert_eq!(record.last_active(), Timestamp::from_millis(2));
}

#[test]
fn a_flush_takes_a_thousand_touches_to_a_commit_though_others_write() {
    const TOUCHED: u64 = 3_000;
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
    for number in 0..TOUCHED {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
        assert!(touched(&engine, &key(number), Timestamp::from_millis(2)));
    }
    let operations = || engine.stats().unwrap().committed_operations;
    let (before, flushed) = (operations(), AtomicBool::new(false));
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !flushed.load(Ordering::Acquire) || written == 0 {
                let inserted = engine.insert(
                    &key(TOUCHED + written),
                    record(),
                    Moment::BEGINNING,
                    Limits::NONE,
                );
                assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
                written += 1;
            }
            written
        });
        engine.flush().unwrap();
        flushed.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    assert_eq!(engine.stats().unwrap().pending_touches, 0);
    assert_eq!(operations() - before - written, TOUCHED.div_ceil(1_000), "steps of the flush");
}

#[test]
fn a_step_of_the_warm_up_reads_no_more_than_a_few_records_or_a_mebibyte_of_them() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let parts = Parts { content: &[7; 1024 * 1024 + 1], ..parts_at(1) };
    for number in 0..4 {
        let record = Record::new(&parts, &Timeouts::default()).unwrap();
        assert_eq!(
            engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    engine.close().unwrap();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let steps = (0..10).take_while(|_| engine.prepare()).count();
    assert_eq!(steps, 4, "one record to a step, though two may be few enough");
    assert!(!engine.view.filter.is_worn_out());
}

/// Runs an action that may wait for ever, and fails if it does.
fn ends(act: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = thread::Builder::new().spawn(move || {
        act();
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(std::time::Duration::from_secs(60));
    assert_ne!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "it waits for ever");
    thread.unwrap().join().unwrap();
}

/// A waker may call into the engine, and set another waker, during its call.
#[test]
fn a_waker_may_call_into_the_engine() {
    ends(call_from_a_waker);
}

fn call_from_a_waker() {
    let engine = Arc::new(RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap());
    let woken = Arc::new(AtomicBool::new(false));
    let (weak, flag) = (Arc::downgrade(&engine), Arc::clone(&woken));
    engine.set_waker(Waker::new(move || {
        let engine = weak.upgrade().unwrap();
        assert!(engine.stats().unwrap().stored > 0);
        let flag = Arc::clone(&flag);
        engine.set_waker(Waker::new(move || flag.store(true, Ordering::Release)));
    }));
    // Twice half of 64 KiB, with one sector for each record.
    for number in 0..130 {
        assert_eq!(
            engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
        if number == 70 {
            engine.run_background_work().unwrap();
        }
    }
    assert!(woken.load(Ordering::Acquire), "the second was called");
}

/// An object that a waker holds may call into the engine when it is dropped.
#[test]
fn a_waker_that_is_replaced_is_dropped_with_no_lock_held() {
    ends(replace_a_waker);
}

fn replace_a_waker() {
    struct Asks(std::sync::Weak<RedbEngine>);
    impl Drop for Asks {
        fn drop(&mut self) {
            if let Some(engine) = self.0.upgrade() {
                engine.set_waker(Waker::new(|| {}));
            }
        }
    }
    let engine = Arc::new(RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap());
    let held = Asks(Arc::downgrade(&engine));
    engine.set_waker(Waker::new(move || {
        let _ = &held;
    }));
    engine.set_waker(Waker::new(|| {}));
}

#[test]
fn an_engine_behind_a_pointer_wakes_whoever_tends_to_it_and_is_tended_to() {
    fn check(engine: impl Engine) {
        let woken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&woken);
        engine.set_waker(Waker::new(move || flag.store(true, Ordering::Release)));
        let insert = |number| {
            let inserted = engine.insert(&key(number), record(), Moment::BEGINNING, Limits::NONE);
            assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
            woken.swap(false, Ordering::AcqRel)
        };
        assert!(insert(1_000), "there is a filter to be built");
        engine.run_background_work().unwrap();
        // Each record takes one sector of the 64 KiB, and one is already used.
        assert!((0..62).all(|number| !insert(number)));
        assert!(insert(64), "half full");
        engine.run_background_work().unwrap();
        assert!(!insert(65));
    }
    check(Box::new(RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap()));
}

#[test]
fn an_engine_that_is_dropped_has_written_what_was_in_memory_alone() {
    let disk = SimulatedDisk::new();
    let durability = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let options = RedbOptions::new().durability(durability);
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    let done = engine.insert(&key(1), record(), Moment::BEGINNING, Limits::NONE).unwrap();
    assert_eq!(done, Insert::Done(vec![]));
    let now = Timestamp::from_millis(2);
    assert!(touched(&engine, &key(1), now));
    drop(engine);
    let engine = RedbEngine::open_on(&disk, &options).unwrap();
    let found = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
    assert_eq!(found.last_active(), now);
}
