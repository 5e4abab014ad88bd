//! The contents of a store after it was closed and opened again, and the effects of closing.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::engine::contract::Engine as _;
use crate::error::Error;
use crate::session::attributes::Attributes;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;
use crate::time::timeouts::Timeouts;

fn survives<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let mut updated = created_for(&store, "ann", 1);
    let touched = store.create_with(C::sample(2), &options().csrf_token()).unwrap();
    let mut regenerated = created_for(&store, "ann", 3);
    let destroyed = created_for(&store, "ann", 4);
    let before = regenerated.clone();
    setup.clock.advance(INACTIVITY / 2);
    *updated.content_mut() = C::sample(10);
    store.update(&mut updated).unwrap();
    assert!(store.extend_lifetime(touched.id()).unwrap());
    store.regenerate_id(&mut regenerated).unwrap();
    assert!(store.destroy(destroyed.id()).unwrap());
    store.close().unwrap();

    let store = setup.store::<C>();
    assert_eq!(stored(&store, updated.id()).content().number(), 10);
    let read = stored(&store, touched.id());
    assert_eq!(read.last_active(), touched.last_active() + INACTIVITY / 2, "closing flushes");
    let token = touched.csrf_token().unwrap().encode();
    assert!(read.csrf_token().unwrap().verify(&token));
    assert_eq!(stored(&store, regenerated.id()).created_at(), regenerated.created_at());
    assert_absent(&store, &before);
    assert_absent(&store, &destroyed);
    assert_eq!(listed(&store, "ann").len(), 2);
    store.update(&mut updated).expect("a handle outlives the store it came from");
    drop(store);

    let store = setup.store::<C>();
    assert_eq!(store.len().unwrap(), 3);
    store.clear().unwrap();
    drop(store);
    assert_eq!(setup.store::<C>().len().unwrap(), 0);
}

pub fn everything_is_there_after_reopening<F: EngineFixture>() {
    survives::<Cart, F>();
    survives::<Attributes, F>();
}

pub fn a_touch_survives_a_drop_as_it_does_a_close<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(session.id()).unwrap());
    drop(store);
    setup.clock.advance(MS);
    let store = setup.store::<u64>();
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert!(store.read(session.id()).unwrap().is_some());
}

pub fn other_handles_learn_that_the_store_is_closed<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    let (mut copy, other) = (session.clone(), store.clone());
    store.close().unwrap();

    fn closed<T>(result: crate::error::Result<T>) -> bool {
        matches!(result, Err(Error::Closed))
    }
    let id = session.id();
    let answers = [
        closed(other.create(2)),
        closed(other.create_with(2, &options())),
        closed(other.create_for_user("ann", 2)),
        closed(other.read(id)),
        closed(other.read_and_extend(id)),
        closed(other.update(&mut copy)),
        closed(other.modify(id, |_| ())),
        closed(other.extend_lifetime(id)),
        closed(other.regenerate_id(&mut copy)),
        closed(other.destroy(id)),
        closed(other.clear()),
        closed(other.clean_up_expired()),
        closed(other.sessions_of("ann")),
        closed(other.destroy_all_of("ann")),
        closed(other.destroy_others(&session)),
        closed(other.destroy_key(&session.key())),
        closed(other.for_each(|_, _| ())),
        closed(other.len()),
        closed(other.is_empty()),
        closed(other.flush()),
        closed(other.stats()),
        closed(other.clone().close()),
    ];
    assert_eq!(answers, [true; 22]);
    assert_eq!(other.timeouts().inactivity(), INACTIVITY, "this needs no engine");
    drop(other);
    let store = setup.store::<u64>();
    assert_eq!(visited(&store), [(session.key(), 1)]);
}

pub fn a_store_closed_while_it_is_visited_fails_or_finishes<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    (0..10).for_each(|number| drop(created(&store, number)));
    let mut handle = Some(store.clone());
    let mut seen = 0;
    let result = store.for_each(|_, _| {
        seen += 1;
        if let Some(store) = handle.take() {
            store.close().unwrap();
        }
    });
    assert!(matches!(result, Ok(10) | Err(Error::Closed)), "{result:?} after {seen}");
    drop(store);
    assert_eq!(setup.store::<u64>().len().unwrap(), 10);
}

fn minutes(inactivity: u64, absolute: u64) -> Timeouts {
    Timeouts::new(Duration::from_secs(60 * inactivity), Duration::from_secs(60 * absolute)).unwrap()
}

pub fn shorter_timeouts_apply_at_once_to_stored_sessions<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(minutes(30, 60));
    let old = created_for(&store, "ann", 1);
    let own = store
        .create_with(2, &options().inactivity(Duration::from_secs(1_800)).user("ann"))
        .unwrap();
    setup.clock.advance(Duration::from_secs(600));
    let young = created_for(&store, "ann", 3);
    store.close().unwrap();

    let builder = setup.builder().timeouts(minutes(10, 60));
    let store = builder.adopt_shorter_timeouts().build().unwrap();
    assert_eq!(store.len().unwrap(), 2, "`old` is over, by the new inactivity timeout");
    assert!(store.read(old.id()).unwrap().is_none());
    assert_eq!(keys_listed(&store, "ann").len(), 2);
    assert_eq!(stored(&store, young.id()).expires_at(), young.created_at() + 60 * 10_000 * MS);
    assert_eq!(stored(&store, own.id()).expires_at(), own.expires_at());
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert_absent(&store, &old);
    store.close().unwrap();

    let store = setup.store_with(minutes(5, 5));
    setup.clock.advance(Duration::from_secs(300) - MS);
    assert_eq!(store.len().unwrap(), 1, "`own` ended with the new absolute timeout");
    assert_absent(&store, &own);
    setup.clock.advance(MS);
    assert_eq!((store.len().unwrap(), store.clean_up_expired().unwrap()), (0, 1));
}

pub fn shorter_timeouts_delete_nothing_before_they_are_adopted<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(minutes(30, 60));
    let old = created_for(&store, "ann", 1);
    let over = store.create_with(2, &options().inactivity(Duration::from_secs(1))).unwrap();
    setup.clock.advance(Duration::from_secs(600));
    store.close().unwrap();

    let reopened = |shorter| setup.builder::<u64>().timeouts(shorter).max_sessions(2);
    let store = reopened(minutes(10, 70)).build().unwrap();
    let on_record = |store: &SessionStore<u64>| store.stats().unwrap().longer_timeouts_on_record;
    assert_eq!(on_record(&store), Some(minutes(30, 70)), "the longer of each");
    // The session is absent, and its record is still stored.
    assert!(store.read(old.id()).unwrap().is_none());
    assert_eq!(store.len().unwrap(), 0);
    // The session that had ended under the stored timeouts was removed before the longer absolute
    // timeout counted.
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_absent(&store, &over);
    assert_eq!(store.len().unwrap(), 0, "the index is right afterwards");
    store.create(3).unwrap();
    assert!(matches!(store.create(4), Err(Error::Full { max: 2 })), "it makes no room for one");
    store.close().unwrap();

    // An operator who notices the mistake has lost nothing.
    let store = setup.store_with(minutes(30, 70));
    assert!(store.read(old.id()).unwrap().is_some());
    assert_eq!(on_record(&store), None);
    store.close().unwrap();

    // Adopted by an explicit setting, or after one interval.
    let store = reopened(minutes(10, 60)).build().unwrap();
    store.adopt_shorter_timeouts().unwrap();
    assert_eq!((on_record(&store), store.clean_up_expired().unwrap()), (None, 1));
    store.close().unwrap();
    let interval = Duration::from_secs(30);
    let store = reopened(minutes(1, 2)).sweep_interval(interval).build().unwrap();
    setup.clock.advance(interval - MS);
    store.create(5).unwrap();
    store.clean_up_expired().unwrap();
    assert_eq!(on_record(&store), Some(minutes(10, 60)));
    setup.clock.advance(MS);
    store.clean_up_expired().unwrap();
    assert_eq!(on_record(&store), None);
}

pub fn what_has_ended_stays_gone_under_longer_timeouts<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(minutes(60, 1_440));
    let session = created_for(&store, "ann", 1);
    store.close().unwrap();
    // After an incident the timeout is five minutes, and she sees that she is logged out.
    let store = setup.builder::<u64>().timeouts(minutes(5, 1_440)).adopt_shorter_timeouts();
    let store = store.build().unwrap();
    setup.clock.advance(Duration::from_secs(600));
    assert_absent(&store, &session);
    let later = created_for(&store, "ann", 2);
    store.close().unwrap();
    let store = setup.store_with(minutes(60, 1_440));
    assert_absent(&store, &session);
    assert_eq!(keys_listed(&store, "ann"), [later.key()]);
}

pub fn shorter_timeouts_that_were_in_force_for_an_interval_end_sessions_for_good<
    F: EngineFixture,
>() {
    for closes in [true, false] {
        let setup = Setup::<F>::new();
        let store = setup.store_with(minutes(60, 1_440));
        let session = created_for(&store, "ann", 1);
        store.close().unwrap();
        // After an incident the timeout is five minutes. She sees that she is logged out.
        let store = setup.store_with(minutes(5, 1_440));
        setup.clock.advance(Duration::from_secs(600));
        assert!(store.read(session.id()).unwrap().is_none());
        assert!(store.sessions_of("ann").unwrap().is_empty());
        match closes {
            true => store.close().unwrap(),
            false => drop(store),
        }
        let store = setup.store_with(minutes(60, 1_440));
        assert_absent(&store, &session);
        assert!(store.check().unwrap().is_sound());
    }
}

pub fn timeouts_of_which_one_is_longer_and_one_shorter_end_no_live_session<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(minutes(30, 1_440));
    let idle = created_for(&store, "ann", 1);
    store.close().unwrap();
    let (longer_and_shorter, minute) = (minutes(60, 720), Duration::from_secs(60));
    // Each time too early for the shorter timeout to be adopted.
    for _ in 0..2 {
        let store = setup.store_with(longer_and_shorter);
        assert!(store.read(idle.id()).unwrap().is_some());
        assert!(store.stats().unwrap().longer_timeouts_on_record.is_some());
        setup.clock.advance(minute - MS);
        drop(store);
        setup.clock.advance(20 * minute);
    }
    let store = setup.store_with(longer_and_shorter);
    assert!(store.read(idle.id()).unwrap().is_some(), "idle for 42 of 60 minutes");
    drop(store);
    let store = setup.store_with(minutes(60, 1_440));
    assert!(store.read(idle.id()).unwrap().is_some());
    setup.clock.advance(18 * minute + 2 * MS);
    assert_absent(&store, &idle);
}

pub fn two_stores_on_one_engine_have_the_same_timeouts<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let engine = Arc::new(setup.fixture.open());
    let with = |timeouts| setup.builder_on::<u64>(Arc::clone(&engine)).timeouts(timeouts).build();
    let long = with(minutes(60, 120)).unwrap();
    let session = created(&long, 1);
    let refused = with(minutes(1, 10));
    assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{refused:?}");
    let same = with(minutes(60, 120)).unwrap();
    setup.clock.advance(Duration::from_secs(600));
    assert_eq!(same.clean_up_expired().unwrap(), 0);
    assert_eq!(stored(&long, session.id()).into_content(), 1);
}

pub fn longer_timeouts_apply_at_once_to_stored_sessions<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(minutes(1, 2));
    let session = created_for(&store, "ann", 1);
    let own = store.create_with(2, &options().inactivity(Duration::from_secs(30))).unwrap();
    store.close().unwrap();

    let store = setup.store_with(minutes(10, 20));
    assert_eq!(stored(&store, session.id()).expires_at(), session.created_at() + 600_000 * MS);
    setup.clock.advance(Duration::from_secs(600) - MS);
    assert_eq!((store.len().unwrap(), visited(&store).len()), (1, 1));
    assert_eq!(store.clean_up_expired().unwrap(), 1, "the one with its own");
    assert_absent(&store, &own);
    assert!(store.extend_lifetime(session.id()).unwrap());
    setup.clock.advance(Duration::from_secs(600) - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_eq!(keys_listed(&store, "ann"), [session.key()]);
    store.close().unwrap();

    // And back: the index now has deadlines under longer timeouts.
    let builder = setup.builder::<u64>().timeouts(minutes(1, 20));
    let store = builder.adopt_shorter_timeouts().build().unwrap();
    assert_eq!((store.len().unwrap(), store.clean_up_expired().unwrap()), (0, 1));
    assert_absent(&store, &session);
}

pub fn content_of_another_name_is_refused<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<u64> = setup.builder().content_name("shop.cart").build().unwrap();
    let session = created(&store, 1);
    store.close().unwrap();
    let refused = setup.builder::<u64>().content_name("shop.card").build();
    assert!(matches!(refused, Err(Error::ContentMismatch { .. })));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("shop.cart"), "{text}");
    for name in [Some("shop.cart"), None] {
        let builder = setup.builder::<u64>();
        let builder = match name {
            Some(name) => builder.content_name(name),
            None => builder,
        };
        let store: SessionStore<u64> = builder.build().unwrap();
        assert_eq!(*stored(&store, session.id()).content(), 1);
        store.close().unwrap();
    }
}

pub fn renamed_content_is_opened_under_its_old_name_and_its_new_one<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<u64> = setup.builder().content_name("old").build().unwrap();
    let session = created(&store, 1);
    store.close().unwrap();
    let builders: [fn(Builder<u64>) -> Builder<u64>; 3] = [
        |builder| builder.content_name("new").rename_content("old"),
        |builder| builder.content_name("new"),
        |builder| builder.content_name("old"),
    ];
    for build in builders {
        let store = build(setup.builder()).build().unwrap();
        assert_eq!(*stored(&store, session.id()).content(), 1);
        store.close().unwrap();
    }
    let other = setup.builder::<u64>().content_name("other").rename_content("another").build();
    assert!(matches!(other, Err(Error::ContentMismatch { .. })));
    setup.builder::<u64>().rename_content("new").build().unwrap().close().unwrap();
    let store: SessionStore<u64> = setup.builder().content_name("other").build().unwrap();
    assert_eq!(*stored(&store, session.id()).content(), 1);
}

pub fn a_store_without_a_name_takes_one_on<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let session = created(&setup.store::<u64>(), 1);
    let store: SessionStore<u64> = setup.builder().content_name("counter").build().unwrap();
    assert_eq!(*stored(&store, session.id()).content(), 1);
    drop(store);
    drop(setup.store::<u64>());
    let other = setup.builder::<u64>().content_name("another").build();
    assert!(other.is_err(), "it keeps the name, though a program without one has opened it");
    assert!(setup.fixture.open().load_meta("content_name").unwrap().is_some());
}
