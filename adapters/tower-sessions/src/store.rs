//! The store: the calls of every version of tower-sessions, over sessile's public API.
//!
//! Invariant: only `insert` creates a session. No save revives a session that has ended.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile::{Error, Json, Result, SessionId, SessionOptions, SessionStore, UserId};
use time::OffsetDateTime;

use crate::content::{Content, Data};

type UserOf = dyn Fn(&Data) -> Option<UserId> + Send + Sync;

/// Each failed attempt means that another request saved the session in between.
const MAX_ATTEMPTS: u32 = 10_000;

/// Added to a saved session's lifetime for its absolute timeout. That timeout counts from the
/// creation, and only the store's clock knows the session's age.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A store for [tower-sessions](https://docs.rs/tower-sessions): give it to its
/// `SessionManagerLayer`.
///
/// A cheap handle: clone it. All clones share one file; dropping the last clone closes the file.
///
/// # Examples
///
/// ```
/// use sessile_tower_sessions::SessileStore;
/// use tower_sessions::SessionManagerLayer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store = SessileStore::open(path)?;
/// let layer = SessionManagerLayer::new(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessileStore {
    sessions: SessionStore<Json<Content>>,
    user_of: Option<Arc<UserOf>>,
    /// Whether reads wait for a server and so must not run on a runtime's thread.
    reads_wait: bool,
}

impl SessileStore {
    /// Opens a store in a file, or creates it.
    ///
    /// # Errors
    ///
    /// As for [`SessionStore::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SessionStore::builder().content_name("tower-sessions").open(path).map(Self::new)
    }

    /// Opens the store that a URL names: a file, memory, or a server, as
    /// [`SessionStore::connect`] does. Each kind of server needs its feature of `sessile`.
    ///
    /// This call blocks: make it before the server accepts requests.
    ///
    /// # Errors
    ///
    /// As for [`Builder::connect`](sessile::Builder::connect).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_tower_sessions::SessileStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("file:{}", folder.path().join("sessions.redb").display());
    /// // From the configuration: "file:sessions.redb" today, "postgres://shop@db/shop" tomorrow.
    /// let store = SessileStore::connect(&url)?;
    /// assert!(store.sessions().is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(url: &str) -> Result<Self> {
        let sessions = SessionStore::builder().content_name("tower-sessions").connect(url)?;
        let reads_wait = !is_on_this_machine(url);
        Ok(Self { reads_wait, ..Self::new(sessions) })
    }

    /// A store without a file, for tests.
    ///
    /// # Errors
    ///
    /// As for [`SessionStore::in_memory`].
    pub fn in_memory() -> Result<Self> {
        SessionStore::in_memory().map(Self::new)
    }

    /// A store with your own settings, in a file or in memory. Its reads run in place.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    /// use sessile_tower_sessions::SessileStore;
    ///
    /// let sessions = SessionStore::builder().max_sessions(50_000).in_memory()?;
    /// let store = SessileStore::new(sessions);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn new(sessions: SessionStore<Json<Content>>) -> Self {
        Self { sessions, user_of: None, reads_wait: false }
    }

    /// A store with your own settings, on a server. Its reads run on a blocking thread, as its
    /// writes do. Use this also for a file that is much larger than the machine's memory.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use sessile::SessionStore;
    /// use sessile_tower_sessions::SessileStore;
    ///
    /// let sessions = SessionStore::builder().max_sessions(50_000);
    /// let store = SessileStore::on_server(sessions.connect("postgres://shop@db/shop")?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn on_server(sessions: SessionStore<Json<Content>>) -> Self {
        Self { reads_wait: true, ..Self::new(sessions) }
    }

    /// Sets the function that derives a session's user from the session's values. Every save calls
    /// it.
    ///
    /// A page of a user's devices and "log out everywhere" then need no scan:
    /// [`sessions`](Self::sessions) finds sessions by user.
    ///
    /// # Security
    ///
    /// A session that was last saved without this function has no user until its next save, so
    /// "log out everywhere" does not end it. When you add the function to a program in use, or
    /// change it, end the earlier sessions once: all by
    /// [`clear`](SessionStore::clear), or those that
    /// [`for_each`](SessionStore::for_each) shows without a user, by
    /// [`destroy_key`](SessionStore::destroy_key).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_tower_sessions::SessileStore;
    ///
    /// // axum-login keeps the user's id under this name.
    /// let store = SessileStore::in_memory()?.with_user(|data| {
    ///     let user = data.get("axum-login.data")?.get("user_id")?;
    ///     user.as_i64().map(Into::into).or_else(|| user.as_str().map(Into::into))
    /// });
    /// assert!(store.sessions().sessions_of("ann")?.is_empty());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn with_user(
        mut self,
        user_of: impl Fn(&Data) -> Option<UserId> + Send + Sync + 'static,
    ) -> Self {
        self.user_of = Some(Arc::new(user_of));
        self
    }

    /// The store beneath: lists a user's sessions, ends them, closes the file.
    ///
    /// Call its writing methods on a thread that may block, such as one of
    /// `tokio::task::spawn_blocking`.
    #[must_use]
    pub const fn sessions(&self) -> &SessionStore<Json<Content>> {
        &self.sessions
    }

    /// Creates a session. A session that has expired already gets an id and is not stored.
    pub(crate) async fn insert(&self, data: Data, ends: OffsetDateTime) -> Outcome<SessionId> {
        self.on_a_blocking_thread(move |store| {
            let Some(life) = life(OffsetDateTime::now_utc(), ends) else {
                return SessionId::generate();
            };
            let mut options = SessionOptions::new().inactivity(life).absolute(life);
            if let Some(user) = store.user_of(&data) {
                options = options.user(user);
            }
            let session = store.sessions.create_with(Json(Content::new(data, ends)), &options)?;
            Ok(session.id().clone())
        })
        .await
    }

    /// Saves a live session; does nothing if there is no such session.
    pub(crate) async fn replace(
        &self,
        id: SessionId,
        data: Data,
        ends: OffsetDateTime,
    ) -> Outcome<()> {
        self.on_a_blocking_thread(move |store| {
            let user = store.user_of(&data);
            let content = Json(Content::new(data, ends));
            for _ in 0..MAX_ATTEMPTS {
                // `life` compares two moments of this machine; the store's clock may be a server's.
                let Some(life) = life(OffsetDateTime::now_utc(), ends) else {
                    return store.sessions.destroy(&id).map(drop);
                };
                let Some(mut session) = store.sessions.read(&id)? else { return Ok(()) };
                session.set_timeouts(life, life.saturating_add(CENTURY))?;
                match &user {
                    Some(user) => session.set_user(user),
                    None => session.clear_user(),
                }
                session.content_mut().clone_from(&content);
                match store.sessions.update(&mut session) {
                    Err(Error::Conflict { .. }) => {}
                    Err(Error::Gone { .. }) => return Ok(()),
                    outcome => return outcome,
                }
            }
            Err(Error::Conflict { key: id.key() })
        })
        .await
    }

    /// Reads a session on the calling thread, or on a blocking thread if it waits for a server.
    pub(crate) async fn find(&self, id: SessionId) -> Outcome<Option<(Data, OffsetDateTime)>> {
        let read = move |store: &Self| store.sessions.read(&id);
        let session = match self.reads_wait {
            true => self.on_a_blocking_thread(read).await?,
            false => read(self)?,
        };
        let Some(session) = session else { return Ok(None) };
        let content = session.into_content().into_inner();
        let Some(ends) = content.expiry_date() else {
            return Err(Failure::Decode("the session's expiry date is out of range".into()));
        };
        Ok((ends > OffsetDateTime::now_utc()).then(|| (content.into_data(), ends)))
    }

    pub(crate) async fn remove(&self, id: SessionId) -> Outcome<()> {
        self.on_a_blocking_thread(move |store| store.sessions.destroy(&id).map(drop)).await
    }

    pub(crate) async fn sweep(&self) -> Outcome<()> {
        self.on_a_blocking_thread(|store| store.sessions.clean_up_expired().map(drop)).await
    }

    fn user_of(&self, data: &Data) -> Option<UserId> {
        self.user_of.as_ref().and_then(|user_of| user_of(data))
    }

    async fn on_a_blocking_thread<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Outcome<T> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || act(&store)).await {
            Ok(outcome) => Ok(outcome?),
            // The error's own text has the panic's message, and so perhaps a session's values.
            Err(error) if error.is_panic() => Err(Failure::Backend(
                "the blocking thread panicked, perhaps in the function of `with_user`".into(),
            )),
            Err(_) => Err(Failure::Backend(
                "the runtime is shutting down; the call was not begun, and changed nothing".into(),
            )),
        }
    }
}

impl fmt::Debug for SessileStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessileStore").finish_non_exhaustive()
    }
}

/// Whether a URL names a store in a file or in memory, which is read without another process.
fn is_on_this_machine(url: &str) -> bool {
    url.starts_with("file:") || url.starts_with("memory:")
}

/// The lifetime from one moment to the session's end, in milliseconds; `None` if the session has
/// ended. It is rounded up, and one millisecond is added because the store counts from the start of
/// the current one. So the store never ends the session early; [`SessileStore::find`] compares the
/// exact end.
fn life(from: OffsetDateTime, ends: OffsetDateTime) -> Option<Duration> {
    let nanoseconds = u128::try_from((ends - from).whole_nanoseconds()).ok()?;
    let milliseconds = u64::try_from(nanoseconds.div_ceil(1_000_000)).ok()?;
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds.saturating_add(1)))
}

pub(crate) type Outcome<T> = std::result::Result<T, Failure>;

/// An error in one of tower-sessions' three kinds, with the whole chain of its causes.
#[derive(Debug)]
pub(crate) enum Failure {
    Encode(String),
    Decode(String),
    Backend(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        for cause in error.causes() {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        match error {
            Error::Encode { .. } | Error::TooLarge { .. } => Self::Encode(text),
            Error::DamagedRecord { .. } | Error::ContentMismatch { .. } => Self::Decode(text),
            _ => Self::Backend(text),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

    use time::Duration as Span;

    use super::*;

    #[test]
    fn a_life_is_rounded_up_to_a_millisecond_and_counts_the_one_that_has_begun() {
        let now = OffsetDateTime::now_utc();
        let lives = [(1, 2), (999_999, 2), (1_000_000, 2), (1_000_001, 3)];
        for (nanoseconds, milliseconds) in lives {
            let ends = now + Span::nanoseconds(nanoseconds);
            assert_eq!(life(now, ends), Some(Duration::from_millis(milliseconds)));
        }
        assert_eq!(life(now, now), None);
        assert_eq!(life(now, now - Span::nanoseconds(1)), None);
    }

    #[test]
    fn reads_of_a_server_wait_and_those_of_a_file_and_of_memory_do_not() {
        for url in ["postgres://h/d", "postgresql://h/d", "mysql://h/d", "redis://h", "rediss://h"]
        {
            assert!(!is_on_this_machine(url), "{url}");
        }
        assert!(is_on_this_machine("file:sessions.redb") && is_on_this_machine("memory:"));
        assert!(!SessileStore::connect("memory:").unwrap().reads_wait);
        let sessions = SessionStore::in_memory().unwrap();
        assert!(SessileStore::on_server(sessions).reads_wait);
    }
}
