//! What can be asked of the writer, and what it answers, as data.

use crate::engine::limits::Limits;
use crate::engine::outcome::{Ended, Insert, Rekey, Replace};
use crate::engine::redb::commit::queue;
use crate::engine::redb::database::schema::IndexEntry;
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
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
        moment: Moment,
        limits: Limits,
    },
    Replace {
        key: SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    },
    Rekey {
        old: SessionKey,
        new: SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    },
    Extend {
        key: SessionKey,
        moment: Moment,
    },
    Remove {
        key: SessionKey,
        owner: Option<UserKey>,
        moment: Moment,
    },
    RemoveUser {
        user: UserKey,
        moment: Moment,
    },
    RemoveOthers {
        keep: SessionKey,
        moment: Moment,
    },
    RenameUser {
        old: UserKey,
        new: UserKey,
        moment: Moment,
    },
    /// As many of them as one entry of the log takes well.
    Touches(Vec<(SessionKey, Timestamp)>),
    /// The same.
    RemoveExpired {
        keys: Vec<SessionKey>,
        moment: Moment,
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
        timeouts: Timeouts,
        limit: usize,
    },
    Clear,
    StoreMeta {
        name: String,
        value: Vec<u8>,
    },
    /// Stores a value where there is none.
    InitMeta {
        name: String,
        value: Vec<u8>,
    },
    /// Nothing but that what was acknowledged is on the disk.
    Sync,
    /// Nothing but a snapshot that holds what is committed.
    Publish,
}

impl Operation {
    /// Whether the tables have to catch up before it.
    pub(in crate::engine::redb) const fn needs_tables(&self) -> bool {
        !matches!(self, Self::OnSessions(_) | Self::OnStore(OnStore::Sync))
    }
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
    Extended(Option<Record>),
    Ended(Option<Vec<Ended>>),
    /// How many of the sessions that changed their user were live.
    Renamed(u64),
    /// How many of the touches have been written.
    Wrote(usize),
    /// How many of the sessions have been looked at, which of those were expired, and which had no
    /// index entry that had passed.
    RemovedExpired {
        looked_at: usize,
        removed: Vec<Ended>,
        unmoved: Vec<SessionKey>,
    },
    Reindexed {
        last: Option<SessionKey>,
    },
    /// The value that stands under a name now.
    Meta(Vec<u8>),
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
