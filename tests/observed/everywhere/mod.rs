//! A program with background threads, failures, damage and a door, in a process of its own: what
//! all its threads emit, at which level, and what they measure.

mod emitted;
mod measured;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::admin::{AdminSocket, RunningStore};
use sessile::engine::{Engine, Moment, Record, RedbOptions};
use sessile::testing::SimulatedDisk;
use sessile::{
    Error, Inspector, Json, RedbEngine, Result, SessionKey, SessionOptions, SessionStore, Stats,
    Timeouts,
};

use crate::no_room::NoRoom;

/// Set only in child processes.
const CHILD: &str = "SESSILE_TEST_OBSERVED_CHILD";
const MILLI: Duration = Duration::from_millis(1);
/// How long a flush takes that fails.
const SLOW: Duration = Duration::from_millis(50);

/// Whether this process is the child that runs only this test; otherwise runs that child.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Waits long enough for a loaded machine.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        thread::sleep(MILLI);
    }
    panic!("in vain: {what}");
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
            true => {
                thread::sleep(SLOW);
                Err(Error::engine(std::io::Error::other("on purpose")))
            }
            false => self.inner.flush(),
        }
    }

    sessile::forward_engine!(inner, but load, flush);
}

/// What a run tells of itself, besides what it emits.
#[derive(Default)]
struct Told {
    secrets: Vec<String>,
    keys: Vec<String>,
}

type Store = SessionStore<Json<String>>;

/// Calls of an ordinary day; `done` follows them at once.
fn ordinary_calls(store: &Store, told: &mut Told) {
    let options = SessionOptions::new().user("user-of-the-test").csrf_token();
    let mut session = store.create_with(Json("content-of-the-test".into()), &options).unwrap();
    let mut note = |session: &sessile::Session<Json<String>>| {
        told.secrets.push(session.id().encode().to_string());
        told.secrets.push(session.csrf_token().unwrap().encode().to_string());
        told.keys.push(session.key().to_string());
    };
    note(&session);
    store.regenerate_id(&mut session).unwrap();
    note(&session);
    let mut stale = store.read(session.id()).unwrap().unwrap();
    store.update(&mut session).unwrap();
    assert!(matches!(store.update(&mut stale), Err(Error::Conflict { .. })));
    store.modify(session.id(), |session| session.content_mut().0.push('!')).unwrap();
    store.read_and_extend(session.id()).unwrap();
    store.extend_lifetime(session.id()).unwrap();
    store.sessions_of("user-of-the-test").unwrap();
    store.destroy(session.id()).unwrap();
}

/// The life of a program; the callbacks are called around its ordinary calls, and with the store
/// while its touches cannot be flushed and once they can.
fn live(
    folder: &Path,
    around: &dyn Fn(&dyn Fn()),
    is_missed: &dyn Fn() -> bool,
    at_rest: &dyn Fn(&Store),
) -> Told {
    let mut told = Told::default();
    let path = folder.join("sessions.redb");
    let engine = Arc::new(Flaky {
        inner: RedbEngine::open(&path).unwrap(),
        damaged: Mutex::default(),
        fails: AtomicBool::new(false),
    });
    let builder = SessionStore::<Json<String>>::builder().engine(Arc::clone(&engine));
    let builder = builder.touch_interval(4 * MILLI).sweep_interval(5 * MILLI);
    let store: Store = builder.build().unwrap();
    let noted = Mutex::new(&mut told);
    around(&|| ordinary_calls(&store, &mut noted.lock().unwrap()));

    let short = SessionOptions::new().inactivity(MILLI);
    store.create_with(Json("content-of-the-test".into()), &short).unwrap();
    wait_until("it is swept", || store.stats().unwrap().swept == 1);

    let session = store.create_for_user("user-of-the-test", Json("content-of-the-test".into()));
    let session = session.unwrap();
    told.secrets.push(session.id().encode().to_string());
    *engine.damaged.lock().unwrap() = Some(session.key());
    assert!(store.read(session.id()).is_err());
    *engine.damaged.lock().unwrap() = None;
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
    let other = builder.manual_maintenance().build().unwrap();
    assert!(other.read(session.id()).is_err(), "its content is no number");
    drop(other);

    engine.fails.store(true, Ordering::SeqCst);
    // On a slow disk a touch may be late though no flush has failed yet.
    wait_until("a touch is late, and a flush has failed", || {
        thread::sleep(MILLI);
        let has_failed = store.stats().unwrap().maintenance_failures > 0;
        store.extend_lifetime(session.id()).unwrap() && is_missed() && has_failed
    });
    engine.fails.store(false, Ordering::SeqCst);
    wait_until("it goes well again", || store.stats().unwrap().last_maintenance_failure.is_none());
    for _ in 0..40 {
        store.create(Json("content-of-the-test".repeat(200))).unwrap();
    }
    wait_until("a checkpoint", || store.stats().unwrap().checkpoints > 0);
    at_rest(&store);

    let door = folder.join("door");
    store.serve_admin(AdminSocket::at(&door)).unwrap();
    let inspector = Inspector::on(RunningStore::at(&door).unwrap()).unwrap();
    let mut seen = 0;
    let count = &mut |_| {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    };
    inspector.sessions(None, count).unwrap();
    assert_eq!(seen, 41);
    assert!(inspector.revoke(&session.key()).unwrap());
    assert!(RunningStore::at(folder.join("no-door")).is_err());
    drop(inspector);
    store.check().unwrap();
    store.backup(folder.join("backup.redb")).unwrap();
    // As a killed process leaves it.
    std::fs::copy(&path, folder.join("copy.redb")).unwrap();
    store.clear().unwrap();
    store.close().unwrap();
    drop(engine);
    let shorter = Timeouts::from_seconds(60, 600).unwrap();
    let builder = SessionStore::<Json<String>>::builder().timeouts(shorter);
    drop(builder.open(folder.join("copy.redb")).unwrap());
    reopen_after_a_fault();
    told.secrets.extend(["user-of-the-test".into(), "content-of-the-test".into()]);
    told
}

/// A store that opens its file again, since a checkpoint finds no room.
fn reopen_after_a_fault() {
    let disk = SimulatedDisk::new();
    let options = RedbOptions::new().cache_size(1024 * 1024);
    let inner = RedbEngine::open_on(&disk, &options).unwrap();
    let engine = Arc::new(NoRoom { inner, disk, fails: AtomicBool::new(false) });
    let builder = SessionStore::<Json<String>>::builder().engine(Arc::clone(&engine));
    let store = builder.build().unwrap();
    let content = || Json("content-of-the-test".repeat(10));
    (0..80).for_each(|_| drop(store.create(content()).unwrap()));
    engine.fails.store(true, Ordering::SeqCst);
    let has_failed = |stats: &Stats| stats.reopenings > 0 && stats.maintenance_failures > 0;
    while !has_failed(&store.stats().unwrap()) {
        let _ = store.create(content());
        thread::sleep(MILLI);
    }
    engine.fails.store(false, Ordering::SeqCst);
    store.close().unwrap();
}
