//! Records and keys for the cases that talk to an engine without a store.

use crate::engine::contract::Engine;
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::csrf::CsrfToken;
use crate::session::user::UserId;
use crate::time::clock::Timestamp;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// A record before it is one; active from the start of time, under 10 and 60 seconds.
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

/// Keys in the order of their numbers.
pub(super) fn key(number: u64) -> SessionKey {
    SessionKey::from_bytes(u128::from(number).to_be_bytes())
}

pub(super) fn stored(engine: &impl Engine, number: u64) -> Record {
    engine.load(&key(number)).unwrap().expect("the record is there")
}

pub(super) fn listed(engine: &impl Engine, user: &str) -> Vec<SessionKey> {
    let mut keys = Vec::new();
    let user = UserId::from(user).to_key().unwrap();
    engine
        .scan_user(&user, &mut |key, record| {
            assert_eq!(record?.user().as_ref(), Some(&user));
            keys.push(key);
            Ok(())
        })
        .unwrap();
    keys
}

pub(super) fn meta_of(engine: &impl Engine, name: &str) -> Option<Vec<u8>> {
    engine.load_meta(name).unwrap()
}
