//! The contract: what an engine must keep, and the calls by which a store uses it.

use std::fmt;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// Keeps records: implement this to keep sessions somewhere else.
///
/// Everything about sessions that is not storage (ids and their digests, timeouts, encoding,
/// limits on content, retries) is done by [`SessionStore`](crate::SessionStore), once, for every
/// engine. What is left is a table of records by key with two indexes, and a few operations on it,
/// each of them atomic. `sessile::testing::engine_conformance!` runs the conformance suite over any
/// engine; an engine that passes it keeps every rule of the store.
///
/// # Contract
///
/// 1. **Atomic.** Each operation happens at one moment, wholly or not at all, and so in one order
///    for all threads. The condition that an operation checks and the change it makes are one step.
/// 2. **Read your writes.** An operation that begins after another returned sees its effect.
/// 3. **Durable.** What returned `Ok` survives as the engine documents it. [`touch`](Self::touch)
///    alone may be kept in memory until [`flush`](Self::flush).
/// 4. **Honest.** An error is never reported as absence. A change that may or may not have happened
///    is [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown).
/// 5. **Touches merge.** Every record that an operation hands out shows the latest touch, and no
///    operation lets [`Record::last_active`] of a key decrease.
/// 6. **The index may be early.** An engine finds expired sessions by [`Record::index_deadline`],
///    which it must keep no later than the true [`Record::deadline`]. Where a record's entry turns
///    out to be early, the sweep moves it.
/// 7. **No panics**, whatever a record's bytes hold.
///
/// An engine need not look at the clock: the store passes the time in.
///
/// # Examples
///
/// An engine that counts the reads of another:
///
/// ```
/// # use sessile::engine::*;
/// # use sessile::{Result, SessionKey, Timeouts};
/// # use std::sync::atomic::{AtomicU64, Ordering};
/// #[derive(Debug)]
/// struct Counting<E> { inner: E, loads: AtomicU64 }
///
/// impl<E: Engine> Engine for Counting<E> {
///     fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
///         self.loads.fetch_add(1, Ordering::Relaxed);
///         self.inner.load(key)
///     }
///     fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
///         self.inner.insert(key, record, limits)
///     }
///     // ... and so on for the other operations.
/// #   fn replace(&self, key: &SessionKey, expected_revision: u64, record: Record, limits: Limits) -> Result<Replace> { self.inner.replace(key, expected_revision, record, limits) }
/// #   fn rekey(&self, old: &SessionKey, new: &SessionKey, expected_revision: u64, record: Record, limits: Limits) -> Result<Rekey> { self.inner.rekey(old, new, expected_revision, record, limits) }
/// #   fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> { self.inner.touch(key, at) }
/// #   fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> { self.inner.remove(key) }
/// #   fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> { self.inner.remove_user(user) }
/// #   fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> { self.inner.remove_others(keep) }
/// #   fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> { self.inner.scan_user(user, visit) }
/// #   fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> { self.inner.for_each(visit) }
/// #   fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep> { self.inner.remove_expired(now, defaults, limit) }
/// #   fn reindex(&self, defaults: &Timeouts) -> Result<()> { self.inner.reindex(defaults) }
/// #   fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> { self.inner.count(now, defaults) }
/// #   fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> { self.inner.check(defaults, inspect) }
/// #   fn clear(&self) -> Result<()> { self.inner.clear() }
/// #   fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> { self.inner.load_meta(name) }
/// #   fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> { self.inner.store_meta(name, value) }
/// #   fn flush(&self) -> Result<()> { self.inner.flush() }
/// #   fn close(&self) -> Result<()> { self.inner.close() }
/// #   fn stats(&self) -> Result<EngineStats> { self.inner.stats() }
/// }
/// ```
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Stores a record under a key that must be free, within the limits. Where a limit ends other
    /// sessions of the record's user, they end in the same step.
    ///
    /// # Errors
    ///
    /// When the engine fails; nothing is stored then, or the outcome is unknown.
    fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert>;

    /// The record under a key, with the latest touch, expired or not.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    fn load(&self, key: &SessionKey) -> Result<Option<Record>>;

    /// Replaces the record under a key if it has the expected revision. The new record keeps the
    /// later of both `last_active`, and moves to the user index of its own user; one that comes to
    /// a user it was not stored under counts against that user's limit.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Replace>;

    /// Removes the record under `old`, if it has the expected revision, and stores `record` under
    /// `new`, in one step. A user's limit counts as for [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Rekey>;

    /// Moves `last_active` forward to `at`, and nothing else; `false` if there is no such record.
    ///
    /// # Durability
    ///
    /// May be kept in memory until [`flush`](Self::flush), or the next write.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool>;

    /// Removes the record under a key, and says what it was.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove(&self, key: &SessionKey) -> Result<Option<Removed>>;

    /// Removes every record of a user, in one step.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>>;

    /// Removes every other record of the user whose record stands under `keep`, in one step.
    /// `None` if `keep` is absent; nothing is removed if its record has no user.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord) of `keep`, or when the engine fails.
    fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>>;

    /// Shows every record of a user, expired or not, in the order of their keys. A damaged record
    /// is shown as its error and stops nothing.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()>;

    /// Shows every record as of one moment, expired or not, in the order of their keys. No lock is
    /// held while `visit` runs: it may use the engine.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    fn for_each(&self, visit: &mut Visit<'_>) -> Result<()>;

    /// One step of a sweep: looks at up to `limit` records whose index entries have passed, removes
    /// the expired ones and moves the entries of the others to their true deadlines. A step may be
    /// smaller, so that writers need not wait; [`Sweep::more`] says whether to go on.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep>;

    /// Moves every index entry that is later than its record's true deadline, as happens when the
    /// default timeouts become shorter.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn reindex(&self, defaults: &Timeouts) -> Result<()>;

    /// How many records are not expired.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64>;

    /// Compares every record with every index entry, as of one moment, and shows each finding:
    /// sound records in the order of their keys, and what is wrong. Memory use does not grow with
    /// the number of records, and no lock is held while `inspect` runs.
    ///
    /// # Errors
    ///
    /// The first error that `inspect` returns, or when the engine fails. A problem is no error.
    fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked>;

    /// Removes every record. Metadata stays.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn clear(&self) -> Result<()>;

    /// A value stored by [`store_meta`](Self::store_meta).
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Stores a small value about the store as a whole.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Makes everything acknowledged so far as durable as it gets, touches included.
    ///
    /// # Errors
    ///
    /// When the engine fails; what was not written stays in memory, to be tried again.
    fn flush(&self) -> Result<()>;

    /// Hands over a way to have [`tend`](Self::work) called soon, by a thread that holds up no
    /// caller. A store without a maintenance thread does not call it; an engine that has no work of
    /// that kind does nothing with it, which is what this does.
    fn set_waker(&self, waker: Waker) {
        drop(waker);
    }

    /// Does what it had itself woken for: work that callers need not wait for. Nothing that was
    /// acknowledged may hang on it.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn run_background_work(&self) -> Result<()> {
        Ok(())
    }

    /// Flushes and lets go of every resource. Later calls fail with
    /// [`Error::Closed`](crate::Error::Closed); calls under way are answered.
    ///
    /// # Errors
    ///
    /// When the engine fails; it is closed all the same.
    fn close(&self) -> Result<()>;

    /// Numbers for people to look at.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn stats(&self) -> Result<EngineStats>;
}
