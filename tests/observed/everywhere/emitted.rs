//! What a subscriber of `tracing` hears: no secret, and failures alone at the levels for them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{is_alone, live};

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
const LEVELS: [(&str, Level); 15] = [
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
    ("maintenance failed (engine)", Level::WARN),
    ("were in memory alone", Level::WARN),
    ("longer timeouts are on record", Level::WARN),
    ("opened again after an error", Level::WARN),
    ("sessile backup", Level::INFO),
];

#[test]
fn all_threads_of_a_program_emit_no_secret_and_failures_alone_at_warn_and_error() {
    if !is_alone(
        "everywhere::emitted::all_threads_of_a_program_emit_no_secret_and_failures_alone_at_warn_and_error",
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
