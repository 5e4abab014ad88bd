//! Requests with ids that were never issued: sending many of them allocates nothing.

use std::time::Duration;

use sessile::engine::{Engine, Moment, Timestamp};
use sessile::testing::EngineFixture;
use sessile::{SessionId, SessionStore, Timeouts};

use crate::fixtures::on_every_engine;

on_every_engine! {
    an_unknown_id_takes_no_place_among_the_touches_in_memory
}

fn an_unknown_id_takes_no_place_among_the_touches_in_memory<F: EngineFixture>() {
    let fixture = F::new();
    let engine = fixture.open();
    let unknown = || SessionId::generate().unwrap();
    // Every call of the engine, also those that the store would not pass on.
    let moment = Moment { now: Timestamp::from_millis(1_000), timeouts: Timeouts::default() };
    assert!(engine.extend(&unknown().key(), moment, Duration::ZERO).unwrap().is_none());
    assert_eq!(engine.stats().unwrap().pending_touches, 0);
    let store = SessionStore::<u64>::builder().engine(engine).manual_maintenance();
    let store = store.build().unwrap();
    let session = store.create(1).unwrap();
    for _ in 0..100 {
        assert!(!store.extend_lifetime(&unknown()).unwrap());
        assert!(store.read_and_extend(&unknown()).unwrap().is_none());
    }
    // No flush has happened that could have removed them.
    assert_eq!(store.stats().unwrap().pending_touches, 0);
    assert!(store.extend_lifetime(session.id()).unwrap());
    assert_eq!(store.len().unwrap(), 1);
}
