//! A record's bytes, and the few values that a server keeps beside them.
//!
//! Invariant: the values beside the bytes are the newer ones. So a touch, a moved index entry and a
//! renamed user never rewrite the bytes, which stay as they were copied.

pub(crate) mod columns;

use crate::engine::check::{Finding, Inspect, Problem};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::user::{UserId, UserKey};
use crate::time::clock::Timestamp;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// A record as a server has it.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) revision: u64,
    pub(crate) last_active: Timestamp,
    /// `None` where the one in the bytes holds.
    pub(crate) index_deadline: Option<Timestamp>,
    pub(crate) user: Option<UserKey>,
    pub(crate) bytes: &'a [u8],
}

impl Stored<'_> {
    /// The record as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::error::Error::DamagedRecord) if the bytes are.
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
            // Renamed away and back.
            _ if record.revision() != self.revision => Ok(record.at_revision(self.revision)),
            _ => Ok(record),
        }
    }
}

/// A record of which no more is known than when it ends: what a limit on a user's sessions goes by.
///
/// # Errors
///
/// None that can happen: there is no content to be too large.
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

/// A user key from its bytes; `None` for bytes that are none.
pub(crate) fn user_key(bytes: &[u8]) -> Option<UserKey> {
    UserId::from_key(bytes).and_then(|user| user.to_key().ok())
}

/// A session key from its bytes; `None` if they are not as many.
pub(crate) fn session_key(bytes: &[u8]) -> Option<SessionKey> {
    bytes.try_into().ok().map(SessionKey::from_bytes)
}

/// Reports a record whose server keeps the indexes, so that only its deadline there can be wrong.
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
