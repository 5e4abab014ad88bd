//! What can be asked of the writer, and what it answers, as data.

use super::commit_queue;
use crate::clock::Timestamp;
use crate::engine::{Insert, Limits, Record, Rekey, Removed, Replace, Sweep, UserKey};
use crate::{SessionKey, Timeouts};

#[derive(Debug)]
pub(super) enum Operation {
    Insert {
        key: SessionKey,
        record: Record,
        limits: Limits,
    },
    Replace {
        key: SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    },
    Rekey {
        old: SessionKey,
        new: SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    },
    Touch {
        key: SessionKey,
        at: Timestamp,
    },
    Touches(Vec<(SessionKey, Timestamp)>),
    Remove {
        key: SessionKey,
    },
    RemoveUser {
        user: UserKey,
    },
    RemoveOthers {
        keep: SessionKey,
    },
    Sweep {
        now: Timestamp,
        defaults: Timeouts,
        limit: usize,
    },
    Reindex {
        after: Option<SessionKey>,
        defaults: Timeouts,
        limit: usize,
    },
    Clear,
    StoreMeta {
        name: String,
        value: Vec<u8>,
    },
    /// Nothing but a durable commit.
    Sync,
    /// Nothing but a snapshot that holds what is committed.
    Publish,
}

impl Operation {
    /// Whether somebody was promised that its outcome is on the disk. A touch may take its time, and
    /// so may a step of a sweep, until the sweep is over.
    pub(super) const fn is_promised(&self) -> bool {
        !matches!(self, Self::Touch { .. } | Self::Touches(_) | Self::Sweep { .. } | Self::Publish)
    }

    /// Whether it changes many records, or something that is not a record.
    pub(super) const fn is_in_bulk(&self) -> bool {
        matches!(self, Self::Reindex { .. } | Self::Clear | Self::StoreMeta { .. } | Self::Sync)
    }

    /// Whether it promises that sessions are gone which it may not have seen, because a sweep that
    /// is not on the disk yet had taken them.
    pub(super) const fn ends_unseen(&self) -> bool {
        matches!(self, Self::RemoveUser { .. } | Self::RemoveOthers { .. })
    }
}

#[derive(Debug)]
pub(super) enum Outcome {
    Insert(Insert),
    Replace(Replace),
    Rekey(Rekey),
    Touched(bool),
    Removed(Option<Vec<Removed>>),
    Swept(Sweep),
    Reindexed { last: Option<SessionKey> },
    Published,
    Done,
}

impl commit_queue::Operation for Operation {
    type Outcome = Outcome;

    fn weight(&self) -> usize {
        const SMALL: usize = 256;
        match self {
            Self::Insert { record, .. }
            | Self::Replace { record, .. }
            | Self::Rekey { record, .. } => SMALL + record.content().len(),
            Self::Touches(touches) => touches.len() * SMALL,
            Self::Sweep { limit, .. } | Self::Reindex { limit, .. } => limit * SMALL,
            _ => SMALL,
        }
    }
}
