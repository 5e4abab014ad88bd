//! A program with background threads, failures, damage and a door, in a process of its own: what
//! all its threads emit, at which level, and what they measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata as Named,
    Recorder, SharedString, Unit,
};
use sessile::admin::{AdminSocket, RunningStore};
use sessile::engine::{Engine, Moment, Record, RedbOptions};
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{
    Error, Inspector, Json, RedbEngine, Result, SessionKey, SessionOptions, SessionStore, Timeouts,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

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
    while store.stats().unwrap().reopenings == 0 {
        let _ = store.create(content());
        thread::sleep(MILLI);
    }
    engine.fails.store(false, Ordering::SeqCst);
    store.close().unwrap();
}

/// One span or event.
struct Line {
    level: Level,
    thread: Option<String>,
    text: String,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>, Arc<AtomicU64>);

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Lines {
    fn add(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut dyn Visit)) {
        let mut text = format!("{} {}", metadata.target(), metadata.name());
        record(&mut Text(&mut text));
        let thread = thread::current().name().map(ToOwned::to_owned);
        self.0.lock().unwrap().push(Line { level: *metadata.level(), thread, text });
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(span.metadata(), |visit| span.record(visit));
        Id::from_u64(self.1.fetch_add(1, Ordering::SeqCst) + 1)
    }
    fn record(&self, _: &Id, values: &tracing::span::Record<'_>) {
        let mut text = String::new();
        values.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(Line { level: Level::TRACE, thread: None, text });
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.add(event.metadata(), |visit| event.record(visit));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Words of each event, and its level.
const LEVELS: [(&str, Level); 14] = [
    ("was created", Level::DEBUG),
    ("was given a new id", Level::DEBUG),
    ("has ended: ", Level::DEBUG),
    ("saved by somebody else", Level::DEBUG),
    ("a checkpoint has emptied the log", Level::DEBUG),
    ("every session has ended", Level::INFO),
    ("was not closed, and was recovered", Level::INFO),
    ("maintenance goes well again (flush)", Level::INFO),
    ("is damaged", Level::ERROR),
    ("maintenance failed (flush)", Level::WARN),
    ("were in memory alone", Level::WARN),
    ("longer timeouts are on record", Level::WARN),
    ("opened again after an error", Level::WARN),
    ("sessile backup", Level::INFO),
];

#[test]
fn all_threads_of_a_program_emit_no_secret_and_failures_alone_at_warn_and_error() {
    if !is_alone(
        "everywhere::all_threads_of_a_program_emit_no_secret_and_failures_alone_at_warn_and_error",
    ) {
        return;
    }
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ordinary = AtomicU64::new(0);
    let own = thread::current().name().map(ToOwned::to_owned);
    let around = |calls: &dyn Fn()| {
        let before = lines.0.lock().unwrap().len();
        calls();
        for line in &lines.0.lock().unwrap()[before..] {
            if line.thread == own {
                assert!(line.level >= Level::DEBUG, "{}: {}", line.level, line.text);
                ordinary.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let has = |words: &str| lines.0.lock().unwrap().iter().any(|line| line.text.contains(words));
    let told = live(folder.path(), &around, &|| has("were in memory alone"), &|_| {});
    assert!(ordinary.into_inner() >= 4);
    let lines = lines.0.lock().unwrap();
    let threads: BTreeSet<_> = lines.iter().filter_map(|line| line.thread.as_deref()).collect();
    for thread in ["sessile-flush", "sessile-maintenance", "sessile-admin"] {
        assert!(threads.contains(thread), "{thread} emitted nothing: {threads:?}");
    }
    for secret in &told.secrets {
        let found = lines.iter().find(|line| line.text.contains(secret.as_str()));
        assert!(found.is_none(), "{secret} stands in {}", found.unwrap().text);
    }
    for key in &told.keys {
        assert!(lines.iter().any(|line| line.text.contains(key.as_str())), "{key} is missing");
    }
    for (words, level) in LEVELS {
        let mut found = lines.iter().filter(|line| line.text.contains(words)).peekable();
        assert!(found.peek().is_some(), "nothing says that {words}");
        found.for_each(|line| assert_eq!(line.level, level, "{}", line.text));
    }
    let failures = LEVELS.iter().filter(|(_, level)| *level <= Level::WARN);
    let failures: Vec<_> = failures.map(|(words, _)| *words).collect();
    for line in lines.iter().filter(|line| line.level <= Level::WARN) {
        assert!(failures.iter().any(|words| line.text.contains(words)), "{}", line.text);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: its kind, its unit, and the labels that the run above records it with.
const METRICS: [(&str, Kind, Unit, &[&str]); 14] = [
    ("sessile.sessions.created", Kind::Counter, Unit::Count, &[]),
    ("sessile.sessions.regenerated", Kind::Counter, Unit::Count, &[]),
    ("sessile.sessions.ended", Kind::Counter, Unit::Count, &["destroyed", "expired"]),
    ("sessile.conflicts", Kind::Counter, Unit::Count, &[]),
    ("sessile.records.damaged", Kind::Counter, Unit::Count, &[]),
    ("sessile.maintenance.failures", Kind::Counter, Unit::Count, &["flush"]),
    ("sessile.promises.missed", Kind::Counter, Unit::Count, &[]),
    ("sessile.checkpoints", Kind::Counter, Unit::Count, &[]),
    ("sessile.file.reopenings", Kind::Counter, Unit::Count, &[]),
    ("sessile.clears", Kind::Counter, Unit::Count, &[]),
    ("sessile.records.stored", Kind::Gauge, Unit::Count, &[]),
    ("sessile.file.size", Kind::Gauge, Unit::Bytes, &[]),
    ("sessile.touches.pending", Kind::Gauge, Unit::Count, &[]),
    ("sessile.maintenance.duration", Kind::Histogram, Unit::Seconds, &["flush", "sweep"]),
];

type Described = (Kind, Option<Unit>);

/// What is described by name, and every recorded value by name and label.
#[derive(Clone, Default)]
struct Recorded {
    described: Arc<Mutex<BTreeMap<String, Described>>>,
    values: Arc<Mutex<BTreeMap<(String, String), Values>>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    kinds: BTreeSet<&'static str>,
    last: f64,
    most: f64,
    sum: f64,
}

struct One(Recorded, (String, String));

impl One {
    fn add(&self, kind: &'static str, value: f64) {
        let mut values = self.0.values.lock().unwrap();
        let values = values.entry(self.1.clone()).or_default();
        values.kinds.insert(kind);
        values.last = value;
        values.most = values.most.max(value);
        values.sum += value;
    }
}

impl CounterFn for One {
    fn increment(&self, by: u64) {
        self.add("Counter", by as f64);
    }
    fn absolute(&self, _: u64) {
        panic!("no counter is set");
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        panic!("every gauge is set");
    }
    fn decrement(&self, _: f64) {
        panic!("every gauge is set");
    }
    fn set(&self, value: f64) {
        self.add("Gauge", value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.add("Histogram", value);
    }
}

impl Recorded {
    fn describe(&self, name: &KeyName, kind: Kind, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(name.as_str().into(), (kind, unit));
    }

    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        Arc::new(One(self.clone(), (key.name().into(), labels.join(","))))
    }

    fn of(&self, name: &str, label: &str) -> Values {
        let values = self.values.lock().unwrap();
        values.get(&(name.to_owned(), label.to_owned())).cloned().unwrap_or_default()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, Kind::Counter, unit);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, Kind::Gauge, unit);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, Kind::Histogram, unit);
    }
    fn register_counter(&self, key: &Key, _: &Named<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Named<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, key: &Key, _: &Named<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

/// The names in the page for operators, where `.ended` stands for another end of the name before.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/operating.md");
    let (_, rest) = page.split_once("With the feature `metrics` the store reports").unwrap();
    let paragraph = rest.split("\n\n").next().unwrap();
    let mut names: Vec<String> = Vec::new();
    for word in paragraph.split('`').skip(1).step_by(2) {
        if word.starts_with("sessile.") {
            names.push(word.into());
        } else if word.starts_with('.') {
            let (front, _) = names.last().unwrap().rsplit_once('.').unwrap();
            names.push([front, word].concat());
        }
    }
    names.into_iter().collect()
}

#[test]
fn each_metric_of_the_page_is_described_with_its_unit_and_recorded() {
    if !is_alone("everywhere::each_metric_of_the_page_is_described_with_its_unit_and_recorded") {
        return;
    }
    let recorded = Recorded::default();
    metrics::set_global_recorder(recorded.clone()).ok().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let is_missed = || {
        recorded.of("sessile.promises.missed", "").sum > 0.0
            && recorded.of("sessile.touches.pending", "").most > 0.0
    };
    let at_rest = |store: &Store| {
        wait_until("the gauges tell what the statistics say", || {
            let stats = store.stats().unwrap();
            let last = |name| recorded.of(name, "").last;
            stats.sessions == 41
                && last("sessile.records.stored") == 41.0
                && last("sessile.file.size") == stats.file_bytes.unwrap() as f64
        });
    };
    live(folder.path(), &|calls| calls(), &is_missed, &at_rest);

    let names: BTreeSet<_> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(documented(), names);
    let described = recorded.described.lock().unwrap();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), names);
    let mut expected = BTreeSet::new();
    for (name, kind, unit, labels) in METRICS {
        assert_eq!(described[name], (kind, Some(unit)), "{name}");
        for label in if labels.is_empty() { &[""][..] } else { labels } {
            let values = recorded.of(name, label);
            assert_eq!(values.kinds, BTreeSet::from([&*format!("{kind:?}")]), "{name} {label}");
            assert!(values.most > 0.0, "{name} {label}");
            expected.insert((name.to_owned(), (*label).to_owned()));
        }
    }
    // What each label counts in this life.
    for (name, label, times) in [
        ("sessile.sessions.created", "", 123.0),
        ("sessile.sessions.ended", "destroyed", 2.0),
        ("sessile.sessions.ended", "expired", 1.0),
        ("sessile.conflicts", "", 1.0),
        ("sessile.clears", "", 1.0),
    ] {
        assert!(recorded.of(name, label).sum >= times, "{name} {label}");
    }
    let of_task = |task| recorded.of("sessile.maintenance.duration", task).most;
    assert!((SLOW.as_secs_f64()..50.0).contains(&of_task("flush")), "in seconds");
    assert!(of_task("sweep") < 50.0);
    let unexpected: Vec<_> = recorded
        .values
        .lock()
        .unwrap()
        .keys()
        .filter(|it| !expected.contains(*it))
        .cloned()
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}
