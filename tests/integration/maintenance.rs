//! The background threads: one flushes and one sweeps. They survive failures and panics, and end
//! with the last handle.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::engine::{Engine, RedbOptions, Waker};
use sessile::testing::{ManualClock, SimulatedDisk};
use sessile::{Clock, Durability, RedbEngine, SessionOptions, SessionStore};

const THREAD_NAME: &str = "sessile-maintenance";
const MS: Duration = Duration::from_millis(1);
const SOUND: u8 = 0;
const BEFORE_1970: u8 = 1;
const PANICS: u8 = 2;
const PANICS_AGAIN: u8 = 3;

/// What panics as it is dropped, with another one like it.
#[derive(Debug)]
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new(Self));
    }
}

/// A clock that fails on demand, counts the calls of the background thread, and records the end of
/// that thread.
#[derive(Debug, Default)]
struct FaultyClock {
    fault: AtomicU8,
    millis: AtomicU64,
    asked_by_thread: AtomicU64,
    thread_ended: Arc<AtomicBool>,
}

thread_local! {
    /// Dropped when its thread ends.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl FaultyClock {
    fn advance(&self) {
        self.millis.fetch_add(1, Ordering::SeqCst);
    }

    fn fail_as(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    /// Waits until the background thread has called so many more times.
    fn wait_for(&self, times: u64) {
        let until = self.asked_by_thread.load(Ordering::SeqCst) + times;
        wait_until(|| self.asked_by_thread.load(Ordering::SeqCst) >= until);
    }
}

/// Long enough for a loaded machine. If the thread is gone, the test fails instead of hanging.
fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        thread::sleep(MS);
    }
    panic!("the background thread did nothing");
}

impl Clock for FaultyClock {
    fn now(&self) -> SystemTime {
        if thread::current().name() == Some(THREAD_NAME) {
            self.asked_by_thread.fetch_add(1, Ordering::SeqCst);
            RUNNING.with_borrow_mut(|running| {
                running.get_or_insert_with(|| Running(Arc::clone(&self.thread_ended)));
            });
        }
        match self.fault.load(Ordering::SeqCst) {
            BEFORE_1970 => UNIX_EPOCH - MS,
            PANICS => std::panic::resume_unwind(Box::new("on purpose")),
            PANICS_AGAIN => std::panic::resume_unwind(Box::new(PanicsAgain)),
            _ => {
                let millis = self.millis.load(Ordering::SeqCst);
                UNIX_EPOCH + Duration::from_secs(1_000_000) + Duration::from_millis(millis)
            }
        }
    }
}

fn store(clock: &Arc<FaultyClock>) -> SessionStore<u32> {
    let builder = SessionStore::builder().clock(Arc::clone(clock));
    builder.touch_interval(MS).sweep_interval(MS).in_memory().unwrap()
}

#[test]
fn a_step_that_fails_or_panics_is_counted_and_tried_again() {
    for fault in [BEFORE_1970, PANICS, PANICS_AGAIN] {
        let clock = Arc::new(FaultyClock::default());
        let store = store(&clock);
        clock.fail_as(fault);
        // The first of these calls may have begun before the fault.
        clock.wait_for(4);
        clock.fail_as(SOUND);
        store.create_with(1, &SessionOptions::new().inactivity(MS)).unwrap();
        clock.advance();
        wait_until(|| {
            let stats = store.stats().unwrap();
            stats.swept == 1 && stats.last_maintenance_failure.is_none()
        });
        assert!(store.stats().unwrap().maintenance_failures >= 2);
    }
}

/// An engine whose statistics fail.
#[derive(Debug)]
struct NoNumbers {
    inner: sessile::MemoryEngine,
    asked: Arc<AtomicU64>,
}

impl sessile::engine::Engine for NoNumbers {
    fn stats(&self) -> sessile::Result<sessile::engine::EngineStats> {
        match thread::current().name() {
            Some(THREAD_NAME) => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                std::panic::resume_unwind(Box::new("on purpose"))
            }
            _ => self.inner.stats(),
        }
    }

    sessile::forward_engine!(inner, but stats);
}

#[test]
fn a_panic_as_observers_are_told_of_the_engine_is_counted_and_ends_no_thread() {
    let asked = Arc::new(AtomicU64::new(0));
    let engine = NoNumbers { inner: sessile::MemoryEngine::new(), asked: Arc::clone(&asked) };
    let builder = SessionStore::builder().engine(engine).observer(|_: &sessile::Event| {});
    let store: SessionStore<u32> = builder.touch_interval(MS).sweep_interval(MS).build().unwrap();
    // One call when the work begins, and one for each sweep. Each panics, and the next one still
    // comes.
    wait_until(|| asked.load(Ordering::SeqCst) >= 4);
    assert!(store.stats().unwrap().maintenance_failures >= 3);
    store.create_with(1, &SessionOptions::new().inactivity(MS)).unwrap();
    wait_until(|| store.stats().unwrap().swept == 1);
}

/// An engine whose first flushes fail, each with an error that panics as it is dropped.
#[derive(Debug)]
struct Unwilling {
    inner: sessile::MemoryEngine,
    flushes: Arc<AtomicU64>,
    questions: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
#[error("on purpose")]
struct Refused(PanicsAgain);

impl sessile::engine::Engine for Unwilling {
    fn flush(&self) -> sessile::Result<()> {
        match self.flushes.fetch_add(1, Ordering::SeqCst) {
            0..4 => Err(sessile::Error::engine(Refused(PanicsAgain))),
            // Late, so that the engine is asked whether a promise was missed.
            _ => {
                thread::sleep(3 * MS);
                Ok(())
            }
        }
    }

    fn stats(&self) -> sessile::Result<sessile::engine::EngineStats> {
        match self.questions.fetch_add(1, Ordering::SeqCst) {
            0..2 => Err(sessile::Error::engine(Refused(PanicsAgain))),
            _ => self.inner.stats(),
        }
    }

    sessile::forward_engine!(inner, but flush, stats);
}

#[test]
fn an_error_that_panics_when_it_is_dropped_ends_no_thread() {
    let (flushes, questions) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let engine = Unwilling {
        inner: sessile::MemoryEngine::new(),
        flushes: Arc::clone(&flushes),
        questions: Arc::clone(&questions),
    };
    let builder = SessionStore::<u32>::builder().engine(engine).touch_interval(MS);
    let store = builder.build().unwrap();
    // Each result takes the place of the failure before, which is dropped then.
    wait_until(|| questions.load(Ordering::SeqCst) >= 3);
    let flushed = flushes.load(Ordering::SeqCst);
    wait_until(|| flushes.load(Ordering::SeqCst) > flushed);
    let stats = store.stats().unwrap();
    assert_eq!(stats.maintenance_failures, 4);
    assert!(stats.last_maintenance_failure.is_none());
}

/// A clock that blocks the sweeping thread, and counts its calls.
#[derive(Debug, Default)]
struct SlowSweeps {
    held: Mutex<bool>,
    released: Condvar,
    waits: AtomicBool,
    steps: AtomicU64,
    now: AtomicU64,
    /// The milliseconds that each step takes.
    pace: AtomicU64,
}

impl SlowSweeps {
    /// When this returns, the thread is blocked.
    fn hold(&self) {
        *self.held.lock().unwrap() = true;
        wait_until(|| self.waits.load(Ordering::SeqCst));
    }

    fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }
}

impl Clock for SlowSweeps {
    fn now(&self) -> SystemTime {
        if thread::current().name() == Some(THREAD_NAME) {
            self.steps.fetch_add(1, Ordering::SeqCst);
            let held = self.held.lock().unwrap();
            self.waits.store(*held, Ordering::SeqCst);
            drop(self.released.wait_while(held, |held| *held).unwrap());
            self.waits.store(false, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(self.pace.load(Ordering::SeqCst)));
        }
        UNIX_EPOCH + Duration::from_millis(1_000_000_000 + self.now.load(Ordering::SeqCst))
    }
}

#[test]
fn touches_and_deferred_commits_are_written_while_a_sweep_takes_its_time() {
    for durability in [Durability::Immediate, Durability::Deferred { interval: 4 * MS }] {
        let clock = Arc::new(SlowSweeps::default());
        let disk = SimulatedDisk::new();
        let options = RedbOptions::new().durability(durability);
        let engine = RedbEngine::open_on(&disk, &options).unwrap();
        let builder = SessionStore::builder().clock(Arc::clone(&clock)).engine(engine);
        let store = builder.touch_interval(4 * MS).sweep_interval(MS).build().unwrap();
        clock.hold();
        let before = clock.steps();
        let session = store.create(1_u32).unwrap();
        clock.now.store(5, Ordering::SeqCst);
        assert!(store.extend_lifetime(session.id()).unwrap());
        wait_until(|| store.stats().unwrap().pending_touches == 0);
        wait_until(|| {
            let crashed = disk.after_power_loss(disk.operations(), 0);
            let engine = RedbEngine::open_on(&crashed, &options).unwrap();
            let left = SessionStore::<u32>::builder().clock(Arc::clone(&clock)).engine(engine);
            let left = left.manual_maintenance().build().unwrap().read(session.id()).unwrap();
            let touched = store.read(session.id()).unwrap().unwrap().last_active();
            left.is_some_and(|left| left.last_active() == touched)
        });
        assert_eq!(clock.steps(), before, "the sweep has not gone on");
        clock.release();
    }
}

#[test]
fn dropping_the_last_handle_waits_for_one_step_of_a_sweep_and_not_for_all() {
    const STEPS: u64 = 50;
    let clock = Arc::new(SlowSweeps::default());
    let builder = SessionStore::builder().clock(Arc::clone(&clock)).sweep_interval(MS);
    let store = builder.in_memory().unwrap();
    clock.hold();
    for _ in 0..STEPS * 1_000 {
        store.create_with(1, &SessionOptions::new().inactivity(MS)).unwrap();
    }
    clock.now.store(1, Ordering::SeqCst);
    // All steps together take a second; telling the thread to stop takes microseconds.
    clock.pace.store(20, Ordering::SeqCst);
    let before = clock.steps();
    clock.release();
    drop(store);
    assert!(clock.steps() < before + STEPS, "it waited for every step");
}

#[test]
fn the_thread_goes_with_the_last_handle_and_leaves_nothing_behind() {
    let clock = Arc::new(FaultyClock::default());
    let store = store(&clock);
    let other_handle = store.clone();
    drop(store);
    clock.wait_for(2);
    drop(other_handle);
    // The thread held the clock through the store's core; a reference cycle would still hold it.
    assert_eq!(Arc::strong_count(&clock), 1);
}

#[test]
fn a_closed_store_has_no_thread_though_handles_are_left() {
    let clock = Arc::new(FaultyClock::default());
    let store = store(&clock);
    let left = store.clone();
    clock.wait_for(1);
    assert!(!clock.thread_ended.load(Ordering::SeqCst));
    store.close().unwrap();
    assert!(clock.thread_ended.load(Ordering::SeqCst), "closing waits for the thread's end");
    drop(left);
    assert_eq!(Arc::strong_count(&clock), 1);
}

#[test]
fn manual_maintenance_starts_no_thread() {
    let clock = Arc::new(FaultyClock::default());
    let builder = SessionStore::<u32>::builder().clock(Arc::clone(&clock));
    let store = builder.sweep_interval(MS).manual_maintenance().in_memory().unwrap();
    store.create_with(1, &SessionOptions::new().inactivity(MS)).unwrap();
    clock.advance();
    thread::sleep(20 * MS);
    assert_eq!(clock.asked_by_thread.load(Ordering::SeqCst), 0);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
}

#[test]
fn a_touch_that_is_written_late_is_told_with_how_late_it_was() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
    for (interval, is_late) in
        [(Duration::from_millis(1), true), (Duration::from_secs(3_600), false)]
    {
        let builder = SessionStore::<u32>::builder().clock(clock.clone()).manual_maintenance();
        let builder = builder.touch_interval(interval);
        let store = builder.open(folder.path().join(format!("{is_late}"))).unwrap();
        let session = store.create(1).unwrap();
        assert_eq!(store.stats().unwrap().oldest_pending_touch, None);
        clock.advance(Duration::from_secs(1));
        assert!(store.extend_lifetime(session.id()).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        let waiting = store.stats().unwrap();
        let oldest = waiting.oldest_pending_touch.expect("nothing has written it");
        assert!(waiting.pending_touches == 1 && oldest >= Duration::from_millis(15), "{oldest:?}");
        assert_eq!(waiting.late_touches, 0, "it is not written yet");
        store.flush().unwrap();
        let written = store.stats().unwrap();
        assert_eq!((written.pending_touches, written.oldest_pending_touch), (0, None));
        assert_eq!(written.late_touches, u64::from(is_late));
        assert_eq!(written.touches_late_by >= Duration::from_millis(14), is_late);
    }
}

#[test]
fn touches_leave_the_log_to_others_while_a_checkpoint_runs_and_they_are_not_late() {
    let disk = SimulatedDisk::new();
    let engine = Arc::new(RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap());
    // With a waker set, no caller runs the checkpoint itself.
    engine.set_waker(Waker::new(|| ()));
    let clock = ManualClock::new();
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine)).clock(clock.clone());
    let builder = builder.touch_interval(Duration::from_secs(3_600)).manual_maintenance();
    let store = builder.build().unwrap();
    let is_half_full = || {
        let (length, needed) = engine.stats().unwrap().log_bytes.unwrap_or((1, 0));
        needed * 2 > length
    };
    let ids: Vec<_> = (0..10).map(|_| store.create(0).unwrap().id().clone()).collect();
    // The first checkpoint makes the file grow, and the log moves. The next one finds room.
    for round in 0..2 {
        if round > 0 {
            engine.run_background_work().unwrap();
        }
        while !is_half_full() {
            assert!(
                store.modify(&ids[0], |session| *session.content_mut() += 1).unwrap().is_some()
            );
        }
    }
    // The touches are later than every write.
    clock.advance(Duration::from_secs(1));
    ids.iter().for_each(|id| assert!(store.extend_lifetime(id).unwrap()));
    thread::scope(|scope| {
        let held = disk.hold_file_syncs();
        let checkpoint = scope.spawn(|| engine.run_background_work().unwrap());
        disk.wait_for_held_sync();
        let flush = scope.spawn(|| store.flush().unwrap());
        // A flush that does not wait is over by then.
        thread::sleep(50 * MS);
        let pending = store.stats().unwrap().pending_touches;
        let created = store.create(1);
        drop(held);
        flush.join().unwrap();
        checkpoint.join().unwrap();
        assert_eq!(pending, ids.len() as u64);
        assert!(created.is_ok());
    });
    assert_eq!(store.stats().unwrap().pending_touches, 0);
}
