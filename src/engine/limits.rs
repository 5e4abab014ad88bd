//! The limits of a store, passed to the engine with each operation that could exceed them.
//!
//! Invariant: the code here decides, once for every engine, which sessions count and which must
//! end. An engine only applies that decision, in the transaction that makes the change.

use serde::{Deserialize, Serialize};

use crate::key::SessionKey;
use crate::record::Record;
use crate::time::moment::Moment;

/// What happens when a user who has reached the limit on sessions gets another one; see
/// [`Builder::max_sessions_per_user`](crate::Builder::max_sessions_per_user).
///
/// In configuration files the values are `"refuse"` and `"end_least_recently_active"`.
///
/// # Examples
///
/// ```
/// use sessile::{SessionStore, UserLimit};
///
/// let builder = SessionStore::<u32>::builder();
/// let store = builder.max_sessions_per_user(1, UserLimit::EndLeastRecentlyActive).in_memory()?;
/// let desktop = store.create_for_user("ann", 1)?;
/// let phone = store.create_for_user("ann", 2)?;
///
/// assert!(store.read(desktop.id())?.is_none());
/// assert!(store.read(phone.id())?.is_some());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserLimit {
    /// The new session is refused with [`Error::UserFull`](crate::Error::UserFull). An attacker who
    /// holds all of a user's sessions can keep that user out until one of them ends.
    Refuse,
    /// The user's least recently active session ends, in the transaction that stores the new
    /// session; if several were last active at the same time, the one created first ends. A login
    /// always works.
    EndLeastRecentlyActive,
}

/// The limits that an operation must keep.
///
/// # Examples
///
/// ```
/// use sessile::engine::Limits;
///
/// let limits = Limits { max_sessions: 1_000, ..Limits::NONE };
/// assert!(limits.per_user.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most records that may be stored, expired ones included.
    pub max_sessions: u64,
    /// The limit on the sessions of one user, if there is one.
    pub per_user: Option<PerUser>,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { max_sessions: u64::MAX, per_user: None };
}

/// The limit on the live sessions of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerUser {
    /// The most sessions of one user; at least 1.
    pub max: u64,
    /// What happens to a session beyond `max`.
    pub policy: UserLimit,
}

impl PerUser {
    /// Returns the user's other sessions that must end before a new session is stored; `None` if
    /// the new session is refused. Expired sessions do not count, and do not end. The caller leaves
    /// out damaged records, which nobody can use.
    ///
    /// Costs memory and time in proportion to the user's sessions.
    #[must_use]
    pub fn make_room(
        &self,
        others: impl IntoIterator<Item = (SessionKey, Record)>,
        moment: Moment,
    ) -> Option<Vec<SessionKey>> {
        let mut live: Vec<_> = others
            .into_iter()
            .filter(|(_, record)| !record.is_expired(moment))
            .map(|(key, record)| (record.last_active(), record.created_at(), key))
            .collect();
        let excess = (live.len() as u64).saturating_add(1).saturating_sub(self.max);
        match self.policy {
            _ if excess == 0 => Some(Vec::new()),
            UserLimit::Refuse => None,
            UserLimit::EndLeastRecentlyActive => {
                live.sort_unstable();
                let excess = usize::try_from(excess).unwrap_or(usize::MAX);
                Some(live.into_iter().take(excess).map(|(.., key)| key).collect())
            }
        }
    }
}
