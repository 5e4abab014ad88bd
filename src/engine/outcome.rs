//! The answers of an engine: the outcome of an operation, and statistics.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

/// The callback that [`Engine::scan`](super::Engine::scan) and
/// [`Engine::scan_user`](super::Engine::scan_user) call for every record. `Break` ends the scan,
/// which then returns `Ok`.
pub type Visit<'a> = dyn FnMut(SessionKey, Result<Record>) -> Result<ControlFlow<()>> + 'a;

/// The callback that [`Engine::scan_users`](super::Engine::scan_users) calls for every user, with
/// the number of the user's live sessions. `Break` ends the scan, which then returns `Ok`.
pub type VisitUser<'a> = dyn FnMut(UserKey, u64) -> Result<ControlFlow<()>> + 'a;

/// A session whose record an operation removed.
#[doc(alias = "Removed")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The session's key.
    pub key: SessionKey,
    /// The session's user, if it had one; `None` if its record was damaged.
    pub user: Option<UserKey>,
    /// Whether the record was expired at the moment of the call: the session then had ended before,
    /// and the store counts it as missing. `false` if its record was damaged.
    pub expired: bool,
}

impl Ended {
    /// The answer for the removal of a record by a call with this moment.
    #[must_use]
    pub fn of(key: &SessionKey, record: &Record, moment: Moment) -> Self {
        Self { key: *key, user: record.user(), expired: record.is_expired(moment) }
    }

    /// The answer for the removal of a damaged record.
    #[must_use]
    pub const fn damaged(key: &SessionKey) -> Self {
        Self { key: *key, user: None, expired: false }
    }

    /// The answer for sessions of a user that a limit ended. No limit ends an expired one.
    #[cfg(any(feature = "postgres", feature = "mysql", feature = "redis", feature = "mongodb"))]
    pub(crate) fn over_a_limit(
        keys: impl IntoIterator<Item = SessionKey>,
        user: Option<&UserKey>,
    ) -> Vec<Self> {
        let of_user = |key| Self { key, user: user.cloned(), expired: false };
        keys.into_iter().map(of_user).collect()
    }

    /// The number of sessions that were not expired.
    pub(crate) fn count_live(ended: &[Self]) -> u64 {
        ended.iter().filter(|ended| !ended.expired).count() as u64
    }
}

/// The outcome of an [`Engine::insert`](super::Engine::insert).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insert {
    /// The record is stored; these other sessions of its user ended because of the limit.
    Done(Vec<Ended>),
    /// A record exists under this key; nothing was changed.
    Occupied,
    /// The answer was lost, and no record exists under this key, but the unanswered request may
    /// still store this one.
    Lost,
    /// The store already holds `max_sessions` records, expired ones included; nothing was changed.
    Full,
    /// The user has reached the limit on live sessions; nothing was changed.
    UserFull,
}

/// The result of replacing a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The `last_active` of the stored record: the later of the new and the old one.
    pub last_active: Timestamp,
    /// Other sessions of the record's user that ended because of the limit.
    pub ended: Vec<Ended>,
}

/// The outcome of an [`Engine::replace`](super::Engine::replace).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Replace {
    /// The record is replaced.
    Done(Saved),
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// No live record has this key.
    Missing,
    /// The record's new user has reached the limit on live sessions; nothing was changed.
    UserFull,
}

/// The outcome of an [`Engine::rekey`](super::Engine::rekey).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rekey {
    /// The record is stored under the new key.
    Done(Saved),
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// No live record has the old key.
    Missing,
    /// A record exists under the new key; nothing was changed.
    Occupied,
    /// The record's new user has reached the limit on live sessions; nothing was changed.
    UserFull,
}

/// The result of one step of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The sessions whose records were removed: expired ones, and damaged ones whose index entries
    /// had passed.
    pub removed: Vec<Ended>,
    /// Whether passed index entries are left for another step.
    pub more: bool,
    /// Whether other calls are writing: the sweep then pauses before its next step.
    pub busy: bool,
}

/// The moment that [`Engine::scan`](super::Engine::scan) and
/// [`Engine::check`](super::Engine::check) show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// Every record as of one moment.
    Snapshot,
    /// Each record as of some moment of the call. A record that exists under its key throughout is
    /// shown exactly once; one that gets another key meanwhile may be shown under both or neither.
    Walk,
}

/// Statistics of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Records stored, expired ones included.
    pub stored: u64,
    /// The size of the file, in bytes; `None` where there is no file.
    pub file_bytes: Option<u64>,
    /// How many bytes of the file its live pages took when it was opened; `None` if they were not
    /// counted.
    pub live_bytes: Option<u64>,
    /// The length of the file's write-ahead log, and how much of it holds needed entries; `None` if
    /// the file has no log.
    pub log_bytes: Option<(u64, u64)>,
    /// The version of the file's format.
    pub format: Option<u64>,
    /// Touches that are only in memory.
    pub pending_touches: u64,
    /// The age of the oldest of these touches; `None` if there is none.
    pub oldest_pending_touch: Option<Duration>,
    /// Touches since the engine was opened that took longer to reach the disk than the `resolution`
    /// of the last [`Engine::extend`](super::Engine::extend).
    pub late_touches: u64,
    /// The most by which a touch exceeded that resolution; one that is still only in memory counts
    /// with its wait so far.
    pub touches_late_by: Duration,
    /// Flushes since the engine was opened that wrote deferred commits later than the interval of
    /// [`Durability::Deferred`](crate::Durability::Deferred).
    pub late_flushes: u64,
    /// The most by which a deferred commit exceeded that interval; a commit that is still only in
    /// memory counts with its wait so far.
    pub commits_late_by: Duration,
    /// Transactions committed since the engine was opened.
    pub commits: u64,
    /// Operations in those transactions.
    pub committed_operations: u64,
    /// Checkpoints since the engine was opened: each copies the log's entries to the tables.
    pub checkpoints: u64,
    /// How often the file was reopened after an error, since the engine was opened.
    pub reopenings: u64,
    /// How often, since the engine was opened, the server's clock differed by more than five
    /// seconds from the expected time.
    pub clock_jumps: u64,
}
