//! The costs of a commit on its way to the disk, with the log or memory full or not.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::engine::durability::Durability;
use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::log::entry::ENCODED;
use crate::testing::DiskFault;

const DEFERRED: Durability = Durability::Deferred { interval: Duration::from_secs(3_600) };

fn record_of(len: usize) -> Record {
    let content = vec![7; len];
    Record::new(&Parts { content: &content, ..parts_at(1) }, &Timeouts::default()).unwrap()
}

fn insert(engine: &RedbEngine, number: u64, len: usize) {
    let inserted = engine.insert(&key(number), record_of(len), Moment::BEGINNING, Limits::NONE);
    assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
}

/// How many log entries this thread encodes during a call.
fn encoded(call: impl FnOnce()) -> u64 {
    let before = ENCODED.get();
    call();
    ENCODED.get() - before
}

#[test]
fn a_commit_encodes_its_entry_once_whether_the_log_has_room_or_not() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    // Nobody runs a checkpoint, so the log fills up.
    engine.set_waker(Waker::new(|| {}));
    let (mut logged, mut into_tables) = (0, 0);
    for number in 0..400 {
        // Some entries fit, some no longer fit, and some would not fit into an empty log.
        let len = if number % 40 == 39 { 80_000 } else { 1_000 };
        let before = disk.operations();
        assert_eq!(encoded(|| insert(&engine, number, len)), 1, "{number}");
        match disk.operations() - before {
            0 => panic!("{number} is not on the disk"),
            1 | 2 => logged += 1,
            _ => into_tables += 1,
        }
    }
    assert!(logged > 300 && into_tables > 10, "{logged} {into_tables}");
}

#[test]
fn a_commit_that_waits_for_a_checkpoint_encodes_its_entry_once() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    engine.set_waker(Waker::new(|| {}));
    for number in 0..80 {
        insert(&engine, number, 10);
    }
    let (done, waits) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        let checkpointing = scope.spawn(|| engine.run_background_work().unwrap());
        disk.wait_for_held_sync();
        let (engine, done, waits) = (&engine, &done, &waits);
        let writing = scope.spawn(move || {
            let mut most = 0;
            for number in 1_000..1_200 {
                waits.store(number > 1_000, Ordering::Release);
                most = encoded(|| insert(engine, number, 10)).max(most);
            }
            done.store(true, Ordering::Release);
            most
        });
        // The log has room for fewer inserts than that.
        while !waits.load(Ordering::Acquire) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(200));
        assert!(!done.load(Ordering::Acquire), "the log was never full");
        drop(held);
        assert_eq!(writing.join().unwrap(), 1);
        checkpointing.join().unwrap();
    });
}

#[test]
fn a_deferred_commit_encodes_nothing_and_a_flush_one_entry_for_all_of_them() {
    let engine =
        RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new().durability(DEFERRED));
    let engine = engine.unwrap();
    let commits = || (0..50).for_each(|number| insert(&engine, number, 10));
    assert_eq!(encoded(commits), 0);
    assert_eq!(encoded(|| engine.flush().unwrap()), 1);
    assert_eq!(encoded(|| engine.flush().unwrap()), 0, "there is nothing more to write");
}

#[test]
fn what_is_in_memory_alone_has_an_end_though_nobody_flushes() {
    const LEN: usize = 50_000;
    let engine =
        RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new().durability(DEFERRED));
    let engine = engine.unwrap();
    engine.set_waker(Waker::new(|| {}));
    let mut most = 0;
    for number in 0..400 {
        insert(&engine, number, LEN);
        let waiting = engine.view.overlay.all();
        most = waiting.values().flatten().map(Record::tail_len).sum::<usize>().max(most);
    }
    assert!((100 * LEN..13 * 1024 * 1024).contains(&most), "{most}");
    let there = |number| engine.load(&key(number), Moment::BEGINNING).unwrap().is_some();
    assert!((0..400).all(there));
}

#[test]
fn a_deferred_commit_without_room_in_memory_is_written_at_once_and_not_encoded() {
    const MIB: usize = 1024 * 1024;
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new().durability(DEFERRED)).unwrap();
    engine.set_waker(Waker::new(|| {}));
    insert(&engine, 1, 8 * MIB);
    assert!(engine.view.overlay.is_volatile());
    assert_eq!(encoded(|| insert(&engine, 2, 5 * MIB)), 0);
    assert!(!engine.view.overlay.is_volatile(), "13 MiB are too much");
    insert(&engine, 3, 13 * MIB);
    assert!(!engine.view.overlay.is_volatile());
    let left = RedbEngine::open_on(
        &disk.after_power_loss(disk.operations(), 1),
        &RedbOptions::new().durability(DEFERRED),
    );
    let left = left.unwrap();
    assert!((1..4).all(|number| left.load(&key(number), Moment::BEGINNING).unwrap().is_some()));
}

#[test]
fn writers_that_wait_while_the_file_cannot_be_reopened_do_not_try_again() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    insert(&engine, 0, 10);
    engine.view.handle_lost.store(true, Ordering::Release);
    disk.fail_from(DiskFault::Read, 0);
    let failed = engine.insert(&key(1), record_of(10), Moment::BEGINNING, Limits::NONE);
    assert!(failed.is_err() && disk.repair());
    // From here on the old handle is gone, and an attempt only opens the file.
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        let engine = &engine;
        let write = |number| {
            move || {
                engine.insert(&key(number), record_of(10), Moment::BEGINNING, Limits::NONE).is_err()
            }
        };
        let leading = scope.spawn(write(1));
        disk.wait_for_held_sync();
        let waiting: Vec<_> = (2..6).map(|number| scope.spawn(write(number))).collect();
        while engine.queue.waiting() < 4 {
            thread::yield_now();
        }
        let before = disk.reads();
        disk.fail_from(DiskFault::Read, 0);
        drop(held);
        assert!(leading.join().unwrap());
        assert!(waiting.into_iter().all(|writing| writing.join().unwrap()));
        assert!(disk.reads() - before < 4, "each has tried");
    });
    disk.repair();
    assert_eq!(engine.stats().unwrap().stored, 1);
    insert(&engine, 6, 10);
}

/// Changes a key that its group has changed before, and then fails to read.
#[derive(Debug)]
struct FailsAfterAChange(Arc<AtomicU64>);

impl question::Ask for FailsAfterAChange {
    type Answer = ();

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        decider.effects.change(key(1), None);
        Err(redb::Error::PreviousIo)
    }
}

#[test]
fn a_question_that_has_changed_something_is_not_decided_again() {
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
    let insert = question::Insert {
        key: key(1),
        record: record(),
        moment: Moment::BEGINNING,
        limits: Limits::NONE,
    };
    let decided = Arc::new(AtomicU64::new(0));
    let group: [Arc<dyn Question>; 2] = [
        Arc::new(Asked::new(insert)),
        Arc::new(Asked::new(FailsAfterAChange(Arc::clone(&decided)))),
    ];
    assert!(engine.writer.commit(&engine.view, group.into_iter()).is_err());
    assert_eq!(decided.load(Ordering::Relaxed), 1);
    assert_eq!(engine.stats().unwrap().stored, 0, "nothing of the group happened");
}

/// A question is decided in place, and again after a failed read, so it need not be copied.
#[test]
fn no_question_can_be_cloned() {
    trait IsNotClone<Marker> {
        fn holds() {}
    }
    struct IsClone;
    impl<T> IsNotClone<()> for T {}
    impl<T: Clone> IsNotClone<IsClone> for T {}
    // If both implementations apply, the call is ambiguous and does not compile.
    <question::Insert as IsNotClone<_>>::holds();
    <question::Replace as IsNotClone<_>>::holds();
    <question::Rekey as IsNotClone<_>>::holds();
    <question::WriteTouches as IsNotClone<_>>::holds();
    <question::RemoveExpired as IsNotClone<_>>::holds();
}
