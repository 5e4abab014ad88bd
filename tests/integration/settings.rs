//! Every setting with every way to open a store: it takes effect, or is refused by name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sessile::engine::{RedbEngine, RedbOptions};
use sessile::testing::{ManualClock, RandomSource};
use sessile::{Builder, Durability, Error, Event, MemoryEngine, SessionStore, Timeouts, UserLimit};

#[cfg(unix)]
use crate::child;

type Set = fn(Builder<u32>) -> Builder<u32>;

/// The ways to open a store to which a setting applies.
#[derive(Clone, Copy, PartialEq)]
enum Means {
    Everywhere,
    InAFile,
    WithAnEngine,
}

/// Bytes that differ from call to call.
#[derive(Debug)]
struct Counted(AtomicU8);

impl RandomSource for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), sessile::Source> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[rustfmt::skip]
const SETTINGS: &[(&str, Means, Set)] = &[
    ("timeouts", Means::Everywhere, |it| it.timeouts(Timeouts::default())),
    ("adopt_shorter_timeouts", Means::Everywhere, |it| it.adopt_shorter_timeouts()),
    ("max_content_len", Means::Everywhere, |it| it.max_content_len(1_000)),
    ("max_sessions", Means::Everywhere, |it| it.max_sessions(1_000)),
    ("max_sessions_per_user", Means::Everywhere, |it| it.max_sessions_per_user(1, UserLimit::Refuse)),
    ("touch_interval", Means::Everywhere, |it| it.touch_interval(Duration::from_millis(5))),
    ("sweep_interval", Means::Everywhere, |it| it.sweep_interval(DAY)),
    ("manual_maintenance", Means::Everywhere, |it| it.manual_maintenance()),
    ("content_name", Means::Everywhere, |it| it.content_name("shop.cart")),
    ("rename_content", Means::Everywhere, |it| it.rename_content("shop.crat")),
    ("content_version", Means::Everywhere, |it| it.content_version(1, |old| old.decode())),
    ("compare_content", Means::Everywhere, |it| it.compare_content()),
    ("clock", Means::Everywhere, |it| it.clock(ManualClock::new())),
    ("random_source", Means::Everywhere, |it| it.random_source(Counted(1.into()))),
    ("observer", Means::Everywhere, |it| it.observer(|_: &Event| ())),
    ("durability", Means::InAFile, |it| it.durability(Durability::TwoPhase)),
    ("cache_size", Means::InAFile, |it| it.cache_size(1 << 20)),
    ("record_cache", Means::InAFile, |it| it.record_cache(true)),
    ("open_timeout", Means::InAFile, |it| it.open_timeout(Duration::ZERO)),
    ("verify_on_open", Means::InAFile, |it| it.verify_on_open(true)),
    ("compact_on_open", Means::InAFile, |it| it.compact_on_open(false)),
    ("on_recovery", Means::InAFile, |it| it.on_recovery(|_| ())),
    ("engine", Means::WithAnEngine, |it| it.engine(MemoryEngine::new())),
];

/// Settings of which one switches the other off, with the name of the one without effect.
const CONTRADICTIONS: &[(&str, Set)] = &[
    ("compact_on_open", |it| it.compact_on_open(true).verify_on_open(false)),
    ("compact_on_open", |it| it.verify_on_open(false).compact_on_open(true)),
];

/// No server listens there.
const SERVER: &str = "redis://127.0.0.1:1/0?timeout_ms=10";

/// Opens one store in each way that does not start from an engine.
fn ways(builder: impl Fn() -> Builder<u32>, path: &Path) -> Vec<(&'static str, Means, Outcome)> {
    let url = format!("file:{}", path.display());
    vec![
        ("open", Means::InAFile, outcome(builder().open(path))),
        ("open_existing", Means::InAFile, outcome(builder().open_existing(path))),
        ("connect file:", Means::InAFile, outcome(builder().connect(&url))),
        ("in_memory", Means::Everywhere, outcome(builder().in_memory())),
        ("connect memory:", Means::Everywhere, outcome(builder().connect("memory:"))),
        ("connect redis:", Means::Everywhere, outcome_on_a_server(builder())),
    ]
}

/// `Err` with the name of the refused setting.
type Outcome = Result<(), &'static str>;

fn outcome(opened: sessile::Result<SessionStore<u32>>) -> Outcome {
    match opened {
        Ok(store) => {
            store.create(1).unwrap();
            store.clear().unwrap();
            store.close().unwrap();
            Ok(())
        }
        Err(Error::InvalidSetting { name, .. }) => Err(name),
        Err(other) => panic!("{other}"),
    }
}

/// A setting that is taken gets as far as the connection, or as the URL where the feature is off.
fn outcome_on_a_server(builder: Builder<u32>) -> Outcome {
    match builder.connect(SERVER) {
        Err(Error::Unavailable { .. } | Error::InvalidSetting { name: "url", .. }) => Ok(()),
        Err(Error::InvalidSetting { name, .. }) => Err(name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_setting_that_would_do_nothing_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, means, set) in SETTINGS {
        let path = folder.path().join(setting);
        SessionStore::<u32>::open(&path).unwrap().close().unwrap();
        for (way, here, got) in ways(|| set(SessionStore::builder()), &path) {
            let expected = match means {
                Means::Everywhere => Ok(()),
                Means::InAFile if here == Means::InAFile => Ok(()),
                _ => Err(*setting),
            };
            assert_eq!(got, expected, "`{setting}` with `{way}`");
        }
        let engine = || SessionStore::builder().engine(MemoryEngine::new());
        let expected = if *means == Means::InAFile { Err(*setting) } else { Ok(()) };
        assert_eq!(outcome(set(engine()).build()), expected, "`{setting}` with `build`");
    }
    let without = SessionStore::<u32>::builder().build();
    assert_eq!(outcome(without), Err("engine"));
}

/// The folder comes from the environment, so a child process opens the stores.
#[cfg(unix)]
#[test]
fn a_programs_own_folder_takes_every_setting_of_a_file() {
    const PLAYED_BY_CHILD: &str = "SESSILE_TEST_SETTINGS";
    if std::env::var_os(PLAYED_BY_CHILD).is_none() {
        let home = tempfile::tempdir().unwrap();
        let mut child =
            child::running("settings::a_programs_own_folder_takes_every_setting_of_a_file");
        child.env(PLAYED_BY_CHILD, "1").env("HOME", home.path()).env_remove("XDG_DATA_HOME");
        let done = child.output().unwrap();
        return assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
    let opened = |set: Set, program: &str| {
        outcome(set(SessionStore::builder()).open_in_app_dir("org", "Example Ltd", program))
    };
    for (setting, means, set) in SETTINGS {
        let expected = if *means == Means::WithAnEngine { Err(*setting) } else { Ok(()) };
        assert_eq!(opened(*set, setting), expected, "`{setting}`");
    }
    for (without_effect, set) in CONTRADICTIONS {
        assert_eq!(opened(*set, "contradictory"), Err(*without_effect));
    }
}

#[test]
fn a_setting_that_another_one_switches_off_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    SessionStore::<u32>::open(&path).unwrap().close().unwrap();
    for (without_effect, set) in CONTRADICTIONS {
        for (way, _, got) in ways(|| set(SessionStore::builder()), &path) {
            assert_eq!(got, Err(*without_effect), "with `{way}`");
        }
    }
    let consistent: [Set; 4] = [
        |it| it.verify_on_open(false),
        |it| it.verify_on_open(false).compact_on_open(false),
        |it| it.verify_on_open(true).compact_on_open(true),
        |it| it.compact_on_open(true),
    ];
    for set in consistent {
        assert_eq!(outcome(set(SessionStore::builder()).open(&path)), Ok(()));
    }
    let options = RedbOptions::new().verify_on_open(false).compact_on_open(true);
    let refused = RedbEngine::open_with(&path, &options).map(drop);
    assert!(matches!(refused, Err(Error::InvalidSetting { name: "compact_on_open", .. })));
}

#[test]
fn a_refused_setting_of_a_file_says_what_to_do() {
    let engine = Arc::new(MemoryEngine::new());
    let builder = SessionStore::<u32>::builder().durability(Durability::Immediate);
    let text = builder.engine(engine).build().unwrap_err().to_string();
    assert!(text.contains("`durability`") && text.contains("leave it out"), "{text}");
}

/// Forces a new setting to state where it applies.
#[test]
fn every_setting_is_in_the_table() {
    let sources = [
        include_str!("../../src/builder/mod.rs"),
        include_str!("../../src/builder/file_settings.rs"),
        include_str!("../../src/builder/observing.rs"),
    ];
    let mut written: Vec<_> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.strip_prefix("    pub fn "))
        .filter_map(|line| line.split_once('('))
        .filter(|(_, rest)| {
            rest.starts_with("self") || rest.starts_with("mut self") || rest.is_empty()
        })
        .map(|(name, _)| name)
        .collect();
    let mut listed: Vec<_> = SETTINGS.iter().map(|(name, ..)| *name).collect();
    written.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, written);
}
