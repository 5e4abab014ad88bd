//! Sessions by user: listings, ending them, and users who look alike.

use std::thread;

use crate::engine::limits::UserLimit;
use crate::error::Error;
use crate::session::attributes::Attributes;
use crate::session::info::SessionInfo;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

fn sorted<C>(sessions: &[&crate::session::Session<C>]) -> Vec<crate::key::SessionKey> {
    let mut keys: Vec<_> = sessions.iter().map(|session| session.key()).collect();
    keys.sort_unstable();
    keys
}

pub fn a_user_sees_all_their_sessions_and_no_others<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Attributes>();
    let one = created_for(&store, "ann", 1);
    setup.clock.advance(MS);
    let two = created_for(&store, "ann", 2);
    created_for(&store, "bob", 3);
    created(&store, 4);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&one, &two]));
    for info in listed(&store, "ann") {
        let session = if info.key() == one.key() { &one } else { &two };
        assert_eq!(info.user(), Some(&UserId::from("ann")));
        assert_eq!(info.created_at(), session.created_at());
        assert_eq!(info.last_active(), session.last_active());
        assert_eq!(info.expires_at(), session.expires_at());
    }
    assert_eq!(listed(&store, "nobody"), []);
}

pub fn users_who_look_alike_are_different_users<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let look_alikes: Vec<UserId> = vec![
        42.into(),
        (-42).into(),
        "42".into(),
        "-42".into(),
        "042".into(),
        "42\0".into(),
        "".into(),
        "\0".into(),
        0.into(),
        "0".into(),
        (-1_i64).into(),
        u64::MAX.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        "ann".into(),
        "Ann".into(),
        "annie".into(),
        "an".into(),
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}*".into(),
        "x".repeat(UserId::MAX_LEN).into(),
        "x".repeat(UserId::MAX_LEN - 1).into(),
    ];
    let sessions: Vec<_> = look_alikes.iter().map(|user| created_for(&store, user, 1)).collect();
    for (user, session) in look_alikes.iter().zip(&sessions) {
        assert_eq!(keys_listed(&store, user), [session.key()], "{user:?}");
        assert_eq!(stored(&store, session.id()).user(), Some(user));
    }
    for (gone, user) in look_alikes.iter().enumerate() {
        assert_eq!(store.destroy_all_of(user).unwrap(), 1, "{user:?}");
        assert_eq!(store.len().unwrap() as usize, look_alikes.len() - gone - 1);
        assert_eq!(store.destroy_all_of(user).unwrap(), 0);
    }
}

pub fn a_user_id_past_the_limit_is_refused_and_nothing_is_written<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let long = "x".repeat(UserId::MAX_LEN + 1);
    let refused = |result: crate::error::Result<()>| {
        assert!(matches!(result, Err(Error::InvalidUser { len: 256, max: 255 })), "{result:?}");
    };
    let mut session = created_for(&store, "ann", 1);
    refused(store.create_for_user(&long, 1).map(drop));
    refused(store.sessions_of(&long).map(drop));
    refused(store.destroy_all_of(&long).map(drop));
    session.set_user(&long);
    refused(store.update(&mut session));
    refused(store.regenerate_id(&mut session));
    assert_eq!(visited(&store).len(), 1);
    assert_eq!(keys_listed(&store, "ann"), [session.key()]);
}

pub fn a_session_moves_between_listings_with_its_user<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let owned_by = |owner: Option<&str>| {
        for user in ["ann", "bob"] {
            let expected: &[_] = if owner == Some(user) { &[1] } else { &[] };
            let contents: Vec<_> = listed(&store, user).iter().map(|_| 1).collect();
            assert_eq!(contents, expected, "{user} when it belongs to {owner:?}");
        }
    };
    owned_by(None);
    session.set_user("ann");
    owned_by(None);
    store.update(&mut session).unwrap();
    owned_by(Some("ann"));
    session.set_user("bob");
    store.update(&mut session).unwrap();
    owned_by(Some("bob"));
    assert_eq!(stored(&store, session.id()).user(), Some(&"bob".into()));
    session.clear_user();
    assert!(session.is_modified());
    store.update(&mut session).unwrap();
    owned_by(None);
    assert_eq!(stored(&store, session.id()).user(), None);
    session.set_user("ann");
    store.regenerate_id(&mut session).unwrap();
    owned_by(Some("ann"));
    store.modify(session.id(), |session| session.set_user("bob")).unwrap();
    owned_by(Some("bob"));
    assert!(store.destroy(session.id()).unwrap());
    owned_by(None);
}

pub fn ending_the_others_leaves_the_session_itself<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let own = created_for(&store, "ann", 1);
    let others = [created_for(&store, "ann", 2), created_for(&store, "ann", 3)];
    let bobs = created_for(&store, "bob", 4);
    let nobodys = [created(&store, 5), created(&store, 6)];
    assert_eq!(store.destroy_others(&own).unwrap(), 2);
    assert_eq!(store.destroy_others(&own).unwrap(), 0);
    for other in &others {
        assert_absent(&store, other);
    }
    assert_eq!(keys_listed(&store, "ann"), [own.key()]);
    assert_eq!(store.destroy_others(&nobodys[0]).unwrap(), 0, "no user, no others");
    assert_eq!(store.len().unwrap(), 4);
    assert_eq!(keys_listed(&store, "bob"), [bobs.key()]);
}

pub fn ending_the_others_goes_by_the_stored_user<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created_for(&store, "ann", 1);
    let anns = created_for(&store, "ann", 2);
    let bobs = created_for(&store, "bob", 3);
    session.set_user("bob");
    assert_eq!(store.destroy_others(&session).unwrap(), 1);
    assert_absent(&store, &anns);
    assert!(store.read(bobs.id()).unwrap().is_some());
}

pub fn ending_the_others_of_what_is_gone_ends_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let gone = created_for(&store, "ann", 1);
    let other = created_for(&store, "ann", 2);
    assert!(store.destroy(gone.id()).unwrap());
    assert_gone(store.destroy_others(&gone), "destroyed");
    setup.clock.advance(INACTIVITY);
    let late = created_for(&store, "ann", 3);
    assert_gone(store.destroy_others(&other), "expired");
    assert_eq!(keys_listed(&store, "ann"), [late.key()]);
}

pub fn ending_counts_live_sessions_alone<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for number in 0..4 {
        created_for(&store, "ann", number);
    }
    let extended = created_for(&store, "ann", 4);
    setup.clock.advance(INACTIVITY - MS);
    let own = created_for(&store, "ann", 5);
    assert!(store.extend_lifetime(extended.id()).unwrap());
    setup.clock.advance(MS);
    assert_eq!(store.destroy_others(&own).unwrap(), 1, "the extended one; four had expired");
    assert_absent(&store, &extended);
    assert_eq!(store.destroy_all_of("ann").unwrap(), 1);
    assert_eq!(store.clean_up_expired().unwrap(), 0, "the expired ones went along");
}

pub fn a_session_is_ended_by_its_key_alone<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    let other = created_for(&store, "ann", 2);
    assert!(store.destroy_key(&session.key()).unwrap());
    assert!(!store.destroy_key(&session.key()).unwrap());
    assert_absent(&store, &session);
    assert_eq!(keys_listed(&store, "ann"), [other.key()]);
}

/// The threads that share the commits of the crowd below.
const THREADS: u64 = 64;
const CROWD: u64 = 10_000;

fn crowd_of<F: EngineFixture>(setup: &Setup<F>, user: &str) -> SessionStore<u64> {
    let store = setup.store::<u64>();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for number in (thread..CROWD).step_by(THREADS as usize) {
                    created_for(store, user, number);
                }
            });
        }
    });
    store
}

pub fn a_user_may_have_ten_thousand_sessions<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = crowd_of(&setup, "ann");
    let bobs = created_for(&store, "bob", 0);
    let own = created_for(&store, "ann", CROWD);

    let mut keys = keys_listed(&store, "ann");
    assert_eq!(keys.len() as u64, CROWD + 1);
    keys.dedup();
    assert_eq!(keys.len() as u64, CROWD + 1, "each is listed once");
    assert!(keys.contains(&own.key()));
    let mut numbers: Vec<_> = visited(&store).into_iter().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().skip(1).eq(0..=CROWD), "and bob's");

    let half: Vec<SessionInfo> = listed(&store, "ann").into_iter().step_by(100).collect();
    for info in &half {
        assert!(info.key() == own.key() || store.destroy_key(&info.key()).unwrap());
    }
    let left = listed(&store, "ann").len() as u64;
    assert_eq!(store.destroy_others(&own).unwrap(), left - 1);
    assert_eq!(keys_listed(&store, "ann"), [own.key()]);
    assert_eq!(keys_listed(&store, "bob"), [bobs.key()]);
    assert_eq!(store.len().unwrap(), 2);
}

pub fn ten_thousand_sessions_of_a_user_end_at_once<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = crowd_of(&setup, "ann");
    created_for(&store, "annie", 0);
    assert_eq!(store.destroy_all_of("ann").unwrap(), CROWD);
    assert_eq!((store.len().unwrap(), listed(&store, "ann").len()), (1, 0));
}

fn limited<F: EngineFixture>(
    setup: &Setup<F>,
    sessions: u64,
    policy: UserLimit,
) -> SessionStore<u64> {
    setup.builder().max_sessions_per_user(sessions, policy).build().unwrap()
}

fn assert_user_full<T: std::fmt::Debug>(result: crate::error::Result<T>, limit: u64) {
    assert!(matches!(result, Err(Error::UserFull { max }) if max == limit), "{result:?}");
}

pub fn a_user_with_as_many_sessions_as_they_may_have_is_refused_another<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = limited(&setup, 2, UserLimit::Refuse);
    let one = created_for(&store, "ann", 1);
    let two = created_for(&store, "ann", 2);
    assert_user_full(store.create_for_user("ann", 3), 2);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&one, &two]));
    created_for(&store, "bob", 4);
    for nobodys in 5..10 {
        created(&store, nobodys);
    }
    assert!(store.destroy(one.id()).unwrap());
    let three = created_for(&store, "ann", 3);
    assert_user_full(store.create_for_user("ann", 4), 2);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&two, &three]));
}

pub fn one_session_too_many_ends_the_least_recently_active<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = limited(&setup, 3, UserLimit::EndLeastRecentlyActive);
    let sessions: Vec<_> = (0..3)
        .map(|number| {
            setup.clock.advance(MS);
            created_for(&store, "ann", number)
        })
        .collect();
    let bobs = created_for(&store, "bob", 9);
    setup.clock.advance(MS);
    // The first session is now the latest, whether or not its touch is written yet.
    assert!(store.extend_lifetime(sessions[0].id()).unwrap());
    let fourth = created_for(&store, "ann", 3);
    assert_absent(&store, &sessions[1]);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&sessions[0], &sessions[2], &fourth]));
    setup.clock.advance(MS);
    store.flush().unwrap();
    let fifth = created_for(&store, "ann", 4);
    assert_absent(&store, &sessions[2]);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&sessions[0], &fourth, &fifth]));
    assert_eq!(keys_listed(&store, "bob"), [bobs.key()]);
    assert_eq!(store.len().unwrap(), 4);
}

pub fn the_limit_of_a_user_holds_for_sessions_that_change_their_user<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = limited(&setup, 1, UserLimit::Refuse);
    let anns = created_for(&store, "ann", 1);
    let mut session = created(&store, 2);
    session.set_user("ann");
    assert_user_full(store.update(&mut session), 1);
    assert_user_full(store.regenerate_id(&mut session), 1);
    assert_user_full(store.modify(session.id(), |session| session.set_user("ann")), 1);
    assert_eq!(stored(&store, session.id()).user(), None, "nothing was written");
    let mut own = stored(&store, anns.id());
    store.update(&mut own).expect("it counts once");
    store.regenerate_id(&mut own).expect("and once under a new id");
    assert_eq!(keys_listed(&store, "ann"), [own.key()]);
    store.close().unwrap();

    let store = limited(&setup, 1, UserLimit::EndLeastRecentlyActive);
    setup.clock.advance(MS);
    let mut session = stored(&store, session.id());
    session.set_user("ann");
    store.update(&mut session).unwrap();
    assert_absent(&store, &own);
    let mut login = created(&store, 3);
    login.set_user("ann");
    store.regenerate_id(&mut login).unwrap();
    assert_absent(&store, &session);
    assert_eq!(keys_listed(&store, "ann"), [login.key()]);
}

pub fn expired_sessions_do_not_count_against_the_limit_of_a_user<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = limited(&setup, 2, UserLimit::Refuse);
    created_for(&store, "ann", 1);
    let kept = created_for(&store, "ann", 2);
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(kept.id()).unwrap());
    assert_user_full(store.create_for_user("ann", 3), 2);
    setup.clock.advance(MS);
    let new = created_for(&store, "ann", 3);
    assert_user_full(store.create_for_user("ann", 4), 2);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&kept, &new]));
    store.close().unwrap();

    let store = limited(&setup, 2, UserLimit::EndLeastRecentlyActive);
    setup.clock.advance(INACTIVITY - MS);
    let newer = created_for(&store, "ann", 4);
    assert_eq!(keys_listed(&store, "ann"), sorted(&[&new, &newer]), "the kept one had expired");
}

pub fn a_limit_that_is_lowered_waits_for_the_next_session<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut sessions = Vec::new();
    for number in 0..5 {
        setup.clock.advance(MS);
        sessions.push(created_for(&store, "ann", number));
    }
    store.close().unwrap();
    let store = limited(&setup, 2, UserLimit::EndLeastRecentlyActive);
    assert_eq!(keys_listed(&store, "ann").len(), 5);
    let mut first = stored(&store, sessions[0].id());
    store.update(&mut first).expect("it is there already");
    assert_eq!(keys_listed(&store, "ann").len(), 5);
    setup.clock.advance(MS);
    let new = created_for(&store, "ann", 5);
    assert_eq!(keys_listed(&store, "ann").len(), 2);
    assert!(keys_listed(&store, "ann").contains(&new.key()));
}

pub fn a_full_store_ends_nothing_for_a_session_it_refuses<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let build = |max| {
        let builder = setup.builder().max_sessions(max);
        builder.max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive).build().unwrap()
    };
    let store: SessionStore<u64> = build(3);
    let anns = created_for(&store, "ann", 1);
    setup.clock.advance(MS);
    created_for(&store, "ann", 2);
    let bobs = created_for(&store, "bob", 3);
    assert!(matches!(store.create_for_user("bob", 4), Err(Error::Full { max: 3 })));
    assert_eq!(keys_listed(&store, "bob"), [bobs.key()]);
    created_for(&store, "ann", 4);
    assert_absent(&store, &anns);
    store.close().unwrap();
    let store: SessionStore<u64> = build(2);
    assert!(matches!(store.create_for_user("ann", 5), Err(Error::Full { max: 2 })));
    assert_eq!(keys_listed(&store, "ann").len(), 2, "none of them ended for nothing");
}
