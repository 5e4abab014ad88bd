//! The cost of a call of the store: the number of engine calls that it makes. Over a network each
//! is a round trip.

use std::sync::Arc;

use crate::engine::contract::Engine as _;
use crate::store::SessionStore;
use crate::testing::conformance::kit::*;
use crate::testing::{CountingEngine, EngineFixture};
use crate::time::timeouts::Timeouts;

type Counting<F> = Arc<CountingEngine<<F as EngineFixture>::Engine>>;

fn counted<F: EngineFixture>(setup: &Setup<F>) -> (SessionStore<u64>, Counting<F>) {
    let engine = Arc::new(CountingEngine::new(setup.fixture.open()));
    let store = setup.builder_on(Arc::clone(&engine)).build().unwrap();
    engine.take();
    (store, engine)
}

pub fn every_call_of_the_store_is_one_call_of_the_engine<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, engine) = counted(&setup);
    let once = |call: &'static str| assert_eq!(engine.take(), [(call, 1)]);

    let mut session = created_for(&store, "ann", 1);
    once("insert");
    let other = created_for(&store, "ann", 2);
    once("insert");
    assert!(store.read(session.id()).unwrap().is_some());
    once("load");
    assert!(store.read_and_extend(session.id()).unwrap().is_some());
    once("extend");
    assert!(store.extend_lifetime(session.id()).unwrap());
    once("extend");
    store.update(&mut session).unwrap();
    once("replace");
    store.regenerate_id(&mut session).unwrap();
    once("rekey");
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
    once("scan_user");
    assert_eq!(store.for_each(|_, _| ()).unwrap(), 2);
    once("scan");
    assert_eq!(store.len().unwrap(), 2);
    once("count");
    assert!(store.read_key(&session.key()).unwrap().is_some());
    once("load");
    assert_eq!(store.sessions_of_with("ann").unwrap().len(), 2);
    once("scan_user");
    assert_eq!(store.list(None, 1).unwrap().len(), 1);
    once("scan");
    assert_eq!(store.users(None, 1).unwrap().len(), 1);
    once("scan_users");
    assert_eq!(store.rename_user("ann", "anna").unwrap(), 2);
    once("rename_user");
    assert_eq!(store.rename_user("anna", "ann").unwrap(), 2);
    once("rename_user");
    session = stored(&store, session.id());
    once("load");
    session.set_timeouts(INACTIVITY, ABSOLUTE).unwrap();
    session.ensure_csrf_token().unwrap();
    store.update(&mut session).unwrap();
    once("replace");
    assert!(!store.destroy_of("bob", &session.key()).unwrap());
    once("remove");
    assert_eq!(store.destroy_others(&session).unwrap(), 1);
    once("remove_others");
    assert!(!store.destroy(other.id()).unwrap());
    once("remove");
    assert!(store.destroy_key(&session.key()).unwrap());
    once("remove");
    assert_eq!(store.destroy_all_of("ann").unwrap(), 0);
    once("remove_user");
    store.clear().unwrap();
    once("clear");
}

pub fn a_call_about_the_whole_store_costs_as_many_calls_as_the_contract_names<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, engine) = counted(&setup);
    let is_server = engine.server_time().unwrap().is_some();
    let took = |mut expected: Vec<(&'static str, u64)>, on_server: &[(&'static str, u64)]| {
        expected.extend(on_server.iter().filter(|_| is_server));
        expected.sort_unstable();
        // Observers are told by these, where a feature brings some.
        let calls = engine.take().into_iter().filter(|call| call.0 != "stats");
        assert_eq!(calls.collect::<Vec<_>>(), expected);
    };

    created(&store, 1);
    engine.take();
    assert_eq!(store.stats().unwrap().sessions, 1);
    assert_eq!(engine.take(), [("count", 1), ("stats", 1)]);
    assert!(store.check().unwrap().is_sound());
    took(vec![("check", 1), ("server_time", 1)], &[("load_meta", 1)]);
    store.flush().unwrap();
    took(vec![("flush", 1), ("server_time", 1)], &[]);
    setup.clock.advance(INACTIVITY);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    took(vec![("remove_expired", 1), ("server_time", 2)], &[("load_meta", 1)]);
    store.adopt_shorter_timeouts().unwrap();
    took(vec![], &[]);
}

pub fn an_adoption_is_one_pass_over_the_index_and_one_entry<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    created(&setup.store::<u64>(), 1);
    let engine = Arc::new(CountingEngine::new(setup.fixture.open()));
    let builder = setup.builder_on::<u64>(Arc::clone(&engine));
    let shorter = Timeouts::new(INACTIVITY / 2, ABSOLUTE).unwrap();
    let store = builder.timeouts(shorter).build().unwrap();
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_some());
    engine.take();
    store.adopt_shorter_timeouts().unwrap();
    assert_eq!(engine.take(), [("reindex", 1), ("store_meta", 1)]);
    store.adopt_shorter_timeouts().unwrap();
    assert_eq!(engine.take(), []);
}

pub fn a_call_that_finds_nothing_costs_no_more<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, engine) = counted(&setup);
    let mut session = created_for(&store, "ann", 1);
    let mut stale = session.clone();
    store.update(&mut session).unwrap();
    engine.take();
    assert_conflict(store.update(&mut stale));
    assert_eq!(engine.take(), [("replace", 1)]);
    assert_conflict(store.regenerate_id(&mut stale));
    assert_eq!(engine.take(), [("rekey", 1)]);
    setup.clock.advance(INACTIVITY);
    assert!(store.read_and_extend(session.id()).unwrap().is_none());
    assert_gone(store.update(&mut session), "update");
    assert_gone(store.regenerate_id(&mut session), "regenerate_id");
    assert_gone(store.destroy_others(&session), "destroy_others");
    let expected = [("extend", 1), ("rekey", 1), ("remove_others", 1), ("replace", 1)];
    assert_eq!(engine.take(), expected);
}

pub fn content_that_may_be_migrated_is_read_before_its_life_is_extended<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let engine = Arc::new(CountingEngine::new(setup.fixture.open()));
    let builder = setup.builder_on::<u64>(Arc::clone(&engine));
    let store = builder.content_version(1, |old| old.decode()).build().unwrap();
    let session = created(&store, 1);
    setup.clock.advance(MS);
    engine.take();
    let read = store.read_and_extend(session.id()).unwrap().unwrap();
    assert_eq!(engine.take(), [("extend", 1), ("load", 1)]);
    assert_eq!(read.last_active(), session.last_active() + MS);
    assert_eq!(read.expires_at(), session.expires_at() + MS);
}

pub fn a_try_of_modify_is_a_read_and_a_save<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, engine) = counted(&setup);
    let session = created(&store, 1);
    engine.take();
    assert!(store.modify(session.id(), |_| ()).unwrap().is_some());
    assert_eq!(engine.take(), [("load", 1), ("replace", 1)]);
    let mut tries = 0;
    let modified = store.modify(session.id(), |session| {
        tries += 1;
        if tries == 1 {
            let mut faster = stored(&store, session.id());
            store.update(&mut faster).unwrap();
            engine.take();
        }
    });
    assert!(modified.unwrap().is_some());
    // The first save, which was refused, and the second try.
    assert_eq!(engine.take(), [("load", 1), ("replace", 2)]);
    assert!(store.modify_key(&session.key(), |_| ()).unwrap().is_some());
    assert_eq!(engine.take(), [("load", 1), ("replace", 1)]);
    let here = created_for(&store, "ann", 1);
    for number in 0..3 {
        created_for(&store, "ann", number);
    }
    engine.take();
    assert_eq!(store.update_others(&here, |_| ()).unwrap(), 3);
    // The user of the other sessions is looked up with the session itself.
    assert_eq!(engine.take(), [("load", 1 + 3), ("replace", 3), ("scan_user", 1)]);
}
