//! Observers that use the store that tells them.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, Moment, Record, RedbOptions};
use sessile::testing::SimulatedDisk;
use sessile::{EndReason, Error, Event, Observer, RedbEngine, Result, SessionKey, SessionStore};

use super::{taken, telling};
use crate::no_room::NoRoom;

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
