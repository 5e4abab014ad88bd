//! A record's bytes, and the few values that a server stores beside them.
//!
//! Invariant: the values beside the bytes are the newer ones. So a touch, a moved index entry and a
//! renamed user do not rewrite the bytes.

pub(crate) mod columns;
pub(crate) mod last_count;
pub(crate) mod recent;

use twox_hash::XxHash3_128;

use crate::engine::check::{Finding, Inspect, Problem};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::user::{UserId, UserKey};
use crate::time::clock::Timestamp;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// A record as stored on a server.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) revision: u64,
    pub(crate) last_active: Timestamp,
    /// `None` if the deadline in the bytes is current.
    pub(crate) index_deadline: Option<Timestamp>,
    pub(crate) user: Option<UserKey>,
    pub(crate) bytes: &'a [u8],
}

impl Stored<'_> {
    /// Returns the current record.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::error::Error::DamagedRecord) if the bytes are damaged.
    pub(crate) fn decode(self, key: &SessionKey) -> Result<Record> {
        let record = Record::decode(key, self.bytes)?.touched(self.last_active);
        let record = match self.index_deadline {
            Some(deadline) => record.indexed_under(deadline),
            None => record,
        };
        match (self.user, record.user()) {
            (Some(user), before) if Some(&user) != before.as_ref() => {
                Ok(record.renamed(&user).at_revision(self.revision))
            }
            // The user was renamed and renamed back.
            _ if record.revision() != self.revision => Ok(record.at_revision(self.revision)),
            _ => Ok(record),
        }
    }
}

/// A record that holds only its times and timeouts; a limit on a user's sessions needs no more.
///
/// # Errors
///
/// None in practice: there is no content that could be too large.
pub(crate) fn outline(
    created_at: Timestamp,
    last_active: Timestamp,
    own_timeouts: OwnTimeouts,
) -> Result<Record> {
    let parts = Parts {
        user: None,
        csrf_token: None,
        own_timeouts,
        revision: 0,
        created_at,
        last_active,
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &Timeouts::default())
}

/// The lock of a user's logins, which other users share: a fixed number of locks keeps no names.
pub(crate) fn lock_of(user: &UserKey) -> [u8; 2] {
    const LOCKS: u128 = 4_096;
    ((XxHash3_128::oneshot(user.as_bytes()) % LOCKS) as u16).to_be_bytes()
}

/// A user key from its bytes; `None` if the bytes are not a user key.
pub(crate) fn user_key(bytes: &[u8]) -> Option<UserKey> {
    UserId::from_key(bytes).and_then(|user| user.to_key().ok())
}

/// A session key from its bytes; `None` if the length is wrong.
pub(crate) fn session_key(bytes: &[u8]) -> Option<SessionKey> {
    bytes.try_into().ok().map(SessionKey::from_bytes)
}

/// Reports a record; its server keeps the indexes, so only its deadline in the index can be wrong.
pub(crate) fn report(
    key: SessionKey,
    record: Result<Record>,
    timeouts: &Timeouts,
    inspect: &mut Inspect<'_>,
) -> Result<()> {
    match record {
        Ok(record) => {
            if let Some(late) = Problem::of_deadline(key, &record, timeouts) {
                inspect(Finding::Problem(late))?;
            }
            inspect(Finding::Record(key, record))
        }
        Err(Error::DamagedRecord { key, reason }) => {
            inspect(Finding::Problem(Problem::DamagedRecord { key, reason }))
        }
        Err(error) => Err(error),
    }
}
