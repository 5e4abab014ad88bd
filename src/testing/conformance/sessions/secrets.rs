//! The id does not appear in any printed, reported or stored text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::engine::contract::Engine as _;
use crate::error::Error;
use crate::session::id::SessionId;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;
use crate::time::moment::Moment;

struct Secret {
    bytes: Vec<u8>,
    spellings: Vec<String>,
}

impl Secret {
    fn of(id: &SessionId) -> Self {
        Self::of_text(&id.encode())
    }

    fn of_text(text: &str) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let spellings = vec![text.into(), hex.to_uppercase(), hex, format!("{bytes:?}")];
        Self { bytes, spellings }
    }

    fn assert_not_in(&self, text: &str) {
        for spelling in &self.spellings {
            assert!(!text.contains(spelling.as_str()), "a secret is in {text}");
        }
    }
}

fn with_sources(error: &Error) -> String {
    let text = format!("{error} {error:?} {error:#?}");
    error.causes().fold(text, |text, cause| format!("{text} {cause} {cause:?}"))
}

pub fn nothing_that_is_printed_shows_an_id_or_a_token<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let builder = setup.builder::<u64>();
    let mut printed = format!("{builder:?} {:?}", setup.clock);
    let store = builder.build().unwrap();
    let session = store.create_with(1, &options().user("ann").csrf_token()).unwrap();
    let token = session.csrf_token().unwrap();
    let (id, key) = (session.id(), session.key());
    assert!(store.extend_lifetime(id).unwrap());
    let (shown, timeouts) = (format!("{store:?}"), format!("{:?}", store.timeouts()));
    assert!(shown.contains(&timeouts), "{shown}");
    assert!(shown.len() < 10_000, "a line of a log has no room for {} bytes", shown.len());
    printed += &format!("{shown} {:?} {timeouts}", store.stats().unwrap());
    printed += &format!("{session:?} {session:#?} {id:?} {id:#?} {key} {key:?} {token:?}");
    printed += &format!("{:?} {:?}", listed(&store, "ann"), options().user("ann").csrf_token());
    store.for_each(|info, content| printed += &format!("{info:?} {content:?}")).unwrap();
    drop(store);
    let engine = setup.fixture.open();
    printed += &format!("{engine:?} {:?}", engine.load(&key, Moment::BEGINNING).unwrap());
    for secret in [Secret::of(id), Secret::of_text(&token.encode())] {
        secret.assert_not_in(&printed);
    }
    assert!(printed.contains(&key.to_string()), "the key is what is shown instead");
}

pub fn no_error_shows_an_id<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<String> =
        setup.builder().max_content_len(9).max_sessions(2).build().unwrap();
    let mut session = store.create_for_user("ann", "text".into()).unwrap();
    let gone = store.create("text".into()).unwrap();
    let mut stale = session.clone();
    let secrets = [Secret::of(session.id()), Secret::of(gone.id())];
    let mut errors = vec![store.create("more".into()).unwrap_err()];
    store.update(&mut session).unwrap();
    errors.push(store.update(&mut stale).unwrap_err());
    assert!(store.destroy(gone.id()).unwrap());
    errors.push(store.update(&mut gone.clone()).unwrap_err());
    errors.push(store.regenerate_id(&mut gone.clone()).unwrap_err());
    errors.push(store.destroy_others(&gone).unwrap_err());
    *session.content_mut() = "ten letters".into();
    errors.push(store.update(&mut session).unwrap_err());
    for text in [format!("{}=", session.id().encode()), session.id().encode()[1..].into()] {
        errors.push(SessionId::parse(&text).unwrap_err());
    }
    let other = store.clone();
    store.close().unwrap();
    errors.push(other.read(session.id()).unwrap_err());
    drop(other);
    let store: SessionStore<(u64, u64)> = setup.builder().build().unwrap();
    errors.push(store.read(session.id()).unwrap_err());
    for error in &errors {
        secrets.iter().for_each(|secret| secret.assert_not_in(&with_sources(error)));
    }
    assert_eq!(errors.len(), 10);
}

pub fn no_id_is_stored_in_any_form<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut secrets = Vec::new();
    let mut marked = store.create_with(1, &options().user("find-this-user")).unwrap();
    for number in 0..20 {
        let mut session = created_for(&store, number, number);
        secrets.push(Secret::of(session.id()));
        setup.clock.advance(MS);
        assert!(store.extend_lifetime(session.id()).unwrap());
        store.update(&mut session).unwrap();
        store.regenerate_id(&mut session).unwrap();
        secrets.push(Secret::of(session.id()));
    }
    store.update(&mut marked).unwrap();
    store.close().unwrap();

    let stored = setup.fixture.stored_bytes();
    let holds = |needle: &[u8]| memchr::memmem::find(&stored, needle).is_some();
    assert!(stored.is_empty() || holds(b"find-this-user"), "these are the right bytes");
    assert!(stored.is_empty() || holds(marked.key().as_bytes()), "the key is stored instead");
    for secret in &secrets {
        assert!(!holds(&secret.bytes), "the bytes of an id are stored");
        for spelling in &secret.spellings {
            assert!(!holds(spelling.as_bytes()), "the text of an id is stored");
        }
    }
}
