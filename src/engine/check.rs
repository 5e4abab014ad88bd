//! What a comparison of records and indexes can find: the words in which every engine reports it.

use std::fmt;

use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;
use crate::time::clock::Timestamp;

/// What [`Engine::check`](super::Engine::check) calls for each finding.
pub type Inspect<'a> = dyn FnMut(Finding) -> Result<()> + 'a;

/// One thing that a check came across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A record that is what was written under its key; its index entries may be wrong all the
    /// same.
    Record(SessionKey, Record),
    /// Something wrong.
    Problem(Problem),
}

/// How much an [`Engine::check`](super::Engine::check) compared besides the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the index by deadline: one for each record in a sound store.
    pub expiry_entries: u64,
    /// Entries in the index by user: one for each record with a user in a sound store.
    pub user_entries: u64,
}

/// Something wrong in a store, by the key it concerns.
///
/// None of these makes a store unusable, and none can show a session that is not there: reading
/// goes by the record alone. A file with problems in its indexes is made right by
/// [`salvage`](crate::salvage()), which copies the records and rebuilds the indexes.
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
    /// The record is not what was written: reading the session is
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord).
    DamagedRecord {
        /// The key it is stored under.
        key: SessionKey,
        /// The check that failed.
        reason: &'static str,
    },
    /// The record is sound, and its content is not of the store's type and version, nor could it
    /// be migrated: reading the session is
    /// [`Error::ContentMismatch`](crate::Error::ContentMismatch).
    UnreadableContent {
        /// The session's key.
        key: SessionKey,
        /// What was found and what was expected.
        detail: String,
    },
    /// The session is missing in the index by deadline: it expires on time, but no sweep finds it.
    NotInExpiry {
        /// The session's key.
        key: SessionKey,
        /// The deadline under which its record says that it stands there.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The session stands under a later deadline than its own: it expires on time, but it is swept
    /// late, and counted by `len` until then.
    LateInExpiry {
        /// The session's key.
        key: SessionKey,
        /// The deadline it stands under.
        #[serde(rename = "indexed_under_ms")]
        indexed_under: Timestamp,
        /// The one it should not stand later than.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The index by deadline has an entry that leads to no session, or to one that says to stand
    /// elsewhere. The sweep that meets it takes it away.
    StrayInExpiry {
        /// The key it leads to.
        key: SessionKey,
        /// The deadline it stands under.
        #[serde(rename = "deadline_ms")]
        deadline: Timestamp,
    },
    /// The session is missing in the index by user: its user does not see it in `sessions_of`, and
    /// `destroy_all_of` does not end it.
    NotInUsers {
        /// The session's key.
        key: SessionKey,
        /// Its user.
        user: UserId,
    },
    /// The index by user has an entry that leads to no session, or to one of another user.
    StrayInUsers {
        /// The key it leads to.
        key: SessionKey,
        /// The user it stands under; `None` if the entry names none.
        user: Option<UserId>,
    },
    /// What the program that has the store open reports, in its words.
    Reported {
        /// The session's key.
        key: SessionKey,
        /// What is wrong.
        text: String,
    },
}

impl Problem {
    /// The key of the session that is concerned.
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

    /// What is wrong with a sound record's own deadline, which can be told without any index.
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
