//! Every setting of a store: its default, its range, its effect and the reason for it.

// rustdoc shows the methods of `Builder` in this order, and those of this file after them.
mod opening;
mod url;

#[cfg(feature = "app-dir")]
pub(crate) mod app_dir;
mod content_name;
mod file_settings;
mod observing;
mod server_clock;

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
use crate::record::content::Same;
use crate::record::content::StoredContent;
use crate::session::attributes::Attributes;
use crate::store::codec::Migrate;
use crate::time::clock::Clock;
use crate::time::timeouts::Timeouts;

/// Settings of a store. Every setting has a default that is safe for production.
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
    /// Compares content with its decoded copy.
    same: Option<Same<C>>,
    /// `None`: the clock of the server that holds the sessions, if there is one, else the system's.
    clock: Option<Arc<dyn Clock>>,
    random: Arc<dyn RandomSource>,
    redb: RedbOptions,
    /// The first file setting that was set.
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
            same: None,
            clock: None,
            random: Arc::new(SystemRandom),
            redb: RedbOptions::new(),
            of_file: None,
            engine: None,
            observing: Observing::default(),
            file: None,
        }
    }

    /// Sets the timeouts of sessions without their own. Default: 15 minutes for inactivity, 7 days
    /// absolute.
    ///
    /// They apply at once to every such session in the file. Shorter timeouts than those on record
    /// cost a pass over all sessions, and delete nothing until they are
    /// [adopted](Self::adopt_shorter_timeouts).
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Adopts shorter timeouts than those on record at once. Default: sweeps delete nothing for
    /// shorter timeouts until the store has been open for one full
    /// [`sweep_interval`](Self::sweep_interval), or until
    /// [`SessionStore::adopt_shorter_timeouts`](crate::SessionStore::adopt_shorter_timeouts). The
    /// monotonic clock measures this interval; for `clean_up_expired` and `close`, the clock that
    /// [`clock`](Self::clock) sets. A `close` makes no pass over all sessions: if it would need
    /// one, the next opening finds the longer timeouts on record. A session that is expired under
    /// the store's own timeouts is absent either way. A new store, such as one in memory, has no
    /// longer timeouts on record.
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

    /// Sets the most bytes of a session's encoded content. Default: 64 KiB, because content is read
    /// and written whole; at most 16 MiB. Larger content is refused with [`Error::TooLarge`];
    /// larger content that is already stored stays readable.
    pub fn max_content_len(self, bytes: usize) -> Self {
        Self { max_content_len: bytes, ..self }
    }

    /// Sets the most sessions that may exist at once. Default: 10,000,000, about 5 GB of small
    /// sessions, so that a flood of new sessions does not fill the disk; at least 1. A further
    /// session is refused with [`Error::Full`], once up to 64 steps of a sweep have found none that
    /// is expired.
    pub fn max_sessions(self, sessions: u64) -> Self {
        Self { max_sessions: sessions, ..self }
    }

    /// Sets the most live sessions of one user, and the policy for one more: it is refused, or the
    /// user's least recently active session ends (ASVS 5.0, 7.1.2). Default: no limit; at least 1.
    ///
    /// The limit applies whenever a user gets a session: by `create_for_user`, or by
    /// [`set_user`](crate::Session::set_user) and a save. It is part of the transaction that stores
    /// the session, so concurrent logins cannot exceed it. On MySQL a login may miss one session
    /// that gets a new id at that moment. A new or lower limit leaves existing sessions until their
    /// user gets another one.
    ///
    /// With a limit, each login reads all stored sessions of its user.
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

    /// Sets how often touches are written if no other write includes them. Default: 1 second, which
    /// is the most that a crash may take from a deadline; 1 ms to 1 hour.
    pub fn touch_interval(self, interval: Duration) -> Self {
        Self { touch_interval: interval, ..self }
    }

    /// Sets how often expired sessions are deleted. Default: 60 seconds; 1 ms to 1 day. Expired
    /// sessions are invisible from their very millisecond, so this affects only disk space. On a
    /// server each interval is up to a fifth shorter or longer, so that the hosts do not all sweep
    /// at once.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }

    /// Starts no background threads. The program must call
    /// [`clean_up_expired`](crate::SessionStore::clean_up_expired) and
    /// [`flush`](crate::SessionStore::flush) itself. Until then, touches are written only with
    /// other writes. These two calls also report checkpoints and reopenings to observers, and set
    /// the gauges of the feature `metrics`.
    pub fn manual_maintenance(self) -> Self {
        Self { manual_maintenance: true, ..self }
    }

    /// Names the content; the name is stored in the file and compared at every opening. Default:
    /// none, which opens any store. 1 to 255 bytes, without NUL.
    ///
    /// The name tells stores apart before any session is read: a program that names its content
    /// does not open another program's file by mistake. A store without a name takes the first one
    /// it is opened with, and a file without sessions takes any name. A program without a name also
    /// opens a named store, so a release that adds a name can be rolled back.
    ///
    /// # Errors
    ///
    /// Opening fails with [`Error::ContentMismatch`] if the store has sessions and another name;
    /// see [`rename_content`](Self::rename_content). It fails with [`Error::InvalidSetting`] for a
    /// name of another length or with NUL.
    pub fn content_name(self, name: impl Into<String>) -> Self {
        Self { content_name: Some(name.into()), ..self }
    }

    /// Gives a former name of the content. A store of that name takes
    /// [`content_name`](Self::content_name) when it is opened, or loses its names if no new one is
    /// set. A store of another name is left as it is; a new store, such as one in memory, has no
    /// former name. May be called for several names.
    ///
    /// The former name still opens the store, so the previous release can be restored: a store
    /// keeps its last 16 names.
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

    /// Sets the version of the content type, 1 or greater, and the migration from earlier versions.
    /// Default: 0.
    ///
    /// Every record carries the version that it was written with. The store passes an older record
    /// to `migrate` when it is read, and stores the new form when the session is next saved; until
    /// then the record stays as it is. A record of a newer version is [`Error::ContentMismatch`].
    ///
    /// Raise the version whenever a field or a variant of typed content is added, removed, moved,
    /// renamed or given another type. If you forget to, an earlier record is
    /// [`Error::ContentMismatch`] where a name or a kind of value differs. A change that keeps them
    /// cannot be seen, such as two fields of one kind that change places in a tuple:
    /// [`guide::content`](crate::guide::content) lists these. Content in [`Json`](crate::Json)
    /// needs no version for fields that are added, with `#[serde(default)]`, or removed.
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

    /// Also compares content by `PartialEq` with what is decoded from it, before it is stored.
    /// Default: off.
    ///
    /// Without it, a write compares what `Serialize` writes for the two. So it misses a difference
    /// that `Serialize` does not write, such as a skipped field that is not empty, or a
    /// `flatten`ed `None` that comes back as a `Some` of empty fields:
    /// [`guide::content`](crate::guide::content) lists these. With it, such content is refused with
    /// [`Error::Encode`]. So is a `NaN`, and every other value that is not equal to itself. Each
    /// write of content costs one comparison more.
    ///
    /// # Examples
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use sessile::{Error, Json, SessionStore};
    ///
    /// #[derive(PartialEq, Serialize, Deserialize)]
    /// struct Profile {
    ///     name: String,
    ///     #[serde(skip)]
    ///     is_admin: bool,
    /// }
    ///
    /// let store = SessionStore::<Json<Profile>>::builder().compare_content().in_memory()?;
    /// let guest = Profile { name: "ann".into(), is_admin: false };
    /// store.create(Json(guest))?;
    /// let admin = Profile { name: "bob".into(), is_admin: true };
    /// assert!(matches!(store.create(Json(admin)), Err(Error::Encode { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn compare_content(self) -> Self
    where
        C: PartialEq,
    {
        Self { same: Some(C::eq), ..self }
    }

    /// Sets the clock. Default: the clock of the server that holds the sessions, if there is one,
    /// so that all hosts use one clock; else [`SystemClock`](crate::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Sets the source of session ids, to test its failure.
    #[cfg(feature = "testing")]
    pub fn random_source(self, random: impl RandomSource) -> Self {
        Self { random: Arc::new(random), ..self }
    }

    /// Sets the engine that holds the records, for [`build`](Self::build): your own, or a shared
    /// one. `Arc<E>` is an engine if `E` is.
    ///
    /// Dropping the last handle of a store flushes a shared engine, which stays open.
    /// [`close`](crate::SessionStore::close) closes it for every store on it.
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
