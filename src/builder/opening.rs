//! Opens a store from its settings, and compares them with the engine's metadata.
//!
//! Invariant: opening changes nothing in an engine before its content's name fits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::content_name::{Names, Users};
use crate::builder::{Builder, content_name, server_clock};
use crate::engine::contract::Engine;
use crate::engine::memory::MemoryEngine;
use crate::engine::redb::engine::RedbEngine;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::store::SessionStore;
use crate::store::codec::Codec;
use crate::store::core::adoption::Adoption;
use crate::store::core::meta::{CREATED_AT, TIMEOUTS};
use crate::store::core::{Counters, SWEEP_STEP, StoreCore};
use crate::store::events::dispatch::Events;
use crate::store::events::{EndReason, Event};
use crate::store::maintenance::{Intervals, Maintenance};
use crate::time::clock::{Clock, Timestamp};
use crate::time::moment::Moment;
use crate::time::ticks;
use crate::time::timeouts::Timeouts;
use crate::trace::span;

// These stand beside the settings, so that `store/` does not depend on them.
impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens the store in a file, with every setting at its default; a missing file is created.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Returns a builder, to change settings before opening.
    pub fn builder() -> Builder<C> {
        Builder::new()
    }

    /// Opens a store that holds its sessions in memory and loses them with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the maintenance threads cannot be started.
    pub fn in_memory() -> Result<Self> {
        Self::builder().in_memory()
    }
}

/// Starts with all settings at their defaults.
impl<C: Serialize + DeserializeOwned> Default for Builder<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Opens the store in a file; a missing or empty one is created, on Unix with mode 0600. On
    /// Windows it gets its folder's permissions, so the folder should be private to this user, as
    /// those below `%LOCALAPPDATA%` are. On a file system without permissions, as exFAT on a USB
    /// stick, whoever may read the file system may read the file.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidSetting`]: a setting is out of its range, or an engine was set.
    /// - [`Error::AlreadyOpen`]: this process or another has the file open.
    /// - [`Error::NotASessionStore`], [`Error::UnsupportedFormat`], [`Error::DamagedFile`]: the
    ///   file is not a store, of an unknown format or damaged. Its bytes are untouched.
    /// - [`Error::ContentMismatch`]: the file holds content of another name.
    /// - [`Error::NotARegularFile`]: a symbolic link, a folder or a device is at the path.
    /// - [`Error::RecoveryAborted`]: the callback of [`on_recovery`](Self::on_recovery) aborted it.
    /// - [`Error::LocksUnsupported`]: the file system cannot lock files.
    /// - [`Error::Io`], [`Error::StorageFull`]: the operating system refused. The next opening
    ///   writes the metadata that this one could not.
    pub fn open(self, path: impl AsRef<Path>) -> Result<SessionStore<C>> {
        if self.engine.is_some() {
            return Err(Error::setting("engine", "goes with `build()`, not with `open(path)`"));
        }
        let _span = span!(INFO, "open");
        self.check()?;
        // Absolute, as the engine keeps it: the program may change its working directory. Where
        // that fails, so does the engine, with the error.
        let file = std::path::absolute(path.as_ref()).unwrap_or_else(|_| path.as_ref().into());
        let builder = Self { file: Some(file), ..self.noting_recovery() };
        let engine = Arc::new(builder.wait_for_file(path.as_ref())?);
        builder.build_on(engine, Users::This)
    }

    /// Opens an existing store as [`open`](Self::open) does: a mistyped path creates nothing.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and [`Error::Io`] if there is no file,
    /// [`Error::NotASessionStore`] if it is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let mistyped = folder.path().join("sesions.redb");
    /// assert!(SessionStore::<u32>::builder().open_existing(&mistyped).is_err());
    /// assert!(!mistyped.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open_existing(mut self, path: impl AsRef<Path>) -> Result<SessionStore<C>> {
        self.redb = self.redb.create_missing(false);
        self.open(path)
    }

    /// Opens the file, and tries again while another process has it open and time is left.
    fn wait_for_file(&self, path: &Path) -> Result<RedbEngine> {
        const PAUSE: Duration = Duration::from_millis(20);
        let until = ticks::now().checked_add(self.open_timeout);
        loop {
            match RedbEngine::open_with(path, &self.redb) {
                Err(Error::AlreadyOpen { .. })
                    if until.is_none_or(|until| ticks::now() < until) =>
                {
                    std::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Opens a store that holds its sessions in memory: [`build`](Self::build) with a
    /// [`MemoryEngine`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if an engine was set; otherwise as for [`build`](Self::build).
    pub fn in_memory(self) -> Result<SessionStore<C>> {
        if self.engine.is_some() {
            return Err(Error::setting("engine", "goes with `build()`, not with `in_memory()`"));
        }
        self.engine(MemoryEngine::new()).build()
    }

    /// Opens a store on the engine that was set.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if a setting is out of its range or only for a file, or no engine
    /// was set; [`Error::ContentMismatch`] if the engine holds content of another name;
    /// [`Error::Io`] if the maintenance threads cannot be started; and any error of the engine.
    pub fn build(mut self) -> Result<SessionStore<C>> {
        self.check()?;
        let Some(engine) = self.engine.take() else {
            return Err(Error::setting(
                "engine",
                "is missing: name one, or use `open(path)` or `in_memory()`",
            ));
        };
        self.check_without_file()?;
        self.build_on(engine, Users::PerhapsOthers)
    }

    fn build_on(self, engine: Arc<dyn Engine>, users: Users) -> Result<SessionStore<C>> {
        let attachment = engine.attach(self.timeouts)?;
        let by_own_clock = self.clock.is_some();
        let on_server = engine.server_time()?.is_some();
        let clock = server_clock::chosen(self.clock, &engine, on_server);
        let asked = Asked {
            timeouts: self.timeouts,
            sweep_interval: self.sweep_interval,
            adopt_shorter: self.adopt_shorter_timeouts,
            by_own_clock,
        };
        let names =
            Names { given: self.content_name.as_deref(), renamed: &self.renamed_content, users };
        let events = self.observing.events(self.content_name.as_deref());
        let adoption = content_name::agree_on_name(&*engine, &names)
            .and_then(|()| note_creation(&*engine, &*clock))
            .and_then(|()| take_on_timeouts(&*engine, &*clock, &asked, events.as_deref()))
            .map_err(failed_to_open)?;
        let core = Arc::new(StoreCore {
            process: Process::this(),
            engine,
            clock,
            random: self.random,
            timeouts: self.timeouts,
            adoption,
            attachment: Mutex::new(Some(attachment)),
            max_content_len: self.max_content_len,
            max_sessions: self.max_sessions,
            touch_interval: self.touch_interval,
            user_limit: self.user_limit,
            closed: false.into(),
            counters: Counters::default(),
            events,
            file: self.file,
        });
        self.observing.tell_of_opening(core.events.as_deref());
        if let Some(on_record) = core.adoption.on_record() {
            core.tell(|| Event::LongerTimeoutsOnRecord { on_record });
        }
        // Your own engine may also need flushes at its own interval.
        let flush = core.engine.flush_interval().unwrap_or(self.touch_interval);
        let flush = flush.min(self.touch_interval);
        let sweep = self.sweep_interval;
        let intervals = Intervals { flush, sweep, sweeps_with_others: on_server };
        let maintenance = match self.manual_maintenance {
            true => None,
            false => Some(Maintenance::start(&core, intervals)?),
        };
        let (version, migrate, same) = (self.content_version, self.migrate, self.same);
        let codec = Codec { version, migrate, same };
        Ok(SessionStore::assemble(core, codec, maintenance))
    }
}

/// The timeouts that a program asks for, and when to adopt them.
struct Asked {
    timeouts: Timeouts,
    sweep_interval: Duration,
    adopt_shorter: bool,
    /// Whether the program gave the store its clock.
    by_own_clock: bool,
}

/// Compares the store's timeouts with those on record. Index entries must not be later than the
/// true deadlines.
///
/// - Shorter timeouts: the index is rebuilt. They go on record at once only if the settings say so;
///   until then sweeps go by the longer ones.
/// - Longer timeouts: index entries are then early, which is allowed. Sessions that had expired
///   under the timeouts on record are swept first, so that they do not come back.
/// - One longer and one shorter: the longer one goes on record at once, so that the next opening
///   does not sweep by the former one.
fn take_on_timeouts(
    engine: &dyn Engine,
    clock: &dyn Clock,
    asked: &Asked,
    events: Option<&Events>,
) -> Result<Adoption> {
    let own = &asked.timeouts;
    let found = engine.load_meta(TIMEOUTS)?;
    if found.as_deref() == Some(&own.to_bytes()) {
        return Ok(Adoption::default());
    }
    let on_record = found.and_then(|bytes| Timeouts::from_bytes(&bytes));
    let now = Timestamp::from_system_time(clock.now())?;
    if let Some(timeouts) = on_record.filter(|on_record| on_record.is_shorter_than(own)) {
        loop {
            let sweep = engine.remove_expired(Moment { now, timeouts }, SWEEP_STEP)?;
            if let Some(events) = events {
                sweep.removed.iter().for_each(|ended| events.end(ended, EndReason::Expired));
            }
            if !sweep.more {
                break;
            }
        }
    }
    let shorter = on_record.filter(|on_record| own.is_shorter_than(on_record));
    if on_record.is_none() || shorter.is_some() {
        engine.reindex(own, &|| true)?;
    }
    match shorter {
        Some(on_record) if !asked.adopt_shorter => {
            let longer = own.longer_of_each(&on_record);
            if longer != on_record {
                engine.store_meta(TIMEOUTS, &longer.to_bytes())?;
            }
            let opened_at = asked.by_own_clock.then_some(now);
            Ok(Adoption::pending(own, longer, opened_at, asked.sweep_interval))
        }
        _ => {
            engine.store_meta(TIMEOUTS, &own.to_bytes())?;
            Ok(Adoption::default())
        }
    }
}

/// Replaces an unknown outcome by its cause. If opening fails, the next opening writes the same
/// metadata, so nobody needs to know whether this one did.
fn failed_to_open(error: Error) -> Error {
    let Error::OutcomeUnknown { source } = error else { return error };
    match source.downcast_ref::<Error>() {
        Some(cause) => cause.clone(),
        // The cause of a lost answer is no error of this crate.
        None => Error::Unavailable { server: "the sessions' server".into(), source },
    }
}

/// Records when the store was first opened, for operators.
fn note_creation(engine: &dyn Engine, clock: &dyn Clock) -> Result<()> {
    if engine.load_meta(CREATED_AT)?.is_some() {
        return Ok(());
    }
    let now = Timestamp::from_system_time(clock.now())?;
    engine.init_meta(CREATED_AT, &now.as_millis().to_le_bytes()).map(drop)
}
