//! Brings one record into an engine that may have a session of its key already.
//!
//! Invariant: a session is never replaced by an earlier revision of itself, its activity never
//! moves back, and one that ends meanwhile is not stored again. The one exception is an insert
//! whose answer was lost: if it takes effect late, and the session ends before it is repeated, the
//! repetition stores the session once more.

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

/// How often an insert that was lost is repeated.
const INSERTS: usize = 3;

/// What became of a record that was brought to an engine.
pub(super) enum Arrival {
    /// The record was missing, and is now stored.
    Stored,
    /// The engine had an earlier revision, or earlier activity, and is now up to date.
    Updated,
    /// The same revision is stored already, with equal or later activity.
    Already,
    /// Another record is stored under the key.
    Differing,
    /// A damaged record is stored under the key.
    Damaged,
    /// The session was stored already, and has ended; or each insert of it was lost.
    Ended,
}

/// What a copy may do to the engine's sessions. Activity always moves forward.
#[derive(Clone, Copy)]
pub(super) struct May {
    /// Store a session that is missing.
    pub(super) insert: bool,
    /// Replace an earlier revision.
    pub(super) replace: bool,
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
}

/// Brings a record to an engine, as far as the copy may.
///
/// A session that was there once in this call and then is missing has ended: it is not stored.
pub(super) fn bring(
    engine: &dyn Engine,
    key: &SessionKey,
    record: &Record,
    moment: Moment,
    may: May,
) -> Result<Arrival> {
    for _ in 0..if may.insert { INSERTS } else { 0 } {
        match engine.insert(key, record.clone(), moment, Limits::NONE)? {
            Insert::Done(_) => return Ok(Arrival::Stored),
            Insert::Occupied => break,
            // If the server stores it after all, the next insert finds it.
            Insert::Lost => {}
            // `Limits::NONE` refuses no record.
            Insert::Full => return Err(Error::Full { max: Limits::NONE.max_sessions }),
            Insert::UserFull => return Err(Error::UserFull { max: u64::MAX }),
        }
    }
    for _ in 0..TRIES {
        let found = match Found::under(key, engine, Moment::BEGINNING)? {
            Found::Nothing => return Ok(Arrival::Ended),
            Found::Damaged => return Ok(Arrival::Damaged),
            Found::Sound(found) => found,
        };
        if is_same(&found, record) {
            if found.last_active() >= record.last_active() {
                return Ok(Arrival::Already);
            }
            let at = Moment { now: record.last_active(), timeouts: Timeouts::ENDLESS };
            if engine.extend(key, at, Duration::ZERO)?.is_some() {
                return Ok(Arrival::Updated);
            }
            // By the session's own timeouts it has expired in the engine: then it is replaced.
        } else if !may.replace || found.revision() >= record.revision() {
            return Ok(Arrival::Differing);
        }
        let (expected, new) = (found.revision(), record.clone());
        match engine.replace(key, expected, new, Moment::BEGINNING, Limits::NONE)? {
            Replace::Done(_) => return Ok(Arrival::Updated),
            Replace::Missing => return Ok(Arrival::Ended),
            // The record has changed since.
            Replace::Conflict | Replace::UserFull => {}
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
