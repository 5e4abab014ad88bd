//! The contract: an engine's duties, and the calls by which a store uses it.

use std::fmt;
use std::time::Duration;

use crate::engine::attachment::Attachment;
use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Sweep, Visit, VisitUser,
};
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// Keeps records: implement this to keep sessions somewhere else.
///
/// [`SessionStore`](crate::SessionStore) does everything about sessions that is not storage, once,
/// for every engine: ids and their digests, timeouts, encoding, limits on content, retries. What is
/// left is a table of records by key with two indexes, and a few operations on it, each of them
/// atomic. `sessile::testing::engine_conformance!` runs the conformance suite over any engine; an
/// engine that passes it keeps every rule of the store.
///
/// # Contract
///
/// 1. **Atomic.** Each operation happens at one moment, wholly or not at all, and so in one order
///    for all threads. The condition that an operation checks and the change it makes are one step.
/// 2. **Live or missing.** Each operation that takes a [`Moment`] asks
///    [`Record::is_expired`] in that same step. A record that is expired at the moment is missing:
///    it is not handed out, not changed, not counted, and nothing revives it.
/// 3. **Read your writes.** An operation that begins after another returned sees its effect.
/// 4. **Durable.** What returned `Ok` survives as the engine documents it. The touch of
///    [`extend`](Self::extend) alone may be kept in memory until [`flush`](Self::flush).
/// 5. **Honest.** An error is never reported as absence. A change that may or may not have happened
///    is [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown).
/// 6. **Touches merge.** Every record that an operation hands out shows the latest touch, and no
///    operation lets [`Record::last_active`] of a key decrease.
/// 7. **The index may be early.** An engine finds expired sessions by [`Record::index_deadline`],
///    which it must keep no later than the true [`Record::deadline`]. Where a record's entry turns
///    out to be early, the sweep moves it.
/// 8. **No panics**, whatever a record's bytes hold.
///
/// An engine need not look at the clock: the store passes the time in. There are no default
/// methods, so a wrapper that forgets a call does not compile; [`forward_engine!`] writes the ones
/// that it passes on unchanged.
///
/// [`forward_engine!`]: crate::forward_engine
///
/// # Cost
///
/// Every call of the store is one call of the engine, but `modify` and `modify_key`, which are two
/// a try, `update_others`, which is two and a `modify_key` for each session, and `read_and_extend`,
/// which is two in a store with a `content_version`.
///
/// # Examples
///
/// An engine that counts the reads of another:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use sessile::engine::{Engine, Moment, Record};
/// use sessile::{Result, SessionKey};
///
/// #[derive(Debug)]
/// struct Counting<E> {
///     inner: E,
///     loads: AtomicU64,
/// }
///
/// impl<E: Engine> Engine for Counting<E> {
///     fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
///         self.loads.fetch_add(1, Ordering::Relaxed);
///         self.inner.load(key, moment)
///     }
///
///     sessile::forward_engine!(inner, but load);
/// }
/// ```
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Stores a record under a key that must be free, within the limits. Where a limit ends other
    /// sessions of the record's user, they end in the same step.
    ///
    /// # Errors
    ///
    /// When the engine fails; nothing is stored then, or the outcome is unknown.
    fn insert(
        &self,
        key: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Insert>;

    /// The live record under a key, with the latest touch.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>>;

    /// Moves the `last_active` of a live record forward to `moment.now`, and nothing else, and
    /// hands the record out as it is then. It looks and touches in one step: neither a removal nor
    /// a sweep comes between the two.
    ///
    /// An engine with expensive touches may leave out one that moves `last_active` by less than
    /// `resolution`; the record that it hands out shows what is stored.
    ///
    /// # Durability
    ///
    /// The touch is seen by every operation at once. It may be kept in memory until
    /// [`flush`](Self::flush), or the next write.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    #[doc(alias = "touch")]
    fn extend(
        &self,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Result<Option<Record>>;

    /// Replaces the live record under a key if it has the expected revision. The new record keeps
    /// the later of both `last_active`, and moves to the user index of its own user; one that comes
    /// to a user it was not stored under counts against that user's limit.
    ///
    /// The caller's activity counts from the call, not from the commit: whoever looks while the
    /// record is on its way finds the session live, or it is answered `Missing`.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord), or when the engine fails.
    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Replace>;

    /// Removes the live record under `old`, if it has the expected revision, and stores `record`
    /// under `new`, in one step. All else is as for [`replace`](Self::replace).
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
        moment: Moment,
        limits: Limits,
    ) -> Result<Rekey>;

    /// Removes the record under a key, if `owner` is `None` or its user, and says what ended. An
    /// expired record is removed as well, and is nothing that ended. A damaged one is; it is its
    /// owner's if the index by user says so.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Result<Option<Ended>>;

    /// Removes every record of a user, in one step, and says what ended; as for
    /// [`remove`](Self::remove), expired records go as well.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_user(&self, user: &UserKey, moment: Moment) -> Result<Vec<Ended>>;

    /// Removes every other record of the user whose live record stands under `keep`, in one step,
    /// and says what ended. `None` if `keep` is missing; nothing is removed if its record has no
    /// user.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord) of `keep`, or when the engine fails.
    fn remove_others(&self, keep: &SessionKey, moment: Moment) -> Result<Option<Vec<Ended>>>;

    /// Gives every record of the user `old` to the user `new`, in one step, each as
    /// [`Record::renamed`] has it, and says how many of them were live. A damaged record stays
    /// where it is. No limit is looked at.
    ///
    /// An engine that keeps the user and the revision beside the record may leave the record's
    /// bytes as they are, and hand them out `renamed`.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn rename_user(&self, old: &UserKey, new: &UserKey, moment: Moment) -> Result<u64>;

    /// Shows every record of a user, expired or not, in the order of their keys. A damaged record
    /// is shown as its error and stops nothing.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()>;

    /// Shows every record whose key is greater than `after`, expired or not, in the order of the
    /// keys, as [`listing`](Self::listing) says. A damaged record is shown as its error and stops
    /// nothing. No lock is held while `visit` runs: it may use the engine.
    ///
    /// Beginning after a key costs no look at the records before it, and ending early none at those
    /// that are left.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    #[doc(alias = "for_each")]
    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> Result<()>;

    /// Shows every user greater than `after` who has a live record, in order, with the number of
    /// their live records. Memory use does not grow with the number of users. No lock is held while
    /// `visit` runs.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    fn scan_users(
        &self,
        after: Option<&UserKey>,
        moment: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()>;

    /// Whether a scan and a check show one moment, or each record at some moment of the call.
    fn listing(&self) -> Listing;

    /// One step of a sweep: looks at up to `limit` records whose index entries have passed, removes
    /// the expired ones and moves the entries of the others to their true deadlines. A step may be
    /// smaller, so that writers need not wait; [`Sweep::more`] says whether to go on.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep>;

    /// Moves every index entry that is later than its record's true deadline, as happens when the
    /// default timeouts become shorter.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn reindex(&self, timeouts: &Timeouts) -> Result<()>;

    /// How many records are live.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn count(&self, moment: Moment) -> Result<u64>;

    /// Compares every record with every index entry, as [`listing`](Self::listing) says, and shows
    /// each finding: sound records in the order of their keys, and what is wrong. Memory use does
    /// not grow with the number of records, and no lock is held while `inspect` runs.
    ///
    /// # Errors
    ///
    /// The first error that `inspect` returns, or when the engine fails. A problem is no error.
    fn check(&self, timeouts: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked>;

    /// Removes every record. Metadata stays.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn clear(&self) -> Result<()>;

    /// The value under a name, if there is one.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Stores a small value about the store as a whole, in place of one that is there.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Stores a small value under a name that has none, and answers what is there now, in one step:
    /// of several that open a new store at the same time, all go by what one of them wrote.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>>;

    /// The time of the server that holds the records, where there is one whose clock decides;
    /// `None` where the store's own clock does.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn server_time(&self) -> Result<Option<Timestamp>>;

    /// Notes that a store with these timeouts uses the engine, for as long as it holds the answer:
    /// [`Attachments`](super::Attachments) does it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if another store with other timeouts
    /// does.
    fn attach(&self, timeouts: Timeouts) -> Result<Attachment>;

    /// Makes everything acknowledged so far as durable as it gets, touches included.
    ///
    /// # Errors
    ///
    /// When the engine fails; what was not written stays in memory, to be tried again.
    fn flush(&self) -> Result<()>;

    /// Within what time [`flush`](Self::flush) has to be called for the engine to keep its own
    /// promise, of durability or of following a server's clock; `None` if it keeps that by itself.
    /// It is called twice as often.
    fn flush_interval(&self) -> Option<Duration>;

    /// Hands over a way to have [`run_background_work`](Self::run_background_work) called soon, by
    /// a thread that holds up no caller. A store without a maintenance thread does not call it. An
    /// engine that has no work of that kind does nothing with it.
    #[doc(alias = "set_wake")]
    fn set_waker(&self, waker: Waker);

    /// Runs background work that the engine asked for through its waker. What was acknowledged must
    /// be durable without it.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    #[doc(alias = "tend")]
    fn run_background_work(&self) -> Result<()>;

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
