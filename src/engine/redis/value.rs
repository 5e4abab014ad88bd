//! A session as a Redis value: a head that scripts can read, then the record's bytes.
//!
//! Invariant: numbers are 20 decimal digits, so that scripts compare them as text and lose no digit
//! to a floating-point number. The values in the head are newer than those in the bytes.
//!
//! | at | what |
//! |---|---|
//! | 0 | revision |
//! | 20 | last active |
//! | 40 | the deadline it is indexed under |
//! | 60 | created at |
//! | 80 | own inactivity timeout, or spaces |
//! | 100 | own absolute timeout, or spaces |
//! | 120 | length of the user's name in the index, 3 digits |
//! | 123 | that name, then the record's bytes |

use crate::engine::network::stored::{Stored, outline, user_key};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::OwnTimeouts;

/// The length of a number.
pub(super) const DIGITS: usize = 20;
const BLANK: &str = "                    ";
const USER_LEN: usize = 120;
const USER: usize = 123;

const NO_VALUE: &str = "what the server holds is not a session's value";

/// A number in the form that scripts compare.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

fn own(timeout: Option<u64>) -> String {
    timeout.map_or_else(|| BLANK.into(), digits)
}

/// The value stored under a key.
pub(super) fn encode(key: &SessionKey, record: &Record) -> Vec<u8> {
    let user = record.user().map(|user| indexed(&user)).unwrap_or_default();
    let own_timeouts = record.own_timeouts();
    let bytes = record.encode(key);
    let mut value = Vec::with_capacity(USER + user.len() + bytes.len());
    for number in [
        digits(record.revision()),
        digits(record.last_active().as_millis()),
        digits(record.index_deadline().as_millis()),
        digits(record.created_at().as_millis()),
        own(own_timeouts.inactivity_ms),
        own(own_timeouts.absolute_ms),
    ] {
        value.extend_from_slice(number.as_bytes());
    }
    value.extend_from_slice(format!("{:03}", user.len()).as_bytes());
    value.extend_from_slice(&user);
    value.extend_from_slice(&bytes);
    value
}

/// Returns the record of a value.
///
/// # Errors
///
/// [`Error::DamagedRecord`] if the value is not a record.
pub(super) fn decode(key: &SessionKey, value: &[u8]) -> Result<Record> {
    parts(value).ok_or(Error::DamagedRecord { key: *key, reason: NO_VALUE })?.decode(key)
}

fn parts(value: &[u8]) -> Option<Stored<'_>> {
    // The scripts need the whole head.
    outlined(value)?;
    let user_len = usize::try_from(number(value, USER_LEN, USER)?).ok()?;
    let user = match value.get(USER..USER + user_len)? {
        [] => None,
        name => Some(named(name)?),
    };
    Some(Stored {
        revision: number(value, 0, DIGITS)?,
        last_active: time(value, 20)?,
        index_deadline: Some(time(value, 40)?),
        user,
        bytes: value.get(USER + user_len..)?,
    })
}

/// A record that holds only the times and timeouts of a head.
pub(super) fn outlined(head: &[u8]) -> Option<Record> {
    let own = |at| match head.get(at..at + DIGITS)? {
        blank if blank == BLANK.as_bytes() => Some(None),
        _ => number(head, at, at + DIGITS).map(Some),
    };
    let own_timeouts = OwnTimeouts { inactivity_ms: own(80)?, absolute_ms: own(100)? };
    outline(time(head, 60)?, time(head, 20)?, own_timeouts).ok()
}

fn number(value: &[u8], from: usize, to: usize) -> Option<u64> {
    std::str::from_utf8(value.get(from..to)?).ok()?.parse().ok()
}

fn time(value: &[u8], at: usize) -> Option<Timestamp> {
    number(value, at, at + DIGITS).map(Timestamp::from_millis)
}

/// A user's name in the index: no name is a prefix of another, and names sort as users do.
pub(super) fn indexed(user: &UserKey) -> Vec<u8> {
    let mut name = Vec::with_capacity(user.as_bytes().len() + 2);
    for byte in user.as_bytes() {
        name.push(*byte);
        if *byte == 0 {
            name.push(0xff);
        }
    }
    name.extend_from_slice(&[0, 1]);
    name
}

/// The user of a name in the index.
pub(super) fn named(name: &[u8]) -> Option<UserKey> {
    let mut user = Vec::with_capacity(name.len());
    let mut rest = name.strip_suffix(&[0, 1])?.iter();
    while let Some(byte) = rest.next() {
        user.push(*byte);
        if *byte == 0 && rest.next() != Some(&0xff) {
            return None;
        }
    }
    user_key(&user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::user::UserId;

    fn user(id: impl Into<UserId>) -> UserKey {
        id.into().to_key().unwrap()
    }

    #[test]
    fn names_in_the_index_sort_as_users_do_and_none_begins_another() {
        let mut users = vec![
            user(0),
            user(1),
            user(255),
            user(-1),
            user(""),
            user("a"),
            user("a\0"),
            user("a\0b"),
            user("a\u{1}"),
            user("ab"),
        ];
        users.sort();
        let names: Vec<_> = users.iter().map(indexed).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (at, name) in names.iter().enumerate() {
            assert_eq!(named(name).as_ref(), Some(&users[at]));
            let others = names.iter().enumerate().filter(|(other, _)| *other != at);
            assert!(!others.into_iter().any(|(_, other)| other.starts_with(name)));
        }
    }

    #[test]
    fn what_is_no_value_is_a_damaged_record() {
        let key = SessionKey::from_bytes([1; 16]);
        for value in [&b""[..], b"1", &[b'0'; 122], &[b'9'; 200], &[b'0'; 140]] {
            assert!(matches!(decode(&key, value), Err(Error::DamagedRecord { .. })));
        }
        assert!(outlined(b"12").is_none());
    }
}
