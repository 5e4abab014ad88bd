//! Records and keys for the cases that call an engine without a store.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Ended, Insert, Replace, Saved};
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::csrf::CsrfToken;
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::Setup;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// The parts of a record. It is active from time 0, under timeouts of 10 and 60 seconds.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) user: Option<UserId>,
    pub(super) csrf: bool,
    pub(super) own_inactivity: Option<u64>,
    pub(super) own_absolute: Option<u64>,
    pub(super) revision: u64,
    pub(super) created_at: u64,
    pub(super) last_active: u64,
    pub(super) content: Vec<u8>,
}

impl Draft {
    pub(super) fn new(content: u64) -> Self {
        Self {
            user: None,
            csrf: false,
            own_inactivity: None,
            own_absolute: None,
            revision: 1,
            created_at: 0,
            last_active: 0,
            content: content.to_le_bytes().into(),
        }
    }

    pub(super) fn record(&self) -> Record {
        let user = self.user.as_ref().map(|user| user.to_key().unwrap());
        let token = self.csrf.then(|| CsrfToken::from_bytes([9; 16]));
        let parts = Parts {
            user: user.as_ref(),
            csrf_token: token.as_ref(),
            own_timeouts: OwnTimeouts {
                inactivity_ms: self.own_inactivity,
                absolute_ms: self.own_absolute,
            },
            revision: self.revision,
            created_at: at(self.created_at),
            last_active: at(self.last_active),
            content_version: 3,
            content: &self.content,
        };
        Record::new(&parts, &defaults()).unwrap()
    }
}

pub(super) fn record(content: u64) -> Record {
    Draft::new(content).record()
}

pub(super) fn defaults() -> Timeouts {
    Timeouts::from_seconds(10, 60).unwrap()
}

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A moment with the timeouts of these records.
pub(super) fn moment(millis: u64) -> Moment {
    Moment { now: at(millis), timeouts: defaults() }
}

/// A key. Keys are in the order of their numbers.
pub(super) fn key(number: u64) -> SessionKey {
    SessionKey::from_bytes(u128::from(number).to_be_bytes())
}

pub(super) fn stored(engine: &impl Engine, number: u64) -> Record {
    engine.load(&key(number), Moment::BEGINNING).unwrap().expect("the record is there")
}

pub(super) fn listed(engine: &impl Engine, user: &str) -> Vec<SessionKey> {
    let mut keys = Vec::new();
    let user = UserId::from(user).to_key().unwrap();
    engine
        .scan_user(&user, &mut |key, record| {
            assert_eq!(record?.user().as_ref(), Some(&user));
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    keys
}

pub(super) fn meta_of(engine: &impl Engine, name: &str) -> Option<Vec<u8>> {
    engine.load_meta(name).unwrap()
}

pub(super) fn is_there(engine: &impl Engine, number: u64) -> bool {
    engine.load(&key(number), Moment::BEGINNING).unwrap().is_some()
}

/// Extends a session to the millisecond, and returns whether there was one.
pub(super) fn extended(engine: &impl Engine, number: u64, millis: u64) -> bool {
    engine.extend(&key(number), moment(millis), Duration::ZERO).unwrap().is_some()
}

pub(super) fn opened<F: EngineFixture>() -> (Setup<F>, F::Engine) {
    let setup = Setup::<F>::new();
    let engine = setup.fixture.open();
    (setup, engine)
}

pub(super) const MANY: Limits = Limits::NONE;

pub(super) fn up_to(max_sessions: u64) -> Limits {
    Limits { max_sessions, ..MANY }
}

/// Stores a record under a key at a moment when no record is expired; returns the outcome.
pub(super) fn insert(engine: &impl Engine, number: u64, record: Record, limits: Limits) -> Insert {
    engine.insert(&key(number), record, moment(0), limits).unwrap()
}

pub(super) fn replace(engine: &impl Engine, number: u64, revision: u64, record: Record) -> Replace {
    engine.replace(&key(number), revision, record, moment(0), MANY).unwrap()
}

pub(super) fn done() -> Insert {
    Insert::Done(vec![])
}

pub(super) fn saved(last_active: u64) -> Saved {
    Saved { last_active: at(last_active), ended: vec![] }
}

pub(super) fn ended(number: u64, user: Option<&str>) -> Ended {
    let user = user.map(|user| UserId::from(user).to_key().unwrap());
    Ended { key: key(number), user, expired: false }
}

/// The answer of a call that removes an expired record.
pub(super) fn expired(number: u64, user: Option<&str>) -> Ended {
    Ended { expired: true, ..ended(number, user) }
}

/// Sessions in the order of their keys.
pub(super) fn sorted(mut ended: Vec<Ended>) -> Vec<Ended> {
    ended.sort_by_key(|ended| ended.key);
    ended
}
