//! What a recorder of `metrics` gets: each metric that the page for operators names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata as Named,
    Recorder, SharedString, Unit,
};

use super::{SLOW, Store, is_alone, live, wait_until};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: its kind, its unit, and the labels that `live` records it with.
const METRICS: [(&str, Kind, Unit, &[&str]); 14] = [
    ("sessile.sessions.created", Kind::Counter, Unit::Count, &[]),
    ("sessile.sessions.regenerated", Kind::Counter, Unit::Count, &[]),
    ("sessile.sessions.ended", Kind::Counter, Unit::Count, &["destroyed", "expired"]),
    ("sessile.conflicts", Kind::Counter, Unit::Count, &[]),
    ("sessile.records.damaged", Kind::Counter, Unit::Count, &[]),
    ("sessile.maintenance.failures", Kind::Counter, Unit::Count, &["engine", "flush"]),
    ("sessile.promises.missed", Kind::Counter, Unit::Count, &[]),
    ("sessile.checkpoints", Kind::Counter, Unit::Count, &[]),
    ("sessile.file.reopenings", Kind::Counter, Unit::Count, &[]),
    ("sessile.clears", Kind::Counter, Unit::Count, &[]),
    ("sessile.records.stored", Kind::Gauge, Unit::Count, &[]),
    ("sessile.file.size", Kind::Gauge, Unit::Bytes, &[]),
    ("sessile.touches.pending", Kind::Gauge, Unit::Count, &[]),
    ("sessile.maintenance.duration", Kind::Histogram, Unit::Seconds, &["engine", "flush", "sweep"]),
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

/// The names that `Builder::observer` lists; `.ended` stands for another end of the name before.
fn documented() -> BTreeSet<String> {
    let source = include_str!("../../../src/builder/observing.rs");
    let (_, rest) = source.split_once("the store also reports to the program's recorder").unwrap();
    let list = rest.split("# Examples").next().unwrap();
    let mut names: Vec<String> = Vec::new();
    for word in list.split('`').skip(1).step_by(2) {
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
    if !is_alone(
        "everywhere::measured::each_metric_of_the_page_is_described_with_its_unit_and_recorded",
    ) {
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
