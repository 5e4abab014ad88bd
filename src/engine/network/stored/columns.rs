//! A record as columns of numbers and bytes, and back, for engines whose servers compare numbers.
//!
//! Invariant: revisions keep all their bits, and are compared only for equality. Times and timeouts
//! are capped at [`MOST`]; the bytes hold the exact values.

use crate::engine::network::stored::{Stored, outline, user_key};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

/// The greatest time and timeout in a column: no sum of two exceeds a signed 64-bit number.
pub(crate) const MOST: u64 = 1 << 61;

/// A time or a timeout as a column value.
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

/// A revision as a column value.
pub(crate) const fn as_column(revision: u64) -> i64 {
    revision as i64
}

/// The columns of a row that make a record.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) revision: i64,
    pub(crate) last_active: i64,
    pub(crate) index_deadline: i64,
    pub(crate) user: Option<&'a [u8]>,
    pub(crate) bytes: &'a [u8],
}

impl Found<'_> {
    /// Returns the record.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::error::Error::DamagedRecord) if the bytes are damaged.
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

/// A record that holds only the times of a row's columns.
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

/// A time from a column.
pub(crate) fn time(column: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(column).unwrap_or(0))
}

/// Whether a column holds the exact time, not the cap.
fn is_whole(column: i64) -> bool {
    column < clamped(MOST)
}

/// The stored `last_active`, from the column's value after a record was saved.
pub(crate) fn saved_at(column: i64, record: &Record) -> Timestamp {
    time(column).max(record.last_active())
}

/// A moment as the values of a statement: now, and the two timeouts.
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
                // At the end of time every record is expired, also one with capped times.
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

/// The first key that is greater than `after`; `None` if there is none.
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
