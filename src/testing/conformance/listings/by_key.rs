//! Sessions by their key: read, changed and ended by a caller without their id.

use crate::error::Error;
use crate::store::by_key::SessionByKey;
use crate::store::modify::Returned;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

/// The parts of a session that a change by key must not change.
fn untouched<C: Sample>(session: &crate::session::Session<C>) -> impl PartialEq + std::fmt::Debug {
    let token = session.csrf_token().map(|token| token.encode());
    let times = (session.created_at(), session.last_active(), session.expires_at());
    (session.key(), session.user().cloned(), token, times, session.origin.own_timeouts)
}

pub fn a_session_is_read_by_its_key_and_lives_no_longer_for_it<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Cart>();
    let session = created_for(&store, "ann", 7);
    setup.clock.advance(MS);
    let read = store.read_key(&session.key()).unwrap().unwrap();
    assert_eq!(read.content().number(), 7);
    assert_eq!(vec![read.info().clone()], listed(&store, "ann"));
    assert_eq!(read.info().last_active(), session.last_active());
    assert!(store.read_key(&created_key(9)).unwrap().is_none());
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.read_key(&session.key()).unwrap().is_none(), "it has expired");
}

fn created_key(number: u128) -> crate::key::SessionKey {
    crate::key::SessionKey::from_bytes(number.to_be_bytes())
}

pub fn a_change_by_key_changes_the_content_and_nothing_else<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Cart>();
    let own = options().user("ann").csrf_token().inactivity(INACTIVITY / 2);
    let mut session = store.create_with(Cart::sample(1), &own).unwrap();
    setup.clock.advance(MS);
    assert!(store.extend_lifetime(session.id()).unwrap());
    let before = stored(&store, session.id());
    setup.clock.advance(MS);
    let change = |session: &mut SessionByKey<Cart>| *session.content_mut() = Cart::sample(2);
    let changed = store.modify_key(&session.key(), change).unwrap().unwrap();
    assert_eq!(changed.content().number(), 2);
    assert_eq!(vec![changed.info().clone()], listed(&store, "ann"));
    let after = stored(&store, session.id());
    assert_eq!(after.content().number(), 2);
    assert_eq!(untouched(&after), untouched(&before));
    assert_conflict(store.update(&mut session));
    assert!(store.modify_key(&created_key(9), change).unwrap().is_none());
}

pub fn a_change_by_key_gives_what_its_closure_returns<F: EngineFixture>() {
    #[derive(Debug)]
    enum Own {
        Sold,
        Store(#[allow(dead_code, reason = "shown")] Error),
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Self {
            Self::Store(error)
        }
    }
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    let key = session.key();
    let add = |session: &mut SessionByKey<u64>| {
        *session.content_mut() += 1;
        *session.content()
    };
    assert_eq!(store.modify_key(&key, add).unwrap(), Some(2));
    assert_eq!(store.modify_key(&key, |session| Some(add(session))).unwrap(), Some(3));
    assert_eq!(store.modify_key(&key, |_| None::<u64>).unwrap(), None);
    assert_eq!(store.modify_key(&key, |session| Returned(add(session))).unwrap(), Some(4));
    assert_eq!(store.modify_key(&key, |session| Ok::<_, Own>(add(session))).unwrap(), Some(5));
    assert_eq!(store.modify_by_key(&key, add).unwrap(), Some(6));
    let refused = store.modify_key(&key, |session| {
        add(session);
        Err::<(), _>(Own::Sold)
    });
    assert!(matches!(refused, Err(Own::Sold)));
    assert_eq!(*stored(&store, session.id()).content(), 6, "nothing was written");
    assert!(store.destroy(session.id()).unwrap());
    assert_eq!(store.modify_key(&key, |session| Ok::<_, Own>(add(session))).unwrap(), None);
}

pub fn a_change_by_key_tries_again_after_a_conflict<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    let mut tries = 0;
    let changed = store.modify_key(&session.key(), |other| {
        tries += 1;
        if tries <= 3 {
            store.modify(session.id(), |session| *session.content_mut() += 100).unwrap();
        }
        *other.content_mut() += 1;
    });
    assert_eq!((tries, *changed.unwrap().unwrap().content()), (4, 302));
    assert_eq!(*stored(&store, session.id()).content(), 302);
}

pub fn a_change_by_key_brings_nothing_back<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    let changed = store.modify_key(&session.key(), |_| {
        assert!(store.destroy(session.id()).unwrap(), "the store may be used in the closure");
    });
    assert!(changed.unwrap().is_none());
    assert_absent(&store, &session);

    let session = created_for(&store, "ann", 2);
    let changed = store.modify_key(&session.key(), |_| setup.clock.advance(INACTIVITY));
    assert!(changed.unwrap().is_none());
    assert_absent(&store, &session);

    let mut session = created_for(&store, "ann", 3);
    let old = session.clone();
    let changed = store.modify_key(&old.key(), |other| {
        store.regenerate_id(&mut session).unwrap();
        *other.content_mut() = 99;
    });
    assert!(changed.unwrap().is_none(), "it has another key by now");
    assert_absent(&store, &old);
    assert_eq!(*stored(&store, session.id()).content(), 3);
}

pub fn every_other_session_of_a_user_is_changed_and_nobody_elses<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let expired = created_for(&store, "ann", 1);
    setup.clock.advance(INACTIVITY - MS);
    let (here, there, bobs, nobodys) = (
        created_for(&store, "ann", 2),
        created_for(&store, "ann", 3),
        created_for(&store, "bob", 4),
        created(&store, 5),
    );
    setup.clock.advance(MS);
    let add = |session: &mut SessionByKey<u64>| *session.content_mut() += 100;
    assert_eq!(store.update_others(&here, add).unwrap(), 1);
    assert_eq!(store.update_others(&nobodys, add).unwrap(), 0);
    let contents = [&here, &there, &bobs, &nobodys].map(|s| *stored(&store, s.id()).content());
    assert_eq!(contents, [2, 103, 4, 5]);
    assert_absent(&store, &expired);

    let third = created_for(&store, "ann", 6);
    let mut seen = 0;
    let refused = store.update_others(&here, |session| {
        seen += 1;
        *session.content_mut() = 0;
        if seen == 2 { Err(Error::Closed) } else { Ok(()) }
    });
    assert!(matches!(refused, Err(Error::Closed)), "the closure's own error ends it");
    let mut left = [&there, &third].map(|session| *stored(&store, session.id()).content());
    left.sort_unstable();
    assert!(left[0] == 0 && left[1] > 0, "one was changed before: {left:?}");
}

pub fn a_change_of_a_users_other_sessions_looks_at_whose_they_are<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut here = created_for(&store, "ann", 1);
    let others = [2, 3].map(|number| created_for(&store, "ann", number));
    // The first visit gives both to Bob: the session being changed, and the listed one that comes
    // next.
    let mut given = false;
    let changed = store.update_others(&here, |session| {
        if !std::mem::replace(&mut given, true) {
            for other in &others {
                store.modify(other.id(), |other| other.set_user("bob")).unwrap();
            }
        }
        *session.content_mut() += 100;
    });
    assert_eq!(changed.unwrap(), 0);
    let contents = || others.each_ref().map(|other| *stored(&store, other.id()).content());
    assert_eq!(contents(), [2, 3], "they are Bob's");

    // An unsaved user decides nothing.
    here.set_user("bob");
    let add = |session: &mut SessionByKey<u64>| *session.content_mut() += 100;
    assert_eq!(store.update_others(&here, add).unwrap(), 0);
    assert_eq!(contents(), [2, 3]);
    assert!(store.destroy(here.id()).unwrap());
    assert_gone(store.update_others(&here, add), "update_others");
}

pub fn a_change_of_a_users_other_sessions_follows_those_that_get_new_ids<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let here = created_for(&store, "ann", 1);
    let mut others = [2, 3].map(|number| created_for(&store, "ann", number));
    setup.clock.advance(MS);
    // The first visit moves both: the session being changed, and the listed one that comes next.
    let mut moved = false;
    let changed = store.update_others(&here, |session| {
        if !std::mem::replace(&mut moved, true) {
            for other in &mut others {
                store.regenerate_id(other).unwrap();
            }
            created_for(&store, "ann", 4);
        }
        *session.content_mut() += 100;
    });
    assert_eq!(changed.unwrap(), 2);
    assert_eq!(others.map(|other| *stored(&store, other.id()).content()), [102, 103]);
}

pub fn a_users_sessions_are_listed_with_their_content<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Cart>();
    let expired = created_for(&store, "ann", 0);
    setup.clock.advance(INACTIVITY - MS);
    let sessions = [1, 2, 3].map(|number| {
        created_for(&store, "bob", number + 10);
        created_for(&store, "ann", number)
    });
    setup.clock.advance(MS);
    assert!(store.extend_lifetime(sessions[1].id()).unwrap());
    let listed = store.sessions_of_with("ann").unwrap();
    let infos: Vec<_> = listed.iter().map(|session| session.info().clone()).collect();
    assert_eq!(infos, store.sessions_of("ann").unwrap(), "in the same order");
    let number = |session: SessionByKey<crate::error::Result<Cart>>| {
        session.into_content().unwrap().number()
    };
    let mut numbers: Vec<_> = listed.into_iter().map(number).collect();
    assert_eq!(numbers[0], 2, "the most recently active first");
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
    assert_absent(&store, &expired);
    assert!(store.sessions_of_with("carl").unwrap().is_empty());
}

pub fn a_session_is_ended_for_its_user_and_for_nobody_else<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let (anns, nobodys) = (created_for(&store, "ann", 1), created(&store, 2));
    for other in ["bob", "an", "ann ", ""] {
        assert!(!store.destroy_of(other, &anns.key()).unwrap(), "{other:?}");
    }
    assert!(!store.destroy_of("ann", &nobodys.key()).unwrap());
    assert_eq!(store.len().unwrap(), 2);
    assert!(store.destroy_of("ann", &anns.key()).unwrap());
    assert!(!store.destroy_of("ann", &anns.key()).unwrap());
    assert_absent(&store, &anns);
    let expired = created_for(&store, "ann", 3);
    setup.clock.advance(INACTIVITY);
    assert!(!store.destroy_of("ann", &expired.key()).unwrap());
    let long = "x".repeat(crate::session::user::UserId::MAX_LEN + 1);
    let refused = store.destroy_of(long.as_str(), &anns.key());
    assert!(matches!(refused, Err(Error::InvalidUser { .. })));
}
