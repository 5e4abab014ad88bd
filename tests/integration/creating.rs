//! A refused creation: the content is returned, with the error of `create`.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sessile::engine::{
    Engine, Insert, Limits, MemoryEngine, Moment, Record, RedbEngine, RedbOptions, Sweep,
};
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{CreateError, Error, Result, SessionKey, SessionOptions, SessionStore, UserLimit};

/// No `Clone`, no `Debug`: a refused caller has no copy of it.
#[derive(PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

fn cart() -> Cart {
    Cart { items: vec!["secret tea".into(); 3] }
}

/// Checks that the content is returned unchanged, and returns the error.
fn refused(store: &SessionStore<Cart>, options: &SessionOptions) -> Error {
    let given = cart();
    let place = given.items.as_ptr();
    let error = match store.create_or_give_back(given, options) {
        Ok(_) => panic!("it is refused"),
        Err(error) => error,
    };
    let (shown, debug) = (error.to_string(), format!("{error:?}"));
    assert!(!shown.contains("secret") && !debug.contains("secret"), "{shown} {debug}");
    assert_eq!(shown, error.error().to_string());
    let sources = (error.source().map(ToString::to_string), error.error().source());
    assert_eq!(sources.0, sources.1.map(ToString::to_string));
    let (error, content) = error.into_parts();
    assert_eq!(content.items.as_ptr(), place, "it is the same, and no copy");
    assert!(content == cart());
    error
}

#[test]
fn content_that_is_refused_comes_back_whatever_the_reason() {
    let none = SessionOptions::new();
    let ann = SessionOptions::new().user("ann");
    let builder = || SessionStore::<Cart>::builder().manual_maintenance();
    let small = builder().max_content_len(5).in_memory().unwrap();
    assert!(matches!(refused(&small, &none), Error::TooLarge { max: 5, .. }));

    let one = builder().max_sessions(1).in_memory().unwrap();
    one.create(cart()).unwrap();
    assert!(matches!(refused(&one, &none), Error::Full { max: 1 }));

    let one = builder().max_sessions_per_user(1, UserLimit::Refuse).in_memory().unwrap();
    one.create_or_give_back(cart(), &ann).unwrap();
    assert!(matches!(refused(&one, &ann), Error::UserFull { max: 1 }));
    let long = SessionOptions::new().user("x".repeat(1_000));
    assert!(matches!(refused(&one, &long), Error::InvalidUser { .. }));

    let store = builder().in_memory().unwrap();
    store.clone().close().unwrap();
    assert!(matches!(refused(&store, &none), Error::Closed));
}

#[test]
fn a_cart_outlives_a_full_disk() {
    let disk = SimulatedDisk::new();
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let store =
        SessionStore::<Cart>::builder().manual_maintenance().engine(engine).build().unwrap();
    store.create(cart()).unwrap();
    disk.fail_from(DiskFault::Full, disk.operations());
    let options = SessionOptions::new();
    let mut given = Some(cart());
    for _ in 0..3 {
        let error = store.create_or_give_back(given.take().unwrap(), &options).err().unwrap();
        assert!(matches!(error.error(), Error::StorageFull { .. } | Error::OutcomeUnknown { .. }));
        given = Some(error.into_content());
    }
    disk.repair();
    let session = store.create_or_give_back(given.take().unwrap(), &options).unwrap();
    assert!(store.read(session.id()).unwrap().unwrap().content() == &cart());
}

#[test]
fn a_question_mark_makes_it_an_error_of_the_crate_or_any_error() {
    let store = SessionStore::<Cart>::builder().max_content_len(5).in_memory().unwrap();
    let own = |store: &SessionStore<Cart>| -> sessile::Result<()> {
        store.create_or_give_back(cart(), &SessionOptions::new())?;
        Ok(())
    };
    assert!(matches!(own(&store), Err(Error::TooLarge { .. })));
    let any = |store: &SessionStore<Cart>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        store.create_or_give_back(cart(), &SessionOptions::new())?;
        Ok(())
    };
    let any = any(&store).unwrap_err();
    assert!(
        any.downcast_ref::<CreateError<Cart>>()
            .is_some_and(|it| { matches!(it.error(), Error::TooLarge { .. }) })
    );
}

/// A full engine, whose index entries have all passed though no session is expired.
#[derive(Debug, Default)]
struct Extended {
    inner: MemoryEngine,
    steps: AtomicU64,
}

impl Engine for Extended {
    fn insert(&self, _: &SessionKey, _: Record, _: Moment, _: Limits) -> Result<Insert> {
        Ok(Insert::Full)
    }

    fn remove_expired(&self, _: Moment, _: usize) -> Result<Sweep> {
        let steps = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(steps < 1_000, "the create does not end");
        Ok(Sweep { more: true, ..Sweep::default() })
    }

    sessile::forward_engine!(inner, but insert, remove_expired);
}

#[test]
fn a_create_on_a_full_store_waits_for_a_few_steps_of_a_sweep_and_not_for_all() {
    let engine = Arc::new(Extended::default());
    let store = SessionStore::builder().engine(Arc::clone(&engine)).manual_maintenance();
    let store = store.build().unwrap();
    assert!(matches!(store.create(1), Err(Error::Full { .. })));
    assert_eq!(engine.steps.load(Ordering::SeqCst), 64);
}
