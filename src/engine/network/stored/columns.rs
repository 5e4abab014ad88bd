//! A record as columns of numbers and bytes, and back: what engines whose servers compare numbers have
//! in common.
//!
//! Invariant: revisions keep all their bits, and are compared for equality alone. Times and timeouts
//! are cut off at [`MOST`]; the bytes keep them whole.

use crate::engine::network::stored::{Stored, outline, user_key};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

/// The greatest time and timeout that a column holds: no sum of two is past a signed 64-bit number.
pub(crate) const MOST: u64 = 1 << 61;

/// A time or a timeout as a column holds it.
pub(crate) fn clamped(millis: u64) -> i64 {
    millis.min(MOST) as i64
}

/// A record's columns, except its key.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) revision: i64,
    pub(crate) last_active: i64,
    pub(crate) index_deadline: i64,
    pub(crate) created_at: i64,
    pub(crate) inactivity: Option<i64>,
    pub(crate) absolute: Option<i64>,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) bytes: Vec<u8>,
}

impl Columns {
    pub(crate) fn of(key: &SessionKey, record: &Record) -> Self {
        let own = record.own_timeouts();
        Self {
            revision: as_column(record.revision()),
            last_active: clamped(record.last_active().as_millis()),
            index_deadline: clamped(record.index_deadline().as_millis()),
            created_at: clamped(record.created_at().as_millis()),
            inactivity: own.inactivity_ms.map(clamped),
            absolute: own.absolute_ms.map(clamped),
            user: record.user().map(|user| user.as_bytes().to_vec()),
            bytes: record.encode(key),
        }
    }
}

/// A revision as a column holds it.
pub(crate) const fn as_column(revision: u64) -> i64 {
    revision as i64
}

/// A row, as far as it makes a record.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) revision: i64,
    pub(crate) last_active: i64,
    pub(crate) index_deadline: i64,
    pub(crate) user: Option<&'a [u8]>,
    pub(crate) bytes: &'a [u8],
}

impl Found<'_> {
    /// The record.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::error::Error::DamagedRecord) if the bytes are.
    pub(crate) fn decode(self, key: &SessionKey) -> Result<Record> {
        let stored = Stored {
            revision: self.revision as u64,
            last_active: time(self.last_active),
            index_deadline: is_whole(self.index_deadline).then(|| time(self.index_deadline)),
            user: self.user.and_then(user_key),
            bytes: self.bytes,
        };
        stored.decode(key)
    }
}

/// A record's end, by its columns.
pub(crate) fn outlined(
    last_active: i64,
    created_at: i64,
    inactivity: Option<i64>,
    absolute: Option<i64>,
) -> Option<Record> {
    let millis = |timeout: i64| u64::try_from(timeout).unwrap_or(0);
    let own_timeouts =
        OwnTimeouts { inactivity_ms: inactivity.map(millis), absolute_ms: absolute.map(millis) };
    outline(time(created_at), time(last_active), own_timeouts).ok()
}

/// A time in a column.
pub(crate) fn time(column: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(column).unwrap_or(0))
}

/// Whether a time in a column was not cut off.
fn is_whole(column: i64) -> bool {
    column < clamped(MOST)
}

/// What the stored `last_active` is, if a column shows it after a record was saved.
pub(crate) fn saved_at(column: i64, record: &Record) -> Timestamp {
    time(column).max(record.last_active())
}

/// A moment as statements take it: now, and the two timeouts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MomentColumns {
    pub(crate) now: i64,
    pub(crate) inactivity: i64,
    pub(crate) absolute: i64,
}

impl MomentColumns {
    pub(crate) fn of(moment: Moment) -> Self {
        let (inactivity, absolute) = moment.timeouts.as_millis();
        Self {
            now: match moment.now.as_millis() {
                // At the end of time everything is expired, whatever was cut off.
                u64::MAX => clamped(MOST) * 2,
                now => clamped(now),
            },
            inactivity: clamped(inactivity),
            absolute: clamped(absolute),
        }
    }
}

/// The key after a key; `None` after the last.
pub(crate) fn next_key(key: &SessionKey) -> Option<SessionKey> {
    let next = u128::from_be_bytes(*key.as_bytes()).checked_add(1)?;
    Some(SessionKey::from_bytes(next.to_be_bytes()))
}

/// The first key that is greater than `after`; `None` if there can be none.
pub(crate) fn first_key(after: Option<&SessionKey>) -> Option<SessionKey> {
    match after {
        None => Some(SessionKey::from_bytes([0; 16])),
        Some(after) => next_key(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_key_is_the_next_one() {
        let key = |number: u128| SessionKey::from_bytes(number.to_be_bytes());
        assert_eq!(first_key(None), Some(key(0)));
        assert_eq!(first_key(Some(&key(255))), Some(key(256)));
        assert_eq!(first_key(Some(&key(u128::MAX))), None);
    }

    #[test]
    fn times_past_what_a_column_holds_are_cut_off_and_known_to_be() {
        assert_eq!(clamped(u64::MAX), 1 << 61);
        assert!(!is_whole(clamped(u64::MAX)) && is_whole(clamped(MOST - 1)));
        assert_eq!(as_column(u64::MAX) as u64, u64::MAX);
    }
}
