//! Looking through the whole store for what is wrong.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::check::{Finding, Problem};
use crate::engine::contract::Engine;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::store::SessionStore;
use crate::time::moment::Moment;
use crate::trace::span;

/// What [`SessionStore::check`] found.
///
/// # Examples
///
/// See [`SessionStore::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that are expired and not swept yet.
    pub expired: u64,
    /// Entries in the index by deadline; one for each session, live or expired, in a sound store.
    pub expiry_entries: u64,
    /// Entries in the index by user; one for each session with a user in a sound store.
    pub user_entries: u64,
    /// What is wrong: the first [`MAX_PROBLEMS`](Self::MAX_PROBLEMS).
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl CheckReport {
    /// How many problems a report holds; it counts the others. So that a file damaged in every
    /// record is not reported out of memory: these take about 200 KB.
    pub const MAX_PROBLEMS: usize = 1_000;

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    /// Looks through an engine, and at the content of each sound record.
    pub(crate) fn of(
        engine: &dyn Engine,
        moment: Moment,
        look_at_content: &mut dyn FnMut(&SessionKey, &Record) -> Option<Problem>,
    ) -> Result<Self> {
        let _span = span!(INFO, "check");
        let mut report = Self::default();
        let checked = engine.check(&moment.timeouts, &mut |finding| {
            match finding {
                Finding::Problem(problem) => report.add(problem),
                Finding::Record(key, record) => {
                    match record.is_expired(moment) {
                        true => report.expired += 1,
                        false => report.sessions += 1,
                    }
                    if let Some(problem) = look_at_content(&key, &record) {
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
    /// Looks through the whole store: whether each record is what was written under its key,
    /// whether its content can be read, whether both indexes have its entries, and whether they
    /// have no others.
    ///
    /// For operators: after a disk reported errors, or from time to time. What the *file* holds
    /// beyond its records is verified when it is opened; see
    /// [`Builder::verify_on_open`](crate::Builder::verify_on_open).
    ///
    /// Changes nothing. Costs a read of every record and two look-ups in the indexes for each:
    /// some seconds for a million sessions. Memory use is bounded, whatever is wrong.
    ///
    /// # Concurrency
    ///
    /// Compares one moment, that of the last commit; no lock is held, and the store may be used
    /// meanwhile. As long as this runs, the file cannot reuse space.
    ///
    /// # Errors
    ///
    /// When the store cannot be read. What is wrong in it is no error but in the report.
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
        CheckReport::of(&*core.engine, core.moment()?, &mut |key, record| {
            let error = self.handle.codec.decode(key, record).err()?;
            Some(Problem::UnreadableContent { key: *key, detail: error.to_string() })
        })
    }
}
