//! A handle for operators: it needs no content type, and changes nothing unasked.
//!
//! Invariant: opening an inspector never creates a store, never sweeps, and never puts timeouts on
//! record. It tells live sessions from expired ones by the timeouts on record, and by the clock of
//! the store.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::admin::copying::{OnProgress, Progress, Steps};
use crate::admin::entry::StoredSession;
use crate::admin::overview::Overview;
use crate::engine::contract::Engine;
use crate::engine::outcome::Ended;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::store::check::CheckReport;
use crate::store::core::SWEEP_STEP;
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, TIMEOUTS_IN_USE, current_name};
use crate::time::clock::{Clock, SystemClock, Timestamp};
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// Called with each session, or with the error of one damaged record; `Break` ends the pass.
pub type VisitSession<'a> = dyn FnMut(Result<StoredSession>) -> Result<ControlFlow<()>> + 'a;

/// Called with each user and the number of their live sessions; `Break` ends the pass.
pub type VisitUserId<'a> = dyn FnMut(UserId, u64) -> Result<ControlFlow<()>> + 'a;

/// Inspects a store from outside its program, without its content type, its content's name or its
/// timeouts.
///
/// Opening an inspector creates nothing, sweeps nothing and puts no timeouts on record. It uses the
/// timeouts that the store's program put on record, and the server's clock if there is a server, so
/// that a tool cannot delete sessions that the program keeps. Through an admin socket it uses the
/// running program's timeouts and clock. It has no background thread.
///
/// An engine of a server may create something when it connects, before there is an inspector, as
/// tables. Its `connect_existing` does not.
///
/// A file is locked while it is open, so an inspector cannot open the file of a running program.
/// With the feature `admin`, [`Inspector::on`] takes a `RunningStore`, which asks the program.
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
    /// `None`: the server's clock, or this machine's if there is no server.
    clock: Option<Arc<dyn Clock>>,
    on_record: Option<Timeouts>,
    /// Those of the program that has the store open; else those on record.
    in_use: Option<Timeouts>,
    timeouts: Timeouts,
}

impl Inspector {
    /// Opens the file of a store, which must exist.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open_existing`](crate::Builder::open_existing), but with content of any
    /// name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let options = RedbOptions::new().create_missing(false).compact_on_open(false);
        Self::on(RedbEngine::open_with(path, &options)?)
    }

    /// Inspects the store on an engine.
    ///
    /// # Errors
    ///
    /// If the engine fails.
    pub fn on(engine: impl Engine) -> Result<Self> {
        let on_record = on_record(&engine)?;
        let in_use = kept(&engine, TIMEOUTS_IN_USE)?.or(on_record);
        let timeouts = in_use.unwrap_or(Timeouts::ENDLESS);
        Ok(Self { engine: Arc::new(engine), clock: None, on_record, in_use, timeouts })
    }

    /// Sets the clock. Default: the server's clock if the engine has a server, as for its store;
    /// through the admin socket of a running program, that program's clock; else [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Returns the time that tells live sessions from expired ones: see
    /// [`with_clock`](Self::with_clock).
    ///
    /// # Errors
    ///
    /// If the engine fails, or a clock shows a time before 1970.
    pub fn now(&self) -> Result<SystemTime> {
        Ok(self.moment()?.now.to_system_time())
    }

    /// Uses these timeouts in place of those on record, which stay there: a [`sweep`](Self::sweep)
    /// by longer ones replaces them only while it runs.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns the timeouts that the store's program put on record last. `None` if it has put none
    /// there; then sessions without their own timeouts count as live.
    #[must_use]
    pub const fn timeouts_on_record(&self) -> Option<Timeouts> {
        self.on_record
    }

    /// Returns statistics of the store. Costs a pass over all sessions and one over all users.
    /// Memory use does not grow with their number.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Damaged records are counted.
    pub fn overview(&self) -> Result<Overview> {
        self.overview_with(&mut |_| ControlFlow::Continue(()))
    }

    /// As [`overview`](Self::overview), but reports its progress to a callback, which may call the
    /// passes off.
    ///
    /// # Errors
    ///
    /// As for [`overview`](Self::overview), and [`Error::CalledOff`].
    pub fn overview_with(&self, progress: &mut OnProgress<'_>) -> Result<Overview> {
        let moment = self.moment()?;
        let mut steps = self.steps("pass over all sessions", progress)?;
        let mut overview = Overview::new(self.engine.stats()?);
        self.engine.scan(None, &mut |_, record| {
            steps.step()?;
            match record {
                Ok(record) => overview.add(&record, moment),
                Err(Error::DamagedRecord { .. }) => overview.damaged += 1,
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.engine.scan_users(None, moment, &mut |_, _| {
            overview.users += 1;
            if overview.users.is_multiple_of(Steps::EVERY) {
                steps.tell()?;
            }
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

    /// Calls `visit` for every session after a key, expired ones included, in the order of the
    /// keys.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or if the store cannot be read.
    pub fn sessions(&self, after: Option<&SessionKey>, visit: &mut VisitSession<'_>) -> Result<()> {
        let moment = self.moment()?;
        self.engine.scan(after, &mut |key, record| {
            visit(record.map(|record| StoredSession::new(key, record, moment)))
        })
    }

    /// Calls `visit` for every session of a user, expired ones included.
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

    /// Calls `visit` for every user with a live session.
    ///
    /// # Errors
    ///
    /// The first error that `visit` returns, or if the store cannot be read.
    pub fn users(&self, visit: &mut VisitUserId<'_>) -> Result<()> {
        self.engine.scan_users(None, self.moment()?, &mut |user, sessions| match user.to_id() {
            Some(user) => visit(user, sessions),
            None => Ok(ControlFlow::Continue(())),
        })
    }

    /// Returns one session, expired or not; `None` if there is no record under the key.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`], or if the store cannot be read.
    pub fn session(&self, key: &SessionKey) -> Result<Option<StoredSession>> {
        let moment = self.moment()?;
        let record = self.engine.load(key, Moment::BEGINNING)?;
        Ok(record.map(|record| StoredSession::new(*key, record, moment)))
    }

    /// Ends a session; `false` if there was no live one. A damaged record counts as a live session.
    ///
    /// # Durability
    ///
    /// One durable commit, as for every method here that ends sessions.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub fn revoke(&self, key: &SessionKey) -> Result<bool> {
        let ended = self.engine.remove(key, None, self.moment()?)?;
        Ok(Ended::count_live(ended.as_slice()) > 0)
    }

    /// Ends every session of a user, and returns how many.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke), and [`Error::InvalidUser`].
    pub fn revoke_user(&self, user: impl Into<UserId>) -> Result<u64> {
        let ended = self.engine.remove_user(&user.into().to_key()?, self.moment()?)?;
        Ok(Ended::count_live(&ended))
    }

    /// Ends every other session of the user with the session `keep`, and returns how many; `None`
    /// if there is no such session.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke), and [`Error::DamagedRecord`] of `keep`.
    pub fn revoke_others(&self, keep: &SessionKey) -> Result<Option<u64>> {
        let ended = self.engine.remove_others(keep, self.moment()?)?;
        Ok(ended.map(|ended| Ended::count_live(&ended)))
    }

    /// Ends every session of every user, in one step, and returns the number of live ones before
    /// it.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    pub fn revoke_all(&self) -> Result<u64> {
        let sessions = self.engine.count(self.moment()?)?;
        self.engine.clear()?;
        Ok(sessions)
    }

    /// Deletes expired sessions and returns how many. After each step but the last, `progress` gets
    /// the number deleted so far; its `Break` ends the sweep.
    ///
    /// It goes by the timeouts on record. With others, from [`with_timeouts`](Self::with_timeouts),
    /// it makes a pass over all sessions before and after. `progress` gets 0 after each step of the
    /// first, and is not asked in the second. Longer timeouts are on record while the sweep runs.
    /// If it is killed they stay there: the next program that opens the store replaces them, as it
    /// does when its own timeouts have become shorter.
    ///
    /// # Errors
    ///
    /// If the store cannot be written. Sessions that earlier steps deleted stay deleted.
    pub fn sweep(&self, progress: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<u64> {
        if Some(self.timeouts) == self.in_use {
            return self.sweep_by_index(progress);
        }
        let told = RefCell::new(&mut *progress);
        // What was moved stays: an entry may be earlier than its record's deadline.
        if !self.engine.reindex(&self.timeouts, &|| (told.borrow_mut())(0).is_continue())? {
            return Ok(0);
        }
        let Some(before) = on_record(&*self.engine)? else { return self.sweep_by_index(progress) };
        // The sweep moves index entries to its own deadlines, which may be later than the store's.
        // Meanwhile the longer timeouts are on record. If this process dies, the next opening of
        // the store finds them there, and rebuilds the index by its own.
        let meanwhile = before.longer_of_each(&self.timeouts);
        self.replace_on_record(&before, &meanwhile)?;
        let swept = self.sweep_by_index(progress);
        // Also after a failure or an early end.
        let restored = self.engine.reindex(&before, &|| true);
        let restored = restored.and_then(|_| self.replace_on_record(&meanwhile, &before));
        swept.and_then(|swept| restored.map(|()| swept))
    }

    /// Puts other timeouts on record, unless a program has put its own there.
    fn replace_on_record(&self, found: &Timeouts, new: &Timeouts) -> Result<()> {
        match new != found && on_record(&*self.engine)?.as_ref() == Some(found) {
            true => self.engine.store_meta(TIMEOUTS, &new.to_bytes()),
            false => Ok(()),
        }
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

    /// Checks the whole store for damage, as [`SessionStore::check`](crate::SessionStore::check)
    /// does, but not the content, whose type is unknown here.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Problems that the check finds are in the report, not an error.
    pub fn check(&self) -> Result<CheckReport> {
        self.check_with(&mut |_| ControlFlow::Continue(()))
    }

    /// As [`check`](Self::check), but reports its progress to a callback, which may call the check
    /// off.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check), and [`Error::CalledOff`].
    pub fn check_with(&self, progress: &mut OnProgress<'_>) -> Result<CheckReport> {
        let mut steps = self.steps("check", progress)?;
        let moment = self.moment()?;
        CheckReport::of(&*self.engine, moment, &self.timeouts, &mut |_| steps.step().map(|()| None))
    }

    /// Writes the changes that are in memory only, and closes the store.
    ///
    /// # Errors
    ///
    /// If writing or closing fails.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }

    fn steps<'a, 'p>(
        &self,
        action: &'static str,
        told: &'a mut OnProgress<'p>,
    ) -> Result<Steps<'a, 'p>> {
        let progress = Progress { done: 0, total: Some(self.engine.stats()?.stored) };
        let mut steps = Steps { action, progress, told };
        steps.tell()?;
        Ok(steps)
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

/// Returns the timeouts that an engine has on record.
pub(super) fn on_record(engine: &dyn Engine) -> Result<Option<Timeouts>> {
    kept(engine, TIMEOUTS)
}

fn kept(engine: &dyn Engine, name: &str) -> Result<Option<Timeouts>> {
    Ok(engine.load_meta(name)?.and_then(|bytes| Timeouts::from_bytes(&bytes)))
}
