//! Saving a session: no lost update, no revival, no unrequested change.

use crate::error::Error;
use crate::session::Session;
use crate::session::attributes::Attributes;
use crate::store::modify::Returned;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

fn update_saves<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let mut session = created_for(&store, "ann", 1);
    let bystander = created_for(&store, "ann", 2);
    *session.content_mut() = C::sample(3);
    assert!(session.is_modified());
    assert_eq!(stored(&store, session.id()).content().number(), 1, "not before `update`");
    store.update(&mut session).unwrap();
    assert!(!session.is_modified());
    assert_eq!(stored(&store, session.id()).content().number(), 3);
    assert_eq!(stored(&store, bystander.id()).content().number(), 2);
    *session.content_mut() = C::sample(4);
    store.update(&mut session).expect("a handle that was saved may be saved again");
    assert_eq!(stored(&store, session.id()).content().number(), 4);
    assert_eq!(store.len().unwrap(), 2);
}

pub fn update_saves_the_content<F: EngineFixture>() {
    update_saves::<Cart, F>();
    update_saves::<Attributes, F>();
}

pub fn a_stale_update_is_a_conflict_and_changes_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut first = created_for(&store, "ann", 1);
    let mut second = stored(&store, first.id());
    *first.content_mut() = 2;
    store.update(&mut first).unwrap();
    setup.clock.advance(MS);
    *second.content_mut() = 3;
    second.set_user("bob");
    assert_conflict(store.update(&mut second));
    assert!(second.is_modified(), "it is not saved");
    assert_conflict(store.regenerate_id(&mut second));
    let read = stored(&store, first.id());
    assert_eq!((*read.content(), read.user()), (2, Some(&"ann".into())));
    assert_eq!(read.last_active(), first.last_active(), "a refused update extends nothing");
    assert_eq!(keys_listed(&store, "ann"), [first.key()]);
    assert_eq!(listed(&store, "bob"), []);
    assert_conflict(store.update(&mut second));
}

pub fn an_update_without_a_change_still_makes_others_stale<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut first = created(&store, 1);
    let mut second = first.clone();
    store.update(&mut first).unwrap();
    assert_conflict(store.update(&mut second));
}

pub fn a_touch_is_no_conflict<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let mut id_to_change = created(&store, 2);
    setup.clock.advance(MS);
    for flushed in [false, true] {
        assert!(store.extend_lifetime(session.id()).unwrap());
        assert!(store.read_and_extend(id_to_change.id()).unwrap().is_some());
        if flushed {
            store.flush().unwrap();
        }
        *session.content_mut() += 10;
        store.update(&mut session).unwrap();
        store.regenerate_id(&mut id_to_change).unwrap();
    }
    assert_eq!(*stored(&store, session.id()).content(), 21);
}

pub fn updating_what_is_gone_changes_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut destroyed = created_for(&store, "ann", 1);
    let mut expired = created_for(&store, "ann", 2);
    let mut cleared = created_for(&store, "ann", 3);
    assert!(store.destroy(destroyed.id()).unwrap());
    assert!(!store.destroy(destroyed.id()).unwrap());
    *destroyed.content_mut() = 10;
    assert_gone(store.update(&mut destroyed), "destroyed");
    assert_absent(&store, &destroyed);

    setup.clock.advance(INACTIVITY);
    *expired.content_mut() = 20;
    assert_gone(store.update(&mut expired), "expired");
    assert_absent(&store, &expired);

    store.clear().unwrap();
    assert_gone(store.update(&mut cleared), "cleared");
    assert_absent(&store, &cleared);
    assert_eq!(store.len().unwrap(), 0);
    assert_eq!(listed(&store, "ann"), []);
}

pub fn modify_saves_what_the_closure_changed<F: EngineFixture>() {
    modify_saves::<Cart, F>();
    modify_saves::<Attributes, F>();
}

fn modify_saves<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let session = created(&store, 1);
    let modified = store
        .modify(session.id(), |session| {
            let number = session.content().number();
            *session.content_mut() = C::sample(number + 1);
            session.set_user("ann");
        })
        .unwrap()
        .unwrap();
    assert_eq!((modified.content().number(), modified.is_modified()), (2, false));
    let mut read = stored(&store, session.id());
    assert_eq!((read.content().number(), read.user()), (2, Some(&"ann".into())));
    store.update(&mut read).unwrap();
    assert_eq!(keys_listed(&store, "ann"), [session.key()]);
}

pub fn modify_tries_again_after_a_conflict<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    let mut tries = 0;
    let modified = store
        .modify(session.id(), |session| {
            tries += 1;
            if tries <= 3 {
                let mut faster = stored(&store, session.id());
                *faster.content_mut() += 100;
                store.update(&mut faster).unwrap();
            }
            *session.content_mut() += 1;
        })
        .unwrap()
        .unwrap();
    assert_eq!((tries, *modified.content()), (4, 302));
    assert_eq!(*stored(&store, session.id()).content(), 302);
}

pub fn modify_does_not_bring_back_what_its_closure_saw_go<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    let modified = store.modify(session.id(), |session| {
        assert!(store.destroy(session.id()).unwrap(), "the store may be used in the closure");
    });
    assert!(modified.unwrap().is_none());
    assert_absent(&store, &session);

    let session = created_for(&store, "ann", 2);
    let modified = store.modify(session.id(), |_| setup.clock.advance(INACTIVITY));
    assert!(modified.unwrap().is_none());
    assert_absent(&store, &session);
}

pub fn modify_gives_what_its_closure_returns<F: EngineFixture>() {
    #[derive(Debug)]
    enum Own {
        Sold(u64),
        Store,
    }
    impl From<Error> for Own {
        fn from(_: Error) -> Self {
            Self::Store
        }
    }
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    let id = session.id();
    let add = |session: &mut Session<u64>| {
        *session.content_mut() += 1;
        *session.content()
    };
    assert_eq!(store.modify(id, add).unwrap(), Some(2));
    assert_eq!(store.modify(id, |session| (add(session), "two")).unwrap(), Some((3, "two")));
    // A flash message that is there is taken; an absent one gives `None`.
    assert_eq!(store.modify(id, |session| Some(add(session))).unwrap(), Some(4));
    assert_eq!(store.modify(id, |_| None::<String>).unwrap(), None);
    assert_eq!(store.modify(id, |session| Returned(add(session))).unwrap(), Some(5));
    let own = |session: &mut Session<u64>| match add(session) {
        sold @ 7.. => Err(Own::Sold(sold)),
        left => Ok(left),
    };
    assert_eq!(store.modify(id, own).unwrap(), Some(6));
    assert!(matches!(store.modify(id, own), Err(Own::Sold(7))));
    assert_eq!(*stored(&store, id).content(), 6, "nothing was written");
    store.clone().close().unwrap();
    assert!(matches!(store.modify(id, own), Err(Own::Store)), "the store's error becomes its own");
}

pub fn an_error_of_the_closure_is_returned_and_nothing_is_written<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    setup.clock.advance(MS);
    let result = store.modify(session.id(), |session| {
        *session.content_mut() = 9;
        Err::<(), _>(Error::engine(std::io::Error::other("not today")))
    });
    assert!(matches!(result, Err(Error::Engine { .. })));
    let mut same = session.clone();
    let read = stored(&store, session.id());
    assert_eq!((*read.content(), read.last_active()), (1, session.last_active()));
    store.update(&mut same).expect("the revision has not moved either");
}

pub fn what_a_session_says_of_its_times_is_ignored<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut honest = created(&store, 1);
    setup.clock.advance(INACTIVITY - MS);
    let other = created(&store, 2);
    // A handle with the times of a younger session.
    honest.times = other.times;
    store.update(&mut honest).unwrap();
    assert_eq!(honest.created_at() + INACTIVITY - MS, other.created_at());
    honest.times = other.times;
    store.regenerate_id(&mut honest).unwrap();
    assert_eq!(stored(&store, honest.id()).created_at() + INACTIVITY - MS, other.created_at());
}
