//! The questions to the writer, as data, each with its own kind of answer.
//!
//! Invariant: a question is answered before its commit, and the answer is taken after it. Nobody
//! learns of an answer whose commit failed.

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

/// The bytes of a question besides its records.
pub(super) const SMALL: usize = 256;

/// A question. It is decided on what readers see.
pub(in crate::engine::redb) trait Ask:
    Send + Sync + fmt::Debug + 'static
{
    type Answer: Send + fmt::Debug + 'static;

    /// Whether it is about the store as a whole, and a group of its own. No question is decided
    /// after it, and it fails alone.
    const STANDS_ALONE: bool = false;
    /// Whether redb's tables should catch up with the log before it.
    const NEEDS_TABLES: bool = false;
    /// Whether its caller may run a checkpoint that is due afterwards. The thread that flushes has
    /// deadlines to keep, so it leaves a checkpoint to another.
    const MAY_CHECKPOINT: bool = true;

    /// Answers it, and adds its changes to the group's effects. The outer error ends the whole
    /// group; the inner one is this question's answer.
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Self::Answer>>;

    /// The bytes that it will write, roughly.
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

/// Touches. As many are written as one entry of the log takes well.
#[derive(Debug)]
pub(in crate::engine::redb) struct WriteTouches(
    pub(in crate::engine::redb) Vec<(SessionKey, Timestamp)>,
);

/// Removes sessions whose index entries have passed, as many as one entry of the log takes well.
#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveExpired {
    pub(in crate::engine::redb) keys: Vec<SessionKey>,
    pub(in crate::engine::redb) moment: Moment,
}

/// Removes index entries that lead to no record, or to one with another index deadline.
#[derive(Debug)]
pub(in crate::engine::redb) struct RemoveStrays(pub(in crate::engine::redb) Vec<IndexEntry>);

/// One step of rebuilding the index under shorter timeouts.
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

/// Stores a value where there is none.
#[derive(Debug)]
pub(in crate::engine::redb) struct InitMeta {
    pub(in crate::engine::redb) name: String,
    pub(in crate::engine::redb) value: Vec<u8>,
}

/// Writes the changes in memory alone to the disk.
#[derive(Debug)]
pub(in crate::engine::redb) struct Flush;

/// Asks for a snapshot that holds what is committed.
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

    /// The answer, once the commit is over.
    pub(in crate::engine::redb) fn take_answer(&self) -> Result<T::Answer> {
        let answer = self.answer.lock().take();
        answer.ok_or_else(|| Error::engine(std::io::Error::other("a question was not answered")))
    }
}

/// A question as the queue and the writer see it.
pub(in crate::engine::redb) trait Question:
    Send + Sync + fmt::Debug
{
    /// Answers it; see [`Ask::decide`].
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
