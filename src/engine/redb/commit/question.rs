//! The questions to the writer, as data, each with its own type of answer.
//!
//! Invariant: a question is answered before its commit, and its answer is taken after the commit.
//! So no caller gets an answer whose commit failed.

use std::fmt;

use crate::engine::limits::Limits;
use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::commit::queue::Queued;
use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::error::RedbResult;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::sync::Mutex;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The size of a question without its records, in bytes.
pub(super) const SMALL: usize = 256;

/// A question, decided on the state that readers see.
pub(in crate::engine::redb) trait Ask:
    Send + Sync + fmt::Debug + 'static
{
    type Answer: Send + fmt::Debug + 'static;

    /// Whether the question is about the whole store and needs a group of its own. No other
    /// question is decided after it, and if it fails, it fails alone.
    const STANDS_ALONE: bool = false;
    /// Whether redb's tables should catch up with the log before the question is decided.
    const NEEDS_TABLES: bool = false;
    /// Whether the caller may run a checkpoint that is due afterwards. The flushing thread has
    /// deadlines to keep, and an extension costs an entry in memory, so they leave a checkpoint to
    /// another thread.
    const MAY_CHECKPOINT: bool = true;

    /// Answers the question, and adds its changes to the group's effects. The outer error ends the
    /// whole group; the inner error answers this question only.
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Self::Answer>>;

    /// The approximate number of bytes that the question writes.
    fn weight(&self) -> usize {
        SMALL
    }
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Insert {
    pub(in crate::engine::redb) key: SessionKey,
    pub(in crate::engine::redb) record: Record,
    pub(in crate::engine::redb) moment: Moment,
    pub(in crate::engine::redb) limits: Limits,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Replace {
    pub(in crate::engine::redb) key: SessionKey,
    pub(in crate::engine::redb) expected_revision: u64,
    pub(in crate::engine::redb) record: Record,
    pub(in crate::engine::redb) moment: Moment,
    pub(in crate::engine::redb) limits: Limits,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Rekey {
    pub(in crate::engine::redb) old: SessionKey,
    pub(in crate::engine::redb) new: SessionKey,
    pub(in crate::engine::redb) expected_revision: u64,
    pub(in crate::engine::redb) record: Record,
    pub(in crate::engine::redb) moment: Moment,
    pub(in crate::engine::redb) limits: Limits,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Extend {
    pub(in crate::engine::redb) key: SessionKey,
    pub(in crate::engine::redb) moment: Moment,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Remove {
    pub(in crate::engine::redb) key: SessionKey,
    pub(in crate::engine::redb) owner: Option<UserKey>,
    pub(in crate::engine::redb) moment: Moment,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveUser {
    pub(in crate::engine::redb) user: UserKey,
    pub(in crate::engine::redb) moment: Moment,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveOthers {
    pub(in crate::engine::redb) keep: SessionKey,
    pub(in crate::engine::redb) moment: Moment,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct RenameUser {
    pub(in crate::engine::redb) old: UserKey,
    pub(in crate::engine::redb) new: UserKey,
    pub(in crate::engine::redb) moment: Moment,
}

/// Writes touches, as many as fit well into one log entry.
#[derive(Debug)]
pub(in crate::engine::redb) struct WriteTouches(
    pub(in crate::engine::redb) Vec<(SessionKey, Timestamp)>,
);

/// Removes sessions whose index entries have passed, as many as fit well into one log entry.
#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveExpired {
    pub(in crate::engine::redb) keys: Vec<SessionKey>,
    pub(in crate::engine::redb) moment: Moment,
}

/// Removes index entries whose key has no record, or a record with another index deadline.
#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveStrays(pub(in crate::engine::redb) Vec<IndexEntry>);

/// One step of rebuilding the index for shorter timeouts.
#[derive(Debug)]
pub(in crate::engine::redb) struct Reindex {
    pub(in crate::engine::redb) after: Option<SessionKey>,
    pub(in crate::engine::redb) timeouts: Timeouts,
    pub(in crate::engine::redb) limit: usize,
}

#[derive(Debug)]
pub(in crate::engine::redb) struct Clear;

#[derive(Debug)]
pub(in crate::engine::redb) struct StoreMeta {
    pub(in crate::engine::redb) name: String,
    pub(in crate::engine::redb) value: Vec<u8>,
}

/// Stores a value if the name has none.
#[derive(Debug)]
pub(in crate::engine::redb) struct InitMeta {
    pub(in crate::engine::redb) name: String,
    pub(in crate::engine::redb) value: Vec<u8>,
}

/// Writes to the disk the changes that are only in memory.
#[derive(Debug)]
pub(in crate::engine::redb) struct Flush;

/// Writes everything committed to the tables, so that a snapshot has it. Tests ask for this.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub(in crate::engine::redb) struct Publish;

/// A question in the queue, with a place for its answer.
#[derive(Debug)]
pub(in crate::engine::redb) struct Asked<T: Ask> {
    question: T,
    answer: Mutex<Option<T::Answer>>,
}

impl<T: Ask> Asked<T> {
    pub(in crate::engine::redb) fn new(question: T) -> Self {
        Self { question, answer: Mutex::new(None) }
    }

    /// Takes the answer, after the commit.
    pub(in crate::engine::redb) fn take_answer(&self) -> Result<T::Answer> {
        let answer = self.answer.lock().take();
        answer.ok_or_else(|| Error::engine(std::io::Error::other("a question was not answered")))
    }
}

/// A question as the queue and the writer see it.
pub(in crate::engine::redb) trait Question:
    Send + Sync + fmt::Debug
{
    /// Answers the question; see [`Ask::decide`].
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>>;

    fn weight(&self) -> usize;

    fn stands_alone(&self) -> bool;
}

impl<T: Ask> Question for Asked<T> {
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<()>> {
        let answer = self.question.decide(decider)?;
        Ok(answer.map(|answer| *self.answer.lock() = Some(answer)))
    }

    fn weight(&self) -> usize {
        self.question.weight()
    }

    fn stands_alone(&self) -> bool {
        T::STANDS_ALONE
    }
}

impl Queued for std::sync::Arc<dyn Question> {
    type Outcome = ();

    fn weight(&self) -> usize {
        Question::weight(&**self)
    }

    fn stands_alone(&self) -> bool {
        Question::stands_alone(&**self)
    }
}
