//! Brings one record into an engine that may have a session of its key already.
//!
//! Invariant: a session is never replaced by an earlier revision of itself.

use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Replace};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How often a session may change in the target while it is updated.
const TRIES: usize = 16;

/// How a record of an engine stands to one that was to be stored.
pub(super) enum Stored {
    /// The record was missing, and is now stored.
    Now,
    /// The same revision is stored already, with equal or later activity.
    Already,
    /// Another record is stored under the key.
    Differing(Record),
    /// A damaged record is stored under the key.
    Damaged,
}

/// The record of an engine under a key.
pub(super) enum Found {
    Nothing,
    Sound(Record),
    /// A record that cannot be read.
    Damaged,
}

impl Found {
    pub(super) fn under(key: &SessionKey, engine: &dyn Engine, moment: Moment) -> Result<Self> {
        match engine.load(key, moment) {
            Ok(found) => Ok(found.map_or(Self::Nothing, Self::Sound)),
            Err(Error::DamagedRecord { .. }) => Ok(Self::Damaged),
            Err(error) => Err(error),
        }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// How this stands to a record of the same key; `None` if nothing was found.
    fn beside(self, record: &Record) -> Option<Stored> {
        match self {
            Self::Nothing => None,
            Self::Damaged => Some(Stored::Damaged),
            Self::Sound(found)
                if is_same(&found, record) && found.last_active() >= record.last_active() =>
            {
                Some(Stored::Already)
            }
            Self::Sound(found) => Some(Stored::Differing(found)),
        }
    }
}

/// Stores a record under a key that has none.
pub(super) fn put_if_missing(
    engine: &dyn Engine,
    key: &SessionKey,
    record: Record,
    moment: Moment,
) -> Result<Stored> {
    for _ in 0..TRIES {
        match engine.insert(key, record.clone(), moment, Limits::NONE)? {
            Insert::Done(_) => return Ok(Stored::Now),
            Insert::Occupied => {}
            // `Limits::NONE` refuses no record.
            Insert::Full => return Err(Error::Full { max: Limits::NONE.max_sessions }),
            Insert::UserFull => return Err(Error::UserFull { max: u64::MAX }),
        }
        // The record may be removed between the two calls.
        if let Some(stored) = Found::under(key, engine, Moment::BEGINNING)?.beside(&record) {
            return Ok(stored);
        }
    }
    Err(Error::Conflict { key: *key })
}

pub(super) enum Step {
    Copied,
    Updated,
}

/// Makes the target's session equal to the source's, unless the target has a later revision, or
/// ended what this transfer `brought`.
pub(super) fn bring_in_step(
    target: &dyn Engine,
    key: &SessionKey,
    record: Record,
    moment: Moment,
    brought: bool,
) -> Result<Option<Step>> {
    for _ in 0..TRIES {
        let stored = match brought {
            true => Found::under(key, target, Moment::BEGINNING)?.beside(&record),
            false => Some(put_if_missing(target, key, record.clone(), moment)?),
        };
        let found = match stored {
            Some(Stored::Now) => return Ok(Some(Step::Copied)),
            // The comparison lists what differs.
            None | Some(Stored::Already | Stored::Damaged) => return Ok(None),
            Some(Stored::Differing(found)) => found,
        };
        if is_same(&found, &record) {
            // Only the target's last activity is earlier. By its own timeouts it may have expired.
            let at = Moment { now: record.last_active(), timeouts: Timeouts::ENDLESS };
            if target.extend(key, at, Duration::ZERO)?.is_some() {
                return Ok(Some(Step::Updated));
            }
        } else if found.revision() >= record.revision() {
            return Ok(None);
        }
        let (expected, new) = (found.revision(), record.clone());
        match target.replace(key, expected, new, Moment::BEGINNING, Limits::NONE)? {
            Replace::Done(_) => return Ok(Some(Step::Updated)),
            // The record has changed since.
            Replace::Conflict | Replace::Missing | Replace::UserFull => {}
        }
    }
    Err(Error::Conflict { key: *key })
}

/// Whether two records are the same revision of one session, apart from the last activity.
pub(super) fn is_same(one: &Record, other: &Record) -> bool {
    let plain = |record: &Record| {
        let last = one.last_active().max(other.last_active());
        record.clone().touched(last).indexed_under(Timestamp::default())
    };
    plain(one) == plain(other)
}
