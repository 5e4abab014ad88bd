//! Time that the caller's own code takes: a session whose deadline passes meanwhile has ended, and
//! a session that was reported absent stays absent. Each case runs on the memory engine and on
//! redb.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Builder, Error, SessionStore, Timeouts};

use crate::fixtures::on_every_engine;

const INACTIVITY: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

on_every_engine! {
    a_session_that_ends_while_its_content_is_serialized_has_ended
    a_new_session_lives_from_the_moment_its_content_was_serialized
    a_session_that_ends_while_a_closure_runs_has_ended
    a_slow_migration_revives_nothing_that_others_were_told_is_gone
}

thread_local! {
    /// The time that serializing takes on this thread.
    static SLOWLY: RefCell<Option<(ManualClock, Duration)>> = const { RefCell::new(None) };
}

/// A number whose serialization may take time.
#[derive(Clone, Debug, PartialEq)]
struct Slow(u32);

impl Serialize for Slow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some((clock, takes)) = SLOWLY.take() {
            clock.advance(takes);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self)
    }
}

fn builder<C, F: EngineFixture>(fixture: &F, clock: &ManualClock) -> Builder<C>
where
    C: Serialize + serde::de::DeserializeOwned,
{
    SessionStore::builder()
        .engine(fixture.open())
        .clock(clock.clone())
        .timeouts(Timeouts::new(INACTIVITY, 100 * INACTIVITY).unwrap())
        .manual_maintenance()
}

fn a_session_that_ends_while_its_content_is_serialized_has_ended<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = builder::<Slow, F>(&fixture, &clock).build().unwrap();
    for regenerates in [false, true] {
        let mut session = store.create_for_user("ann", Slow(1)).unwrap();
        clock.advance(INACTIVITY - MS);
        SLOWLY.set(Some((clock.clone(), MS)));
        let saved = match regenerates {
            false => store.update(&mut session),
            true => store.regenerate_id(&mut session),
        };
        assert!(matches!(saved, Err(Error::Gone { .. })), "{saved:?}");
        assert!(store.read(session.id()).unwrap().is_none());
        assert_eq!(store.sessions_of("ann").unwrap(), []);
    }
}

fn a_new_session_lives_from_the_moment_its_content_was_serialized<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = builder::<Slow, F>(&fixture, &clock).build().unwrap();
    SLOWLY.set(Some((clock.clone(), 2 * INACTIVITY)));
    let session = store.create(Slow(1)).unwrap();
    assert_eq!(session.content(), store.read(session.id()).unwrap().unwrap().content());
    clock.advance(INACTIVITY - MS);
    assert!(store.read(session.id()).unwrap().is_some());
}

fn a_session_that_ends_while_a_closure_runs_has_ended<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let store = builder::<u32, F>(&fixture, &clock).build().unwrap();
    let session = store.create(1).unwrap();
    clock.advance(INACTIVITY - MS);
    let modified = store.modify(session.id(), |session| {
        *session.content_mut() = 2;
        clock.advance(MS);
    });
    assert!(modified.unwrap().is_none());
    assert!(store.read(session.id()).unwrap().is_none());
}

fn a_slow_migration_revives_nothing_that_others_were_told_is_gone<F: EngineFixture>() {
    let (fixture, clock) = (F::new(), ManualClock::new());
    let old = builder::<u32, F>(&fixture, &clock).build().unwrap();
    let id = old.create_for_user("ann", 1).unwrap().id().clone();
    old.close().unwrap();
    let (entered, has_entered) = channel::<()>();
    let (go_on, goes_on) = channel::<()>();
    let (entered, goes_on) = (Mutex::new(entered), Mutex::new(Some(goes_on)));
    let store = builder::<String, F>(&fixture, &clock)
        .content_version(1, move |old| {
            // The first migration asks another service. The lock is not held meanwhile, because
            // other threads migrate.
            let first = goes_on.lock().unwrap().take();
            if let Some(goes_on) = first {
                entered.lock().unwrap().send(()).unwrap();
                goes_on.recv().unwrap();
            }
            Ok(old.decode::<u32>()?.to_string())
        })
        .build()
        .unwrap();
    clock.advance(INACTIVITY - 500 * MS);
    thread::scope(|scope| {
        let slow = scope.spawn(|| store.read_and_extend(&id).unwrap());
        has_entered.recv().unwrap();
        clock.advance(Duration::from_secs(1));
        let told = [
            store.read(&id).unwrap().is_some(),
            store.extend_lifetime(&id).unwrap(),
            store.len().unwrap() > 0,
            !store.sessions_of("ann").unwrap().is_empty(),
        ];
        go_on.send(()).unwrap();
        assert_eq!(told, [false; 4], "it ended while it was migrated");
        assert!(slow.join().unwrap().is_none());
        assert!(store.read(&id).unwrap().is_none(), "told otherwise before");
        assert_eq!(store.len().unwrap(), 0);
    });
}
