//! The events of a store: what its opening finds, and what its maintenance meets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, EngineStats, MemoryEngine, RedbOptions};
use sessile::testing::SimulatedDisk;
use sessile::{
    Durability, Event, Observer, RedbEngine, Result, SessionId, SessionStore, Stats, Timeouts,
};

use super::{Failing, taken, telling, wait_for};

#[test]
fn what_opening_a_file_finds_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("sessions.redb"), folder.path().join("copy.redb"));
    let open = |path: &std::path::Path, minutes: i64| {
        let (told, observer) = telling();
        let timeouts = Timeouts::from_seconds(minutes * 60, 86_400).unwrap();
        let builder = SessionStore::<u32>::builder().manual_maintenance().timeouts(timeouts);
        (told, builder.observer(observer).open(path).unwrap())
    };
    let (told, store) = open(&path, 60);
    store.create(1).unwrap();
    // As a killed process leaves it.
    std::fs::copy(&path, &copy).unwrap();
    store.close().unwrap();
    assert!(taken(&told).iter().all(|event| matches!(event, Event::Created { .. })));
    let (told, _store) = open(&path, 60);
    assert!(taken(&told).is_empty(), "it was closed");
    let (told, _store) = open(&copy, 10);
    match &taken(&told)[..] {
        [Event::Recovered, Event::LongerTimeoutsOnRecord { on_record }] => {
            assert_eq!(on_record.inactivity(), Duration::from_secs(3_600));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_in_the_background_their_end_and_late_touches_are_told() {
    let (told, observer) = telling();
    let engine = Arc::new(Failing(MemoryEngine::new(), true.into()));
    let builder = SessionStore::<u32>::builder().touch_interval(Duration::from_millis(4));
    let store = builder.observer(observer).engine(Arc::clone(&engine)).build().unwrap();
    wait_for(&told, |event| matches!(event, Event::MaintenanceFailed { .. }));
    wait_for(
        &told,
        |event| matches!(event, Event::PromiseMissed { promised, waited } if waited > promised),
    );
    assert!(store.stats().unwrap().missed_promises > 0);
    engine.1.store(false, Ordering::SeqCst);
    wait_for(&told, |event| matches!(event, Event::MaintenanceRecovered { .. }));
}

const INTERVAL: Duration = Duration::from_millis(200);

/// The flush of a change begins in time, and its commit waits for the disk.
fn after_a_slow_flush(
    options: &RedbOptions,
    change: impl FnOnce(&SessionStore<u32>, &SessionId),
) -> Stats {
    let (disk, (told, observer)) = (SimulatedDisk::new(), telling());
    let engine = RedbEngine::open_on(&disk, options).unwrap();
    let builder = SessionStore::<u32>::builder().touch_interval(INTERVAL).observer(observer);
    let store = builder.engine(engine).build().unwrap();
    let session = store.create(1).unwrap();
    store.flush().unwrap();
    // So that a touch is later than the creation.
    thread::sleep(Duration::from_millis(5));
    taken(&told);
    let before = store.stats().unwrap();
    let held = disk.hold_syncs();
    change(&store, session.id());
    disk.wait_for_held_sync();
    thread::sleep(2 * INTERVAL);
    drop(held);
    wait_for(
        &told,
        |event| matches!(event, Event::PromiseMissed { promised, waited } if *promised == INTERVAL && waited > promised),
    );
    // The event may come while the flush waits.
    store.flush().unwrap();
    let after = store.stats().unwrap();
    assert!(after.missed_promises > before.missed_promises);
    after
}

#[test]
fn changes_that_a_slow_flush_writes_late_are_told_with_how_late_they_were() {
    let touch = |store: &SessionStore<u32>, id: &SessionId| {
        assert!(store.extend_lifetime(id).unwrap());
    };
    let stats = after_a_slow_flush(&RedbOptions::new(), touch);
    assert!(stats.late_touches == 1 && stats.touches_late_by > Duration::ZERO);
    assert_eq!(stats.commits_late_by, Duration::ZERO, "nothing is deferred");

    let deferred = RedbOptions::new().durability(Durability::Deferred { interval: INTERVAL });
    let create = |store: &SessionStore<u32>, _: &SessionId| drop(store.create(2).unwrap());
    let stats = after_a_slow_flush(&deferred, create);
    assert!(stats.late_touches == 0 && stats.commits_late_by > Duration::ZERO);
    // A touch reaches the disk with the deferred commits.
    let stats = after_a_slow_flush(&deferred, touch);
    assert!(stats.late_touches == 1 && stats.touches_late_by > Duration::ZERO);
}

/// A file whose statistics have to wait for the disk, on demand.
#[derive(Debug)]
struct Waiting {
    inner: RedbEngine,
    waits: AtomicBool,
}

impl Engine for Waiting {
    fn stats(&self) -> Result<EngineStats> {
        while self.waits.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        self.inner.stats()
    }

    sessile::forward_engine!(inner, but stats);
}

#[test]
fn a_flush_that_hangs_is_told_while_it_hangs() {
    for durability in [Durability::Immediate, Durability::Deferred { interval: INTERVAL }] {
        let (disk, (told, observer)) = (SimulatedDisk::new(), telling());
        let engine = RedbEngine::open_on(&disk, &RedbOptions::new().durability(durability));
        let engine = Arc::new(Waiting { inner: engine.unwrap(), waits: AtomicBool::new(false) });
        let builder = SessionStore::<u32>::builder().touch_interval(INTERVAL).observer(observer);
        let store = builder.engine(Arc::clone(&engine)).build().unwrap();
        let session = store.create(1).unwrap();
        store.flush().unwrap();
        // So that a touch is later than the creation.
        thread::sleep(Duration::from_millis(5));
        let held = disk.hold_syncs();
        taken(&told);
        assert!(store.extend_lifetime(session.id()).unwrap());
        disk.wait_for_held_sync();
        engine.waits.store(true, Ordering::SeqCst);
        let is_told = || {
            thread::sleep(Duration::from_millis(1));
            told.lock().unwrap().iter().any(|event| matches!(event, Event::PromiseMissed { .. }))
        };
        let in_time = (0..30_000).any(|_| is_told());
        engine.waits.store(false, Ordering::SeqCst);
        let hanging = store.stats().unwrap();
        drop(held);
        assert!(in_time, "{durability:?}");
        let (touches, commits) = (hanging.touches_late_by, hanging.commits_late_by);
        assert!(touches.max(commits) > Duration::ZERO, "{durability:?}");
        assert_eq!(hanging.late_touches, 0, "it is not written yet");
    }
}

#[test]
fn a_checkpoint_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (told, observer) = telling();
    let builder = SessionStore::<String>::builder().observer(observer);
    let store = builder.open(folder.path().join("sessions.redb")).unwrap();
    for _ in 0..40 {
        store.create("x".repeat(4_096)).unwrap();
    }
    wait_for(&told, |event| matches!(event, Event::Checkpoint));
    assert!(store.stats().unwrap().checkpoints > 0);
}

#[test]
fn two_stores_can_share_an_observer() {
    let (told, observer) = telling();
    let shared: Arc<dyn Observer> = Arc::new(observer);
    for number in 0..2 {
        let builder = SessionStore::<u32>::builder().observer(Arc::clone(&shared));
        builder.in_memory().unwrap().create(number).unwrap();
    }
    assert_eq!(taken(&told).len(), 2);
}
