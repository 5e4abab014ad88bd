//! Checks the whole store for damage.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::check::{Finding, Problem};
use crate::engine::contract::Engine;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::store::SessionStore;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;
use crate::trace::span;

/// The result of [`SessionStore::check`].
///
/// # Examples
///
/// See [`SessionStore::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that are expired but not swept yet.
    pub expired: u64,
    /// Entries in the index by deadline. A sound store has one for each session, live or expired.
    pub expiry_entries: u64,
    /// Entries in the index by user. A sound store has one for each session with a user.
    pub user_entries: u64,
    /// The problems found: the first [`MAX_PROBLEMS`](Self::MAX_PROBLEMS).
    pub problems: Vec<Problem>,
    /// The number of problems found.
    pub problem_count: u64,
}

/// Looks at a sound record, or at `None` for a problem, and returns a problem of its own.
pub(crate) type LookAt<'a> =
    dyn FnMut(Option<(&SessionKey, &Record)>) -> Result<Option<Problem>> + 'a;

impl CheckReport {
    /// The most problems that a report holds. The others are only counted, so that a file damaged
    /// in every record does not exhaust memory. 1,000 problems take about 200 KB.
    pub const MAX_PROBLEMS: usize = 1_000;

    /// Whether no problem was found.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    /// Checks an engine whose index is kept by these timeouts. `look_at` gets each sound record, to
    /// check its content, and `None` for each problem; its error ends the check.
    pub(crate) fn of(
        engine: &dyn Engine,
        moment: Moment,
        indexed_by: &Timeouts,
        look_at: &mut LookAt<'_>,
    ) -> Result<Self> {
        let _span = span!(INFO, "check");
        let mut report = Self::default();
        let checked = engine.check(indexed_by, &mut |finding| {
            match finding {
                Finding::Problem(problem) => {
                    report.add(problem);
                    look_at(None)?;
                }
                Finding::Record(key, record) => {
                    match record.is_expired(moment) {
                        true => report.expired += 1,
                        false => report.sessions += 1,
                    }
                    if let Some(problem) = look_at(Some((&key, &record)))? {
                        report.add(problem);
                    }
                }
            }
            Ok(())
        })?;
        report.expiry_entries = checked.expiry_entries;
        report.user_entries = checked.user_entries;
        Ok(report)
    }

    fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < Self::MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Checks the whole store: each record against the checksum of its key and bytes, each content
    /// by decoding it, and both indexes for missing and surplus entries.
    ///
    /// For operators: after a disk reported errors, or from time to time. The rest of the *file* is
    /// verified when it is opened; see [`Builder::verify_on_open`](crate::Builder::verify_on_open).
    ///
    /// Changes nothing. Costs a read and two index look-ups for each record: some seconds for a
    /// million sessions. Memory use is bounded, however much is damaged.
    ///
    /// # Concurrency
    ///
    /// Checks the state of the last commit. It holds no lock, waits for no commit and writes
    /// nothing, and the store may be used meanwhile. The file cannot reuse space while this runs.
    /// On Redis and MongoDB each session is checked as of some moment of the call, and one that
    /// gets a new id meanwhile may be left out.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Problems that the check finds are in the report, not an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// store.create_for_user("ann", 1)?;
    ///
    /// let report = store.check()?;
    /// assert!(report.is_sound(), "{:?}", report.problems);
    /// assert_eq!((report.sessions, report.user_entries), (1, 1));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn check(&self) -> Result<CheckReport> {
        let core = &self.handle.core;
        CheckReport::of(&*core.engine, core.moment()?, &core.indexed_by()?, &mut |record| {
            let problem = record.and_then(|(key, record)| {
                let error = self.handle.codec.decode(key, record).err()?;
                Some(Problem::UnreadableContent { key: *key, detail: error.to_string() })
            });
            Ok(problem)
        })
    }
}
