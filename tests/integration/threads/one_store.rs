//! Threads that share a store: panics, its closing, its last handle, and a storm of writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Error, Session, SessionId, SessionStore};

use super::{MS, Sets, opened};
use crate::fixtures::on_every_engine;

const HOUR: Duration = Duration::from_secs(3_600);

on_every_engine! {
    a_thread_that_panics_in_a_closure_holds_up_nobody
    closing_answers_every_caller
    dropping_handles_in_many_threads_closes_the_store_once
    a_storm_of_writes_with_readers_keeps_the_file_bounded
}

fn a_thread_that_panics_in_a_closure_holds_up_nobody<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = opened(&fixture, &clock);
    let session = store.create(0).unwrap();
    let id = session.id();
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for count in 0..25 {
                    let change = |session: &mut Session<u64>| {
                        *session.content_mut() += 1;
                        if count % 5 == thread {
                            std::panic::resume_unwind(Box::new("on purpose"));
                        }
                    };
                    let result = catch_unwind(AssertUnwindSafe(|| store.modify(id, change)));
                    match count % 5 == thread {
                        true => assert!(result.is_err()),
                        false => assert!(result.unwrap().unwrap().is_some()),
                    }
                }
            });
        }
    });
    assert_eq!(*store.read(id).unwrap().unwrap().content(), 4 * 20);
    store.close().unwrap();
    assert_eq!(*opened(&fixture, &clock).read(id).unwrap().unwrap().content(), 4 * 20);
}

fn closing_answers_every_caller<F: EngineFixture>() {
    const CALLERS: usize = 6;
    for _ in 0..8 {
        let (fixture, clock) = (F::new(), ManualClock::new());
        let store = opened(&fixture, &clock);
        let counter = store.create(0).unwrap();
        let start = Barrier::new(CALLERS + 1);
        let made = thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (store, start, id) = (store.clone(), &start, counter.id());
                    scope.spawn(move || {
                        start.wait();
                        let mut made = Vec::new();
                        let result = loop {
                            let result = match caller % 3 {
                                0 => store.create(1).map(|session| made.push(session.id().clone())),
                                1 => store.modify(id, |s| *s.content_mut() += 1).map(drop),
                                _ => store.read_and_extend(id).map(drop),
                            };
                            if let Err(error) = result {
                                break error;
                            }
                        };
                        assert!(matches!(result, Error::Closed), "{result:?}");
                        made
                    })
                })
                .collect();
            start.wait();
            for _ in 0..3 {
                store.create(2).unwrap();
            }
            store.close().unwrap();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
        });
        let store = opened(&fixture, &clock);
        for id in &made {
            assert!(store.read(id).unwrap().is_some(), "acknowledged, and lost");
        }
        assert!(store.len().unwrap() >= made.len() as u64 + 4);
    }
}

fn dropping_handles_in_many_threads_closes_the_store_once<F: EngineFixture>() {
    // With intervals that never pass, changes in memory are left to the last handle.
    for interval in [MS, MS, MS, HOUR, HOUR] {
        let (fixture, clock) = (F::new(), ManualClock::new());
        let store = SessionStore::<u64>::builder()
            .engine(fixture.open())
            .clock(clock.clone())
            .touch_interval(interval)
            .sweep_interval(interval)
            .build()
            .unwrap();
        let threads: Vec<_> = (0..6)
            .map(|number| {
                let (store, clock) = (store.clone(), clock.clone());
                thread::Builder::new().spawn(move || {
                    let session = store.create(number).unwrap();
                    clock.advance(MS);
                    assert!(store.extend_lifetime(session.id()).unwrap());
                    session.id().clone()
                })
            })
            .collect();
        drop(store);
        let ids: Vec<_> =
            threads.into_iter().map(|thread| thread.unwrap().join().unwrap()).collect();
        let store = opened(&fixture, &clock);
        assert_eq!(store.len().unwrap(), 6);
        for id in &ids {
            let session = store.read(id).unwrap().unwrap();
            assert!(session.last_active() > session.created_at(), "a touch is lost");
        }
    }
}

fn a_storm_of_writes_with_readers_keeps_the_file_bounded<F: EngineFixture>() {
    const SESSIONS: u64 = 40;
    const WRITES: u64 = 600;
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store: SessionStore<Vec<u8>> = SessionStore::builder()
        .engine(fixture.open())
        .clock(clock.clone())
        .manual_maintenance()
        .build()
        .unwrap();
    let ids: Vec<_> = (0..SESSIONS)
        .map(|_| store.create_for_user("ann", vec![0; 4_096]).unwrap().id().clone())
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..3 {
            let (store, ids, over) = (&store, &ids, &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    // There may be only two cores, and the test needs the writer to run.
                    thread::yield_now();
                    match reader {
                        0 => assert!(ids.iter().all(|id| store.read(id).unwrap().is_some())),
                        1 => assert_eq!(store.for_each(|_, _| ()).unwrap(), SESSIONS),
                        _ => assert_eq!(store.sessions_of("ann").unwrap().len() as u64, SESSIONS),
                    }
                }
            });
        }
        let _over = Sets(&over);
        for write in 0..WRITES {
            let id = &ids[(write % SESSIONS) as usize];
            store.modify(id, |session| session.content_mut()[0] = write as u8).unwrap().unwrap();
        }
    });
    store.flush().unwrap();
    // 160 KiB of sessions. Every write rewrote pages of 4 KiB, all of which would be kept if a
    // reader held a snapshot.
    if let Some(bytes) = store.stats().unwrap().file_bytes {
        assert!(bytes < 4 * 1024 * 1024, "{bytes} bytes");
    }
}

#[test]
fn ids_drawn_in_many_threads_never_repeat() {
    const THREADS: usize = 8;
    const EACH: usize = 15_000;
    let draw = || (0..EACH).map(|_| SessionId::generate().unwrap().encode()).collect::<Vec<_>>();
    let mut ids: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), THREADS * EACH);
}
