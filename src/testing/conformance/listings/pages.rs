//! Listings in parts: pages, a visitor that stops early, the list of users, and a user's rename.

use std::ops::ControlFlow;

use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

pub fn a_list_is_turned_over_page_by_page<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let expired = created(&store, 0);
    setup.clock.advance(INACTIVITY - MS);
    let mut expected: Vec<_> = (1..=7).map(|number| created(&store, number).key()).collect();
    setup.clock.advance(MS);
    expected.sort_unstable();
    for limit in [1, 2, 3, 7, 8, usize::MAX] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(after, limit).unwrap();
            assert!(page.len() <= limit);
            all.extend(page.iter().map(|info| info.key()));
            after = all.last().copied();
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(all, expected, "in pages of {limit}");
    }
    assert_eq!(store.list(None, 0).unwrap(), []);
    let between = SessionKey::from_bytes([0xff; 16]);
    assert_eq!(store.list(Some(between), 5).unwrap(), []);
    assert_absent(&store, &expired);
}

pub fn a_visitor_that_has_seen_enough_is_shown_no_more<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for number in 0..10 {
        created(&store, number);
    }
    let mut seen = 0;
    let visit = |_, _| {
        seen += 1;
        if seen < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break("enough") }
    };
    assert_eq!(store.for_each(visit).unwrap(), 3);
    assert_eq!(seen, 3);
    let all = store.for_each(|_, _| ControlFlow::<()>::Continue(())).unwrap();
    assert_eq!(all, 10);
}

pub fn users_are_listed_with_how_many_sessions_they_have<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    created_for(&store, "has expired", 0);
    created_for(&store, "ann", 0);
    setup.clock.advance(INACTIVITY - MS);
    let expected: Vec<(UserId, u64)> =
        vec![("ann".into(), 2), ("bob".into(), 1), (7_u64.into(), 3), ("".into(), 1)];
    for (user, sessions) in &expected {
        for number in 0..*sessions {
            created_for(&store, user.clone(), number);
        }
    }
    created(&store, 9);
    setup.clock.advance(MS);
    for limit in [1, 2, 3, 10] {
        let mut all: Vec<(UserId, u64)> = Vec::new();
        loop {
            let after = all.last().map(|(user, _)| user.clone());
            let page = store.users(after.as_ref(), limit).unwrap();
            let last = page.len() < limit;
            all.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(all.len(), expected.len(), "in pages of {limit}: {all:?}");
        assert!(expected.iter().all(|user| all.contains(user)), "{all:?}");
    }
    assert_eq!(store.users(None, 0).unwrap(), []);
    let last = store.users(None, 10).unwrap().pop().map(|(user, _)| user);
    assert_eq!(store.users(last.as_ref(), 10).unwrap(), []);
}

pub fn a_user_who_is_renamed_keeps_their_sessions<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Cart>();
    let expired = created_for(&store, "ann", 0);
    setup.clock.advance(INACTIVITY - MS);
    let token = options().user("ann").csrf_token();
    let mut session = store.create_with(Cart::sample(1), &token).unwrap();
    let (other, bobs) = (created_for(&store, "ann", 2), created_for(&store, "bob", 3));
    setup.clock.advance(MS);
    assert!(store.extend_lifetime(other.id()).unwrap());
    let before = stored(&store, session.id());
    assert_eq!(store.rename_user("ann", 1_001_u64).unwrap(), 2);
    assert_eq!(keys_listed(&store, "ann"), []);
    assert_eq!(keys_listed(&store, 1_001_u64), sorted_keys([session.key(), other.key()]));
    let after = stored(&store, session.id());
    assert_eq!((after.user(), after.content().number()), (Some(&1_001_u64.into()), 1));
    assert_eq!(after.expires_at(), before.expires_at(), "a new name is no activity");
    let encoded = |session: &crate::session::Session<Cart>| session.csrf_token().unwrap().encode();
    assert_eq!(encoded(&after), encoded(&before));
    assert_conflict(store.update(&mut session));
    assert_absent(&store, &expired);

    assert_eq!(store.rename_user("nobody", "bob").unwrap(), 0);
    assert_eq!(store.rename_user("bob", "bob").unwrap(), 1);
    assert_eq!(store.rename_user(1_001_u64, "bob").unwrap(), 2);
    assert_eq!(store.destroy_all_of("bob").unwrap(), 3);
    assert_absent(&store, &bobs);
    let long = "x".repeat(UserId::MAX_LEN + 1);
    assert!(matches!(store.rename_user("bob", long), Err(Error::InvalidUser { .. })));
}

fn sorted_keys<const N: usize>(mut keys: [SessionKey; N]) -> Vec<SessionKey> {
    keys.sort_unstable();
    keys.to_vec()
}

pub fn a_token_that_is_drawn_later_is_saved_and_stays<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created_for(&store, "ann", 1);
    assert!(session.csrf_token().is_none() && !session.is_modified());
    let token = session.ensure_csrf_token().unwrap().encode();
    assert!(session.is_modified());
    assert_eq!(session.ensure_csrf_token().unwrap().encode(), token, "it is drawn once");
    assert!(stored(&store, session.id()).csrf_token().is_none(), "it is not saved yet");
    store.update(&mut session).unwrap();
    let mut read = stored(&store, session.id());
    assert!(read.csrf_token().unwrap().verify(&token));
    assert_eq!(read.ensure_csrf_token().unwrap().encode(), token);
    assert!(!read.is_modified(), "there was one");

    let mut login = created(&store, 2);
    let before = login.ensure_csrf_token().unwrap().encode();
    login.set_user("ann");
    store.regenerate_id(&mut login).unwrap();
    let token = stored(&store, login.id()).csrf_token().unwrap().encode();
    assert_ne!(token, before, "another id, another token");
    assert_eq!(login.csrf_token().unwrap().encode(), token);
}

pub fn own_timeouts_come_and_go_with_a_new_id_as_well<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let month = ABSOLUTE * 100;
    let mut session = created(&store, 1);
    session.set_user("ann");
    session.set_timeouts(month, month).unwrap();
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(stored(&store, session.id()).expires_at(), session.created_at() + month);
    setup.clock.advance(ABSOLUTE - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    session.clear_timeouts();
    store.regenerate_id(&mut session).unwrap();
    let read = stored(&store, session.id());
    assert_eq!(read.expires_at(), session.created_at() + ABSOLUTE, "back under the store's");
    setup.clock.advance(MS);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert_absent(&store, &session);
}
