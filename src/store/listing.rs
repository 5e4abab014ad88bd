//! Looking at many sessions at once: a user's, all of them, and their number.

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
use crate::time::millis;
use crate::time::timeouts::Timeouts;

/// Numbers about a store, for a status page or a log line.
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
    /// The size of the file, in bytes; `None` where there is no file.
    pub file_bytes: Option<u64>,
    /// Touches that are in memory only, for `touch_interval` at most.
    pub pending_touches: u64,
    /// How long the oldest of them has been; `None` where there is none.
    #[serde(rename = "oldest_pending_touch_ms", serialize_with = "millis::serialize_optional")]
    pub oldest_pending_touch: Option<Duration>,
    /// Touches that were on the disk later than `touch_interval` after they were told, since the
    /// store was opened. The commit that wrote them is part of that time, so a disk whose commits
    /// take longer than the interval makes all of them late.
    pub late_touches: u64,
    /// By how much the latest of those was late.
    #[serde(rename = "touches_late_by_ms", serialize_with = "millis::serialize")]
    pub touches_late_by: Duration,
    /// Durable transactions since the store was opened.
    pub commits: u64,
    /// Operations those transactions carried: more than `commits` where threads shared them.
    pub committed_operations: u64,
    /// How often, since the store was opened, the server's clock was found more than five seconds
    /// from where it should have been: it was set, or another server took over.
    pub clock_jumps: u64,
    /// Expired sessions deleted since the store was opened.
    pub swept: u64,
    /// How often a damaged record was met since the store was opened.
    pub damaged_records: u64,
    /// Background tasks that failed since the store was opened. Each is tried again.
    pub maintenance_failures: u64,
    /// The last of those failures; `None` once what had failed has gone well.
    #[serde(serialize_with = "as_text")]
    pub last_maintenance_failure: Option<Error>,
    /// How often a flush of touches and of deferred commits began later than was promised, since the
    /// store was opened: a number to alert on. `late_touches` counts the touches themselves. See
    /// [`Event::PromiseMissed`](crate::Event::PromiseMissed).
    pub missed_promises: u64,
    /// How often the log was taken over by the database since the store was opened.
    pub checkpoints: u64,
    /// How often the file was opened again after an I/O error, since the store was opened.
    pub reopenings: u64,
    /// How often an [`Observer`](crate::Observer) panicked, or a recorder of the feature `metrics`,
    /// since the store was opened.
    pub observer_panics: u64,
    /// The longer timeouts on record, as long as the store's shorter ones wait to be
    /// [adopted](SessionStore::adopt_shorter_timeouts): sweeps delete only what is expired under
    /// both.
    pub longer_timeouts_on_record: Option<Timeouts>,
}

fn as_text<S: serde::Serializer>(error: &Option<Error>, to: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(to)
}

/// What the closure of [`SessionStore::for_each`] may return: nothing, or a [`ControlFlow`] whose
/// `Break` ends the visit.
pub trait Visited {
    /// Whether no more sessions are to be shown.
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
    /// What [`SessionStore::stats`] answers.
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
    /// Lists a user's sessions, the most recently active first: one line each for a page on which
    /// users see where they are logged in (ASVS 5.0, 7.5.2).
    ///
    /// A damaged record is left out and counted in [`Stats::damaged_records`]: it must not keep a
    /// user from ending the others.
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
    ///         store.destroy_key(&info.key())?; // "log out this device"
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

    /// Calls the closure for every session, with its content, as of one moment, and returns how
    /// many there were. Streamed: memory use does not grow with the number of sessions.
    ///
    /// # Concurrency
    ///
    /// No lock is held; the closure may use the store. What is changed meanwhile does not show.
    /// The file cannot reuse space while this runs, so a slow closure makes it grow.
    ///
    /// # Errors
    ///
    /// A record that is damaged, or whose content is not a `C`, stops nothing: the rest is visited,
    /// and the first such error is returned at the end.
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
            // The closure before may have forked.
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

    /// A page of all live sessions: at most `limit` after a key, in the order of the keys. Ask
    /// again after the last one for more. What comes before the page is not looked at.
    ///
    /// # Errors
    ///
    /// None besides the general ones. A damaged record is left out.
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

    /// How many sessions there are. Costs a look at those whose deadline has passed since the last
    /// sweep, not at all of them.
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    pub fn len(&self) -> Result<u64> {
        let core = &self.handle.core;
        core.engine.count(core.moment()?)
    }

    /// Whether there is no session.
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Numbers about the store. Costs what [`len`](Self::len) costs.
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    pub fn stats(&self) -> Result<Stats> {
        self.handle.core.stats()
    }
}
