//! The background thread: it sweeps, outlives failures and panics, and goes with the last handle.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::{Clock, SessionOptions, SessionStore};

const THREAD_NAME: &str = "sessile-maintenance";
const MS: Duration = Duration::from_millis(1);
const SOUND: u8 = 0;
const BEFORE_1970: u8 = 1;
const PANICS: u8 = 2;

/// A clock that fails on demand, counts how often the background thread asked it, and knows whether
/// that thread has ended.
#[derive(Debug, Default)]
struct FaultyClock {
    fault: AtomicU8,
    asked_by_thread: AtomicU64,
    thread_ended: Arc<AtomicBool>,
}

thread_local! {
    /// Kept for as long as its thread runs.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl FaultyClock {
    fn fail_as(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    /// Waits until the background thread has asked this many times more.
    fn wait_for(&self, times: u64) {
        let until = self.asked_by_thread.load(Ordering::SeqCst) + times;
        wait_until(|| self.asked_by_thread.load(Ordering::SeqCst) >= until);
    }
}

/// Patience for a loaded machine; a thread that is gone must fail the test, not hang it.
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
            _ => UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }
}

fn store(clock: &Arc<FaultyClock>) -> SessionStore<u32> {
    let builder = SessionStore::builder().clock(Arc::clone(clock));
    builder.touch_interval(MS).sweep_interval(MS).in_memory().unwrap()
}

#[test]
fn a_step_that_fails_or_panics_is_counted_and_tried_again() {
    for fault in [BEFORE_1970, PANICS] {
        let clock = Arc::new(FaultyClock::default());
        let store = store(&clock);
        clock.fail_as(fault);
        // The first of these may have begun before the fault.
        clock.wait_for(4);
        clock.fail_as(SOUND);
        store.create_with(1, &SessionOptions::new().inactivity(Duration::ZERO)).unwrap();
        wait_until(|| {
            let stats = store.stats().unwrap();
            stats.swept == 1 && stats.last_maintenance_failure.is_none()
        });
        assert!(store.stats().unwrap().maintenance_failures >= 2);
    }
}

#[test]
fn the_thread_goes_with_the_last_handle_and_leaves_nothing_behind() {
    let clock = Arc::new(FaultyClock::default());
    let store = store(&clock);
    let other_handle = store.clone();
    drop(store);
    clock.wait_for(2);
    drop(other_handle);
    // The thread held the clock through the store's context; a cycle would still do so.
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
    store.create_with(1, &SessionOptions::new().inactivity(Duration::ZERO)).unwrap();
    thread::sleep(20 * MS);
    assert_eq!(clock.asked_by_thread.load(Ordering::SeqCst), 0);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
}
