//! Many threads on one store.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::engine::limits::UserLimit;
use crate::error::Error;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

pub fn a_read_that_begins_after_a_write_returned_sees_it<F: EngineFixture>() {
    const ROUNDS: u64 = 200;
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 0);
    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                store.modify(session.id(), |session| *session.content_mut() = round).unwrap();
                acknowledged.store(round, Ordering::SeqCst);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < ROUNDS {
                    let floor = acknowledged.load(Ordering::SeqCst);
                    let read = *stored(&store, session.id()).content();
                    assert!(read >= floor && read >= last, "{read} after {floor} and {last}");
                    last = read;
                }
            });
        }
    });
}

pub fn every_thread_sees_a_created_and_a_destroyed_session_at_once<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for number in 0..50 {
        let session = created_for(&store, number, number);
        let elsewhere = |check: &(dyn Fn() + Sync)| thread::scope(|scope| drop(scope.spawn(check)));
        elsewhere(&|| {
            assert!(store.read(session.id()).unwrap().is_some());
            assert_eq!((listed(&store, number).len(), store.len().unwrap()), (1, 1));
        });
        assert!(store.destroy(session.id()).unwrap());
        elsewhere(&|| {
            assert!(store.read(session.id()).unwrap().is_none());
            assert_eq!((listed(&store, number).len(), store.len().unwrap()), (0, 0));
        });
    }
}

pub fn threads_that_count_through_modify_lose_no_count<F: EngineFixture>() {
    const THREADS: u64 = 8;
    const COUNTS: u64 = 40;
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..COUNTS {
                    let id = session.id();
                    store.modify(id, |session| *session.content_mut() += 1).unwrap().unwrap();
                }
            });
        }
    });
    assert_eq!(*stored(&store, session.id()).content(), THREADS * COUNTS);
}

pub fn of_many_updates_of_one_revision_one_is_saved<F: EngineFixture>() {
    const THREADS: u64 = 8;
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for _ in 0..20 {
        let session = created(&store, 0);
        let (start, saved) = (Barrier::new(THREADS as usize), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 1..=THREADS {
                let (store, start, saved) = (&store, &start, &saved);
                let mut session = session.clone();
                scope.spawn(move || {
                    *session.content_mut() = thread;
                    start.wait();
                    match store.update(&mut session) {
                        Ok(()) => assert_eq!(saved.fetch_add(thread, Ordering::SeqCst), 0),
                        other => assert_conflict(other),
                    }
                });
            }
        });
        assert_eq!(*stored(&store, session.id()).content(), saved.into_inner());
    }
}

pub fn of_many_regenerations_one_wins<F: EngineFixture>() {
    const THREADS: usize = 4;
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for round in 1..=20 {
        let session = created_for(&store, "ann", round);
        let start = Barrier::new(THREADS);
        let winners: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (store, start) = (&store, &start);
                    let mut session = session.clone();
                    scope.spawn(move || {
                        start.wait();
                        match store.regenerate_id(&mut session) {
                            Ok(()) => Some(session),
                            Err(Error::Gone { .. }) => None,
                            Err(other) => panic!("{other}"),
                        }
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1);
        assert!(store.read(session.id()).unwrap().is_none());
        assert_eq!(*stored(&store, winners[0].id()).content(), round);
        assert_eq!(store.len().unwrap(), round);
    }
}

pub fn creation_stops_at_max_sessions_however_many_ask<F: EngineFixture>() {
    const THREADS: u64 = 8;
    const MAX: u64 = 25;
    let setup = Setup::<F>::new();
    let store = setup.builder::<u64>().max_sessions(MAX).build().unwrap();
    let made = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..MAX {
                    match store.create(0) {
                        Ok(_) => drop(made.fetch_add(1, Ordering::SeqCst)),
                        Err(Error::Full { max: MAX }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert_eq!((made.into_inner(), store.len().unwrap()), (MAX, MAX));
}

pub fn no_number_of_threads_gets_a_user_past_their_limit<F: EngineFixture>() {
    const MAX: u64 = 5;
    for policy in [UserLimit::Refuse, UserLimit::EndLeastRecentlyActive] {
        let setup = Setup::<F>::new();
        let store = setup.builder::<u64>().max_sessions_per_user(MAX, policy).build().unwrap();
        let start = Barrier::new(32);
        let created: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..32)
                .map(|number| {
                    let (store, start) = (&store, &start);
                    scope.spawn(move || {
                        start.wait();
                        let mut created = 0;
                        for _ in 0..4 {
                            // Half of them log in to a session that had no user.
                            let result = match number % 2 {
                                0 => store.create_for_user("ann", number).map(drop),
                                _ => {
                                    let mut session = store.create(number).unwrap();
                                    session.set_user("ann");
                                    store.regenerate_id(&mut session)
                                }
                            };
                            assert!(listed(store, "ann").len() as u64 <= MAX);
                            match result {
                                Ok(()) => created += 1,
                                Err(Error::UserFull { max: MAX }) => {}
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                        created
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(listed(&store, "ann").len() as u64, MAX);
        let expected = if policy == UserLimit::Refuse { MAX } else { 32 * 4 };
        assert_eq!(created, expected, "{policy:?}");
    }
}
