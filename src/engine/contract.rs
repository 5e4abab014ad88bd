//! The contract: the duties of an engine, and the calls by which a store uses it.

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

/// Stores records: implement this trait to keep sessions somewhere else.
///
/// [`SessionStore`](crate::SessionStore) does all work besides storage once, for every engine: ids
/// and their digests, timeouts, encoding, limits on content, retries. An engine is a table of
/// records by key with two indexes, and a few atomic operations on it.
/// `sessile::testing::engine_conformance!` runs the conformance suite over any engine; an engine
/// that passes it keeps every rule of the store.
///
/// # Contract
///
/// 1. **Atomic.** Each operation happens at one moment, wholly or not at all, and so in one order
///    for all threads. An operation checks its condition and makes its change in one step.
/// 2. **Live or missing.** Each operation that takes a [`Moment`] asks [`Record::is_expired`] in
///    that same step. A record that is expired at the moment is missing: no operation returns,
///    changes, counts or revives it. A removal takes it along, and names its session as
///    [`expired`](Ended::expired).
/// 3. **Read your writes.** An operation that begins after another returned sees its effect.
/// 4. **Durable.** A change that returned `Ok` survives as the engine documents it. Only the touch
///    of [`extend`](Self::extend) may stay in memory until [`flush`](Self::flush).
/// 5. **Honest.** An error is never reported as absence. A change that may or may not have happened
///    is [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown).
/// 6. **Touches merge.** Every record that an operation returns shows the latest touch, and no
///    operation lets [`Record::last_active`] of a key decrease.
/// 7. **The index may be early.** An engine finds expired sessions by [`Record::index_deadline`],
///    which it must keep no later than the true [`Record::deadline`]. The sweep moves an entry that
///    turns out to be early.
/// 8. **No panics**, whatever a record's bytes hold.
///
/// An engine need not read the clock: the store passes the time in. There are no default methods,
/// so a wrapper that forgets a call does not compile; [`forward_engine!`] writes the calls that a
/// wrapper forwards unchanged.
///
/// [`forward_engine!`]: crate::forward_engine
///
/// # Cost
///
/// Every call of the store is one call of the engine, except these:
///
/// - `modify` and `modify_key` make two a try. `update_others` makes two, and a `modify_key` for
///   each session.
/// - `read_and_extend` makes two in a store with a `content_version`, because a migration may
///   outlast the session.
/// - `stats` makes two, of which `count` is the longer.
/// - `clean_up_expired` makes two for each step, and `check` makes two: the first is
///   [`server_time`](Self::server_time). If there is one, `load_meta` is a third, for the timeouts
///   on record. A `create` in a full store does the same steps, and tries again.
/// - `adopt_shorter_timeouts` makes two, `reindex` and `store_meta`, or none if no shorter timeouts
///   wait. While they wait, a sweep makes a `load_meta` more for each step, and a `reindex`.
/// - Without maintenance threads, `flush` and `clean_up_expired` end with `server_time`. If there
///   is none, `stats` follows, for observers.
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
    /// Stores a record under a free key, within the limits. If a limit ends other sessions of the
    /// record's user, they end in the same step. Expired records of the user do not count, and
    /// stay.
    ///
    /// # Errors
    ///
    /// When the engine fails: then nothing is stored, or the outcome is unknown.
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

    /// Moves the `last_active` of a live record forward to `moment.now`, changes nothing else, and
    /// returns the record after that. The look-up and the touch are one step: no removal and no
    /// sweep comes between them.
    ///
    /// An engine with expensive touches may skip one that moves `last_active` by less than
    /// `resolution`; the returned record then shows the stored value.
    ///
    /// # Durability
    ///
    /// Every later operation sees the touch. It may stay in memory until [`flush`](Self::flush), or
    /// the next write.
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
    /// the later of both `last_active`, and is indexed under its own user. A record that gets
    /// another user counts against that user's limit.
    ///
    /// The activity in the new record counts from the call, not from the commit: while the record
    /// is being written, other calls see the session as live, or this call answers `Missing`.
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
    /// under `new`, in one step. Otherwise as [`replace`](Self::replace).
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

    /// Removes the record under a key, if `owner` is `None` or its user, and returns its session.
    /// An expired record is removed and returned as well, as [`expired`](Ended::expired). A damaged
    /// record is removed and returned; its owner is the user in the index.
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

    /// Removes every record of a user, in one step, and returns their sessions, expired ones as
    /// with [`remove`](Self::remove).
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_user(&self, user: &UserKey, moment: Moment) -> Result<Vec<Ended>>;

    /// Removes every other record of the user of the live record under `keep`, in one step, and
    /// returns their sessions, expired ones as with [`remove`](Self::remove). `None` if `keep` is
    /// missing; nothing is removed if its record has no user.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`](crate::Error::DamagedRecord) of `keep`, or when the engine fails.
    fn remove_others(&self, keep: &SessionKey, moment: Moment) -> Result<Option<Vec<Ended>>>;

    /// Gives every record of the user `old` to the user `new`, in one step, each changed as
    /// [`Record::renamed`] does, and returns how many of them were live. A damaged record stays
    /// unchanged. No limit applies.
    ///
    /// An engine that stores the user and the revision beside the record may leave the record's
    /// bytes unchanged, and apply `renamed` to each record that it returns.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn rename_user(&self, old: &UserKey, new: &UserKey, moment: Moment) -> Result<u64>;

    /// Shows every record of a user, expired or not, in the order of their keys. A damaged record
    /// is shown as its error and does not end the scan.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the engine fails.
    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()>;

    /// Shows every record whose key is greater than `after`, expired or not, in the order of the
    /// keys, as of the moment that [`listing`](Self::listing) says. A damaged record is shown as
    /// its error and does not end the scan. No lock is held while `visit` runs: `visit` may use the
    /// engine.
    ///
    /// A scan that begins after a key does not read the records before it, and a scan that ends
    /// early does not read the rest.
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

    /// One step of a sweep: reads up to `limit` records whose index entries have passed, removes
    /// the expired ones and moves the entries of the others to their true deadlines. A step may be
    /// smaller, so that writers need not wait; [`Sweep::more`] says whether entries are left.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep>;

    /// Moves every index entry that is later than its record's true deadline. Such entries exist
    /// after the default timeouts became shorter. Works in steps, so that writers need not wait,
    /// and asks `goes_on` between two of them. Returns `false` if that ended it, with entries left.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool>;

    /// Returns the number of live records.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn count(&self, moment: Moment) -> Result<u64>;

    /// Compares every record with every index entry, as of the moment that
    /// [`listing`](Self::listing) says, and shows each finding: sound records in the order of their
    /// keys, and problems. Memory use does not grow with the number of records, and no lock is held
    /// while `inspect` runs.
    ///
    /// # Errors
    ///
    /// The first error that `inspect` returns, or when the engine fails. A problem is not an error.
    fn check(&self, timeouts: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked>;

    /// Removes every record. Metadata stays.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn clear(&self) -> Result<()>;

    /// Returns the metadata value under a name, if there is one.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Stores a small value about the whole store under a name, and replaces an existing value.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Stores a small value under a name that has none, and returns the value that is stored then,
    /// in one step: if several programs open a new store at the same time, all use the same value.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>>;

    /// Returns the time of the server that holds the records, if that server's clock decides;
    /// `None` if the store's own clock decides.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn server_time(&self) -> Result<Option<Timestamp>>;

    /// Attaches a store with these timeouts to the engine until the returned value is dropped:
    /// [`Attachments`](super::Attachments) implements this.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a store with other timeouts is
    /// attached.
    fn attach(&self, timeouts: Timeouts) -> Result<Attachment>;

    /// Makes everything acknowledged so far as durable as the engine can, touches included.
    ///
    /// # Errors
    ///
    /// When the engine fails; unwritten touches and changes stay in memory for the next try.
    fn flush(&self) -> Result<()>;

    /// The interval within which [`flush`](Self::flush) must be called, so that the engine keeps
    /// its promise of durability or follows a server's clock; `None` if it needs no calls. The
    /// store calls `flush` twice as often.
    fn flush_interval(&self) -> Option<Duration>;

    /// How much longer than promised the oldest change that is only in memory has waited by now;
    /// zero if none is late. A store asks while a flush hangs, so this waits for no disk, no server
    /// and no lock that is held during I/O.
    fn late_by(&self) -> Duration;

    /// Gives the engine a waker, which makes a maintenance thread call
    /// [`run_background_work`](Self::run_background_work) soon. A store without a maintenance
    /// thread does not call this. Each store on an engine gives it a waker, which does nothing once
    /// that store is gone. An engine without background work ignores it.
    #[doc(alias = "set_wake")]
    fn set_waker(&self, waker: Waker);

    /// Runs background work that the engine asked for through its waker. Acknowledged writes must
    /// be durable without it.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    #[doc(alias = "tend")]
    fn run_background_work(&self) -> Result<()>;

    /// Flushes and releases every resource. Later calls fail with
    /// [`Error::Closed`](crate::Error::Closed); calls in progress still get their answers. A scan
    /// or a check in progress on a file ends with that error, too.
    ///
    /// # Errors
    ///
    /// When the engine fails; the engine is closed all the same.
    fn close(&self) -> Result<()>;

    /// Returns counts and sizes for people to read.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn stats(&self) -> Result<EngineStats>;
}
