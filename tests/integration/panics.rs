//! Panics in the caller's code inside a call: only that call fails, and every other thread gets its
//! answers. A unit test of the commit queue covers the leader of a commit.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sessile::engine::Engine;
use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Clock, Result, SessionId, SessionStore};

use crate::fixtures::on_every_engine;

on_every_engine! {
    a_panic_in_any_role_fails_that_call_alone
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Clock,
    Serialize,
    Deserialize,
    Closure,
    Visitor,
    Engine,
}

const ROLES: [Role; 6] =
    [Role::Clock, Role::Serialize, Role::Deserialize, Role::Closure, Role::Visitor, Role::Engine];

thread_local! {
    /// The role that panics in this thread.
    static PANICS_AS: Cell<Option<Role>> = const { Cell::new(None) };
}

fn play(role: Role) {
    if PANICS_AS.get() == Some(role) {
        resume_unwind(Box::new("on purpose"));
    }
}

#[derive(Debug)]
struct Content(u64);

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        play(Role::Serialize);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        play(Role::Deserialize);
        u64::deserialize(deserializer).map(Self)
    }
}

#[derive(Debug)]
struct Fragile<T>(T);

impl Clock for Fragile<ManualClock> {
    fn now(&self) -> SystemTime {
        play(Role::Clock);
        self.0.now()
    }
}

impl<E: Engine> Fragile<E> {
    fn play(&self, _call: &'static str) -> Result<()> {
        play(Role::Engine);
        Ok(())
    }
}

impl<E: Engine> Engine for Fragile<E> {
    sessile::forward_engine!(0, each play);
}

fn opened<F: EngineFixture>(fixture: &F) -> SessionStore<Content> {
    SessionStore::builder()
        .engine(Fragile(fixture.open()))
        .clock(Fragile(ManualClock::new()))
        .manual_maintenance()
        .build()
        .unwrap()
}

fn count(store: &SessionStore<Content>, id: &SessionId) {
    let counted = store.modify(id, |session| {
        play(Role::Closure);
        session.content_mut().0 += 1;
    });
    assert!(counted.unwrap().is_some());
}

fn a_panic_in_any_role_fails_that_call_alone<F: EngineFixture>() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 5;
    let fixture = F::new();
    let store = opened(&fixture);
    let session = store.create(Content(0)).unwrap();
    let id = session.id();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for role in ROLES.repeat(ROUNDS as usize) {
                    PANICS_AS.set(Some(role));
                    let fails = catch_unwind(AssertUnwindSafe(|| match role {
                        Role::Visitor => drop(store.for_each(|_, _| play(Role::Visitor))),
                        _ => count(&store, id),
                    }));
                    PANICS_AS.set(None);
                    assert!(fails.is_err(), "{role:?}");
                    count(&store, id);
                }
            });
        }
    });
    let counted = THREADS * ROUNDS * ROLES.len() as u64;
    assert_eq!(store.read(id).unwrap().unwrap().content().0, counted, "and nothing else");
    assert_eq!(store.len().unwrap(), 1);
    store.close().unwrap();
    assert_eq!(opened(&fixture).read(id).unwrap().unwrap().content().0, counted);
}

/// As in a server that catches the panics of its handlers.
#[test]
fn a_handler_that_uses_a_store_may_have_its_panics_caught() {
    const fn is_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    is_safe::<SessionStore<u32>>();
    is_safe::<sessile::Session<u32>>();
    is_safe::<sessile::Error>();
    let store = SessionStore::<u32>::in_memory().unwrap();
    let answer = std::panic::catch_unwind(|| store.create(1).map(|session| session.id().encode()));
    assert!(answer.unwrap().is_ok());
    let panicked = std::panic::catch_unwind(|| store.for_each(|_, content| assert_eq!(content, 2)));
    assert!(panicked.is_err());
    assert_eq!(store.len().unwrap(), 1);
}
