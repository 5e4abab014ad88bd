//! The events that observers get: every beginning and every end, after the commit, in order, and
//! without secrets.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine, Moment, Record, RedbOptions};
use sessile::testing::{DiskFault, ManualClock, SimulatedDisk};
use sessile::{
    Durability, EndReason, Error, Event, Observer, RedbEngine, Result, SessionId, SessionKey,
    SessionOptions, SessionStore, Stats, Timeouts, UserLimit,
};

type Told = Arc<Mutex<Vec<Event>>>;

fn telling() -> (Told, impl Fn(&Event) + Send + Sync + 'static) {
    let told = Told::default();
    let to = Arc::clone(&told);
    (told, move |event: &Event| to.lock().unwrap().push(event.clone()))
}

fn taken(told: &Told) -> Vec<Event> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// Long enough for a loaded machine. If the event never comes, the test fails instead of hanging.
fn wait_for(told: &Told, wanted: impl Fn(&Event) -> bool) {
    for _ in 0..30_000 {
        if told.lock().unwrap().iter().any(&wanted) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it was never told; but {:?}", told.lock().unwrap());
}

#[test]
fn every_beginning_and_every_end_is_told_with_its_reason() {
    let (told, observer) = telling();
    let clock = ManualClock::new();
    let store = SessionStore::<u32>::builder()
        .manual_maintenance()
        .clock(clock.clone())
        .max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive)
        .observer(observer)
        .in_memory()
        .unwrap();
    let ended = |reason: EndReason| -> Vec<SessionKey> {
        let events = taken(&told);
        let keys = events.iter().map(|event| match event {
            Event::Ended { key, reason: found, .. } if *found == reason => *key,
            other => panic!("{other:?} is no end for {reason:?}"),
        });
        keys.collect()
    };

    let mut session = store.create_for_user("ann", 1).unwrap();
    let old = session.key();
    match &taken(&told)[..] {
        [Event::Created { key, user }] => {
            assert_eq!((*key, user.clone()), (old, Some("ann".into())))
        }
        other => panic!("{other:?}"),
    }
    store.regenerate_id(&mut session).unwrap();
    match &taken(&told)[..] {
        [Event::Regenerated { old: from, new, user }] => {
            assert_eq!((*from, *new, user.clone()), (old, session.key(), Some("ann".into())));
        }
        other => panic!("{other:?}"),
    }
    // Calls that neither begin nor end a session give no event, nor do refused calls.
    store.update(&mut session).unwrap();
    store.modify(session.id(), |session| *session.content_mut() += 1).unwrap();
    store.read_and_extend(session.id()).unwrap();
    assert!(!store.destroy_key(&old).unwrap());
    assert!(taken(&told).is_empty());

    clock.advance(Duration::from_secs(1));
    let others: Vec<_> = (0..3).map(|n| store.create_for_user("ann", n).unwrap().key()).collect();
    match &taken(&told)[..] {
        [.., Event::Created { key, .. }, Event::Ended { key: gone, reason, .. }] => {
            assert_eq!((*key, *gone), (others[2], session.key()));
            assert_eq!(*reason, EndReason::OverUserLimit);
        }
        other => panic!("{other:?}"),
    }
    assert!(store.destroy_key(&others[0]).unwrap());
    assert_eq!(ended(EndReason::Destroyed), [others[0]]);
    assert!(store.destroy_of("ann", &others[1]).unwrap());
    assert_eq!(ended(EndReason::Destroyed), [others[1]]);
    let here = store.create_for_user("ann", 1).unwrap();
    taken(&told);
    assert_eq!(store.destroy_others(&here).unwrap(), 1);
    assert_eq!(ended(EndReason::Others), [others[2]]);
    assert_eq!(store.destroy_all_of("ann").unwrap(), 1);
    assert_eq!(ended(EndReason::AllOfUser), [here.key()]);
    let expiring = store.create_with(1, &SessionOptions::new().inactivity(Duration::from_secs(1)));
    taken(&told);
    clock.advance(Duration::from_secs(2));
    store.clean_up_expired().unwrap();
    assert_eq!(ended(EndReason::Expired), [expiring.unwrap().key()]);
    store.clear().unwrap();
    assert!(matches!(&taken(&told)[..], [Event::Cleared]));
}

#[test]
fn a_conflict_and_a_damaged_record_are_told() {
    #[derive(Debug)]
    struct Damaging(MemoryEngine, AtomicBool);
    impl Engine for Damaging {
        fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
            match self.1.load(Ordering::SeqCst) {
                true => Err(Error::DamagedRecord { key: *key, reason: "on purpose" }),
                false => self.0.load(key, moment),
            }
        }
        sessile::forward_engine!(0, but load);
    }
    let (told, observer) = telling();
    let engine = Arc::new(Damaging(MemoryEngine::new(), AtomicBool::new(false)));
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.engine(Arc::clone(&engine)).build().unwrap();
    let mut session = store.create(1).unwrap();
    let mut stale = store.read(session.id()).unwrap().unwrap();
    store.update(&mut session).unwrap();
    taken(&told);
    assert!(matches!(store.update(&mut stale), Err(Error::Conflict { .. })));
    assert!(matches!(store.regenerate_id(&mut stale), Err(Error::Conflict { .. })));
    let conflicts = taken(&told);
    assert_eq!(conflicts.len(), 2, "{conflicts:?}");
    for conflict in conflicts {
        assert!(matches!(conflict, Event::Conflict { key } if key == session.key()));
    }
    engine.1.store(true, Ordering::SeqCst);
    assert!(store.read(session.id()).is_err());
    assert!(matches!(&taken(&told)[..], [Event::DamagedRecord { key }] if *key == session.key()));
}

/// A follower's knowledge of a session: none, live, or over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Lives,
    Over,
}

#[test]
fn a_follower_never_hears_of_an_end_before_its_beginning_whoever_ends_it() {
    let lives: Arc<Mutex<HashMap<SessionKey, Life>>> = Arc::default();
    let follower = Arc::clone(&lives);
    let observer = move |event: &Event| {
        // Long enough for others to find the key in a listing and to end the session.
        thread::yield_now();
        let mut lives = follower.lock().unwrap();
        match event {
            Event::Created { key, .. } => assert_eq!(lives.insert(*key, Life::Lives), None),
            Event::Regenerated { old, new, .. } => {
                assert_eq!(lives.insert(*old, Life::Over), Some(Life::Lives));
                assert_eq!(lives.insert(*new, Life::Lives), None);
            }
            Event::Ended { key, .. } => {
                assert_eq!(lives.insert(*key, Life::Over), Some(Life::Lives));
            }
            _ => {}
        }
    };
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.in_memory().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let creators: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..400 {
                        let mut session = store.create_for_user("ann", 1).unwrap();
                        // Another thread may have ended the session in between.
                        let _ = store.regenerate_id(&mut session);
                    }
                })
            })
            .collect();
        let enders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        for info in store.sessions_of("ann").unwrap() {
                            store.destroy_key(&info.key()).unwrap();
                        }
                    }
                })
            })
            .collect();
        let created: Vec<_> = creators.into_iter().map(|it| it.join()).collect();
        done.store(true, Ordering::SeqCst);
        let ended: Vec<_> = enders.into_iter().map(|it| it.join()).collect();
        assert!(created.into_iter().chain(ended).all(|it| it.is_ok()));
    });
    store.destroy_all_of("ann").unwrap();
    assert_eq!(store.stats().unwrap().observer_panics, 0, "an order was broken");
    let lives = lives.lock().unwrap();
    assert!(lives.len() >= 1_200 && lives.values().all(|life| *life == Life::Over));
}

#[test]
fn an_observer_may_use_the_store_and_its_panic_is_nobody_elses() {
    let handle: Arc<Mutex<Option<SessionStore<u32>>>> = Arc::default();
    let (told, observer) = telling();
    let own = Arc::clone(&handle);
    let using = move |event: &Event| {
        let store = own.lock().unwrap().clone();
        if let (Event::Created { key, .. }, Some(store)) = (event, store) {
            assert_eq!(store.len().unwrap(), 1);
            assert!(store.destroy_key(key).unwrap());
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    };
    let builder = SessionStore::<u32>::builder().manual_maintenance();
    let store = builder.observer(using).observer(observer).in_memory().unwrap();
    *handle.lock().unwrap() = Some(store.clone());
    let session = store.create(1).unwrap();
    assert!(store.read(session.id()).unwrap().is_none(), "the observer has ended it");
    assert!(matches!(
        &taken(&told)[..],
        [Event::Created { .. }, Event::Ended { reason: EndReason::Destroyed, .. }]
    ));
    assert_eq!(store.stats().unwrap().observer_panics, 1);
    *handle.lock().unwrap() = None;
}

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
    #[derive(Debug)]
    struct Failing(MemoryEngine, AtomicBool);
    impl Engine for Failing {
        fn flush(&self) -> Result<()> {
            match self.1.load(Ordering::SeqCst) {
                true => Err(Error::engine(std::io::Error::other("on purpose"))),
                false => self.0.flush(),
            }
        }
        sessile::forward_engine!(0, but flush);
    }
    let (told, observer) = telling();
    let engine = Arc::new(Failing(MemoryEngine::new(), AtomicBool::new(true)));
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
    disk.hold_syncs();
    change(&store, session.id());
    disk.wait_for_held_sync();
    thread::sleep(2 * INTERVAL);
    disk.release_syncs();
    wait_for(
        &told,
        |event| matches!(event, Event::PromiseMissed { promised, waited } if *promised == INTERVAL && waited > promised),
    );
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
fn what_is_told_is_one_line_and_holds_no_user() {
    let (told, observer) = telling();
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.in_memory().unwrap();
    let session = store.create_for_user("ann\nann", 1).unwrap();
    store.destroy(session.id()).unwrap();
    for event in taken(&told) {
        let line = event.to_string();
        assert!(line.contains(&session.key().to_string()) && !line.contains("ann"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!format!("{event:?}").contains(&*session.id().encode()));
    }
}

/// A file in which one record is damaged, and whose flushes fail, on demand.
#[derive(Debug)]
struct Flaky {
    inner: RedbEngine,
    damaged: Mutex<Option<SessionKey>>,
    fails: AtomicBool,
}

impl Engine for Flaky {
    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
        match *self.damaged.lock().unwrap() == Some(*key) {
            true => Err(Error::DamagedRecord { key: *key, reason: "on purpose" }),
            false => self.inner.load(key, moment),
        }
    }

    fn flush(&self) -> Result<()> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(Error::engine(std::io::Error::other("on purpose"))),
            false => self.inner.flush(),
        }
    }

    sessile::forward_engine!(inner, but load, flush);
}

/// The name of an event's variant.
fn name(event: &Event) -> String {
    format!("{event:?}").split(|letter: char| !letter.is_alphanumeric()).next().unwrap().into()
}

thread_local! {
    /// Whether this thread is in an observer, whose own calls cause events as well.
    static OBSERVING: Cell<bool> = const { Cell::new(false) };
}

/// An observer that reads, lists, creates and ends at each event, and notes the events at which it
/// could.
#[derive(Clone, Default)]
struct Using {
    handle: Arc<Mutex<Option<SessionStore<String>>>>,
    at: Arc<Mutex<HashSet<String>>>,
}

impl Observer for Using {
    fn observe(&self, event: &Event) {
        let Some(store) = self.handle.lock().unwrap().clone() else { return };
        if OBSERVING.replace(true) {
            return;
        }
        let session = store.create_for_user("observer", name(event)).unwrap();
        assert_eq!(store.read(session.id()).unwrap().unwrap().content(), &name(event));
        assert!(!store.sessions_of("observer").unwrap().is_empty() && store.len().unwrap() > 0);
        assert!(store.destroy(session.id()).unwrap());
        self.at.lock().unwrap().insert(name(event));
        OBSERVING.set(false);
    }
}

impl Using {
    fn wait_for(&self, event: &str) {
        for _ in 0..30_000 {
            if self.at.lock().unwrap().contains(event) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{event} was not told, or its observer could not use the store");
    }
}

/// A store on a disk, whose checkpoints find no room once it is told so.
#[derive(Debug)]
struct NoRoom {
    inner: RedbEngine,
    disk: SimulatedDisk,
    fails: AtomicBool,
}

impl Engine for NoRoom {
    fn run_background_work(&self) -> Result<()> {
        if !self.fails.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.disk.fail_once(DiskFault::Full, 0);
        let done = self.inner.run_background_work();
        self.disk.repair();
        done
    }

    sessile::forward_engine!(inner, but run_background_work);
}

/// A store that opens its file again, since a checkpoint finds no room.
fn reopened_after_a_fault(using: &Using) -> SessionStore<String> {
    let disk = SimulatedDisk::new();
    let options = RedbOptions::new().cache_size(1024 * 1024);
    let inner = RedbEngine::open_on(&disk, &options).unwrap();
    let engine = Arc::new(NoRoom { inner, disk, fails: AtomicBool::new(false) });
    let builder = SessionStore::<String>::builder().engine(Arc::clone(&engine));
    let store = builder.observer(using.clone()).build().unwrap();
    (0..80).for_each(|_| drop(store.create("x".repeat(200)).unwrap()));
    *using.handle.lock().unwrap() = Some(store.clone());
    engine.fails.store(true, Ordering::SeqCst);
    // This thread only wakes the other one, and its observer does nothing.
    OBSERVING.set(true);
    while store.stats().unwrap().reopenings == 0 {
        let _ = store.create("x".into());
        thread::sleep(Duration::from_millis(1));
    }
    OBSERVING.set(false);
    engine.fails.store(false, Ordering::SeqCst);
    store
}

#[test]
fn an_observer_may_use_a_store_in_a_file_at_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Arc::new(Flaky {
        inner: RedbEngine::open(folder.path().join("sessions.redb")).unwrap(),
        damaged: Mutex::default(),
        fails: AtomicBool::new(false),
    });
    let using = Using::default();
    let builder = SessionStore::<String>::builder().engine(Arc::clone(&engine));
    let builder = builder.touch_interval(Duration::from_millis(4)).observer(using.clone());
    let store = builder.build().unwrap();
    *using.handle.lock().unwrap() = Some(store.clone());

    let mut session = store.create("x".into()).unwrap();
    store.regenerate_id(&mut session).unwrap();
    let mut stale = store.read(session.id()).unwrap().unwrap();
    store.update(&mut session).unwrap();
    assert!(matches!(store.update(&mut stale), Err(Error::Conflict { .. })));
    *engine.damaged.lock().unwrap() = Some(session.key());
    assert!(store.read(session.id()).is_err());
    *engine.damaged.lock().unwrap() = None;
    engine.fails.store(true, Ordering::SeqCst);
    using.wait_for("MaintenanceFailed");
    using.wait_for("PromiseMissed");
    engine.fails.store(false, Ordering::SeqCst);
    using.wait_for("MaintenanceRecovered");
    for _ in 0..40 {
        store.create("x".repeat(4_096)).unwrap();
    }
    using.wait_for("Checkpoint");
    assert!(store.destroy(session.id()).unwrap());
    assert_eq!(store.stats().unwrap().observer_panics, 0);
    *using.handle.lock().unwrap() = None;

    // Without a thread that tells as well: a clearing takes what its observer has just created.
    let builder = SessionStore::<String>::builder().manual_maintenance().observer(using.clone());
    let store = builder.open(folder.path().join("cleared.redb")).unwrap();
    *using.handle.lock().unwrap() = Some(store.clone());
    store.clear().unwrap();
    using.wait_for("Cleared");
    assert_eq!(store.stats().unwrap().observer_panics, 0);
    *using.handle.lock().unwrap() = None;

    let store = reopened_after_a_fault(&using);
    using.wait_for("Reopened");
    assert_eq!(store.stats().unwrap().observer_panics, 0);
    *using.handle.lock().unwrap() = None;

    // `Recovered` and `LongerTimeoutsOnRecord` are told by the opening, before there is a handle.
    let at = using.at.lock().unwrap();
    let mut at: Vec<_> = at.iter().map(String::as_str).collect();
    at.sort_unstable();
    let expected = [
        "Checkpoint",
        "Cleared",
        "Conflict",
        "Created",
        "DamagedRecord",
        "Ended",
        "MaintenanceFailed",
        "MaintenanceRecovered",
        "PromiseMissed",
        "Regenerated",
        "Reopened",
    ];
    assert_eq!(at, expected);
}
