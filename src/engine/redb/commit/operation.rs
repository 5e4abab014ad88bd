//! What can be asked of the writer, and what it answers, as data.

use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Rekey, Removed, Replace};
use crate::engine::redb::commit::queue;
use crate::engine::redb::database::schema::IndexEntry;
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

#[derive(Debug)]
pub(in crate::engine::redb) enum Operation {
    OnSessions(OnSessions),
    OnStore(OnStore),
}

/// On the sessions that it names: the store as its readers see it is enough to tell what becomes of
/// it, and what it changes is an entry of the log.
#[derive(Clone, Debug)]
pub(in crate::engine::redb) enum OnSessions {
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
    Touch {
        key: SessionKey,
        at: Timestamp,
    },
    /// As many of them as one entry of the log takes well.
    Touches(Vec<(SessionKey, Timestamp)>),
    /// The same.
    RemoveExpired {
        keys: Vec<SessionKey>,
        now: Timestamp,
        defaults: Timeouts,
    },
}

/// On the tables themselves: it goes through an index or through all records, or changes what is no
/// record.
#[derive(Debug)]
pub(in crate::engine::redb) enum OnStore {
    /// Index entries that lead to no record, or to one that says to stand elsewhere.
    RemoveStray(Vec<IndexEntry>),
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

impl From<OnSessions> for Operation {
    fn from(operation: OnSessions) -> Self {
        Self::OnSessions(operation)
    }
}

impl From<OnStore> for Operation {
    fn from(operation: OnStore) -> Self {
        Self::OnStore(operation)
    }
}

#[derive(Debug)]
pub(in crate::engine::redb) enum Outcome {
    Insert(Insert),
    Replace(Replace),
    Rekey(Rekey),
    Touched(bool),
    Removed(Option<Vec<Removed>>),
    /// How many of the touches have been written.
    Wrote(usize),
    /// How many of the sessions have been looked at, how many of those were expired, and which had no
    /// index entry that had passed.
    RemovedExpired {
        looked_at: usize,
        removed: u64,
        unmoved: Vec<SessionKey>,
    },
    Reindexed {
        last: Option<SessionKey>,
    },
    Published,
    Done,
}

impl Outcome {
    /// An operation is answered with its own kind of outcome; anything else is a bug, reported.
    pub(in crate::engine::redb) fn unexpected(&self) -> Error {
        Error::engine(std::io::Error::other(format!("answered {self:?}")))
    }
}

impl queue::Queued for Operation {
    type Outcome = Outcome;

    fn weight(&self) -> usize {
        const SMALL: usize = 256;
        match self {
            Self::OnSessions(
                OnSessions::Insert { record, .. }
                | OnSessions::Replace { record, .. }
                | OnSessions::Rekey { record, .. },
            ) => SMALL + record.content().len(),
            Self::OnSessions(OnSessions::Touches(touches)) => touches.len() * SMALL,
            Self::OnSessions(OnSessions::RemoveExpired { keys, .. }) => keys.len() * SMALL,
            Self::OnStore(OnStore::RemoveStray(entries)) => entries.len() * SMALL,
            Self::OnStore(OnStore::Reindex { limit, .. }) => limit * SMALL,
            _ => SMALL,
        }
    }
}
