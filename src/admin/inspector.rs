//! A handle for operators: it needs no content type, and changes nothing on its own.
//!
//! Invariant: opening one never creates a store, never sweeps, and never puts timeouts on record.
//! It tells live from expired by the timeouts that are there, and by the clock that its store goes
//! by.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::admin::entry::StoredSession;
use crate::admin::overview::Overview;
use crate::engine::contract::Engine;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::store::check::CheckReport;
use crate::store::core::SWEEP_STEP;
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name};
use crate::time::clock::{Clock, SystemClock, Timestamp};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// What is called for each session, or for the error of one damaged record; `Break` ends the pass.
pub type VisitSession<'a> = dyn FnMut(Result<StoredSession>) -> Result<ControlFlow<()>> + 'a;

/// What is called for each user, with the number of their live sessions; `Break` ends the pass.
pub type VisitUserId<'a> = dyn FnMut(UserId, u64) -> Result<ControlFlow<()>> + 'a;

/// A look into a store from outside its program: without its content type, its name of the content
/// or its timeouts.
///
/// Opening one creates nothing, sweeps nothing and puts no timeouts on record. It goes by the
/// timeouts that the store's program put on record, and by the server's clock where there is a
/// server, so that a tool cannot delete what the program keeps. There is no background thread.
///
/// An engine may make something as it connects, before there is an inspector: those of PostgreSQL
/// and MySQL make their tables where they are missing.
///
/// A file is locked while it is open: a running program has to be asked through a store of its own.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use sessile::{Inspector, SessionStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store = SessionStore::<Vec<u8>>::open(&path)?;
/// let key = store.create_for_user("ann", vec![1, 2, 3])?.key();
/// store.close()?;
///
/// let inspector = Inspector::open(&path)?;
/// let overview = inspector.overview()?;
/// assert_eq!((overview.sessions, overview.users), (1, 1));
/// inspector.sessions(None, &mut |session| {
///     let session = session?;
///     println!("{} of {:?}", session.key(), session.user());
///     Ok(ControlFlow::Continue(()))
/// })?;
/// assert!(inspector.revoke(&key)?);
/// inspector.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inspector {
    engine: Arc<dyn Engine>,
    /// `None` for the server's clock, or else this machine's.
    clock: Option<Arc<dyn Clock>>,
    on_record: Option<Timeouts>,
    timeouts: Timeouts,
}

impl Inspector {
    /// Opens a store's file, which has to be there.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open_existing`](crate::Builder::open_existing); content of any name will
    /// do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let options = RedbOptions::new().create_missing(false).compact_on_open(false);
        Self::on(RedbEngine::open_with(path, &options)?)
    }

    /// Looks into what an engine holds.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    pub fn on(engine: impl Engine) -> Result<Self> {
        let on_record = on_record(&engine)?;
        Ok(Self {
            engine: Arc::new(engine),
            clock: None,
            on_record,
            timeouts: on_record.unwrap_or(Timeouts::ENDLESS),
        })
    }

    /// Where the time comes from. Default: the server's clock, where the engine has a server, as
    /// for its store; the program's clock, through the door of a running program; else
    /// [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// The time by which this tells live from expired: see [`with_clock`](Self::with_clock).
    ///
    /// # Errors
    ///
    /// When the engine fails, or a clock shows a time before 1970.
    pub fn now(&self) -> Result<SystemTime> {
        Ok(self.moment()?.now.to_system_time())
    }

    /// Goes by these timeouts, instead of those on record, which stay there.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// The timeouts on record: those of the program that opened the store last. `None` if none has;
    /// then sessions without timeouts of their own count as live.
    #[must_use]
    pub const fn timeouts_on_record(&self) -> Option<Timeouts> {
        self.on_record
    }

    /// Numbers about the store: a pass over all sessions, and one over all users. Memory use does
    /// not grow with their number.
    ///
    /// # Errors
    ///
    /// When the store cannot be read. Damaged records are counted.
    pub fn overview(&self) -> Result<Overview> {
        let moment = self.moment()?;
        let mut overview = Overview::new(self.engine.stats()?);
        self.engine.scan(None, &mut |_, record| {
            match record {
                Ok(record) => overview.add(&record, moment),
                Err(Error::DamagedRecord { .. }) => overview.damaged += 1,
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.engine.scan_users(None, moment, &mut |_, _| {
            overview.users += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let name = self.engine.load_meta(CONTENT_NAME)?;
        overview.content_name = name.and_then(|name| current_name(&name));
        let created_at = self.engine.load_meta(CREATED_AT)?;
        overview.created_at = created_at.and_then(|bytes| {
            let millis = u64::from_le_bytes(bytes.try_into().ok()?);
            Some(Timestamp::from_millis(millis).to_system_time())
        });
        overview.timeouts = self.on_record;
        Ok(overview)
    }

    /// Shows every session after a key, expired ones included, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the store cannot be read.
    pub fn sessions(&self, after: Option<&SessionKey>, visit: &mut VisitSession<'_>) -> Result<()> {
        let moment = self.moment()?;
        self.engine.scan(after, &mut |key, record| {
            visit(record.map(|record| StoredSession::new(key, record, moment)))
        })
    }

    /// Shows every session of a user, expired ones included.
    ///
    /// # Errors
    ///
    /// As for [`sessions`](Self::sessions), and [`Error::InvalidUser`].
    pub fn sessions_of(&self, user: impl Into<UserId>, visit: &mut VisitSession<'_>) -> Result<()> {
        let (user, moment) = (user.into().to_key()?, self.moment()?);
        self.engine.scan_user(&user, &mut |key, record| {
            visit(record.map(|record| StoredSession::new(key, record, moment)))
        })
    }

    /// Shows every user with a live session.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or when the store cannot be read.
    pub fn users(&self, visit: &mut VisitUserId<'_>) -> Result<()> {
        self.engine.scan_users(None, self.moment()?, &mut |user, sessions| match user.to_id() {
            Some(user) => visit(user, sessions),
            None => Ok(ControlFlow::Continue(())),
        })
    }

    /// One session, expired or not; `None` if there is no record under the key.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`], or when the store cannot be read.
    pub fn session(&self, key: &SessionKey) -> Result<Option<StoredSession>> {
        let moment = self.moment()?;
        let record = self.engine.load(key, Moment::BEGINNING)?;
        Ok(record.map(|record| StoredSession::new(*key, record, moment)))
    }

    /// Ends a session. `false` if there was no live one; a damaged record counts as one.
    ///
    /// # Durability
    ///
    /// One durable commit, as for all that end sessions here.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn revoke(&self, key: &SessionKey) -> Result<bool> {
        Ok(self.engine.remove(key, None, self.moment()?)?.is_some())
    }

    /// Ends every session of a user, and says how many.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke), and [`Error::InvalidUser`].
    pub fn revoke_user(&self, user: impl Into<UserId>) -> Result<u64> {
        let ended = self.engine.remove_user(&user.into().to_key()?, self.moment()?)?;
        Ok(ended.len() as u64)
    }

    /// Ends every other session of the user whose session is `keep`, and says how many; `None` if
    /// there is no such session.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke), and [`Error::DamagedRecord`] of `keep`.
    pub fn revoke_others(&self, keep: &SessionKey) -> Result<Option<u64>> {
        let ended = self.engine.remove_others(keep, self.moment()?)?;
        Ok(ended.map(|ended| ended.len() as u64))
    }

    /// Ends every session of every user, in one step, and says how many live ones there were
    /// before.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    pub fn revoke_all(&self) -> Result<u64> {
        let sessions = self.engine.count(self.moment()?)?;
        self.engine.clear()?;
        Ok(sessions)
    }

    /// Deletes what is expired, and says how many sessions went. `progress` is told after each step
    /// how many have gone so far, and may end it.
    ///
    /// It goes by the timeouts on record. Under others, of [`with_timeouts`](Self::with_timeouts),
    /// it passes over all sessions first and last.
    ///
    /// # Errors
    ///
    /// When the store cannot be written. What earlier steps have deleted is deleted.
    pub fn sweep(&self, progress: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<u64> {
        if Some(self.timeouts) == self.on_record {
            return self.sweep_by_index(progress);
        }
        self.engine.reindex(&self.timeouts)?;
        let swept = self.sweep_by_index(progress);
        // It moved index entries to the deadlines that it went by, which may be later than those of
        // the store: also where it failed, or was ended early.
        let reindexed = match on_record(&*self.engine) {
            Ok(Some(timeouts)) => self.engine.reindex(&timeouts),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        swept.and_then(|swept| reindexed.map(|()| swept))
    }

    fn sweep_by_index(&self, progress: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<u64> {
        let mut swept = 0;
        loop {
            let step = self.engine.remove_expired(self.moment()?, SWEEP_STEP)?;
            swept += step.removed.len() as u64;
            if !step.more || progress(swept).is_break() {
                return Ok(swept);
            }
        }
    }

    /// Looks through the whole store for what is wrong, as
    /// [`SessionStore::check`](crate::SessionStore::check) does, except for the content, whose type
    /// is not known here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read. What is wrong in it is no error but in the report.
    pub fn check(&self) -> Result<CheckReport> {
        CheckReport::of(&*self.engine, self.moment()?, &mut |_, _| None)
    }

    /// Writes what is in memory only, and closes the store.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub(super) fn moment(&self) -> Result<Moment> {
        let now = match &self.clock {
            Some(clock) => Timestamp::from_system_time(clock.now())?,
            None => match self.engine.server_time()? {
                Some(now) => now,
                None => Timestamp::from_system_time(SystemClock.now())?,
            },
        };
        Ok(Moment { now, timeouts: self.timeouts })
    }
}

/// The timeouts that an engine has on record.
pub(super) fn on_record(engine: &dyn Engine) -> Result<Option<Timeouts>> {
    Ok(engine.load_meta(TIMEOUTS)?.and_then(|bytes| Timeouts::from_bytes(&bytes)))
}
