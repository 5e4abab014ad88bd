//! Content whose type has changed since it was stored.

use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::Error;
use crate::record::content::StoredContent;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Version1 {
    items: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Version2 {
    items: u32,
    currency: String,
}

fn migrated(old: StoredContent<'_>) -> crate::error::Result<Version2> {
    assert_eq!(old.version(), 1);
    let Version1 { items } = old.decode()?;
    Ok(Version2 { items, currency: "EUR".into() })
}

fn first<F: EngineFixture>(setup: &Setup<F>) -> Builder<Version1> {
    setup.builder().content_version(1, |_| panic!("there is nothing before version 1"))
}

fn second<F: EngineFixture>(setup: &Setup<F>) -> Builder<Version2> {
    setup.builder().content_version(2, migrated)
}

pub fn content_of_an_earlier_version_is_migrated_when_read<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = first(&setup).build().unwrap();
    let old = store.create_for_user("ann", Version1 { items: 3 }).unwrap();
    let unread = store.create(Version1 { items: 4 }).unwrap();
    store.close().unwrap();

    let store = second(&setup).build().unwrap();
    let expected = Version2 { items: 3, currency: "EUR".into() };
    let mut session = store.read(old.id()).unwrap().unwrap();
    assert_eq!(session.content(), &expected);
    assert_eq!(session.created_at(), old.created_at());
    assert_eq!(store.read_and_extend(old.id()).unwrap().unwrap().content(), &expected);
    let mut all = Vec::new();
    store.for_each(|_, content| all.push(content.items)).unwrap();
    all.sort_unstable();
    assert_eq!(all, [3, 4]);
    session.content_mut().currency = "CHF".into();
    store.update(&mut session).unwrap();
    let modified = store.modify(unread.id(), |session| session.content_mut().items += 1).unwrap();
    assert_eq!(modified.unwrap().content(), &Version2 { items: 5, currency: "EUR".into() });
    store.close().unwrap();

    let never = |_: StoredContent<'_>| panic!("both were saved in their new form");
    let store = setup.builder::<Version2>().content_version(2, never).build().unwrap();
    assert_eq!(store.read(old.id()).unwrap().unwrap().content().currency, "CHF");
    assert_eq!(store.read(unread.id()).unwrap().unwrap().content().items, 5);
}

pub fn reading_alone_leaves_content_in_its_earlier_version<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = first(&setup).build().unwrap();
    let session = store.create(Version1 { items: 3 }).unwrap();
    store.close().unwrap();
    let store = second(&setup).build().unwrap();
    assert!(store.read_and_extend(session.id()).unwrap().is_some());
    store.close().unwrap();
    let store = first(&setup).build().unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content().items, 3);
}

fn assert_mismatch<T: std::fmt::Debug>(result: crate::error::Result<T>) {
    assert!(matches!(result, Err(Error::ContentMismatch { .. })), "{result:?}");
}

pub fn content_that_does_not_fit_is_refused_and_nothing_is_lost<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<Version1> = setup.builder().build().unwrap();
    let session = store.create_for_user("ann", Version1 { items: 3 }).unwrap();
    store.close().unwrap();

    let store: SessionStore<Version2> = setup.builder().build().unwrap();
    setup.clock.advance(MS);
    assert_mismatch(store.read(session.id()));
    assert_mismatch(store.read_and_extend(session.id()));
    assert_mismatch(store.modify(session.id(), never_called));
    let new = store.create(Version2 { items: 9, currency: "EUR".into() }).unwrap();
    let mut visited = Vec::new();
    assert_mismatch(store.for_each(|info, _| visited.push(info.key())));
    assert_eq!(visited, [new.key()], "it hides nothing else");
    assert_eq!(store.sessions_of("ann").unwrap()[0].key(), session.key());
    assert_eq!(store.len().unwrap(), 2);
    assert!(store.destroy(new.id()).unwrap());
    store.close().unwrap();

    let store: SessionStore<Version1> = setup.builder().build().unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content().items, 3);
    assert!(store.destroy(session.id()).unwrap());
}

pub fn content_of_a_newer_version_is_refused_and_nothing_is_lost<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = second(&setup).build().unwrap();
    let content = Version2 { items: 3, currency: "CHF".into() };
    let session = store.create_for_user("ann", content.clone()).unwrap();
    store.close().unwrap();
    for version in [0, 1] {
        let builder = setup.builder::<Version2>();
        let store = match version {
            0 => builder.build().unwrap(),
            _ => builder.content_version(1, migrated).build().unwrap(),
        };
        assert_mismatch(store.read(session.id()));
        assert_mismatch(store.modify(session.id(), |_| ()));
        assert_eq!(store.sessions_of("ann").unwrap().len(), 1);
        assert!(store.extend_lifetime(session.id()).unwrap(), "this needs no content");
    }
    let store = second(&setup).build().unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content(), &content);
}

pub fn a_migration_that_fails_is_an_error_and_nothing_is_lost<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = first(&setup).build().unwrap();
    let session = store.create(Version1 { items: 3 }).unwrap();
    store.close().unwrap();
    let failing = setup
        .builder::<Version2>()
        .content_version(2, |_| Err(Error::engine(std::io::Error::other("no rate for 1999"))))
        .build()
        .unwrap();
    let error = failing.read(session.id()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    assert_mismatch::<()>(Err(error));
    failing.close().unwrap();
    let store = second(&setup).build().unwrap();
    assert_eq!(store.read(session.id()).unwrap().unwrap().content().items, 3);
}
