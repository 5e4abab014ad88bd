//! From settings to a store: the ways to open one, and what opening compares with the engine.
//!
//! Invariant: nothing of an engine is changed before its content's name fits.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::{Builder, content_name, server_clock};
use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::memory::MemoryEngine;
use crate::engine::redb::engine::RedbEngine;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::store::SessionStore;
use crate::store::codec::Codec;
use crate::store::core::{Counters, StoreCore};
use crate::store::maintenance::{Intervals, Maintenance};
use crate::time::clock::{Clock, Timestamp};
use crate::time::timeouts::Timeouts;

/// The ways to a store. They stand with the settings, so that the store need not know of them.
impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens the store in a file, with every setting at its default; a missing file is created.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// A builder, to change settings before opening.
    pub fn builder() -> Builder<C> {
        Builder::new()
    }

    /// A store that keeps its sessions in memory and loses them with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the maintenance threads cannot be started.
    pub fn in_memory() -> Result<Self> {
        Self::builder().in_memory()
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Opens the store in a file; a missing or empty one is created, with mode 0600.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidSetting`]: a setting is out of its range, or an engine was named.
    /// - [`Error::AlreadyOpen`]: this process or another has the file open.
    /// - [`Error::NotASessionStore`], [`Error::UnsupportedFormat`], [`Error::DamagedFile`]: what is
    ///   in the file. Its bytes are untouched.
    /// - [`Error::ContentMismatch`]: the file holds content of another name.
    /// - [`Error::NotARegularFile`]: a symbolic link, a folder or a device is at the path.
    /// - [`Error::RecoveryAborted`]: the callback of [`on_recovery`](Self::on_recovery) said so.
    /// - [`Error::LocksUnsupported`]: the file system cannot lock files.
    /// - [`Error::Io`], [`Error::StorageFull`]: the operating system refused. What opening was about
    ///   to note in the file is noted by the next one.
    pub fn open(mut self, path: impl AsRef<Path>) -> Result<SessionStore<C>> {
        if self.engine.is_some() {
            return Err(Error::setting("engine", "goes with `build()`, not with `open(path)`"));
        }
        self.check()?;
        self.engine = Some(Arc::new(RedbEngine::open_with(path, &self.redb)?));
        self.build()
    }

    /// A store that keeps its sessions in memory: [`build`](Self::build) with a [`MemoryEngine`].
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub fn in_memory(self) -> Result<SessionStore<C>> {
        self.engine(MemoryEngine::new()).build()
    }

    /// A store on the engine that was named.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if a setting is out of its range, or no engine was named;
    /// [`Error::ContentMismatch`] if the engine holds content of another name; [`Error::Io`] if the
    /// maintenance threads cannot be started; and whatever the engine fails with.
    pub fn build(self) -> Result<SessionStore<C>> {
        self.check()?;
        let Some(engine) = self.engine else {
            return Err(Error::setting(
                "engine",
                "is missing: name one, or use `open(path)` or `in_memory()`",
            ));
        };
        let clock = server_clock::chosen(self.clock, &engine)?;
        content_name::settle(&*engine, self.content_name.as_deref(), &self.renamed_content)
            .and_then(|()| note_creation(&*engine, &*clock))
            .and_then(|()| adopt_timeouts(&*engine, &self.timeouts))
            .map_err(failed_to_open)?;
        let core = Arc::new(StoreCore {
            process: Process::this(),
            engine,
            clock,
            random: self.random,
            timeouts: self.timeouts,
            max_content_len: self.max_content_len,
            max_sessions: self.max_sessions,
            touch_interval: self.touch_interval,
            user_limit: self.user_limit,
            closed: false.into(),
            counters: Counters::default(),
        });
        let flush = match self.redb.durability {
            Durability::Deferred { interval } => interval.min(self.touch_interval),
            _ => self.touch_interval,
        };
        let intervals = Intervals { flush, sweep: self.sweep_interval };
        let maintenance = match self.manual_maintenance {
            true => None,
            false => Some(Maintenance::start(&core, intervals)?),
        };
        let codec = Codec { version: self.content_version, migrate: self.migrate };
        Ok(SessionStore::assemble(core, codec, maintenance))
    }
}

const TIMEOUTS: &str = "timeouts";
const CREATED_AT: &str = "created_at";

/// What opening notes is noted by the next opening, if this one fails; so nobody need know whether
/// it was, and the cause is the answer.
fn failed_to_open(error: Error) -> Error {
    match &error {
        Error::OutcomeUnknown { source } => source.downcast_ref().cloned().unwrap_or(error),
        _ => error,
    }
}

/// When the store was first opened, for whoever finds the file later.
fn note_creation(engine: &dyn Engine, clock: &dyn Clock) -> Result<()> {
    if engine.load_meta(CREATED_AT)?.is_some() {
        return Ok(());
    }
    let now = Timestamp::from_system_time(clock.now())?;
    engine.init_meta(CREATED_AT, &now.as_millis().to_le_bytes()).map(drop)
}

/// The index must not be later than the true deadlines. Longer timeouts leave it early, which is
/// normal; under shorter ones it is rebuilt, before they are noted down as the ones in force.
fn adopt_timeouts(engine: &dyn Engine, timeouts: &Timeouts) -> Result<()> {
    let before = engine.load_meta(TIMEOUTS)?;
    if before.as_deref() == Some(&timeouts.to_bytes()) {
        return Ok(());
    }
    let before = before.and_then(|bytes| Timeouts::from_bytes(&bytes));
    if before.is_none_or(|before| timeouts.is_shorter_than(&before)) {
        engine.reindex(timeouts)?;
    }
    engine.store_meta(TIMEOUTS, &timeouts.to_bytes())
}
