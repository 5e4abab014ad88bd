//! The log is checkpointed into the database while others write: a crash or a failing disk at any
//! moment of it.
//!
//! One thread writes until it checkpoints, and is held at its sync. Meanwhile another thread
//! continues to write. Each notes after a call the number of operations of the disk. So the order
//! of acknowledgements is known without a clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sessile::engine::Engine;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Error, RedbEngine, Session, SessionKey, SessionStore};

use super::opened::options;
use super::{DURABILITIES, share_of};

type Store = SessionStore<String>;

/// An acknowledged content, and the number of operations before it; `None` for a removal.
type Note = (u64, Option<String>);

/// All acknowledged changes, by key.
#[derive(Default)]
struct Notes(Mutex<BTreeMap<SessionKey, Vec<Note>>>);

impl Notes {
    fn note(&self, disk: &SimulatedDisk, key: SessionKey, content: Option<&str>) {
        let note = (disk.operations(), content.map(str::to_owned));
        self.0.lock().unwrap().entry(key).or_default().push(note);
    }

    /// Checks each session: the last change acknowledged within the first `operations` is there, or
    /// a later one that may have been under way.
    fn check(&self, found: &BTreeMap<SessionKey, String>, operations: u64, what: &str) {
        for (key, notes) in self.0.lock().unwrap().iter() {
            let found = found.get(key);
            let before = notes.iter().rposition(|(at, _)| *at <= operations);
            let possible = &notes[before.unwrap_or(0)..];
            let agrees = possible.iter().any(|(_, content)| content.as_ref() == found)
                || (before.is_none() && found.is_none());
            assert!(agrees, "{what} at {operations}: {key} is {found:?}, and not in {possible:?}");
        }
    }
}

fn engine_on(disk: &SimulatedDisk) -> Arc<RedbEngine> {
    Arc::new(RedbEngine::open_on(disk, &options(DURABILITIES[0])).unwrap())
}

fn store_on(engine: &Arc<RedbEngine>) -> Store {
    Store::builder().engine(Arc::clone(engine)).manual_maintenance().build().unwrap()
}

fn listed(store: &Store) -> BTreeMap<SessionKey, String> {
    let mut listed = BTreeMap::new();
    store.for_each(|info, content| drop(listed.insert(info.key(), content.clone()))).unwrap();
    listed
}

fn create(disk: &SimulatedDisk, store: &Store, notes: &Notes, content: &str) -> Session<String> {
    let session = store.create_for_user("ann", content.to_owned()).unwrap();
    notes.note(disk, session.key(), Some(content));
    session
}

/// Runs `meanwhile` while another thread's checkpoint of the log waits for its sync.
fn during_a_checkpoint<T>(
    disk: &SimulatedDisk,
    store: &Store,
    notes: &Notes,
    meanwhile: impl FnOnce() -> T,
) -> T {
    let over = AtomicBool::new(false);
    let held = disk.hold_file_syncs();
    thread::scope(|scope| {
        scope.spawn(|| {
            // With such a small cache a checkpoint is due after 64 changes at the latest. The call
            // that checkpoints returns once the sync is released.
            let mut number = 0;
            while !over.load(Ordering::Acquire) && number < 64 {
                let content = format!("before {number}");
                // If the disk fails, it may be this call that gets the error.
                let Ok(session) = store.create_for_user("ann", content.clone()) else { return };
                notes.note(disk, session.key(), Some(&content));
                number += 1;
            }
        });
        disk.wait_for_held_sync();
        let result = meanwhile();
        over.store(true, Ordering::Release);
        drop(held);
        result
    })
}

/// A store with a log, whose file has room for the later writes. So neither the file grows nor the
/// log moves, for which writers would have to wait.
fn roomy(disk: &SimulatedDisk, notes: &Notes) -> Store {
    let store = store_on(&engine_on(disk));
    for _ in 0..600 {
        store.create_for_user("bob", "room".into()).unwrap();
    }
    store.destroy_all_of("bob").unwrap();
    store.flush().unwrap();
    create(disk, &store, notes, "the log is there");
    store
}

/// Three checkpoints, with all kinds of writes during each of them.
fn record() -> (SimulatedDisk, Notes, u64) {
    let (disk, notes) = (SimulatedDisk::new(), Notes::default());
    let store = roomy(&disk, &notes);
    let begin = disk.operations();
    for round in 0..3 {
        let mut sessions: Vec<_> = (0..3).map(|_| create(&disk, &store, &notes, "old")).collect();
        during_a_checkpoint(&disk, &store, &notes, || {
            let checkpointing = disk.operations();
            for number in 0..12 {
                create(&disk, &store, &notes, &format!("meanwhile {round} {number}"));
            }
            *sessions[0].content_mut() = "new".into();
            store.update(&mut sessions[0]).unwrap();
            notes.note(&disk, sessions[0].key(), Some("new"));
            assert!(store.destroy(sessions[1].id()).unwrap());
            notes.note(&disk, sessions[1].key(), None);
            let old = sessions[2].key();
            store.regenerate_id(&mut sessions[2]).unwrap();
            notes.note(&disk, old, None);
            notes.note(&disk, sessions[2].key(), Some("old"));
            assert!(
                disk.operations() > checkpointing,
                "it was acknowledged while the checkpoint was held up"
            );
            notes.check(&listed(&store), disk.operations(), "a listing");
        });
    }
    notes.check(&listed(&store), disk.operations(), "a listing");
    (disk, notes, begin)
}

#[test]
fn what_is_acknowledged_during_a_checkpoint_survives_a_crash_at_any_operation() {
    let (disk, notes, begin) = record();
    for operation in share_of(begin..=disk.operations(), 0) {
        let crashes = [
            ("power lost", disk.after_power_loss(operation, operation)),
            ("killed", disk.after_kill(operation, operation)),
        ];
        for (what, crashed) in crashes {
            let engine = engine_on(&crashed);
            notes.check(&listed(&store_on(&engine)), operation, what);
            assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn a_second_crash_while_what_was_logged_during_a_checkpoint_is_checkpointed_loses_nothing() {
    let (disk, notes, begin) = record();
    let last = disk.operations();
    for sample in 0..12 {
        let operation = begin + (last - begin) * sample / 11;
        let crashed = disk.after_power_loss(operation, sample);
        engine_on(&crashed).close().unwrap();
        for second in (0..=crashed.operations()).step_by(3) {
            let again = crashed.after_power_loss(second, sample + second);
            let engine = engine_on(&again);
            notes.check(&listed(&store_on(&engine)), operation, "crashed twice");
            assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
        }
    }
}

#[test]
fn whichever_of_two_syncs_at_once_fails_nothing_acknowledged_is_lost() {
    for seed in 0..40 {
        let (disk, notes) = (SimulatedDisk::new(), Notes::default());
        let store = roomy(&disk, &notes);
        let mut refused = None;
        during_a_checkpoint(&disk, &store, &notes, || {
            create(&disk, &store, &notes, "before it fails");
            disk.fail_once(DiskFault::Sync, 0);
            if seed % 4 == 0 {
                // The checkpoint's sync is the one that fails.
                let before = disk.operations();
                disk.release_syncs();
                while disk.operations() == before {
                    thread::yield_now();
                }
            }
            refused = thread::scope(|scope| {
                let writes = scope.spawn(|| {
                    (0..20).find_map(|number: u32| {
                        let content = number.to_string();
                        match store.create(content.clone()) {
                            Ok(session) => notes.note(&disk, session.key(), Some(&content)),
                            Err(error) => return Some(error),
                        }
                        thread::yield_now();
                        None
                    })
                });
                // Sooner or later the checkpoint's sync is released, and is the first or the second
                // sync.
                for _ in 0..seed * 25 {
                    thread::yield_now();
                }
                disk.release_syncs();
                writes.join().unwrap()
            });
        });
        let error = refused.or_else(|| store.create("after".into()).err());
        assert!(
            matches!(error, Some(Error::OutcomeUnknown { .. } | Error::Io { .. })),
            "seed {seed}: {error:?}"
        );
        assert!(store.create("after".into()).is_err(), "nothing is acknowledged any more");
        let last = disk.operations();
        let crashed = disk.after_power_loss(last, seed);
        notes.check(&listed(&store_on(&engine_on(&crashed))), last, "power lost");
        drop(store);
        notes.check(&listed(&store_on(&engine_on(&disk))), last, "opened again");
    }
}
