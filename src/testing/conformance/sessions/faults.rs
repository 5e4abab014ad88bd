//! Random sources that fail or repeat themselves, and content that cannot be encoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::store::SessionStore;
use crate::testing::conformance::kit::*;
use crate::testing::{EngineFixture, RandomSource};

/// Returns the numbers of a list, and fails after the last.
#[derive(Clone, Debug, Default)]
struct Scripted {
    draws: Arc<parking_lot::Mutex<Vec<u8>>>,
    used: Arc<AtomicU64>,
}

impl Scripted {
    fn then(&self, draws: &[u8]) {
        *self.draws.lock() = draws.to_vec();
        self.used.store(0, Ordering::SeqCst);
    }
    fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }
}

impl RandomSource for Scripted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), crate::error::Source> {
        let mut draws = self.draws.lock();
        if draws.is_empty() {
            return Err(Arc::new(std::io::Error::other("no entropy")));
        }
        self.used.fetch_add(1, Ordering::SeqCst);
        bytes.fill(draws.remove(0));
        Ok(())
    }
}

fn scripted<F: EngineFixture>(setup: &Setup<F>) -> (SessionStore<u64>, Scripted) {
    let random = Scripted::default();
    let store = setup.builder().random_source(random.clone()).build().unwrap();
    (store, random)
}

fn assert_generator<T: std::fmt::Debug>(result: crate::error::Result<T>) {
    assert!(matches!(result, Err(Error::Generator { .. })), "{result:?}");
}

pub fn without_random_bytes_no_session_is_made<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, random) = scripted(&setup);
    assert_generator(store.create(1));
    assert_generator(store.create_with(1, &options().user("ann").csrf_token()));
    random.then(&[1]);
    assert_generator(store.create_with(1, &options().csrf_token()));
    assert_eq!((store.len().unwrap(), listed(&store, "ann").len()), (0, 0));

    random.then(&[1, 2]);
    let session = store.create_with(1, &options().csrf_token()).unwrap();
    let mut same = session.clone();
    assert_generator(store.regenerate_id(&mut same));
    random.then(&[3]);
    assert_generator(store.regenerate_id(&mut same));
    assert_eq!(same.id(), session.id());
    let token = session.csrf_token().unwrap().encode();
    assert!(same.csrf_token().unwrap().verify(&token));
    assert!(stored(&store, session.id()).csrf_token().unwrap().verify(&token));
    store.update(&mut same).expect("nothing has changed");
}

pub fn an_id_that_is_taken_is_drawn_again<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, random) = scripted(&setup);
    random.then(&[1]);
    let first = created_for(&store, "ann", 1);
    random.then(&[1, 1, 2]);
    let second = created_for(&store, "bob", 2);
    assert_eq!(random.used(), 3);
    random.then(&[2, 1, 3]);
    let mut moved = second.clone();
    store.regenerate_id(&mut moved).unwrap();
    let mut expected = vec![(first.key(), 1), (moved.key(), 2)];
    expected.sort_unstable();
    assert_eq!(visited(&store), expected);
    assert_eq!(*stored(&store, first.id()).content(), 1, "it was not overwritten");
    assert!(store.read(second.id()).unwrap().is_none());
}

pub fn a_source_that_repeats_itself_is_given_up_on<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let (store, random) = scripted(&setup);
    random.then(&[1]);
    let mut session = created_for(&store, "ann", 1);
    random.then(&[1; 1_000]);
    assert_generator(store.create(2));
    assert!(random.used() < 10, "{} draws", random.used());
    random.then(&[1; 1_000]);
    assert_generator(store.regenerate_id(&mut session));
    assert!(random.used() < 10, "{} draws", random.used());
    assert_eq!(visited(&store), [(session.key(), 1)]);
    assert_eq!(*stored(&store, session.id()).content(), 1);
}

/// Content that encodes, fails or panics, by its variant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moody {
    Fine,
    Fails,
    Panics,
}

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fine => serializer.serialize_u8(7),
            Self::Fails => Err(S::Error::custom("not in the mood")),
            Self::Panics => panic!("on purpose"),
        }
    }
}

impl<'de> Deserialize<'de> for Moody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|_| Self::Fine)
    }
}

pub fn content_that_cannot_be_encoded_fails_that_call_alone<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store: SessionStore<Moody> = setup.builder().build().unwrap();
    let mut session = store.create_for_user("ann", Moody::Fine).unwrap();
    let encode = |result: crate::error::Result<()>| {
        assert!(matches!(result, Err(Error::Encode { .. })), "{result:?}");
    };
    encode(store.create(Moody::Fails).map(drop));
    encode(store.modify(session.id(), |s| *s.content_mut() = Moody::Fails).map(drop));
    *session.content_mut() = Moody::Fails;
    encode(store.update(&mut session));
    encode(store.regenerate_id(&mut session));

    *session.content_mut() = Moody::Panics;
    let panics = |call: &mut dyn FnMut()| {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    };
    panics(&mut || drop(store.create(Moody::Panics)));
    panics(&mut || drop(store.update(&mut session)));
    panics(&mut || drop(store.regenerate_id(&mut session)));
    let id = session.id().clone();
    panics(&mut || drop(store.modify(&id, |s| *s.content_mut() = Moody::Panics)));
    panics(&mut || drop(store.modify(&id, never_called)));

    assert_eq!((store.len().unwrap(), store.sessions_of("ann").unwrap().len()), (1, 1));
    *session.content_mut() = Moody::Fine;
    store.update(&mut session).expect("the store and the handle are as good as before");
    assert_eq!(store.read(&id).unwrap().unwrap().content(), &Moody::Fine);
}

pub fn a_visitor_that_panics_leaves_the_store_usable<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    let visit = || drop(store.for_each(|_, _| -> () { panic!("on purpose") }));
    assert!(catch_unwind(AssertUnwindSafe(visit)).is_err());
    assert!(store.destroy(session.id()).unwrap());
    created(&store, 2);
    assert_eq!(store.len().unwrap(), 1);
}
