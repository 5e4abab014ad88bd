//! The findings of a check, which compares records and indexes; all engines report them alike.

use std::fmt;

use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;
use crate::time::clock::Timestamp;

/// The callback that [`Engine::check`](super::Engine::check) calls for each finding.
pub type Inspect<'a> = dyn FnMut(Finding) -> Result<()> + 'a;

/// One finding of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A sound record. Its index entries may still be wrong.
    Record(SessionKey, Record),
    /// A problem.
    Problem(Problem),
}

/// The index entries that an [`Engine::check`](super::Engine::check) compared with the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the index by deadline: one for each record in a sound store.
    pub expiry_entries: u64,
    /// Entries in the index by user: one for each record with a user in a sound store.
    pub user_entries: u64,
}

/// A problem in a store, with the key that it concerns.
///
/// No problem makes a store unusable, and none can show a session that does not exist: a read uses
/// the record alone. To repair the indexes of a file, use [`salvage`](crate::salvage()), which
/// copies the records and rebuilds the indexes. On a server, [`admin::transfer`] does so into a
/// store of another name.
///
/// [`admin::transfer`]: crate::admin::transfer()
///
/// # Examples
///
/// ```
/// use sessile::{Problem, SessionStore};
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// for problem in store.check()?.problems {
///     match problem {
///         // Nobody can use this session; end it, so that it goes away.
///         Problem::DamagedRecord { key, .. } => drop(store.destroy_key(&key)?),
///         other => eprintln!("{other}"),
///     }
/// }
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// The record's bytes are damaged: reading the session fails with
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord).
    DamagedRecord {
        /// The key of the record.
        key: SessionKey,
        /// The check that failed.
        reason: &'static str,
    },
    /// The record is sound, but its content has another type or version than the store's and could
    /// not be migrated: reading the session fails with
    /// [`Error::ContentMismatch`](crate::Error::ContentMismatch).
    UnreadableContent {
        /// The session's key.
        key: SessionKey,
        /// What was found and what was expected.
        detail: String,
    },
    /// The index by deadline lacks the session: it expires on time, but no sweep finds it.
    NotInExpiry {
        /// The session's key.
        key: SessionKey,
        /// The deadline under which its record expects the entry.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The index has the session under a later deadline than its own: it expires on time, but it is
    /// swept late, and `len` counts it until then.
    LateInExpiry {
        /// The session's key.
        key: SessionKey,
        /// The deadline in the index.
        #[serde(rename = "indexed_under_ms")]
        indexed_under: Timestamp,
        /// The session's own deadline; the one in the index may not be later.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The index by deadline has an entry without a session, or one whose record expects its entry
    /// elsewhere. The sweep that reaches the entry removes it.
    StrayInExpiry {
        /// The key in the entry.
        key: SessionKey,
        /// The deadline in the entry.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The index by user lacks the session: `sessions_of` does not show it to its user, and
    /// `destroy_all_of` does not end it.
    NotInUsers {
        /// The session's key.
        key: SessionKey,
        /// Its user.
        user: UserId,
    },
    /// The index by user has an entry without a session, or for a session of another user.
    StrayInUsers {
        /// The key in the entry.
        key: SessionKey,
        /// The user in the entry; `None` if the entry holds no valid user.
        user: Option<UserId>,
    },
    /// A problem as reported by the program that has the store open, in that program's words.
    Reported {
        /// The session's key.
        key: SessionKey,
        /// What is wrong.
        text: String,
    },
}

impl Problem {
    /// The key of the session that the problem concerns.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        match self {
            Self::DamagedRecord { key, .. }
            | Self::UnreadableContent { key, .. }
            | Self::NotInExpiry { key, .. }
            | Self::LateInExpiry { key, .. }
            | Self::StrayInExpiry { key, .. }
            | Self::NotInUsers { key, .. }
            | Self::StrayInUsers { key, .. }
            | Self::Reported { key, .. } => *key,
        }
    }

    /// The problem with a sound record's own deadline; finding it needs no index.
    pub(super) fn of_deadline(
        key: SessionKey,
        record: &Record,
        defaults: &crate::time::timeouts::Timeouts,
    ) -> Option<Self> {
        let (indexed_under, deadline) = (record.index_deadline(), record.deadline(defaults));
        (indexed_under > deadline).then_some(Self::LateInExpiry { key, indexed_under, deadline })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedRecord { key, reason } => {
                write!(formatter, "the record of session {key} is damaged: {reason}")
            }
            Self::UnreadableContent { detail, .. } => formatter.write_str(detail),
            Self::Reported { text, .. } => formatter.write_str(text),
            Self::NotInExpiry { key, deadline } => write!(
                formatter,
                "session {key} is missing in the index by deadline, under {}",
                deadline.as_millis()
            ),
            Self::LateInExpiry { key, indexed_under, deadline } => write!(
                formatter,
                "session {key} stands in the index by deadline under {}, later than its own, {}",
                indexed_under.as_millis(),
                deadline.as_millis()
            ),
            Self::StrayInExpiry { key, deadline } => write!(
                formatter,
                "the index by deadline has session {key} under {}, where it is not",
                deadline.as_millis()
            ),
            Self::NotInUsers { key, user } => {
                write!(formatter, "session {key} is missing in the index by user, under {user:?}")
            }
            Self::StrayInUsers { key, user: Some(user) } => write!(
                formatter,
                "the index by user has session {key} under {user:?}, where it is not"
            ),
            Self::StrayInUsers { key, user: None } => {
                write!(formatter, "the index by user has session {key} under what is no user")
            }
        }
    }
}
