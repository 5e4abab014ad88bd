//! The features `tracing` and `metrics`: what reaches a subscriber and a recorder, and what must
//! not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "observed/everywhere/mod.rs"]
mod everywhere;
#[path = "integration/no_room.rs"]
mod no_room;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata as Named, Recorder,
    SharedString, Unit,
};
use sessile::{Json, SessionOptions, SessionStore};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Lets one test of this file emit at a time. `tracing` asks once for each call site whether there
/// is a subscriber, and caches the answer. If a thread without a subscriber asks just as another
/// one sets one, the answer "none" can stay.
fn alone() -> MutexGuard<'static, ()> {
    static EMITTING: Mutex<()> = Mutex::new(());
    EMITTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every emitted span and event, at every level, as text.
#[derive(Default)]
struct Everything {
    text: Mutex<String>,
    spans: AtomicU64,
}

struct Fields<'a>(&'a Mutex<String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().push_str(&format!(" {field}={value:?}"));
    }
}

impl Everything {
    fn add(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut dyn Visit)) {
        let head = format!("\n{} {} {}", metadata.level(), metadata.target(), metadata.name());
        self.text.lock().unwrap().push_str(&head);
        record(&mut Fields(&self.text));
    }
}

struct Shared(Arc<Everything>);

impl Subscriber for Shared {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.add(span.metadata(), |visit| span.record(visit));
        Id::from_u64(self.0.spans.fetch_add(1, Ordering::SeqCst) + 1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&self.0.text));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.0.add(event.metadata(), |visit| event.record(visit));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn everything_at_trace_holds_no_id_no_content_no_user_and_no_csrf_token() {
    let _alone = alone();
    let everything = Arc::new(Everything::default());
    let folder = tempfile::tempdir().unwrap();
    let (mut secrets, mut keys) = (Vec::new(), Vec::new());
    tracing::subscriber::with_default(Shared(Arc::clone(&everything)), || {
        let builder = SessionStore::<Json<String>>::builder().manual_maintenance();
        let store = builder.open(folder.path().join("sessions.redb")).unwrap();
        let options = SessionOptions::new().user("user-of-the-test").csrf_token();
        let mut session = store.create_with(Json("content-of-the-test".into()), &options).unwrap();
        let mut note = |session: &sessile::Session<Json<String>>| {
            secrets.push(session.id().encode().to_string());
            secrets.push(session.csrf_token().unwrap().encode().to_string());
            keys.push(session.key().to_string());
        };
        note(&session);
        let mut stale = store.read(session.id()).unwrap().unwrap();
        store.regenerate_id(&mut session).unwrap();
        note(&session);
        assert!(store.update(&mut stale).is_err());
        store.modify(session.id(), |session| session.content_mut().0.push('!')).unwrap();
        store.read_and_extend(session.id()).unwrap();
        store.check().unwrap();
        store.backup(folder.path().join("backup.redb")).unwrap();
        store.clean_up_expired().unwrap();
        store.destroy(session.id()).unwrap();
        store.clear().unwrap();
        store.close().unwrap();
    });
    let text = everything.text.lock().unwrap();
    secrets.extend(["user-of-the-test".into(), "content-of-the-test".into()]);
    for secret in &secrets {
        assert!(!text.contains(secret.as_str()), "{secret} stands in {text}");
    }
    for key in &keys {
        assert!(text.contains(key.as_str()), "{key} is missing in {text}");
    }
    for span in ["open", "commit", "sweep", "backup", "check"] {
        assert!(text.contains(&format!("sessile {span}")), "no span {span} in {text}");
    }
}

/// The values of counters and gauges by name and labels.
#[derive(Clone, Default)]
struct Values(Arc<Mutex<BTreeMap<String, u64>>>);

struct Value(Values, String);

impl CounterFn for Value {
    fn increment(&self, by: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += by;
    }
    fn absolute(&self, value: u64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value as u64);
    }
}

impl Values {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        Arc::new(Value(self.clone(), [key.name(), &labels.join(",")].concat()))
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Named<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }
    fn register_gauge(&self, key: &Key, _: &Named<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }
    fn register_histogram(&self, _: &Key, _: &Named<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn counters_count_what_happened_and_no_label_is_a_key_or_a_user() {
    let _alone = alone();
    let values = Values::default();
    metrics::with_local_recorder(&values, || {
        let store = SessionStore::<u32>::builder().manual_maintenance().in_memory().unwrap();
        let mut session = store.create_for_user("ann", 1).unwrap();
        store.regenerate_id(&mut session).unwrap();
        store.create_for_user("ann", 1).unwrap();
        store.destroy(session.id()).unwrap();
        store.destroy_all_of("ann").unwrap();
    });
    let found = values.0.lock().unwrap();
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        found,
        [
            ("sessile.sessions.created", 2),
            ("sessile.sessions.endedall_of_user", 1),
            ("sessile.sessions.endeddestroyed", 1),
            ("sessile.sessions.regenerated", 1),
        ]
    );
}

#[test]
fn without_threads_a_flush_sets_the_gauges() {
    let _alone = alone();
    let values = Values::default();
    metrics::with_local_recorder(&values, || {
        let store = SessionStore::<u32>::builder().manual_maintenance().in_memory().unwrap();
        store.create(1).unwrap();
        store.flush().unwrap();
    });
    assert_eq!(values.0.lock().unwrap().get("sessile.records.stored"), Some(&1));
}

#[test]
fn two_stores_with_content_names_have_gauges_and_counters_of_their_own() {
    let _alone = alone();
    let values = Values::default();
    metrics::with_local_recorder(&values, || {
        for (name, sessions) in [("shop.cart", 1), ("shop.admin", 2)] {
            let builder = SessionStore::<u32>::builder().manual_maintenance().content_name(name);
            let store = builder.in_memory().unwrap();
            (0..sessions).for_each(|content| drop(store.create(content).unwrap()));
            store.destroy(store.create(7).unwrap().id()).unwrap();
            store.flush().unwrap();
        }
    });
    let found = values.0.lock().unwrap();
    let value = |name: &str| found.get(name).copied();
    assert_eq!(value("sessile.records.storedshop.cart"), Some(1));
    assert_eq!(value("sessile.records.storedshop.admin"), Some(2));
    assert_eq!(value("sessile.sessions.createdshop.admin"), Some(3));
    assert_eq!(value("sessile.sessions.endedshop.cart,destroyed"), Some(1));
}

/// A recorder that refuses every description, as with a broken registry.
struct Broken(Values);

fn broken() -> ! {
    std::panic::resume_unwind(Box::new("on purpose"))
}

impl Recorder for Broken {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }
    fn register_counter(&self, key: &Key, metadata: &Named<'_>) -> Counter {
        self.0.register_counter(key, metadata)
    }
    fn register_gauge(&self, key: &Key, metadata: &Named<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }
    fn register_histogram(&self, key: &Key, metadata: &Named<'_>) -> Histogram {
        self.0.register_histogram(key, metadata)
    }
}

#[test]
fn a_recorder_that_panics_as_metrics_are_described_is_counted_and_the_store_opens() {
    let _alone = alone();
    let (values, folder) = (Values::default(), tempfile::tempdir().unwrap());
    metrics::with_local_recorder(&Broken(values.clone()), || {
        let builder = SessionStore::<u32>::builder().manual_maintenance();
        let store = builder.open(folder.path().join("sessions.redb")).unwrap();
        store.create(1).unwrap();
        assert_eq!(store.stats().unwrap().observer_panics, 1);
    });
    assert_eq!(values.0.lock().unwrap().get("sessile.sessions.created"), Some(&1));
}

/// The example server in its folder beside this test, built with the feature. Dropping this kills
/// it.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request to an address `http://HOST:PORT`, and returns the whole response.
fn ask(address: &str, head: &str, cookie: &str, body: &str) -> String {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let len = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

#[test]
fn the_example_server_shows_its_counters_to_prometheus_on_a_port_of_its_own() {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let example = profile.join("examples/server").with_extension(std::env::consts::EXE_EXTENSION);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(example);
    command.args(["--metrics", "0", "0"]).arg(folder.path().join("sessions.redb"));
    let mut server = Server(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let [site, metrics] = [(); 2].map(|()| lines.next().unwrap().unwrap());
    let metrics = metrics.strip_suffix("/metrics").unwrap();
    let form = ask(&site, "GET /login", "", "");
    let cookie = between(&form, "Set-Cookie: ", ";");
    let token = between(&form, "name=\"csrf\" value=\"", "\"");
    let logged_in = ask(&site, "POST /login", cookie, &format!("name=secret-name&csrf={token}"));
    assert!(logged_in.starts_with("HTTP/1.1 303"), "{logged_in}");
    let shown = ask(metrics, "GET /metrics", "", "");
    assert!(shown.contains("\r\nContent-Type: text/plain; version=0.0.4;"), "{shown}");
    assert!(shown.contains("\n# TYPE sessile_sessions_created counter\n"), "{shown}");
    let counted = "\nsessile_sessions_created{store=\"sessile's example server\"} 1\n";
    assert!(shown.contains(counted), "{shown}");
    assert!(!shown.contains("secret-name"), "{shown}");
    assert!(ask(metrics, "GET /", "", "").starts_with("HTTP/1.1 404"));
    assert!(ask(&site, "GET /metrics", "", "").starts_with("HTTP/1.1 404"));
}
