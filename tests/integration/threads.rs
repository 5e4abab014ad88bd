//! Concurrent threads. Each case runs on the memory engine and on redb.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Clock, Error, Session, SessionId, SessionStore, Timeouts};

use crate::fixtures::on_every_engine;

const INACTIVITY: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

on_every_engine! {
    once_destroyed_a_session_is_gone_for_every_thread
    of_a_regeneration_and_a_destruction_one_comes_first
    a_session_extended_while_it_is_swept_lives
    an_extended_session_is_counted_and_listed_while_its_touch_is_written
    no_touch_is_lost_to_a_flush
    a_thread_that_panics_in_a_closure_holds_up_nobody
    closing_answers_every_caller
    dropping_handles_in_many_threads_closes_the_store_once
    a_storm_of_writes_with_readers_keeps_the_file_bounded
}

fn opened<F: EngineFixture>(fixture: &F, clock: &ManualClock) -> SessionStore<u64> {
    SessionStore::builder()
        .engine(fixture.open())
        .clock(clock.clone())
        .timeouts(Timeouts::new(INACTIVITY, 1_000 * INACTIVITY).unwrap())
        .manual_maintenance()
        .build()
        .unwrap()
}

/// Sets a flag when dropped, so that a panicking thread stops the others too.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn once_destroyed_a_session_is_gone_for_every_thread<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = opened(&fixture, &clock);
    for round in 0..30 {
        let session = store.create_for_user("ann", round).unwrap();
        let id = session.id();
        let destroyed = AtomicBool::new(false);
        let start = Barrier::new(5);
        // Calls until the answer is that the session is gone; once it is destroyed, that must be
        // the answer.
        let until_gone = |ask: &mut dyn FnMut() -> bool| {
            start.wait();
            loop {
                let was_destroyed = destroyed.load(Ordering::SeqCst);
                let found = ask();
                assert!(!(found && was_destroyed), "found after it was destroyed");
                if !found {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| until_gone(&mut || store.extend_lifetime(id).unwrap()));
            scope.spawn(|| until_gone(&mut || store.read_and_extend(id).unwrap().is_some()));
            scope.spawn(|| {
                until_gone(&mut || store.modify(id, |s| *s.content_mut() += 1).unwrap().is_some());
            });
            scope.spawn(|| {
                let mut handle = session.clone();
                until_gone(&mut || match store.update(&mut handle) {
                    Err(Error::Gone { .. }) => false,
                    Ok(()) => true,
                    Err(Error::Conflict { .. }) => {
                        if let Some(fresh) = store.read(id).unwrap() {
                            handle = fresh;
                        }
                        true
                    }
                    Err(other) => panic!("{other}"),
                });
            });
            start.wait();
            assert!(store.destroy(id).unwrap());
            destroyed.store(true, Ordering::SeqCst);
        });
        store.flush().unwrap();
        assert!(store.read(id).unwrap().is_none());
        assert_eq!(store.sessions_of("ann").unwrap(), []);
        assert_eq!(store.stats().unwrap().pending_touches, 0);
    }
    assert_eq!(store.len().unwrap(), 0);
}

fn of_a_regeneration_and_a_destruction_one_comes_first<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = opened(&fixture, &clock);
    for round in 0..40 {
        let before = store.create_for_user("ann", round).unwrap();
        let mut session = before.clone();
        let start = Barrier::new(2);
        let (regenerated, destroyed) = thread::scope(|scope| {
            let regeneration = scope.spawn(|| {
                start.wait();
                store.regenerate_id(&mut session)
            });
            start.wait();
            let destroyed = store.destroy(before.id()).unwrap();
            (regeneration.join().unwrap(), destroyed)
        });
        match regenerated {
            Ok(()) => assert!(!destroyed, "there was no session under the old id any more"),
            Err(Error::Gone { .. }) => assert!(destroyed),
            Err(other) => panic!("{other}"),
        }
        assert!(store.read(before.id()).unwrap().is_none());
        assert_eq!(store.destroy_all_of("ann").unwrap(), u64::from(!destroyed));
    }
}

thread_local! {
    /// The time that this thread read before it was delayed, if it was.
    static ASKED_AT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A clock whose answer may reach a thread late, as with any clock.
#[derive(Clone, Debug)]
struct LateForSome(ManualClock);

impl Clock for LateForSome {
    fn now(&self) -> SystemTime {
        match ASKED_AT.get() {
            Some(millis) => UNIX_EPOCH + Duration::from_millis(millis),
            None => self.0.now(),
        }
    }
}

/// Sessions at their deadline. Two threads extend them, by a time one millisecond before the
/// deadline, while another thread sweeps. Each session must be extended or swept, and the extending
/// callers must be told which.
fn a_session_extended_while_it_is_swept_lives<F: EngineFixture>() {
    const SESSIONS: usize = 200;
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = SessionStore::<u64>::builder()
        .engine(fixture.open())
        .clock(LateForSome(clock.clone()))
        .timeouts(Timeouts::new(INACTIVITY, 1_000 * INACTIVITY).unwrap())
        .manual_maintenance()
        .build()
        .unwrap();
    let (mut lived, mut went) = (0, 0);
    for round in 0..25 {
        let ids: Vec<SessionId> = thread::scope(|scope| {
            let make = || (0..SESSIONS / 50).map(|_| store.create(0).unwrap().id().clone());
            let makers: Vec<_> =
                (0..50).map(|_| scope.spawn(move || make().collect::<Vec<_>>())).collect();
            makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
        });
        clock.advance(INACTIVITY);
        let just_before = clock.millis() - 1;
        let start = Barrier::new(3);
        let answers: Vec<(SessionId, bool)> = thread::scope(|scope| {
            let extenders: Vec<_> = ids
                .chunks(SESSIONS / 2)
                .map(|ids| {
                    let (store, start) = (&store, &start);
                    scope.spawn(move || {
                        ASKED_AT.set(Some(just_before));
                        start.wait();
                        let extend = |id: &SessionId| match round % 2 {
                            0 => store.extend_lifetime(id).unwrap(),
                            _ => store.read_and_extend(id).unwrap().is_some(),
                        };
                        ids.iter().map(|id| (id.clone(), extend(id))).collect::<Vec<_>>()
                    })
                })
                .collect();
            start.wait();
            for _ in 0..3 {
                store.clean_up_expired().unwrap();
            }
            extenders.into_iter().flat_map(|extender| extender.join().unwrap()).collect()
        });
        for sweep in [false, true] {
            if sweep {
                store.clean_up_expired().unwrap();
            }
            for (id, extended) in &answers {
                assert_eq!(store.read(id).unwrap().is_some(), *extended, "swept: {sweep}");
            }
        }
        let alive = answers.iter().filter(|(_, extended)| *extended).count();
        assert_eq!(store.len().unwrap(), alive as u64);
        lived += alive;
        went += SESSIONS - alive;
        store.clear().unwrap();
    }
    assert!(lived > 0 && went > 0, "neither side was always first: {lived} and {went}");
}

fn an_extended_session_is_counted_and_listed_while_its_touch_is_written<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = opened(&fixture, &clock);
    let sessions: Vec<_> = (0..8).map(|n| store.create_for_user("ann", n).unwrap()).collect();
    for _ in 0..100 {
        clock.advance(INACTIVITY - 2 * MS);
        for session in &sessions {
            assert!(store.extend_lifetime(session.id()).unwrap());
        }
        clock.advance(MS);
        let written = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _written = Sets(&written);
                store.flush().unwrap();
            });
            let mut last_look = false;
            while !last_look {
                last_look = written.load(Ordering::SeqCst);
                assert_eq!(store.len().unwrap(), 8);
                assert_eq!(store.sessions_of("ann").unwrap().len(), 8);
                assert_eq!(store.for_each(|_, _| ()).unwrap(), 8);
            }
        });
    }
}

/// A touch moves from memory into the record at some moment; a reader must always see it.
fn no_touch_is_lost_to_a_flush<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = opened(&fixture, &clock);
    let session = store.create(0).unwrap();
    let id = session.id();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                store.flush().unwrap();
            }
        });
        let _over = Sets(&over);
        for _ in 0..1_000 {
            clock.advance(MS);
            assert!(store.extend_lifetime(id).unwrap());
            for _ in 0..20 {
                let read = store.read(id).unwrap().unwrap();
                assert_eq!(read.last_active(), clock.now());
            }
        }
    });
    let last_active = clock.now();
    store.close().unwrap();
    let store = opened(&fixture, &clock);
    assert_eq!(store.read(id).unwrap().unwrap().last_active(), last_active);
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
