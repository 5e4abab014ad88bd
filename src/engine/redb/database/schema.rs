//! The names of the file's tables, and the types of their keys and values. docs/internals/format.md
//! describes the bytes.

use redb::TableDefinition;

use crate::key::SessionKey;
use crate::session::user::UserKey;

pub(in crate::engine::redb) type KeyBytes = &'static [u8; SessionKey::LEN];

pub(in crate::engine::redb) const SESSIONS: TableDefinition<'_, KeyBytes, &[u8]> =
    TableDefinition::new("sessions");

pub(in crate::engine::redb) const EXPIRY: TableDefinition<'_, (u64, KeyBytes), ()> =
    TableDefinition::new("expiry");

pub(in crate::engine::redb) const USERS: TableDefinition<'_, (&[u8], KeyBytes), ()> =
    TableDefinition::new("users");

pub(in crate::engine::redb) const META: TableDefinition<'_, &str, &[u8]> =
    TableDefinition::new("meta");

pub(in crate::engine::redb) const FIRST_KEY: [u8; SessionKey::LEN] = [0; SessionKey::LEN];

pub(in crate::engine::redb) const LAST_KEY: [u8; SessionKey::LEN] = [0xff; SessionKey::LEN];

/// An entry of `expiry`: an index deadline in milliseconds since 1970, and a key.
pub(in crate::engine::redb) type IndexEntry = (u64, SessionKey);

/// The range of a user's entries.
pub(in crate::engine::redb) fn of_user(
    user: &UserKey,
) -> std::ops::RangeInclusive<(&[u8], &[u8; SessionKey::LEN])> {
    (user.as_bytes(), &FIRST_KEY)..=(user.as_bytes(), &LAST_KEY)
}

/// The name in `meta` of the commit's number. The commit holds all log entries with lower numbers.
pub(in crate::engine::redb) const SEQUENCE: &str = "log_sequence";
