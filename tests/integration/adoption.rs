//! The adoption of shorter timeouts: when it comes, and sweep steps that run meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine, Moment, RedbOptions, Sweep, Timestamp};
use sessile::testing::{ManualClock, SimulatedDisk};
use sessile::{Error, RedbEngine, Result, SessionOptions, SessionStore, Timeouts};

const THREAD_NAME: &str = "sessile-maintenance";

type Meanwhile = Box<dyn FnOnce() + Send>;

/// An engine that runs another thread once: before a sweep step, or before the timeouts are stored.
/// It can fail to rebuild its index once.
#[derive(Default)]
struct Interrupted {
    inner: Arc<MemoryEngine>,
    before_step: Mutex<Option<Meanwhile>>,
    before_record: Mutex<Option<Meanwhile>>,
    fails_to_reindex: AtomicBool,
    /// Rebuildings of the index.
    passes: AtomicU64,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interrupted").finish_non_exhaustive()
    }
}

fn let_by(meanwhile: &Mutex<Option<Meanwhile>>) {
    let meanwhile = meanwhile.lock().unwrap().take();
    if let Some(meanwhile) = meanwhile {
        meanwhile();
    }
}

impl Engine for Interrupted {
    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        let_by(&self.before_step);
        self.inner.remove_expired(moment, limit)
    }

    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        match self.fails_to_reindex.swap(false, Ordering::SeqCst) {
            true => Err(Error::engine(std::io::Error::other("it has no time"))),
            false => self.inner.reindex(timeouts, goes_on),
        }
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        let_by(&self.before_record);
        self.inner.store_meta(name, value)
    }

    sessile::forward_engine!(inner, but remove_expired, reindex, store_meta);
}

/// A full store of three sessions. They have expired under its own timeouts, and not under the
/// longer stored ones.
fn opened() -> (Arc<Interrupted>, SessionStore<u32>) {
    let (engine, store, _) = opened_with_clock();
    (engine, store)
}

fn opened_with_clock() -> (Arc<Interrupted>, SessionStore<u32>, ManualClock) {
    let (engine, clock) = (Arc::new(Interrupted::default()), ManualClock::new());
    let on_record = [100_000_u64, 1_000_000].map(u64::to_le_bytes).concat();
    engine.store_meta("timeouts", &on_record).unwrap();
    let timeouts = Timeouts::from_seconds(10, 1_000).unwrap();
    let builder = SessionStore::builder().engine(Arc::clone(&engine)).clock(clock.clone());
    let store = builder.timeouts(timeouts).max_sessions(3).manual_maintenance().build().unwrap();
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_some());
    (0..3).for_each(|number| drop(store.create(number).unwrap()));
    clock.advance(Duration::from_secs(20));
    (engine, store, clock)
}

fn is_full(store: &SessionStore<u32>) {
    assert!(matches!(store.create(9), Err(Error::Full { .. })));
}

fn sweeps_by_its_own(store: &SessionStore<u32>) {
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_none());
    assert!(store.check().unwrap().is_sound());
    store.create(9).unwrap();
    assert_eq!(store.stats().unwrap().swept, 3);
}

#[test]
fn a_step_that_makes_room_while_shorter_timeouts_are_adopted_leaves_no_entry_late() {
    let (engine, store) = opened();
    let adopting = store.clone();
    let adopt = move || adopting.adopt_shorter_timeouts().unwrap();
    *engine.before_step.lock().unwrap() = Some(Box::new(adopt));
    is_full(&store);
    sweeps_by_its_own(&store);

    // The step runs once the index is right, and before the timeouts are stored.
    let (engine, store) = opened();
    let (creating, failing) = (store.clone(), Arc::clone(&engine));
    let step = move || {
        failing.fails_to_reindex.store(true, Ordering::SeqCst);
        assert!(creating.create(9).is_err(), "the step's own rebuilding fails");
    };
    *engine.before_record.lock().unwrap() = Some(Box::new(step));
    store.adopt_shorter_timeouts().unwrap();
    sweeps_by_its_own(&store);
}

#[test]
fn a_create_before_an_adoption_counts_no_session_that_has_expired() {
    let (_engine, store) = opened();
    let counted = || (store.len().unwrap(), store.stats().unwrap().sessions);
    assert_eq!(counted(), (0, 0));
    is_full(&store);
    assert_eq!(counted(), (0, 0), "it was refused");

    let (_engine, store, clock) = opened_with_clock();
    store.clear().unwrap();
    let short = SessionOptions::new().inactivity(Duration::from_secs(1));
    store.create_with(0, &short).unwrap();
    (1..3).for_each(|number| drop(store.create(number).unwrap()));
    clock.advance(Duration::from_secs(20));
    store.create(9).unwrap();
    assert_eq!(store.len().unwrap(), 1, "one had expired under both");
    assert_eq!(store.stats().unwrap().swept, 1);
}

#[test]
fn a_full_store_looks_for_room_once_and_not_at_each_create_before_an_adoption() {
    let (engine, store, clock) = opened_with_clock();
    let passes = || engine.passes.swap(0, Ordering::SeqCst);
    passes();
    (0..50).for_each(|_| is_full(&store));
    assert_eq!(passes(), 1);
    clock.advance(Duration::from_secs(10));
    (0..50).for_each(|_| is_full(&store));
    assert_eq!(passes(), 1);
    // All have expired by the longer timeouts, too.
    clock.advance(Duration::from_secs(100));
    store.create(9).unwrap();
    assert_eq!(store.len().unwrap(), 1);
}

/// An engine of many sessions, whose index the background thread rebuilds until it is told to stop.
#[derive(Debug, Default)]
struct Rebuilding {
    inner: MemoryEngine,
    /// Whether the first attempt of the thread fails.
    fails_first: AtomicBool,
    has_begun: AtomicBool,
    /// Whether the thread was told to stop.
    ends: AtomicBool,
    steps: AtomicU64,
}

impl Engine for Rebuilding {
    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        if thread::current().name() != Some(THREAD_NAME) {
            return self.inner.reindex(timeouts, goes_on);
        }
        if self.fails_first.swap(false, Ordering::SeqCst) {
            return Err(Error::engine(std::io::Error::other("it has no time")));
        }
        self.has_begun.store(true, Ordering::SeqCst);
        self.inner.reindex(timeouts, &|| {
            self.steps.fetch_add(1, Ordering::SeqCst);
            for _ in 0..30_000 {
                if !goes_on() {
                    self.ends.store(true, Ordering::SeqCst);
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            true
        })
    }

    sessile::forward_engine!(inner, but reindex);
}

#[test]
fn dropping_the_last_handle_waits_for_one_step_of_an_adoption_and_not_for_all() {
    // After a failed adoption, the pass is the one that follows a sweep by the longer timeouts.
    for (closes, fails_first) in [(false, false), (true, false), (false, true), (true, true)] {
        let fails_first = AtomicBool::new(fails_first);
        let engine = Arc::new(Rebuilding { fails_first, ..Rebuilding::default() });
        let open = |seconds| {
            let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
            let builder = builder.timeouts(Timeouts::from_seconds(seconds, 1_000).unwrap());
            builder.sweep_interval(Duration::from_millis(1))
        };
        let store = open(100).manual_maintenance().build().unwrap();
        (0..3_000).for_each(|number| drop(store.create(number).unwrap()));
        drop(store);
        let store = open(10).build().unwrap();
        while !engine.has_begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        match closes {
            true => store.close().unwrap(),
            false => drop(store),
        }
        let steps = engine.steps.load(Ordering::SeqCst);
        assert!(engine.ends.load(Ordering::SeqCst) && steps == 1, "it waited for every step");
    }
}

#[test]
fn a_close_adopts_shorter_timeouts_without_a_pass_over_all_sessions() {
    let (engine, store, clock) = opened_with_clock();
    is_full(&store);
    clock.advance(Duration::from_secs(60));
    let stored = Arc::new(AtomicBool::new(false));
    let has_stored = Arc::clone(&stored);
    let store_them = move || has_stored.store(true, Ordering::SeqCst);
    *engine.before_record.lock().unwrap() = Some(Box::new(store_them));
    let before = engine.passes.load(Ordering::SeqCst);
    store.close().unwrap();
    assert_eq!(engine.passes.load(Ordering::SeqCst), before);
    assert!(stored.load(Ordering::SeqCst), "they are on record");
}

#[test]
fn of_two_stores_on_an_engine_one_adopts_shorter_timeouts_for_both() {
    let engine = Arc::new(RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap());
    let clock = ManualClock::new();
    let on_record = [100_000_u64, 1_000_000].map(u64::to_le_bytes).concat();
    engine.store_meta("timeouts", &on_record).unwrap();
    let open = || {
        let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
        let builder = builder.clock(clock.clone()).max_sessions(3).manual_maintenance();
        builder.timeouts(Timeouts::from_seconds(10, 1_000).unwrap()).build().unwrap()
    };
    let (adopting, other) = (open(), open());
    (0..3).for_each(|number| drop(adopting.create(number).unwrap()));
    adopting.adopt_shorter_timeouts().unwrap();
    clock.advance(Duration::from_secs(20));
    other.create(9).unwrap();
    assert_eq!((adopting.len().unwrap(), other.stats().unwrap().swept), (1, 3));
    for store in [adopting, other] {
        assert!(store.stats().unwrap().longer_timeouts_on_record.is_none());
        assert!(store.check().unwrap().is_sound());
    }
}

/// An engine whose server has its own date, and on which longer timeouts are on record. It notes
/// the steps of sweeps by the background thread.
#[derive(Debug)]
struct Dated {
    inner: MemoryEngine,
    millis: AtomicU64,
    steps_before_adoption: AtomicU64,
    is_adopted: AtomicBool,
}

impl Dated {
    fn new() -> Arc<Self> {
        let inner = MemoryEngine::new();
        let on_record = [100_000_u64, 1_000_000].map(u64::to_le_bytes).concat();
        inner.store_meta("timeouts", &on_record).unwrap();
        Arc::new(Self {
            inner,
            millis: AtomicU64::new(1_000_000),
            steps_before_adoption: AtomicU64::new(0),
            is_adopted: AtomicBool::new(false),
        })
    }
}

impl Engine for Dated {
    fn server_time(&self) -> Result<Option<Timestamp>> {
        Ok(Some(Timestamp::from_millis(self.millis.load(Ordering::SeqCst))))
    }

    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        let by_thread = thread::current().name() == Some(THREAD_NAME);
        if by_thread && !self.is_adopted.load(Ordering::SeqCst) {
            self.steps_before_adoption.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.remove_expired(moment, limit)
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.is_adopted.store(true, Ordering::SeqCst);
        self.inner.store_meta(name, value)
    }

    sessile::forward_engine!(inner, but server_time, remove_expired, store_meta);
}

#[test]
fn a_date_that_is_set_after_the_start_adopts_no_shorter_timeouts() {
    let engine = Dated::new();
    let timeouts = Timeouts::from_seconds(10, 1_000).unwrap();
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine)).timeouts(timeouts);
    let builder = builder.sweep_interval(Duration::from_secs(86_400)).manual_maintenance();
    let store = builder.build().unwrap();
    let session = store.create(1).unwrap();
    // More than the interval, in which the session expires under the shorter timeouts.
    engine.millis.fetch_add(90_000, Ordering::SeqCst);
    let waits = || store.stats().unwrap().longer_timeouts_on_record.is_some();
    assert_eq!((store.clean_up_expired().unwrap(), waits()), (0, true));
    engine.millis.fetch_add(90_000_000, Ordering::SeqCst);
    store.clean_up_expired().unwrap();
    assert!(waits());
    assert!(store.read(session.id()).unwrap().is_none());
    store.close().unwrap();
    assert!(!engine.is_adopted.load(Ordering::SeqCst), "nor does the end");
}

#[test]
fn the_first_sweep_of_the_thread_adopts_shorter_timeouts() {
    let engine = Dated::new();
    let timeouts = Timeouts::from_seconds(10, 1_000).unwrap();
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine)).timeouts(timeouts);
    let store = builder.sweep_interval(Duration::from_millis(1)).build().unwrap();
    for _ in 0..30_000 {
        if store.stats().unwrap().longer_timeouts_on_record.is_none() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_none());
    assert_eq!(engine.steps_before_adoption.load(Ordering::SeqCst), 0);
}

#[test]
fn a_sweep_through_the_door_before_an_adoption_leaves_no_entry_late() {
    use std::ops::ControlFlow::Continue;

    use sessile::Inspector;
    use sessile::admin::{AdminSocket, RunningStore};

    let (engine, store) = opened();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("door");
    store.serve_admin(AdminSocket::at(&at)).unwrap();
    let inspector = Inspector::on(RunningStore::at(&at).unwrap()).unwrap();
    let passes = || engine.passes.load(Ordering::SeqCst);
    let before = passes();
    assert_eq!(inspector.sweep(&mut |_| Continue(())).unwrap(), 0, "they are not adopted");
    assert_eq!(passes(), before + 1, "the index was made right");
    assert!(store.check().unwrap().is_sound());
}
