//! What an engine answers: what became of an operation, and numbers about itself.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;

/// What [`Engine::scan`](super::Engine::scan) and [`Engine::scan_user`](super::Engine::scan_user)
/// call for every record; `Break` ends the scan, which then is `Ok`.
pub type Visit<'a> = dyn FnMut(SessionKey, Result<Record>) -> Result<ControlFlow<()>> + 'a;

/// What [`Engine::scan_users`](super::Engine::scan_users) calls for every user, with the number of
/// their live sessions; `Break` ends the scan, which then is `Ok`.
pub type VisitUser<'a> = dyn FnMut(UserKey, u64) -> Result<ControlFlow<()>> + 'a;

/// A session whose record an operation has removed.
#[doc(alias = "Removed")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The key it stood under.
    pub key: SessionKey,
    /// Its user, if it had one; `None` if its record was damaged.
    pub user: Option<UserKey>,
}

impl Ended {
    /// What is told of a session when its record is removed.
    #[must_use]
    pub fn of(key: &SessionKey, record: &Record) -> Self {
        Self { key: *key, user: record.user() }
    }

    /// What is told of a damaged record when it is removed.
    #[must_use]
    pub const fn damaged(key: &SessionKey) -> Self {
        Self { key: *key, user: None }
    }
}

/// What became of an [`Engine::insert`](super::Engine::insert).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insert {
    /// The record is stored; these sessions of its user ended for it.
    Done(Vec<Ended>),
    /// There is a record under this key, or one may come; nothing else was changed.
    Occupied,
    /// There are `max_sessions` records already, counting expired ones; nothing was changed.
    Full,
    /// The user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// What was stored in place of another record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The `last_active` that the stored record has: the later of the new and the old one.
    pub last_active: Timestamp,
    /// Other sessions of the record's user that ended for it.
    pub ended: Vec<Ended>,
}

/// What became of an [`Engine::replace`](super::Engine::replace).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Replace {
    /// The record is replaced.
    Done(Saved),
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// There is no live record under this key.
    Missing,
    /// The record's new user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// What became of an [`Engine::rekey`](super::Engine::rekey).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rekey {
    /// The record stands under the new key.
    Done(Saved),
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// There is no live record under the old key.
    Missing,
    /// There is a record under the new key; nothing was changed.
    Occupied,
    /// The record's new user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// What one step of a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The sessions whose records were removed: expired ones, and damaged ones whose index entries
    /// had passed.
    pub removed: Vec<Ended>,
    /// Whether passed index entries are left for another step.
    pub more: bool,
    /// Whether others write meanwhile: a sweep pauses then before its next step.
    pub busy: bool,
}

/// What [`Engine::scan`](super::Engine::scan) and [`Engine::check`](super::Engine::check) show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// Every record as of one moment.
    Snapshot,
    /// Each record at some moment of the call; one that is there throughout exactly once.
    Walk,
}

/// What an engine can tell about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Records stored, expired ones included.
    pub stored: u64,
    /// The size of the file, in bytes; `None` where there is no file.
    pub file_bytes: Option<u64>,
    /// Touches that are in memory only.
    pub pending_touches: u64,
    /// How long the oldest of them has been; `None` where there is none.
    pub oldest_pending_touch: Option<Duration>,
    /// Touches that were on the disk later than the `resolution` of the last
    /// [`Engine::extend`](super::Engine::extend) after they were told, since the engine was opened.
    pub late_touches: u64,
    /// By how much the latest of those was late.
    pub touches_late_by: Duration,
    /// Transactions committed since the engine was opened.
    pub commits: u64,
    /// Operations those transactions carried.
    pub committed_operations: u64,
    /// How often the tables took over what the log held, since the engine was opened.
    pub checkpoints: u64,
    /// How often the file was opened again after an error, since the engine was opened.
    pub reopenings: u64,
    /// How often, since the engine was opened, the server's clock was found more than five seconds
    /// from where it should have been.
    pub clock_jumps: u64,
}
