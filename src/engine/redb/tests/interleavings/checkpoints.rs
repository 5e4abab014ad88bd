//! Running checkpoints. With durability `Immediate` the tables follow the log. In this build the
//! log takes two changes before a checkpoint is due, and four at the most. So threads run
//! checkpoints, wait for checkpoints, and continue meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use shuttle::thread;

use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Rekey, Replace};
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::tests::interleavings::engine::{
    EXECUTIONS, at, folder, key, moment_of, new_file, path, record, record_for, touched,
};
use crate::engine::redb::tests::interleavings::explore;
use crate::key::SessionKey;
use crate::sync::atomic::Ordering;
use crate::testing::SimulatedDisk;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

fn options() -> RedbOptions {
    RedbOptions::new().verify_on_open(false)
}

/// Runs threads on a new file with a session under key 1. Each thread returns the revisions of the
/// sessions that must exist at the end, and `None` for those that must not. Afterwards the store
/// agrees, its tables agree with one another, and so does the file that a killed process would
/// leave, once it is reopened.
fn run(threads: &[fn(&RedbEngine) -> BTreeMap<u8, Option<u64>>]) {
    let folder = folder();
    new_file(&path(&folder));
    let engine = Arc::new(RedbEngine::open_with(path(&folder), &options()).unwrap());
    assert_eq!(
        engine.insert(&key(1), record(1), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    let running: Vec<_> = threads
        .iter()
        .map(|act| {
            let (act, engine) = (*act, Arc::clone(&engine));
            thread::spawn(move || act(&engine))
        })
        .collect();
    let mut told = BTreeMap::new();
    for thread in running {
        told.extend(thread.join().unwrap());
    }
    let compare = |engine: &RedbEngine| {
        for (number, revision) in &told {
            let found = engine
                .load(&key(*number), Moment::BEGINNING)
                .unwrap()
                .map(|record| record.revision());
            assert_eq!(found, *revision, "{number}");
        }
        let there = told.values().filter(|revision| revision.is_some()).count() as u64;
        assert_eq!(engine.count(moment_of(at(1_000))).unwrap(), there);
        assert_eq!(engine.stats().unwrap().stored, there);
        let mut listed = 0;
        engine
            .scan(None, &mut |_, _| {
                listed += 1;
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(listed, there);
    };
    compare(&engine);
    let killed = folder.path().join("killed.redb");
    std::fs::copy(path(&folder), &killed).unwrap();
    compare(&RedbEngine::open_with(&killed, &options()).unwrap());
    assert!(engine.disagreements().unwrap().is_empty());
    engine.close().unwrap();
    compare(&RedbEngine::open_with(path(&folder), &options()).unwrap());
}

fn insert(engine: &RedbEngine, number: u8) {
    assert_eq!(
        engine.insert(&key(number), record(1), Moment::BEGINNING, Limits::NONE).unwrap(),
        Insert::Done(vec![])
    );
    assert!(
        engine.load(&key(number), Moment::BEGINNING).unwrap().is_some(),
        "acknowledged, and not found"
    );
}

fn inserts_two(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    [10, 11].map(|number| insert(engine, number));
    [(10, Some(1)), (11, Some(1))].into()
}

fn inserts_two_more(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    [20, 21].map(|number| insert(engine, number));
    [(20, Some(1)), (21, Some(1))].into()
}

fn inserts_and_removes(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    insert(engine, 30);
    assert!(engine.remove(&key(30), None, Moment::BEGINNING).unwrap().is_some());
    assert!(engine.load(&key(30), Moment::BEGINNING).unwrap().is_none(), "gone, and found");
    [(30, None)].into()
}

fn replaces(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    for revision in 2..4 {
        let replaced = engine.replace(
            &key(1),
            revision - 1,
            record(revision),
            Moment::BEGINNING,
            Limits::NONE,
        );
        assert!(matches!(replaced.unwrap(), Replace::Done(_)));
        assert_eq!(engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().revision(), revision);
    }
    [(1, Some(3))].into()
}

fn reads(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    let mut last = 0;
    for _ in 0..4 {
        let read = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().revision();
        assert!(read >= last, "{read} was read after {last}");
        last = read;
    }
    BTreeMap::new()
}

fn touches(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    assert!(touched(engine, &key(1), at(1_001)));
    engine.flush().unwrap();
    assert_eq!(engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap().last_active(), at(1_001));
    BTreeMap::new()
}

/// Sweeps, one session a step, sessions that expire before all others.
fn sweeps(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    let own = OwnTimeouts { inactivity_ms: Some(1), ..OwnTimeouts::default() };
    for number in 40..43 {
        let inserted =
            engine.insert(&key(number), record_for(1, own), Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    let mut removed = 0;
    loop {
        let step = engine.remove_expired(moment_of(at(1_001)), 1).unwrap();
        removed += step.removed.len();
        if !step.more {
            break;
        }
    }
    assert_eq!(removed, 3, "some were not found");
    (40..43).map(|number| (number, None)).collect()
}

fn lists(engine: &RedbEngine) -> BTreeMap<u8, Option<u64>> {
    let mut seen = 0;
    for _ in 0..2 {
        let mut listed = Vec::new();
        engine
            .scan(None, &mut |key, record| {
                listed.push((key, record?.revision()));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert!(listed.is_sorted_by_key(|(key, _)| *key), "not in order");
        let (_, revision) = listed.iter().find(|(listed, _)| *listed == key(1)).unwrap();
        assert!(*revision >= seen, "a later listing shows an older session");
        seen = *revision;
    }
    BTreeMap::new()
}

#[test]
fn what_is_acknowledged_while_the_log_is_checkpointed_is_in_the_store_and_in_the_file() {
    explore(EXECUTIONS, || run(&[inserts_two, inserts_two_more, inserts_and_removes, replaces]));
}

#[test]
fn readers_and_listings_never_go_back_while_the_log_is_checkpointed() {
    explore(EXECUTIONS, || run(&[inserts_two, replaces, reads, lists]));
}

#[test]
fn touches_are_flushed_between_checkpoints() {
    explore(EXECUTIONS, || run(&[inserts_two, replaces, touches, inserts_and_removes]));
}

#[test]
fn a_sweep_finds_every_expired_session_while_the_log_is_checkpointed() {
    explore(EXECUTIONS, || run(&[inserts_two, replaces, sweeps]));
}

/// Runs one thread that writes beside one that lists and compares the count, on three sessions.
fn list_beside(write: fn(&RedbEngine), may_be_seen: fn(&[SessionKey]) -> bool) {
    let folder = folder();
    new_file(&path(&folder));
    let engine = Arc::new(RedbEngine::open_with(path(&folder), &options()).unwrap());
    (1..=3).for_each(|number| insert(&engine, number));
    let writer = {
        let engine = Arc::clone(&engine);
        thread::spawn(move || write(&engine))
    };
    for _ in 0..3 {
        let mut listed = Vec::new();
        let listing = engine.as_of_now().unwrap();
        for entry in listing.records_after(None).unwrap() {
            listed.push(entry.unwrap().0);
        }
        assert!(may_be_seen(&listed), "{listed:?}");
        assert_eq!(listing.stored(), listed.len() as u64, "{listed:?}");
    }
    writer.join().unwrap();
    engine.close().unwrap();
}

#[test]
fn a_listing_sees_all_of_a_commit_or_nothing_of_it_and_the_count_that_goes_with_it() {
    explore(EXECUTIONS, || {
        let moves = |engine: &RedbEngine| {
            for number in 3..6 {
                let (old, new) = (key(number), key(number + 1));
                let rekeyed = engine
                    .rekey(&old, &new, 1, record(1), Moment::BEGINNING, Limits::NONE)
                    .unwrap();
                assert!(matches!(rekeyed, Rekey::Done(_)));
            }
        };
        list_beside(moves, |listed| listed.len() == 3);
    });
    explore(EXECUTIONS, || {
        let clears = |engine: &RedbEngine| engine.clear().unwrap();
        list_beside(clears, |listed| matches!(listed.len(), 0 | 3));
    });
}

/// The tables have the session, and the log its removal. Only the overlay hides the session.
#[test]
fn what_was_removed_stays_gone_while_the_file_is_opened_again() {
    explore(EXECUTIONS, || {
        let disk = SimulatedDisk::new();
        let open = || RedbEngine::open_on(&disk, &options()).unwrap();
        let engine = open();
        insert(&engine, 1);
        engine.close().unwrap();
        let engine = Arc::new(open());
        assert!(engine.remove(&key(1), None, Moment::BEGINNING).unwrap().is_some());
        let looking = {
            let engine = Arc::clone(&engine);
            thread::spawn(move || {
                assert_eq!(engine.load(&key(1), Moment::BEGINNING).unwrap(), None);
                assert!(!touched(&engine, &key(1), at(1_001)));
            })
        };
        let reopening = {
            let engine = Arc::clone(&engine);
            thread::spawn(move || {
                engine.view.handle_lost.store(true, Ordering::Release);
                engine.reopen_if_lost().unwrap();
            })
        };
        looking.join().unwrap();
        reopening.join().unwrap();
    });
}
