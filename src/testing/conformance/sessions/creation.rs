//! The properties of a new session, and the cases in which none is created.

use crate::error::Error;
use crate::session::attributes::Attributes;
use crate::session::id::SessionId;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

fn round_trip<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let now = crate::time::clock::Clock::now(&setup.clock);
    let plain = created(&store, 1);
    let for_user = created_for(&store, "ann", 2);
    let with = store.create_with(C::sample(3), &options().user(7).csrf_token()).unwrap();

    assert_eq!((plain.user(), plain.csrf_token().is_some()), (None, false));
    assert_eq!(for_user.user(), Some(&UserId::from("ann")));
    assert_eq!(with.user(), Some(&UserId::from(7)));
    for (number, session) in [(1, &plain), (2, &for_user), (3, &with)] {
        assert_eq!((session.created_at(), session.last_active()), (now, now));
        assert_eq!(session.expires_at(), now + INACTIVITY);
        assert_eq!((session.content().number(), session.is_modified()), (number, false));
        assert_eq!(session.key(), session.id().key());
        let read = stored(&store, session.id());
        assert_eq!(read.id(), session.id());
        assert_eq!((read.key(), read.user()), (session.key(), session.user()));
        assert_eq!((read.created_at(), read.last_active()), (now, now));
        assert_eq!((read.expires_at(), read.is_modified()), (session.expires_at(), false));
        assert_eq!(read.into_content().number(), number);
    }
    let token = with.csrf_token().unwrap().encode();
    assert!(stored(&store, with.id()).csrf_token().unwrap().verify(&token));
    assert_eq!(store.len().unwrap(), 3);
}

pub fn a_created_session_is_read_as_it_was<F: EngineFixture>() {
    round_trip::<Cart, F>();
    round_trip::<Attributes, F>();
}

pub fn an_encoded_id_leads_back_to_its_session<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let cookie = created(&store, 5).id().encode();
    let id = SessionId::parse(&cookie).unwrap();
    assert_eq!(*stored(&store, &id).content(), 5);
}

pub fn an_unknown_id_finds_nothing_and_creates_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut other = created_for(&store, "ann", 1);
    let unknown = SessionId::generate().unwrap();
    assert!(store.read(&unknown).unwrap().is_none());
    assert!(store.read_and_extend(&unknown).unwrap().is_none());
    assert!(!store.extend_lifetime(&unknown).unwrap());
    assert!(store.modify(&unknown, never_called).unwrap().is_none());
    assert!(!store.destroy(&unknown).unwrap());
    assert!(!store.destroy_key(&unknown.key()).unwrap());
    // A session of another store, and one that ended here: this store must not trust either.
    let mut foreign = created(&Setup::<F>::new().store::<u64>(), 2);
    let mut ended = created_for(&store, "ann", 3);
    assert!(store.destroy(ended.id()).unwrap());
    for unknown in [&mut foreign, &mut ended] {
        assert!(matches!(store.update(unknown), Err(Error::Gone { .. })));
        assert!(matches!(store.regenerate_id(unknown), Err(Error::Gone { .. })));
        assert!(!store.extend_lifetime(unknown.id()).unwrap());
        assert!(store.modify(unknown.id(), never_called).unwrap().is_none());
    }
    store.flush().unwrap();
    assert_eq!(visited(&store), [(other.key(), 1)]);
    assert_eq!(store.stats().unwrap().pending_touches, 0);
    assert_eq!(listed(&store, "ann").len(), 1);
    store.update(&mut other).unwrap();
}

pub fn a_stored_key_is_no_id<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    assert!(matches!(SessionId::parse(&session.key().to_string()), Err(Error::InvalidId { .. })));
    use base64::Engine as _;
    let alphabet = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let stolen = SessionId::parse(&alphabet.encode(session.key().as_bytes())).unwrap();
    assert!(store.read(&stolen).unwrap().is_none());
    assert!(!store.destroy(&stolen).unwrap());
    assert!(store.read(session.id()).unwrap().is_some());
}

pub fn two_sessions_with_the_same_content_are_two<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let (one, two) = (created_for(&store, "ann", 1), created_for(&store, "ann", 1));
    assert_ne!(one.id(), two.id());
    assert_ne!(one.key(), two.key());
    assert!(store.destroy(one.id()).unwrap());
    assert_eq!(visited(&store), [(two.key(), 1)]);
}

/// Content that encodes to exactly `len` bytes. A length prefix takes one byte up to 250, and three
/// up to 65,535.
fn text_of_encoded_len(len: usize) -> String {
    let prefix = if len <= 251 { 1 } else { 3 };
    "x".repeat(len - prefix)
}

pub fn content_up_to_the_limit_is_stored_and_beyond_it_nothing_is<F: EngineFixture>() {
    for max in [1, 100, 4_096, 65_535] {
        let setup = Setup::<F>::new();
        let store: SessionStore<String> = setup.builder().max_content_len(max).build().unwrap();
        let mut session = store.create_for_user("ann", text_of_encoded_len(max)).unwrap();
        let above = text_of_encoded_len(max + 1);
        let refused = |result: crate::error::Result<()>| match result {
            Err(Error::TooLarge { len, max: limit }) => assert_eq!((len, limit), (max + 1, max)),
            other => panic!("{other:?}"),
        };
        refused(store.create(above.clone()).map(drop));
        refused(store.modify(session.id(), |s| *s.content_mut() = above.clone()).map(drop));
        *session.content_mut() = above;
        refused(store.update(&mut session));
        refused(store.regenerate_id(&mut session));

        let read = store.read(session.id()).unwrap().unwrap();
        assert_eq!(read.content().len(), text_of_encoded_len(max).len());
        assert_eq!((store.len().unwrap(), store.sessions_of("ann").unwrap().len()), (1, 1));
        *session.content_mut() = text_of_encoded_len(max);
        store.update(&mut session).expect("a refused update leaves the handle usable");
    }
}

pub fn content_of_no_bytes_is_content<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<()> = setup.builder().max_content_len(0).build().unwrap();
    let mut session = store.create_for_user("ann", ()).unwrap();
    store.update(&mut session).unwrap();
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content(), &());
    assert_eq!(store.for_each(|_, ()| ()).unwrap(), 1);
}

pub fn max_sessions_is_a_limit_that_expired_sessions_do_not_count_against<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<u64> = setup.builder().max_sessions(3).build().unwrap();
    let mut kept = created(&store, 1);
    let ending = created(&store, 2);
    created(&store, 3);
    assert!(matches!(store.create(4), Err(Error::Full { max: 3 })));
    assert_eq!(store.len().unwrap(), 3);

    store.update(&mut kept).unwrap();
    store.regenerate_id(&mut kept).expect("a new id is not a new session");
    assert!(store.extend_lifetime(kept.id()).unwrap());
    assert!(store.destroy(ending.id()).unwrap());
    created(&store, 5);
    assert!(matches!(store.create(6), Err(Error::Full { max: 3 })));

    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(kept.id()).unwrap());
    setup.clock.advance(MS);
    created(&store, 7);
    created(&store, 8);
    assert!(matches!(store.create(9), Err(Error::Full { max: 3 })));
    assert!(store.read(kept.id()).unwrap().is_some(), "the extended one was not swept away");
    assert_eq!(store.len().unwrap(), 3);
}

pub fn attributes_keep_their_types_and_their_names<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore = setup.builder().build().unwrap();
    let mut attributes = Attributes::new();
    attributes.set("n", -1_i64).unwrap();
    attributes.set("float", 0.1).unwrap();
    attributes.set("none", None::<u8>).unwrap();
    attributes.set("", "the empty name").unwrap();
    let mut session = store.create(attributes.clone()).unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content(), &attributes);
    let content = session.content_mut();
    assert_eq!(content.take::<i64>("n").unwrap(), Some(-1));
    assert!(content.remove("float"));
    store.update(&mut session).unwrap();
    let read = store.read(session.id()).unwrap().unwrap();
    let names: Vec<_> = read.content().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["", "none"]);
    assert!(!read.content().contains("n"));
    assert_eq!(read.content().get::<Option<u8>>("none").unwrap(), Some(None));
}
