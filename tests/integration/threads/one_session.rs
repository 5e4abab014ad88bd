//! Threads that extend, save, list and end the same sessions.

use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Clock, Error, SessionId, SessionStore, Timeouts};

use super::{INACTIVITY, MS, Sets, opened};
use crate::fixtures::on_every_engine;

on_every_engine! {
    once_destroyed_a_session_is_gone_for_every_thread
    of_a_regeneration_and_a_destruction_one_comes_first
    a_session_extended_while_it_is_swept_lives
    an_extended_session_is_counted_and_listed_while_its_touch_is_written
    no_touch_is_lost_to_a_flush
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
    for round in 0_u32..500 {
        // More rounds where one side was always first; each gives a sweep that was not more time.
        let more = round.saturating_sub(24);
        if more > 0 && lived > 0 && went > 0 {
            break;
        }
        let later = Duration::from_micros(if went == 0 { 20 * u64::from(more) } else { 0 });
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
                        thread::sleep(later);
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
