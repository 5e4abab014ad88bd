//! Lists a user's sessions and all sessions, counts them, and reports statistics.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::session::info::SessionInfo;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::store::codec::info_of;
use crate::store::core::StoreCore;
use crate::store::events::causes;
use crate::time::millis;
use crate::time::timeouts::Timeouts;

/// Statistics of a store, for a status page or a log line.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// store.create(Default::default())?;
///
/// let stats = store.stats()?;
/// assert_eq!(stats.sessions, 1);
/// assert!(stats.last_maintenance_failure.is_none());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Live sessions.
    pub sessions: u64,
    /// The size of the file in bytes; `None` if the engine has no file.
    pub file_bytes: Option<u64>,
    /// Touches that are in memory only, each for `touch_interval` at most.
    pub pending_touches: u64,
    /// The age of the oldest pending touch; `None` if none is pending.
    #[serde(rename = "oldest_pending_touch_ms", serialize_with = "millis::serialize_optional")]
    pub oldest_pending_touch: Option<Duration>,
    /// Touches that reached the disk later than `touch_interval` after their call, since the store
    /// was opened. The commit that wrote them counts, so a disk whose commits take longer than the
    /// interval makes every touch late.
    pub late_touches: u64,
    /// The greatest delay of a touch beyond `touch_interval`. A touch that still waits counts with
    /// its wait so far.
    #[serde(rename = "touches_late_by_ms", serialize_with = "millis::serialize")]
    pub touches_late_by: Duration,
    /// The greatest delay, beyond the interval of
    /// [`Durability::Deferred`](crate::Durability::Deferred), of a commit that was only in memory.
    /// A commit that still waits counts with its wait so far.
    #[serde(rename = "commits_late_by_ms", serialize_with = "millis::serialize")]
    pub commits_late_by: Duration,
    /// Durable commits since the store was opened.
    pub commits: u64,
    /// Operations in those commits; more than `commits` if threads shared a commit.
    pub committed_operations: u64,
    /// How often the server's clock was found more than five seconds from its expected time, since
    /// the store was opened: it was set, or another server took over.
    pub clock_jumps: u64,
    /// Expired sessions deleted since the store was opened.
    pub swept: u64,
    /// How often a damaged record was read since the store was opened.
    pub damaged_records: u64,
    /// Failures of background tasks since the store was opened. Each task is tried again.
    pub maintenance_failures: u64,
    /// The last failure of a background task; `None` once every failed task has succeeded again.
    /// Serialized as one line with the error and its causes.
    #[serde(serialize_with = "causes::serialize_optional")]
    pub last_maintenance_failure: Option<Error>,
    /// How often a flush of touches and deferred commits by the background thread began, or ended,
    /// later than promised, or hung, since the store was opened: a number to alert on.
    /// `late_touches` counts the touches themselves. See
    /// [`Event::PromiseMissed`](crate::Event::PromiseMissed).
    pub missed_promises: u64,
    /// Checkpoints, which move the log's entries into the database, since the store was opened.
    pub checkpoints: u64,
    /// How often the file was reopened after an I/O error since the store was opened.
    pub reopenings: u64,
    /// How often an [`Observer`](crate::Observer) or a recorder of the feature `metrics` panicked
    /// since the store was opened.
    pub observer_panics: u64,
    /// The longer timeouts on record, while the store's shorter ones wait to be
    /// [adopted](SessionStore::adopt_shorter_timeouts). Sweeps delete only sessions that are
    /// expired under both.
    pub longer_timeouts_on_record: Option<Timeouts>,
}

/// A value that the closure of [`SessionStore::for_each`] may return: `()`, or a [`ControlFlow`]
/// whose `Break` ends the visit.
pub trait Visited {
    /// Whether the visit ends here.
    fn is_enough(&self) -> bool;
}

impl Visited for () {
    fn is_enough(&self) -> bool {
        false
    }
}

impl<B, C> Visited for ControlFlow<B, C> {
    fn is_enough(&self) -> bool {
        self.is_break()
    }
}

impl StoreCore {
    /// The statistics that [`SessionStore::stats`] returns.
    pub(crate) fn stats(&self) -> Result<Stats> {
        let sessions = self.engine.count(self.moment()?)?;
        let engine = self.engine.stats()?;
        let counters = &self.counters;
        Ok(Stats {
            sessions,
            file_bytes: engine.file_bytes,
            pending_touches: engine.pending_touches,
            oldest_pending_touch: engine.oldest_pending_touch,
            late_touches: engine.late_touches,
            touches_late_by: engine.touches_late_by,
            commits_late_by: engine.commits_late_by,
            commits: engine.commits,
            committed_operations: engine.committed_operations,
            checkpoints: engine.checkpoints,
            reopenings: engine.reopenings,
            missed_promises: counters.missed_promises.load(Ordering::Relaxed),
            observer_panics: self.events.as_ref().map_or(0, |events| events.panics()),
            clock_jumps: engine.clock_jumps,
            swept: counters.swept.load(Ordering::Relaxed),
            damaged_records: counters.damaged_records.load(Ordering::Relaxed),
            maintenance_failures: counters.maintenance_failures.load(Ordering::Relaxed),
            longer_timeouts_on_record: self.adoption.on_record(),
            last_maintenance_failure: counters.failing.lock().last(),
        })
    }
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Lists a user's sessions, the most recently active first: for a page that shows users where
    /// they are logged in (ASVS 5.0, 7.5.2).
    ///
    /// A damaged record is left out, so that it does not keep a user from ending the others.
    /// [`Stats::damaged_records`] counts it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`] for a user id that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store: SessionStore = SessionStore::in_memory()?;
    /// let desktop = store.create_for_user("ann", Default::default())?;
    /// let phone = store.create_for_user("ann", Default::default())?;
    ///
    /// for info in store.sessions_of("ann")? {
    ///     if info.key() != desktop.key() {
    ///         store.destroy_of("ann", &info.key())?; // "log out this device"
    ///     }
    /// }
    /// assert!(store.read(phone.id())?.is_none());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sessions_of(&self, user: impl Into<UserId>) -> Result<Vec<SessionInfo>> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let (user, moment) = (user.into().to_key()?, core.moment()?);
        let mut sessions = Vec::new();
        core.engine.scan_user(&user, &mut |key, record| {
            match core.counting_damage(record) {
                Ok(record) if record.is_expired(moment) => {}
                Ok(record) => sessions.push(info_of(key, &record, &core.timeouts)),
                Err(Error::DamagedRecord { .. }) => {}
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        sessions.sort_by_key(|session| std::cmp::Reverse(session.times.last_active));
        Ok(sessions)
    }

    /// Calls the closure for every session, with its content, as of one moment, and returns the
    /// number of sessions visited. Sessions are streamed, so memory use does not grow with their
    /// number.
    ///
    /// # Concurrency
    ///
    /// The closure runs with no lock held and may use the store. Changes made meanwhile are not
    /// seen. The file cannot reuse space while this runs, so a slow closure makes it grow.
    ///
    /// On Redis and MongoDB each session is shown as of some moment of the call. A session that
    /// gets a new id meanwhile may be missing, or be shown under both.
    ///
    /// # Errors
    ///
    /// A damaged record, or one whose content is not a `C`, does not stop the visit: the first such
    /// error is returned at the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// for n in 1..=3 {
    ///     store.create(n)?;
    /// }
    /// let mut sum = 0;
    /// assert_eq!(store.for_each(|_info, content| sum += content)?, 3);
    /// assert_eq!(sum, 6);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn for_each<R: Visited>(&self, mut visit: impl FnMut(SessionInfo, C) -> R) -> Result<u64> {
        let core = &self.handle.core;
        let moment = core.moment()?;
        let mut visited = 0;
        let mut first_error = None;
        core.engine.scan(None, &mut |key, record| {
            // An earlier call of the closure may have forked.
            core.process.ensure_same()?;
            let record = match core.counting_damage(record) {
                Ok(record) if record.is_expired(moment) => return Ok(ControlFlow::Continue(())),
                other => other,
            };
            match record.and_then(|record| {
                let info = info_of(key, &record, &core.timeouts);
                let content = core.counting_damage(self.handle.codec.decode(&key, &record))?;
                Ok((info, content))
            }) {
                Ok((info, content)) => {
                    visited += 1;
                    if visit(info, content).is_enough() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(error @ (Error::DamagedRecord { .. } | Error::ContentMismatch { .. })) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        first_error.map_or(Ok(visited), Err)
    }

    /// Returns a page of all live sessions: at most `limit` after the key `after`, in the order of
    /// the keys. For the next page, pass the last key of this one. Sessions before the page are not
    /// read.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors). A damaged record is left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// for number in 0..3 {
    ///     store.create(number)?;
    /// }
    /// let page = store.list(None, 2)?;
    /// assert_eq!(page.len(), 2);
    /// assert_eq!(store.list(page.last().map(|last| last.key()), 2)?.len(), 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn list(&self, after: Option<SessionKey>, limit: usize) -> Result<Vec<SessionInfo>> {
        let core = &self.handle.core;
        let moment = core.moment()?;
        let mut page = Vec::new();
        if limit == 0 {
            return Ok(page);
        }
        core.engine.scan(after.as_ref(), &mut |key, record| {
            match core.counting_damage(record) {
                Ok(record) if record.is_expired(moment) => {}
                Ok(record) => page.push(info_of(key, &record, &core.timeouts)),
                Err(Error::DamagedRecord { .. }) => {}
                Err(error) => return Err(error),
            }
            Ok(if page.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(page)
    }

    /// The number of live sessions. Costs a read of each session whose deadline has passed since
    /// the last sweep, not of all sessions.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
    pub fn len(&self) -> Result<u64> {
        let core = &self.handle.core;
        core.engine.count(core.moment()?)
    }

    /// Whether there is no session.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns statistics of the store. Costs as much as [`len`](Self::len); on a server one
    /// request more.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
    pub fn stats(&self) -> Result<Stats> {
        self.handle.core.stats()
    }
}
