//! The events of sessions: their beginnings, ends, conflicts and damage.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine, Moment, Record};
use sessile::testing::ManualClock;
use sessile::{
    EndReason, Error, Event, Result, SessionKey, SessionOptions, SessionStore, UserLimit,
};

use super::{taken, telling};

#[test]
fn every_beginning_and_every_end_is_told_with_its_reason() {
    let (told, observer) = telling();
    let clock = ManualClock::new();
    let store = SessionStore::<u32>::builder()
        .manual_maintenance()
        .clock(clock.clone())
        .max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive)
        .observer(observer)
        .in_memory()
        .unwrap();
    let ended = |reason: EndReason| -> Vec<SessionKey> {
        let events = taken(&told);
        let keys = events.iter().map(|event| match event {
            Event::Ended { key, reason: found, .. } if *found == reason => *key,
            other => panic!("{other:?} is no end for {reason:?}"),
        });
        keys.collect()
    };

    let mut session = store.create_for_user("ann", 1).unwrap();
    let old = session.key();
    match &taken(&told)[..] {
        [Event::Created { key, user }] => {
            assert_eq!((*key, user.clone()), (old, Some("ann".into())))
        }
        other => panic!("{other:?}"),
    }
    store.regenerate_id(&mut session).unwrap();
    match &taken(&told)[..] {
        [Event::Regenerated { old: from, new, user }] => {
            assert_eq!((*from, *new, user.clone()), (old, session.key(), Some("ann".into())));
        }
        other => panic!("{other:?}"),
    }
    // Calls that neither begin nor end a session give no event, nor do refused calls.
    store.update(&mut session).unwrap();
    store.modify(session.id(), |session| *session.content_mut() += 1).unwrap();
    store.read_and_extend(session.id()).unwrap();
    assert!(!store.destroy_key(&old).unwrap());
    assert!(taken(&told).is_empty());

    clock.advance(Duration::from_secs(1));
    let others: Vec<_> = (0..3).map(|n| store.create_for_user("ann", n).unwrap().key()).collect();
    match &taken(&told)[..] {
        [.., Event::Created { key, .. }, Event::Ended { key: gone, reason, .. }] => {
            assert_eq!((*key, *gone), (others[2], session.key()));
            assert_eq!(*reason, EndReason::OverUserLimit);
        }
        other => panic!("{other:?}"),
    }
    assert!(store.destroy_key(&others[0]).unwrap());
    assert_eq!(ended(EndReason::Destroyed), [others[0]]);
    assert!(store.destroy_of("ann", &others[1]).unwrap());
    assert_eq!(ended(EndReason::Destroyed), [others[1]]);
    let here = store.create_for_user("ann", 1).unwrap();
    taken(&told);
    assert_eq!(store.destroy_others(&here).unwrap(), 1);
    assert_eq!(ended(EndReason::Others), [others[2]]);
    assert_eq!(store.destroy_all_of("ann").unwrap(), 1);
    assert_eq!(ended(EndReason::AllOfUser), [here.key()]);
    let expiring = store.create_with(1, &SessionOptions::new().inactivity(Duration::from_secs(1)));
    taken(&told);
    clock.advance(Duration::from_secs(2));
    store.clean_up_expired().unwrap();
    assert_eq!(ended(EndReason::Expired), [expiring.unwrap().key()]);
    store.clear().unwrap();
    assert!(matches!(&taken(&told)[..], [Event::Cleared]));
}

#[test]
fn a_conflict_and_a_damaged_record_are_told() {
    #[derive(Debug)]
    struct Damaging(MemoryEngine, AtomicBool);
    impl Engine for Damaging {
        fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
            match self.1.load(Ordering::SeqCst) {
                true => Err(Error::DamagedRecord { key: *key, reason: "on purpose" }),
                false => self.0.load(key, moment),
            }
        }
        sessile::forward_engine!(0, but load);
    }
    let (told, observer) = telling();
    let engine = Arc::new(Damaging(MemoryEngine::new(), AtomicBool::new(false)));
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.engine(Arc::clone(&engine)).build().unwrap();
    let mut session = store.create(1).unwrap();
    let mut stale = store.read(session.id()).unwrap().unwrap();
    store.update(&mut session).unwrap();
    taken(&told);
    assert!(matches!(store.update(&mut stale), Err(Error::Conflict { .. })));
    assert!(matches!(store.regenerate_id(&mut stale), Err(Error::Conflict { .. })));
    let conflicts = taken(&told);
    assert_eq!(conflicts.len(), 2, "{conflicts:?}");
    for conflict in conflicts {
        assert!(matches!(conflict, Event::Conflict { key } if key == session.key()));
    }
    engine.1.store(true, Ordering::SeqCst);
    assert!(store.read(session.id()).is_err());
    assert!(matches!(&taken(&told)[..], [Event::DamagedRecord { key }] if *key == session.key()));
}

/// A follower's knowledge of a session: none, live, or over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Lives,
    Over,
}

#[test]
fn a_follower_never_hears_of_an_end_before_its_beginning_whoever_ends_it() {
    let lives: Arc<Mutex<HashMap<SessionKey, Life>>> = Arc::default();
    let follower = Arc::clone(&lives);
    let observer = move |event: &Event| {
        // Long enough for others to find the key in a listing and to end the session.
        thread::yield_now();
        let mut lives = follower.lock().unwrap();
        match event {
            Event::Created { key, .. } => assert_eq!(lives.insert(*key, Life::Lives), None),
            Event::Regenerated { old, new, .. } => {
                assert_eq!(lives.insert(*old, Life::Over), Some(Life::Lives));
                assert_eq!(lives.insert(*new, Life::Lives), None);
            }
            Event::Ended { key, .. } => {
                assert_eq!(lives.insert(*key, Life::Over), Some(Life::Lives));
            }
            _ => {}
        }
    };
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.in_memory().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let creators: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..400 {
                        let mut session = store.create_for_user("ann", 1).unwrap();
                        // Another thread may have ended the session in between.
                        let _ = store.regenerate_id(&mut session);
                    }
                })
            })
            .collect();
        let enders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        for info in store.sessions_of("ann").unwrap() {
                            store.destroy_key(&info.key()).unwrap();
                        }
                    }
                })
            })
            .collect();
        let created: Vec<_> = creators.into_iter().map(|it| it.join()).collect();
        done.store(true, Ordering::SeqCst);
        let ended: Vec<_> = enders.into_iter().map(|it| it.join()).collect();
        assert!(created.into_iter().chain(ended).all(|it| it.is_ok()));
    });
    store.destroy_all_of("ann").unwrap();
    assert_eq!(store.stats().unwrap().observer_panics, 0, "an order was broken");
    let lives = lives.lock().unwrap();
    assert!(lives.len() >= 1_200 && lives.values().all(|life| *life == Life::Over));
}

#[test]
fn what_is_told_is_one_line_and_holds_no_user() {
    let (told, observer) = telling();
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.in_memory().unwrap();
    let session = store.create_for_user("ann\nann", 1).unwrap();
    store.destroy(session.id()).unwrap();
    for event in taken(&told) {
        let line = event.to_string();
        assert!(line.contains(&session.key().to_string()) && !line.contains("ann"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!format!("{event:?}").contains(&*session.id().encode()));
    }
}
