//! Deleting the sessions that are past their deadline, and no others.

use std::thread;
use std::time::Duration;

use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

pub fn a_sweep_deletes_the_expired_and_counts_them<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    assert_eq!(store.clean_up_expired().unwrap(), 0, "an empty store");
    for number in 0..3 {
        created_for(&store, "ann", number);
    }
    setup.clock.advance(INACTIVITY / 2);
    let younger = created_for(&store, "ann", 3);
    setup.clock.advance(INACTIVITY / 2 - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    setup.clock.advance(MS);
    assert_eq!(store.clean_up_expired().unwrap(), 3);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_eq!(keys_listed(&store, "ann"), [younger.key()]);
    assert_eq!(visited(&store), [(younger.key(), 3)]);
}

pub fn a_sweep_spares_what_was_extended_again_and_again<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let extended = created(&store, 1);
    let updated = created(&store, 2);
    for round in 0..5_u64 {
        setup.clock.advance(INACTIVITY - 2 * MS);
        assert!(store.extend_lifetime(extended.id()).unwrap());
        store.modify(updated.id(), |session| *session.content_mut() = round).unwrap().unwrap();
        if round % 2 == 0 {
            store.flush().unwrap();
        }
        setup.clock.advance(MS);
        assert_eq!(store.clean_up_expired().unwrap(), 0, "round {round}");
        assert_eq!(store.len().unwrap(), 2);
    }
    setup.clock.advance(INACTIVITY - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 2);
}

pub fn a_sweep_knows_each_sessions_own_timeouts<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for seconds in 1..=5 {
        let timeout = Duration::from_secs(seconds);
        store.create_with(seconds, &options().inactivity(timeout)).unwrap();
    }
    for seconds in 1..=5 {
        setup.clock.advance(Duration::from_secs(1) - MS);
        assert_eq!(store.clean_up_expired().unwrap(), 0);
        setup.clock.advance(MS);
        assert_eq!(store.len().unwrap(), 5 - seconds);
        assert_eq!(store.clean_up_expired().unwrap(), 1);
    }
}

/// More sessions than one step takes, with a live one in between.
pub fn a_sweep_takes_as_many_steps_as_it_needs<F: EngineFixture>() {
    const SESSIONS: u64 = 2_500;
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let survivor = created(&store, 0);
    thread::scope(|scope| {
        for thread in 0..50 {
            let store = &store;
            scope.spawn(move || {
                (0..SESSIONS / 50).for_each(|_| drop(created_for(store, thread, 1)));
            });
        }
    });
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(survivor.id()).unwrap());
    setup.clock.advance(MS);
    assert_eq!(store.clean_up_expired().unwrap(), SESSIONS);
    assert_eq!(visited(&store), [(survivor.key(), 0)]);
    assert_eq!(store.stats().unwrap().swept, SESSIONS);
}
