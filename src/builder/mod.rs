//! Every setting: its default, its range, what it changes and why it is what it is.

#[cfg(feature = "app-dir")]
pub(crate) mod app_dir;
mod content_name;
mod file_settings;
mod observing;
mod opening;
mod server_clock;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::observing::Observing;
use crate::engine::contract::Engine;
use crate::engine::limits::UserLimit;
use crate::engine::redb::options::RedbOptions;
use crate::error::{Error, Result};
use crate::random::{RandomSource, SystemRandom};
use crate::record::content;
use crate::record::content::StoredContent;
use crate::session::attributes::Attributes;
use crate::store::codec::Migrate;
use crate::time::clock::Clock;
use crate::time::timeouts::Timeouts;

/// Settings for a store. Every one has a default that is safe for production.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sessile::{SessionStore, Timeouts};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store = SessionStore::<Vec<String>>::builder()
///     .timeouts(Timeouts::new(Duration::from_secs(1_800), Duration::from_secs(86_400))?)
///     .content_name("shop.cart")
///     .max_sessions(100_000)
///     .open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `open`, `in_memory` or `build`"]
pub struct Builder<C = Attributes> {
    timeouts: Timeouts,
    max_content_len: usize,
    max_sessions: u64,
    user_limit: Option<(u64, UserLimit)>,
    touch_interval: Duration,
    sweep_interval: Duration,
    adopt_shorter_timeouts: bool,
    manual_maintenance: bool,
    open_timeout: Duration,
    content_name: Option<String>,
    renamed_content: Vec<String>,
    content_version: u32,
    migrate: Option<Migrate<C>>,
    /// `None`: the server's that holds the sessions, else the system's.
    clock: Option<Arc<dyn Clock>>,
    random: Arc<dyn RandomSource>,
    redb: RedbOptions,
    /// The first setting of a file that was named.
    of_file: Option<&'static str>,
    engine: Option<Arc<dyn Engine>>,
    observing: Observing,
    file: Option<PathBuf>,
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    fn new() -> Self {
        Self {
            timeouts: Timeouts::default(),
            max_content_len: 64 * 1024,
            max_sessions: 10_000_000,
            user_limit: None,
            touch_interval: Duration::from_secs(1),
            sweep_interval: Duration::from_secs(60),
            adopt_shorter_timeouts: false,
            manual_maintenance: false,
            open_timeout: Duration::ZERO,
            content_name: None,
            renamed_content: Vec::new(),
            content_version: 0,
            migrate: None,
            clock: None,
            random: Arc::new(SystemRandom),
            redb: RedbOptions::new(),
            of_file: None,
            engine: None,
            observing: Observing::default(),
            file: None,
        }
    }

    /// The timeouts of sessions without their own. Default: 15 minutes and 7 days.
    ///
    /// They apply at once to every such session in the file. Shorter ones than those on record cost
    /// a pass over all sessions, and delete nothing until they are
    /// [adopted](Self::adopt_shorter_timeouts).
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Adopts the timeouts at once though the store's file has longer ones on record. Default:
    /// sweeps delete nothing for shorter ones until the store has been open for one full
    /// [`sweep_interval`](Self::sweep_interval), or until
    /// [`SessionStore::adopt_shorter_timeouts`](crate::SessionStore::adopt_shorter_timeouts). What
    /// is expired under the store's own timeouts is absent either way.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{SessionStore, Timeouts};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let open = |minutes: i64| {
    ///     SessionStore::<u32>::builder().timeouts(Timeouts::from_seconds(minutes * 60, 86_400)?)
    ///         .open(&path)
    /// };
    /// open(60)?.close()?;
    /// let store = open(10)?;
    /// assert!(store.stats()?.longer_timeouts_on_record.is_some());
    /// store.adopt_shorter_timeouts()?; // or on the builder
    /// assert!(store.stats()?.longer_timeouts_on_record.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn adopt_shorter_timeouts(self) -> Self {
        Self { adopt_shorter_timeouts: true, ..self }
    }

    /// The most bytes that a session's encoded content may take. Default: 64 KiB, since content
    /// is read and written whole; at most 16 MiB. Larger content is refused with
    /// [`Error::TooLarge`]; what is stored already stays readable.
    pub fn max_content_len(self, bytes: usize) -> Self {
        Self { max_content_len: bytes, ..self }
    }

    /// The most sessions that may exist at once. Default: 10,000,000, some 5 GB of small sessions,
    /// so that a flood of new sessions ends before the disk does; at least 1. Another one is
    /// refused with [`Error::Full`].
    pub fn max_sessions(self, sessions: u64) -> Self {
        Self { max_sessions: sessions, ..self }
    }

    /// The most live sessions that one user may have at once, and what becomes of one more: it is
    /// refused, or the user's least recently active session ends (ASVS 5.0, 7.1.2). Default: no
    /// limit; at least 1.
    ///
    /// It holds whenever a session comes to a user: by `create_for_user`, or by
    /// [`set_user`](crate::Session::set_user) and a save. It is part of the transaction that stores
    /// the session: no number of threads gets past it. Sessions that are there already when a limit
    /// is set or lowered stay until their user gets another one.
    ///
    /// A login then looks at all stored sessions of its user.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Error, SessionStore, UserLimit};
    ///
    /// let builder = SessionStore::<u32>::builder();
    /// let store = builder.max_sessions_per_user(2, UserLimit::Refuse).in_memory()?;
    /// store.create_for_user("ann", 1)?;
    /// store.create_for_user("ann", 2)?;
    /// assert!(matches!(store.create_for_user("ann", 3), Err(Error::UserFull { max: 2 })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn max_sessions_per_user(self, sessions: u64, policy: UserLimit) -> Self {
        Self { user_limit: Some((sessions, policy)), ..self }
    }

    /// How often touches are written, if no other write takes them along. Default: 1 second: what
    /// a crash may take from a deadline; 1 ms to 1 hour.
    pub fn touch_interval(self, interval: Duration) -> Self {
        Self { touch_interval: interval, ..self }
    }

    /// How often expired sessions are deleted. Default: 60 seconds. Expired sessions are
    /// invisible from their very millisecond; this is about disk space alone. 1 ms to 1 day.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }

    /// Starts no background thread. The program calls
    /// [`clean_up_expired`](crate::SessionStore::clean_up_expired) and
    /// [`flush`](crate::SessionStore::flush) itself; until then touches ride only with other
    /// writes.
    pub fn manual_maintenance(self) -> Self {
        Self { manual_maintenance: true, ..self }
    }

    /// A name for the content, kept in the file and compared whenever it is opened. Default: none,
    /// which opens any store. 1 to 255 bytes.
    ///
    /// It tells stores apart before anything in them is read: a program that names its content does
    /// not open the file of another one by mistake. A store without a name takes on the first that
    /// it is opened with, and a file that holds no session another one besides. A program that
    /// names nothing opens a named store too, so a release that adds a name can be rolled back.
    ///
    /// # Errors
    ///
    /// Opening is [`Error::ContentMismatch`] if the store has sessions and another name; see
    /// [`rename_content`](Self::rename_content).
    pub fn content_name(self, name: impl Into<String>) -> Self {
        Self { content_name: Some(name.into()), ..self }
    }

    /// A name that the content had before, and has no more: a store of that name takes on
    /// [`content_name`](Self::content_name) when it is opened, or loses its names if there is none.
    /// A store of another name is left as it is. May be called for several names.
    ///
    /// The earlier name opens the store as before, so the release before can be rolled back to: a
    /// store keeps its last 16 names.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let old = SessionStore::<u32>::builder().content_name("oldco.cart");
    /// old.open(&path)?.close()?;
    ///
    /// let new = SessionStore::<u32>::builder().content_name("newco.cart");
    /// new.rename_content("oldco.cart").open(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rename_content(mut self, from: impl Into<String>) -> Self {
        self.renamed_content.push(from.into());
        self
    }

    /// The version of the content type, 1 or greater, and how to read earlier ones. Default: 0.
    ///
    /// Every record carries the version it was written with. An older one is handed to `migrate`
    /// when it is read, and stored in its new form when it is next saved; until then it stays as
    /// it is. One from a newer version is [`Error::ContentMismatch`].
    ///
    /// Raise it whenever a field or a variant of typed content is added, renamed, moved or given
    /// another type. A change without it is no danger: what was written before is
    /// [`Error::ContentMismatch`], never another value. Content in [`Json`](crate::Json) needs no
    /// version for fields that come, with `#[serde(default)]`, and go.
    ///
    /// # Examples
    ///
    /// See [`StoredContent`].
    pub fn content_version(
        self,
        version: u32,
        migrate: impl Fn(StoredContent<'_>) -> Result<C> + Send + Sync + 'static,
    ) -> Self {
        Self { content_version: version, migrate: Some(Arc::new(migrate)), ..self }
    }

    /// Where the time comes from. Default: the clock of the server that holds the sessions, where
    /// there is one, so that all hosts go by one clock; else [`SystemClock`](crate::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Where session ids come from, for tests of what happens when that fails.
    #[cfg(feature = "testing")]
    pub fn random_source(self, random: impl RandomSource) -> Self {
        Self { random: Arc::new(random), ..self }
    }

    /// What holds the records, for [`build`](Self::build): an engine of your own, or one that is
    /// shared. `Arc<E>` is an engine where `E` is.
    pub fn engine(self, engine: impl Engine) -> Self {
        Self { engine: Some(Arc::new(engine)), ..self }
    }

    fn check(&self) -> Result<()> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const HOUR: Duration = Duration::from_secs(3_600);
        const DAY: Duration = Duration::from_secs(86_400);
        self.redb.check()?;
        if self.max_content_len > content::MAX_LEN {
            return Err(Error::setting("max_content_len", "must be at most 16 MiB"));
        }
        if self.max_sessions == 0 {
            return Err(Error::setting("max_sessions", "must be at least 1"));
        }
        if self.user_limit.is_some_and(|(max, _)| max == 0) {
            return Err(Error::setting("max_sessions_per_user", "must be at least 1"));
        }
        if !(SHORTEST..=HOUR).contains(&self.touch_interval) {
            return Err(Error::setting("touch_interval", "must be from 1 ms to 1 hour"));
        }
        if !(SHORTEST..=DAY).contains(&self.sweep_interval) {
            return Err(Error::setting("sweep_interval", "must be from 1 ms to 1 day"));
        }
        if self.migrate.is_some() && self.content_version == 0 {
            return Err(Error::setting("content_version", "must be at least 1"));
        }
        for (setting, name) in self
            .content_name
            .iter()
            .map(|name| ("content_name", name))
            .chain(self.renamed_content.iter().map(|name| ("rename_content", name)))
        {
            content_name::check(setting, name)?;
        }
        Ok(())
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("timeouts", &self.timeouts)
            .field("redb", &self.redb)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
