//! A new id for a session: one transaction, the old id dead, the absolute deadline kept.

use crate::session::attributes::Attributes;
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

fn moves<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let before = created_for(&store, "ann", 1);
    let mut session = before.clone();
    setup.clock.advance(INACTIVITY / 2);
    *session.content_mut() = C::sample(2);
    store.regenerate_id(&mut session).unwrap();

    assert_ne!(session.id(), before.id());
    assert_eq!((session.key(), session.is_modified()), (session.id().key(), false));
    let read = stored(&store, session.id());
    assert_eq!((read.content().number(), read.user()), (2, Some(&"ann".into())));
    assert_eq!(read.created_at(), before.created_at());
    assert_eq!(read.last_active(), before.last_active() + INACTIVITY / 2);
    assert_absent(&store, &before);
    assert_eq!(keys_listed(&store, "ann"), [session.key()]);
    assert_eq!((store.len().unwrap(), visited(&store)), (1, vec![(session.key(), 2)]));
    store.update(&mut session).expect("the handle has the new id and the new revision");
}

pub fn regenerating_moves_a_session_to_a_new_id<F: EngineFixture>() {
    moves::<Cart, F>();
    moves::<Attributes, F>();
}

pub fn the_absolute_deadline_outlives_any_number_of_ids<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let created_at = session.created_at();
    for _ in 0..7 {
        setup.clock.advance((ABSOLUTE - MS) / 7);
        store.regenerate_id(&mut session).unwrap();
        assert_eq!(session.created_at(), created_at);
    }
    assert_eq!(session.expires_at(), created_at + ABSOLUTE);
    setup.clock.advance(INACTIVITY);
    assert_absent(&store, &session);
}

pub fn of_two_handles_that_regenerate_one_wins<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut winner = created_for(&store, "ann", 1);
    let mut loser = winner.clone();
    store.regenerate_id(&mut winner).unwrap();
    assert_gone(store.regenerate_id(&mut loser), "regenerate_id");
    assert_gone(store.update(&mut loser), "update");
    assert_absent(&store, &loser);
    assert_eq!(visited(&store), [(winner.key(), 1)]);
}

pub fn the_csrf_token_changes_with_the_id_and_with_nothing_else<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = store.create_with(1, &options().csrf_token()).unwrap();
    let token = |session: &crate::session::Session<u64>| session.csrf_token().unwrap().encode();
    let first = token(&session);
    assert_eq!(token(&stored(&store, session.id())), first);
    assert!(store.extend_lifetime(session.id()).unwrap());
    store.flush().unwrap();
    store.update(&mut session).unwrap();
    store.modify(session.id(), |session| *session.content_mut() += 1).unwrap();
    let mut session = stored(&store, session.id());
    assert_eq!(token(&session), first);

    store.regenerate_id(&mut session).unwrap();
    let second = token(&session);
    assert_ne!(second, first);
    assert!(!session.csrf_token().unwrap().verify(&first));
    assert_eq!(token(&stored(&store, session.id())), second);

    let mut without = created(&store, 2);
    store.regenerate_id(&mut without).unwrap();
    assert!(stored(&store, without.id()).csrf_token().is_none());
}

pub fn a_login_gives_the_session_its_user_and_a_new_id_in_one_step<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let before_login = session.clone();
    session.set_user(7);
    store.regenerate_id(&mut session).unwrap();
    assert_absent(&store, &before_login);
    assert_eq!(stored(&store, session.id()).user(), Some(&UserId::from(7)));
    assert_eq!(keys_listed(&store, 7), [session.key()]);
}

pub fn a_touch_moves_along_to_the_new_id<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    setup.clock.advance(INACTIVITY / 2);
    assert!(store.extend_lifetime(session.id()).unwrap());
    let touched = stored(&store, session.id()).last_active();
    setup.clock.go_back(INACTIVITY / 2);
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(stored(&store, session.id()).last_active(), touched);
    store.flush().unwrap();
    assert_eq!(store.stats().unwrap().pending_touches, 0);
    assert_eq!(stored(&store, session.id()).last_active(), touched);
}
