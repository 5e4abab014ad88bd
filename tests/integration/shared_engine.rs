//! Two stores on one engine: the background work of the engine outlives either of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, RedbOptions};
use sessile::testing::{ManualClock, SimulatedDisk};
use sessile::{Durability, Error, MemoryEngine, RedbEngine, Result, SessionStore};

/// Records that take more than half of the log, and less than three quarters.
const FILL_HALF_THE_LOG: u32 = 80;

/// An engine that counts the calls for background work by its own store's thread.
#[derive(Debug)]
struct Worked {
    inner: Arc<RedbEngine>,
    times: AtomicU64,
}

impl Engine for Worked {
    fn run_background_work(&self) -> Result<()> {
        let worked = self.inner.run_background_work();
        self.times.fetch_add(1, Ordering::SeqCst);
        worked
    }

    sessile::forward_engine!(inner, but run_background_work);
}

fn engine() -> Arc<RedbEngine> {
    Arc::new(RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap())
}

fn waits_until(is_so: impl Fn() -> bool) {
    assert!((0..30_000).any(|_| is_so() || {
        thread::sleep(Duration::from_millis(1));
        false
    }));
}

fn fill_half_the_log(store: &SessionStore<u32>) {
    (0..FILL_HALF_THE_LOG).for_each(|number| drop(store.create(number).unwrap()));
}

#[test]
fn the_thread_of_a_store_is_woken_after_another_store_on_its_engine_is_dropped() {
    let inner = engine();
    let worked = Arc::new(Worked { inner: Arc::clone(&inner), times: AtomicU64::new(0) });
    let times = || worked.times.load(Ordering::SeqCst);
    let store = SessionStore::<u32>::builder().engine(Arc::clone(&worked)).build().unwrap();
    waits_until(|| times() > 0);
    drop(SessionStore::<u32>::builder().engine(inner).build().unwrap());
    let before = times();
    fill_half_the_log(&store);
    waits_until(|| times() > before);
}

#[test]
fn a_store_without_threads_does_the_work_once_the_store_that_has_some_is_dropped() {
    let engine = engine();
    let builder = || SessionStore::<u32>::builder().engine(Arc::clone(&engine));
    let store = builder().manual_maintenance().build().unwrap();
    drop(builder().build().unwrap());
    fill_half_the_log(&store);
    assert_eq!(engine.stats().unwrap().checkpoints, 1);
}

#[test]
fn what_a_store_acknowledged_is_on_the_disk_once_it_is_dropped_though_its_engine_lives_on() {
    const LONG: Duration = Duration::from_secs(600);
    for durability in [Durability::Immediate, Durability::Deferred { interval: LONG }] {
        for manual in [true, false] {
            let (disk, clock) = (SimulatedDisk::new(), ManualClock::new());
            let options = RedbOptions::new().durability(durability);
            let open = |engine: Arc<RedbEngine>, manual: bool| {
                let builder = SessionStore::<u32>::builder().engine(engine).clock(clock.clone());
                let builder = builder.touch_interval(LONG);
                let builder = if manual { builder.manual_maintenance() } else { builder };
                builder.build().unwrap()
            };
            let engine = Arc::new(RedbEngine::open_on(&disk, &options).unwrap());
            let store = open(Arc::clone(&engine), manual);
            let session = store.create(7).unwrap();
            clock.advance(Duration::from_secs(1));
            assert!(store.extend_lifetime(session.id()).unwrap());
            drop(store);
            let crashed = disk.after_power_loss(disk.operations(), 0);
            let left = Arc::new(RedbEngine::open_on(&crashed, &options).unwrap());
            let left = open(left, true).read(session.id()).unwrap().expect("it was acknowledged");
            assert!(left.last_active() > session.last_active(), "{durability:?}");
            assert_eq!(engine.stats().unwrap().stored, 1, "the engine is open");
        }
    }
}

#[test]
fn closing_a_store_closes_its_engine_for_another_store_too() {
    let engine = Arc::new(MemoryEngine::new());
    let build = || SessionStore::<u32>::builder().engine(Arc::clone(&engine)).build().unwrap();
    let (store, other) = (build(), build());
    drop(build());
    let session = other.create(7).unwrap();
    store.close().unwrap();
    assert!(matches!(other.read(session.id()), Err(Error::Closed)));
}
