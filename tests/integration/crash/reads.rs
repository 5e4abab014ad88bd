//! Reads that fail: an error each time, never "no session", and over once the disk reads again.

use sessile::engine::RedbOptions;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Error, RedbEngine, Session, SessionStore};

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
        // The next write opens the file anew, and all is as it was.
        let _ = store.create("opens the file anew".into());
        assert_eq!(store.read(session.id()).unwrap().unwrap().content().len(), LEN);
    }
    assert!(errors > SESSIONS / 2, "{errors} reads reached the disk");
}

#[test]
fn while_reads_fail_every_call_that_needs_one_says_so() {
    let (disk, store, sessions) = filled(DURABILITIES[0]);
    let mut handle = sessions[7].clone();
    disk.fail_from(DiskFault::Read, 0);
    failed(store.for_each(|_, _| ()), "for_each");
    failed(store.read(sessions[3].id()), "read");
    failed(store.extend_lifetime(sessions[4].id()), "extend_lifetime");
    failed(store.update(&mut handle), "update");
    failed(store.regenerate_id(&mut handle), "regenerate_id");
    failed(store.modify(sessions[9].id(), |session| session.clear_user()), "modify");
    failed(store.destroy(sessions[10].id()), "destroy");
    failed(store.destroy_all_of("ann"), "destroy_all_of");
    failed(store.sessions_of("ann"), "sessions_of");
    assert!(disk.repair());
    assert!(
        store.read(sessions[10].id()).is_ok_and(|read| read.is_some()) || {
            store.create("opens the file anew".into()).unwrap();
            store.read(sessions[10].id()).unwrap().is_some()
        }
    );
    assert!(store.sessions_of("ann").unwrap().len() == SESSIONS);
    store.update(&mut handle).unwrap();
    store.close().unwrap();
}
