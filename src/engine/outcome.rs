//! What an engine answers: what became of an operation, and numbers about itself.

use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// What [`Engine::scan_user`](super::Engine::scan_user) and [`Engine::for_each`](super::Engine::for_each) call for every record.
pub type Visit<'a> = dyn FnMut(SessionKey, Result<Record>) -> Result<()> + 'a;

/// What became of an [`Engine::insert`](super::Engine::insert).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insert {
    /// The record is stored.
    Done,
    /// There is a record under this key; nothing was changed.
    Occupied,
    /// There are `max_sessions` records already, counting expired ones; nothing was changed.
    Full,
    /// The user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// What became of an [`Engine::replace`](super::Engine::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Replace {
    /// The record is replaced.
    Done,
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// There is no record under this key.
    Missing,
    /// The record's new user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// What became of an [`Engine::rekey`](super::Engine::rekey).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rekey {
    /// The record stands under the new key.
    Done,
    /// The stored record has another revision; nothing was changed.
    Conflict,
    /// There is no record under the old key.
    Missing,
    /// There is a record under the new key; nothing was changed.
    Occupied,
    /// The record's new user has as many live sessions as they may; nothing was changed.
    UserFull,
}

/// A record that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It was sound; so one can tell whether it had expired.
    Record(Record),
    /// It was damaged.
    Damaged,
}

impl Removed {
    /// Whether this was a session, as far as anyone can tell: a damaged record may have been one.
    #[must_use]
    pub fn was_live(&self, now: Timestamp, defaults: &Timeouts) -> bool {
        match self {
            Self::Record(record) => !record.is_expired(now, defaults),
            Self::Damaged => true,
        }
    }
}

/// What one step of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// How many records were removed.
    pub removed: u64,
    /// Whether passed index entries are left for another step.
    pub more: bool,
    /// Whether others write meanwhile: a sweep pauses then before its next step.
    pub busy: bool,
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
    /// Transactions committed since the engine was opened.
    pub commits: u64,
    /// Operations those transactions carried.
    pub committed_operations: u64,
}
