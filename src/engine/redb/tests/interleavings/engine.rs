//! The whole engine on a file: its queue, writer, touch buffer, record cache and snapshot together.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shuttle::thread;
use tempfile::TempDir;

use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Replace};
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::tests::interleavings::explore;
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

pub(in crate::engine::redb) const EXECUTIONS: u64 = 1_000;
/// The creation time of every session in these tests.
const START: u64 = 1_000;
const INACTIVITY: u64 = 100;

pub(in crate::engine::redb) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(in crate::engine::redb) fn timeouts() -> Timeouts {
    Timeouts::new(Duration::from_millis(INACTIVITY), Duration::from_secs(1_000)).unwrap()
}

pub(in crate::engine::redb) fn moment_of(now: Timestamp) -> Moment {
    Moment { now, timeouts: timeouts() }
}

/// Extends a session; false if it does not exist.
pub(in crate::engine::redb) fn touched(
    engine: &RedbEngine,
    key: &SessionKey,
    now: Timestamp,
) -> bool {
    engine.extend(key, moment_of(now), Duration::ZERO).unwrap().is_some()
}

pub(in crate::engine::redb) fn key(number: u8) -> SessionKey {
    SessionKey::from_bytes([number; 16])
}

pub(in crate::engine::redb) fn record(revision: u64) -> Record {
    record_for(revision, OwnTimeouts::default())
}

pub(in crate::engine::redb) fn record_for(revision: u64, own_timeouts: OwnTimeouts) -> Record {
    let parts = Parts {
        user: None,
        csrf_token: None,
        own_timeouts,
        revision,
        created_at: at(START),
        last_active: at(START),
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &timeouts()).unwrap()
}

/// An engine on its own file, with a session under key 1.
struct Scene {
    engine: Arc<RedbEngine>,
    folder: TempDir,
}

fn options() -> RedbOptions {
    let durability = Durability::Deferred { interval: Duration::from_secs(60) };
    RedbOptions::new().durability(durability).verify_on_open(false)
}

pub(in crate::engine::redb) fn folder() -> TempDir {
    // In memory if there is such a file system, because thousands of files are created and deleted.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(in crate::engine::redb) fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("sessions.redb")
}

pub(in crate::engine::redb) fn new_file(path: &Path) {
    /// Made once; a creation syncs, which thousands of executions need not repeat.
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
    let empty = EMPTY.get_or_init(|| {
        RedbEngine::open_with(path, &options()).unwrap().close().unwrap();
        std::fs::read(path).unwrap()
    });
    std::fs::write(path, empty).unwrap();
}

impl Scene {
    fn new() -> Self {
        Self::with(&options())
    }

    fn with(options: &RedbOptions) -> Self {
        let folder = folder();
        new_file(&path(&folder));
        let engine = Arc::new(RedbEngine::open_with(path(&folder), options).unwrap());
        assert_eq!(
            engine.insert(&key(1), record(1), Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
        Self { engine, folder }
    }

    fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce(&RedbEngine) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let engine = Arc::clone(&self.engine);
        thread::spawn(move || act(&engine))
    }

    fn assert_tables_agree(&self) {
        assert!(self.engine.disagreements().unwrap().is_empty());
    }
}

#[test]
fn a_session_that_was_extended_is_not_swept_and_one_that_was_swept_is_not_extended() {
    explore(5 * EXECUTIONS, || {
        let scene = Scene::new();
        let (extended, later) = (at(START + INACTIVITY - 1), at(START + INACTIVITY));
        let extend = scene.spawn(move |engine| touched(engine, &key(1), extended));
        let sweep = scene.spawn(move |engine| engine.remove_expired(moment_of(later), 10).unwrap());
        let flush = scene.spawn(|engine| engine.flush().unwrap());
        let (extended_it, swept) = (extend.join().unwrap(), sweep.join().unwrap().removed);
        flush.join().unwrap();
        assert_eq!(swept.len(), usize::from(!extended_it));
        let left = scene.engine.load(&key(1), Moment::BEGINNING).unwrap();
        assert_eq!(left.map(|record| record.last_active()), extended_it.then_some(extended));
        assert_eq!(scene.engine.count(moment_of(later)).unwrap(), u64::from(extended_it));
        scene.engine.flush().unwrap();
        assert_eq!(scene.engine.stats().unwrap().pending_touches, 0);
        scene.assert_tables_agree();
    });
}

#[test]
fn a_removed_session_takes_no_touch_and_leaves_none_behind() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let touch = scene.spawn(|engine| {
            let first = touched(engine, &key(1), at(START + 1));
            let second = touched(engine, &key(1), at(START + 2));
            assert!(first || !second, "found after it was gone");
        });
        let remove = scene.spawn(|engine| {
            assert!(engine.remove(&key(1), None, Moment::BEGINNING).unwrap().is_some());
            assert!(!touched(engine, &key(1), at(START + 3)), "touched after it was removed");
            assert!(
                engine.load(&key(1), Moment::BEGINNING).unwrap().is_none(),
                "there after it was removed"
            );
        });
        touch.join().unwrap();
        remove.join().unwrap();
        assert_eq!(scene.engine.stats().unwrap().pending_touches, 0);
        scene.assert_tables_agree();
    });
}

#[test]
fn what_an_older_snapshot_held_never_hides_a_later_commit() {
    // The reader must fill the cache between two steps of the writer; few schedules do that.
    explore(5 * EXECUTIONS, || {
        // With `Deferred` the session would stay in the overlay.
        let scene = Scene::with(&RedbOptions::new().verify_on_open(false));
        // The session is in a snapshot but not in the cache, so that readers fill the cache from
        // the snapshot they happen to see.
        scene.engine.snapshot().unwrap();
        scene.engine.view.cache.invalidate_all(1);
        let write = scene.spawn(|engine| {
            for revision in 2..4 {
                let replaced = engine
                    .replace(
                        &key(1),
                        revision - 1,
                        record(revision),
                        Moment::BEGINNING,
                        Limits::NONE,
                    )
                    .unwrap();
                assert!(matches!(replaced, Replace::Done(_)));
                let reads = || engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().revision();
                assert_eq!(reads(), revision, "the writer reads its own write");
                // The session leaves the overlay, which would hide the cache's record.
                engine.snapshot().unwrap();
                assert_eq!(reads(), revision, "and does so from the cache or the snapshot");
            }
        });
        let reader = scene.spawn(|engine| {
            let mut last = 0;
            for _ in 0..3 {
                let read = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().revision();
                assert!(read >= last, "{read} was read after {last}");
                last = read;
            }
        });
        write.join().unwrap();
        reader.join().unwrap();
        assert_eq!(scene.engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().revision(), 3);
    });
}

#[test]
fn a_touch_is_seen_at_once_and_on_its_way_into_the_record() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let flush = scene.spawn(|engine| engine.flush().unwrap());
        let touch = scene.spawn(|engine| {
            for millis in [START + 1, START + 2] {
                assert!(touched(engine, &key(1), at(millis)));
                for _ in 0..2 {
                    let read = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
                    assert_eq!(read.last_active(), at(millis));
                }
            }
        });
        let list = scene.spawn(|engine| {
            let mut last = at(0);
            for _ in 0..2 {
                engine
                    .scan(None, &mut |_, record| {
                        let seen = record?.last_active();
                        assert!(seen >= last, "time went back");
                        last = seen;
                        Ok(ControlFlow::Continue(()))
                    })
                    .unwrap();
            }
        });
        for thread in [flush, touch, list] {
            thread.join().unwrap();
        }
        scene.engine.flush().unwrap();
        assert_eq!(scene.engine.stats().unwrap().pending_touches, 0);
        assert_eq!(
            scene.engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().last_active(),
            at(START + 2)
        );
    });
}

#[test]
fn closing_answers_every_waiter_and_keeps_what_was_acknowledged() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let writers = [2, 3, 4].map(|number| {
            scene.spawn(move |engine| {
                match engine.insert(&key(number), record(1), Moment::BEGINNING, Limits::NONE) {
                    Ok(outcome) => {
                        assert_eq!(outcome, Insert::Done(vec![]));
                        Some(number)
                    }
                    Err(Error::Closed) => None,
                    Err(other) => panic!("{other}"),
                }
            })
        });
        let close = scene.spawn(|engine| engine.close().unwrap());
        let inserted: Vec<_> =
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
        close.join().unwrap();
        let Scene { engine, folder } = scene;
        assert!(matches!(
            engine.insert(&key(5), record(1), Moment::BEGINNING, Limits::NONE),
            Err(Error::Closed)
        ));
        drop(engine);
        let engine = RedbEngine::open_with(path(&folder), &options()).unwrap();
        for number in &inserted {
            assert!(
                engine.load(&key(*number), Moment::BEGINNING).unwrap().is_some(),
                "acknowledged, and lost"
            );
        }
        assert_eq!(engine.count(moment_of(at(START))).unwrap(), inserted.len() as u64 + 1);
    });
}

#[test]
fn of_two_inserts_into_the_last_place_one_is_told_that_the_store_is_full() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let writers = [2, 3].map(|number| {
            scene.spawn(move |engine| {
                engine
                    .insert(
                        &key(number),
                        record(1),
                        Moment::BEGINNING,
                        Limits { max_sessions: 2, ..Limits::NONE },
                    )
                    .unwrap()
            })
        });
        let mut outcomes = writers.map(|writer| writer.join().unwrap());
        outcomes.sort_by_key(|outcome| *outcome == Insert::Full);
        assert_eq!(outcomes, [Insert::Done(vec![]), Insert::Full]);
    });
}

#[test]
fn a_key_that_comes_while_filters_are_built_is_found_afterwards() {
    explore(EXECUTIONS, || {
        // With `Deferred` nothing is published, and look-ups would find the key in the overlay,
        // before the filter.
        let scene = Scene::with(&RedbOptions::new().verify_on_open(false));
        // A step walks over two records, so each thread builds a filter in several steps.
        let flushes =
            [(); 2].map(|()| scene.spawn(|engine| (0..4).for_each(|_| engine.flush().unwrap())));
        let insert = scene.spawn(|engine| {
            for number in 2..6 {
                let inserted = engine
                    .insert(&key(number), record(1), Moment::BEGINNING, Limits::NONE)
                    .unwrap();
                assert_eq!(inserted, Insert::Done(vec![]));
                engine.snapshot().unwrap();
                assert!(
                    engine.load(&key(number), Moment::BEGINNING).unwrap().is_some(),
                    "acknowledged, and hidden"
                );
            }
        });
        flushes.into_iter().for_each(|flush| flush.join().unwrap());
        insert.join().unwrap();
        for _ in 0..4 {
            scene.engine.flush().unwrap();
            assert!((1..6).all(|number| scene.engine.view.filter.may_contain(&key(number))));
        }
        assert!(!scene.engine.view.filter.is_worn_out(), "one is in use");
    });
}

#[test]
fn an_extension_hands_out_no_older_record_than_was_seen_and_loses_no_touch() {
    explore(EXECUTIONS, || {
        // Nothing is kept in memory, so each extension reads the file, and other commits overtake
        // it.
        let scene = Scene::with(&options().record_cache(false));
        scene.engine.snapshot().unwrap();
        let write = scene.spawn(|engine| {
            for revision in 2..4 {
                let moment = moment_of(at(START));
                let replaced =
                    engine.replace(&key(1), revision - 1, record(revision), moment, Limits::NONE);
                assert!(matches!(replaced.unwrap(), Replace::Done(_)));
                engine.snapshot().unwrap();
            }
        });
        let extend = scene.spawn(|engine| {
            let mut last = 0;
            for millis in [START + 1, START + 2] {
                let moment = moment_of(at(millis));
                let record = engine.extend(&key(1), moment, Duration::ZERO).unwrap().unwrap();
                assert_eq!(record.last_active(), at(millis));
                assert!(record.revision() >= last, "time went back");
                last = record.revision();
            }
        });
        write.join().unwrap();
        extend.join().unwrap();
        let left = scene.engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
        assert_eq!((left.revision(), left.last_active()), (3, at(START + 2)));
        scene.assert_tables_agree();
    });
}

#[test]
fn a_session_that_is_removed_while_its_record_is_read_keeps_no_touch() {
    explore(EXECUTIONS, || {
        // Nothing is kept in memory, so each extension reads the file.
        let scene = Scene::with(&options().durability(Durability::Immediate).record_cache(false));
        scene.engine.snapshot().unwrap();
        let remove = scene.spawn(|engine| {
            assert!(engine.remove(&key(1), None, Moment::BEGINNING).unwrap().is_some());
            // From here on the snapshot alone knows that the session is gone.
            engine.snapshot().unwrap();
        });
        let extend = scene.spawn(|engine| {
            (1..=12).for_each(|millis| drop(touched(engine, &key(1), at(START + millis))));
        });
        remove.join().and_then(|()| extend.join()).unwrap();
        assert_eq!(scene.engine.view.touches.len(), 0);
    });
}
