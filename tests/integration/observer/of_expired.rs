//! The end of a session that expired: told once, by whichever call removes its record.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use sessile::testing::ManualClock;
use sessile::{Builder, EndReason, Event, Session, SessionKey, SessionOptions, SessionStore};

use super::{Told, taken, telling};

const SECOND: Duration = Duration::from_secs(1);

fn stores() -> [(tempfile::TempDir, Told, ManualClock, SessionStore<u32>); 2] {
    let in_memory = |builder: Builder<u32>, _: &tempfile::TempDir| builder.in_memory().unwrap();
    let in_file = |builder: Builder<u32>, folder: &tempfile::TempDir| {
        builder.open(folder.path().join("sessions.redb")).unwrap()
    };
    let opens: [fn(Builder<u32>, &tempfile::TempDir) -> _; 2] = [in_memory, in_file];
    opens.map(|open| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
        let (told, observer) = telling();
        let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
        let store = open(builder.clock(clock.clone()), &folder);
        (folder, told, clock, store)
    })
}

/// A call that removes a session, and returns how many it ended.
type Call = fn(&SessionStore<u32>, &Session<u32>) -> u64;

/// A session of Ann that expires after a second.
fn short(store: &SessionStore<u32>) -> Session<u32> {
    let options = SessionOptions::new().user("ann").inactivity(SECOND);
    store.create_with(1, &options).unwrap()
}

/// The keys of the ended sessions that were told, each of a session of Ann that expired.
fn told_to_have_expired(told: &Told) -> Vec<SessionKey> {
    let ends = taken(told).into_iter().filter_map(|event| match event {
        Event::Ended { key, user, reason } => {
            assert_eq!((user, reason), (Some("ann".into()), EndReason::Expired));
            Some(key)
        }
        _ => None,
    });
    ends.collect()
}

#[test]
fn whatever_call_removes_an_expired_session_tells_of_its_end_and_does_not_count_it() {
    let calls: [Call; 6] = [
        |store, gone| u64::from(store.destroy(gone.id()).unwrap()),
        |store, gone| u64::from(store.destroy_key(&gone.key()).unwrap()),
        |store, gone| u64::from(store.destroy_of("ann", &gone.key()).unwrap()),
        |store, _| store.destroy_all_of("ann").unwrap(),
        |store, _| {
            let own = store.create_for_user("ann", 2).unwrap();
            store.destroy_others(&own).unwrap()
        },
        // A login that ends no session leaves the expired one to the sweep.
        |store, _| {
            store.create_for_user("ann", 2).unwrap();
            store.clean_up_expired().unwrap() - 1
        },
    ];
    for (_folder, told, clock, store) in stores() {
        for call in calls {
            let gone = short(&store);
            clock.advance(SECOND);
            assert_eq!(call(&store, &gone), 0);
            assert_eq!(told_to_have_expired(&told), [gone.key()]);
            assert!(!store.destroy_key(&gone.key()).unwrap());
            assert_eq!(store.clean_up_expired().unwrap(), 0);
            assert_eq!(told_to_have_expired(&told), [], "it is told once");
            store.clear().unwrap();
        }
    }
}

#[test]
fn of_a_sweep_and_other_calls_that_remove_an_expired_session_one_tells_of_its_end() {
    for (_folder, told, clock, store) in stores() {
        for _ in 0..20 {
            let mut gone: Vec<_> = (0..20).map(|_| short(&store).key()).collect();
            clock.advance(SECOND);
            let by_key = |key| assert!(!store.destroy_key(key).unwrap());
            let calls: [&(dyn Fn() + Sync); 4] = [
                &|| assert!(store.clean_up_expired().unwrap() <= 20),
                &|| assert_eq!(store.destroy_all_of("ann").unwrap(), 0),
                &|| gone.iter().for_each(by_key),
                &|| gone.iter().rev().for_each(by_key),
            ];
            let start = &Barrier::new(calls.len());
            thread::scope(|scope| {
                for call in calls {
                    scope.spawn(move || {
                        start.wait();
                        call();
                    });
                }
            });
            let mut told = told_to_have_expired(&told);
            told.sort();
            gone.sort();
            assert_eq!(told, gone);
        }
    }
}
