//! What can be asked of the writer, and what it answers, as data.

use super::commit_queue;
use crate::clock::Timestamp;
use crate::engine::{Insert, Limits, Record, Rekey, Removed, Replace, Sweep, UserKey};
use crate::{SessionKey, Timeouts};

#[derive(Debug)]
pub(super) enum Operation {
    Keyed(Keyed),
    OnTables(OnTables),
}

/// On the sessions that it names: the store as its readers see it is enough to tell what becomes of
/// it, and what it changes is an entry of the log.
#[derive(Clone, Debug)]
pub(super) enum Keyed {
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
    Remove {
        key: SessionKey,
    },
    RemoveUser {
        user: UserKey,
    },
    RemoveOthers {
        keep: SessionKey,
    },
}

/// On the tables themselves: it goes through an index or through all records, changes what is no
/// record, or need not be in the log.
#[derive(Debug)]
pub(super) enum OnTables {
    Touch {
        key: SessionKey,
        at: Timestamp,
    },
    Touches(Vec<(SessionKey, Timestamp)>),
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

impl From<Keyed> for Operation {
    fn from(operation: Keyed) -> Self {
        Self::Keyed(operation)
    }
}

impl From<OnTables> for Operation {
    fn from(operation: OnTables) -> Self {
        Self::OnTables(operation)
    }
}

impl Keyed {
    /// Whether it promises that sessions are gone which it may not have seen, because a sweep that
    /// is not on the disk yet had taken them.
    pub(super) const fn ends_unseen(&self) -> bool {
        matches!(self, Self::RemoveUser { .. } | Self::RemoveOthers { .. })
    }
}

impl OnTables {
    /// Whether it changes many records, or something that is not a record, and somebody was promised
    /// that it is on the disk. Others may take their time: a touch, and a step of a sweep until the
    /// sweep is over.
    pub(super) const fn is_in_bulk(&self) -> bool {
        matches!(self, Self::Reindex { .. } | Self::Clear | Self::StoreMeta { .. } | Self::Sync)
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
            Self::Keyed(
                Keyed::Insert { record, .. }
                | Keyed::Replace { record, .. }
                | Keyed::Rekey { record, .. },
            ) => SMALL + record.content().len(),
            Self::OnTables(OnTables::Touches(touches)) => touches.len() * SMALL,
            Self::OnTables(OnTables::Sweep { limit, .. } | OnTables::Reindex { limit, .. }) => {
                limit * SMALL
            }
            _ => SMALL,
        }
    }
}
