//! Failing reads: each gives an error, never "no session", and works again once the disk does.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sessile::engine::{Moment, RedbOptions, Timestamp};
use sessile::testing::{DiskFault, ManualClock, SimulatedDisk};
use sessile::{Durability, Engine, Error, RedbEngine, Session, SessionStore, Timeouts};

use super::DURABILITIES;

type Store = SessionStore<String>;

const SESSIONS: usize = 200;
const LEN: usize = 20_000;

/// More sessions than the cache holds, so that reads reach the disk.
fn filled(durability: Durability) -> (SimulatedDisk, Store, Vec<Session<String>>) {
    let disk = SimulatedDisk::new();
    let options = |durability| RedbOptions::new().durability(durability).record_cache(false);
    let open = |durability| {
        let options = options(durability).cache_size(1024 * 1024);
        let engine = RedbEngine::open_on(&disk, &options).unwrap();
        Store::builder().engine(engine).manual_maintenance().build().unwrap()
    };
    let store = open(DURABILITIES[2]);
    let content = "x".repeat(LEN);
    let sessions =
        (0..SESSIONS).map(|_| store.create_for_user("ann", content.clone()).unwrap()).collect();
    store.close().unwrap();
    let store = open(durability);
    (disk, store, sessions)
}

fn failed<T: std::fmt::Debug>(result: sessile::Result<T>, call: &str) {
    match result {
        Err(Error::Io { .. } | Error::OutcomeUnknown { .. }) => {}
        other => panic!("{call}: {other:?}"),
    }
}

/// Fails the next read that reaches the disk; one of these sessions must cause it.
fn meet_an_error(disk: &SimulatedDisk, store: &Store, sessions: &[Session<String>]) {
    disk.fail_once(DiskFault::Read, 0);
    let answers = sessions.iter().map(|session| store.read(session.id()));
    let error = answers.into_iter().find_map(|answer| match answer {
        Ok(read) => {
            assert!(read.is_some(), "an error became an absence");
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
    assert!(!disk.repair(), "it struck");
}

#[test]
fn a_read_error_is_an_error_and_never_no_session() {
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    let mut errors = 0;
    for session in &sessions {
        disk.fail_once(DiskFault::Read, 0);
        match store.read(session.id()) {
            Ok(read) => assert!(read.is_some(), "an error became an absence"),
            Err(Error::Io { .. }) => errors += 1,
            Err(other) => panic!("{other:?}"),
        }
        disk.repair();
        // The next read reopens the file, and all sessions are as before.
        assert_eq!(store.read(session.id()).unwrap().unwrap().content().len(), LEN);
    }
    assert!(errors > SESSIONS / 2, "{errors} reads reached the disk");
    store.close().unwrap();
}

#[test]
fn while_reads_fail_every_call_that_needs_one_says_so() {
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    let mut handle = sessions[7].clone();
    disk.fail_from(DiskFault::Read, 0);
    failed(store.for_each(|_, _| ()), "for_each");
    // redb's cache has room for a few of them.
    let fails = |call: &dyn Fn(&Session<String>) -> bool| sessions.iter().any(call);
    assert!(fails(&|session| matches!(store.read(session.id()), Err(Error::Io { .. }))));
    assert!(fails(&|session| matches!(store.extend_lifetime(session.id()), Err(Error::Io { .. }))));
    failed(store.update(&mut handle), "update");
    failed(store.regenerate_id(&mut handle), "regenerate_id");
    failed(store.modify(sessions[9].id(), |session| session.clear_user()), "modify");
    failed(store.destroy(sessions[10].id()), "destroy");
    failed(store.destroy_all_of("ann"), "destroy_all_of");
    failed(store.sessions_of("ann"), "sessions_of");
    assert!(disk.repair());
    assert!(store.read(sessions[10].id()).unwrap().is_some());
    assert_eq!(store.sessions_of("ann").unwrap().len(), SESSIONS);
    store.update(&mut handle).unwrap();
    store.close().unwrap();
}

#[test]
fn whatever_is_called_after_a_read_error_opens_the_file_again() {
    let (disk, store, mut sessions) = filled(DURABILITIES[0]);
    let (others, mine) = sessions.split_at_mut(SESSIONS / 2);
    type Call<'a> = &'a dyn Fn(&Store, &mut Session<String>) -> sessile::Result<()>;
    let calls: [(&str, Call<'_>); 13] = [
        ("read", &|store, own| store.read(own.id()).map(|read| drop(read.unwrap()))),
        ("read_and_extend", &|store, own| store.read_and_extend(own.id()).map(|_| ())),
        ("extend_lifetime", &|store, own| {
            store.extend_lifetime(own.id()).map(|there| assert!(there))
        }),
        ("update", &|store, own| store.update(own)),
        ("modify", &|store, own| store.modify(own.id(), |_| ()).map(|_| ())),
        ("regenerate_id", &|store, own| store.regenerate_id(own)),
        ("create", &|store, _| store.create("new".into()).map(|_| ())),
        ("sessions_of", &|store, _| store.sessions_of("ann").map(|_| ())),
        ("for_each", &|store, _| store.for_each(|_, _| ()).map(|_| ())),
        ("len", &|store, _| store.len().map(|_| ())),
        ("check", &|store, _| store.check().map(|report| assert!(report.is_sound()))),
        ("flush", &|store, _| store.flush()),
        ("destroy", &|store, own| store.destroy(own.id()).map(|there| assert!(there))),
    ];
    for (place, (name, call)) in calls.into_iter().enumerate() {
        meet_an_error(&disk, &store, others);
        let before = disk.reads();
        // A session in redb's cache still needs no file; the cache has no room for all.
        let reopened = mine.iter_mut().skip(place).any(|own| {
            call(&store, own).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            disk.reads() > before
        });
        assert!(reopened, "{name} did not open the file again");
        // The other sessions are unaffected.
        store.for_each(|_, _| ()).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_read_error_loses_nothing_that_was_acknowledged() {
    for durability in [DURABILITIES[0], DURABILITIES[1]] {
        let (disk, store, mut sessions) = filled(durability);
        // In the log alone, and not in the part of the file that is reopened.
        sessions.push(store.create("new".into()).unwrap());
        let gone = sessions.remove(0);
        assert!(store.destroy(gone.id()).unwrap());
        let mut moved = sessions.remove(0);
        let before = moved.id().clone();
        store.regenerate_id(&mut moved).unwrap();

        meet_an_error(&disk, &store, &sessions);
        let check = |store: &Store| {
            assert!(sessions.iter().all(|session| store.read(session.id()).unwrap().is_some()));
            assert!(store.read(gone.id()).unwrap().is_none());
            assert!(store.read(&before).unwrap().is_none());
            assert!(store.read(moved.id()).unwrap().is_some());
            assert_eq!(store.len().unwrap(), SESSIONS as u64);
        };
        check(&store);
        let crashed = disk.after_power_loss(disk.operations(), 1);
        let engine = RedbEngine::open_on(&crashed, &RedbOptions::new()).unwrap();
        check(&Store::builder().engine(engine).manual_maintenance().build().unwrap());
        store.close().unwrap();
    }
}

#[test]
fn a_visitor_that_meets_a_read_error_can_go_on_reading() {
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    let mut visited = 0;
    let listed = store.for_each(|_, _| {
        visited += 1;
        if visited == 3 {
            // The listing holds a snapshot of the handle that this ends.
            meet_an_error(&disk, &store, &sessions);
            assert!(sessions.iter().all(|session| store.read(session.id()).unwrap().is_some()));
        }
    });
    // The listing continues in the reopened file, since no newer state was shown meanwhile.
    assert_eq!((listed.unwrap(), visited), (SESSIONS as u64, SESSIONS));
    assert_eq!(store.for_each(|_, _| ()).unwrap(), SESSIONS as u64);
    store.close().unwrap();
}

#[test]
fn threads_that_meet_a_read_error_together_go_on_together() {
    const THREADS: usize = 4;
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    for round in 0..10 {
        disk.fail_once(DiskFault::Read, 0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (store, sessions) = (&store, &sessions);
                scope.spawn(move || {
                    for session in sessions.iter().skip(thread * 50).take(20) {
                        match store.read(session.id()) {
                            Ok(read) => assert!(read.is_some(), "an error became an absence"),
                            Err(Error::Io { .. }) => {}
                            Err(other) => panic!("round {round}: {other:?}"),
                        }
                    }
                });
            }
        });
        assert!(!disk.repair(), "it struck");
        assert!(sessions.iter().all(|session| store.read(session.id()).unwrap().is_some()));
    }
    store.close().unwrap();
}

#[test]
fn a_touch_that_meets_a_read_error_leaves_an_earlier_one_alone() {
    let disk = SimulatedDisk::new();
    let options = RedbOptions::new().record_cache(false).cache_size(1024 * 1024);
    let engine = Arc::new(RedbEngine::open_on(&disk, &options).unwrap());
    let clock = ManualClock::new();
    let timeouts = Timeouts::from_seconds(60, 6_000).unwrap();
    let store = Store::builder().clock(clock.clone()).timeouts(timeouts);
    let store = store.engine(Arc::clone(&engine)).manual_maintenance().build().unwrap();
    let create = |_| store.create("x".repeat(LEN)).unwrap().id().clone();
    let ids: Vec<_> = (0..SESSIONS).map(create).collect();
    store.check().unwrap(); // All of them are in a snapshot, of which little is in memory.
    clock.advance(Duration::from_secs(50));
    let touched = ids.iter().filter(|id| store.extend_lifetime(id).unwrap()).count();
    assert_eq!(touched, SESSIONS);
    let mut failed = 0;
    for id in &ids {
        // The latest touch, and an older one that changes nothing.
        for seconds in [5, 0] {
            let now = Timestamp::from_millis(clock.millis() + seconds * 1_000);
            disk.fail_from(DiskFault::Read, disk.reads());
            let extended = engine.extend(&id.key(), Moment { now, timeouts }, Duration::ZERO);
            failed += u32::from(extended.is_err());
            assert!(disk.repair());
        }
    }
    assert!(failed > SESSIONS as u32 / 2, "{failed} touches met the error");
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.len().unwrap(), SESSIONS as u64, "within a minute of the touch at 50 s");
    store.flush().unwrap();
    assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
}

#[test]
fn while_reads_fail_a_call_tries_the_disk_once_or_twice_and_not_for_ever() {
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    disk.fail_from(DiskFault::Read, 0);
    let before = disk.reads();
    let failed = sessions.iter().filter(|session| store.read(session.id()).is_err()).count();
    assert!(failed > SESSIONS / 2, "{failed} reads failed");
    let tried = disk.reads() - before;
    // The read itself, and at most three of the file's head, which check that it is still the same
    // file.
    assert!(tried <= 4 * SESSIONS as u64, "{tried} reads for {failed} calls that failed");
    disk.repair();
    assert!(store.read(sessions[0].id()).unwrap().is_some());
}
