//! The store: the calls of actix-session's trait, over sessile's public API. Every method blocks.
//!
//! Invariant: no save revives a session that has ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{cmp, fmt};

use sessile::{Error, Json, Result, Session, SessionId, SessionOptions, SessionStore, UserId};

use crate::content::{Content, State};

type UserOf = dyn Fn(&State) -> Option<UserId> + Send + Sync;

/// Each failed attempt means that another request saved the session in between.
const MAX_ATTEMPTS: u32 = 10_000;

/// actix-session knows no absolute timeout. A session that is active ends after a century.
const CENTURY_MS: u64 = 100 * 366 * 24 * 60 * 60 * 1_000;

/// A store for [actix-session](https://docs.rs/actix-session): give it to its `SessionMiddleware`.
///
/// A cheap handle: clone it into every worker. All clones share one file; dropping the last clone
/// closes the file.
///
/// # Examples
///
/// ```
/// use actix_session::SessionMiddleware;
/// use actix_web::cookie::Key;
/// use sessile_actix_session::SessileStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store = SessileStore::open(path)?;
/// let middleware = SessionMiddleware::new(store, Key::generate());
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
        SessionStore::builder().content_name("actix-session").open(path).map(Self::new)
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
    /// use sessile_actix_session::SessileStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("file:{}", folder.path().join("sessions.redb").display());
    /// // From the configuration: "file:sessions.redb" today, "postgres://shop@db/shop" tomorrow.
    /// let store = SessileStore::connect(&url)?;
    /// assert!(store.sessions().is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(url: &str) -> Result<Self> {
        let sessions = SessionStore::builder().content_name("actix-session").connect(url)?;
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
    /// use sessile_actix_session::SessileStore;
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
    /// use sessile_actix_session::SessileStore;
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
    /// use sessile_actix_session::SessileStore;
    ///
    /// // A value is JSON: a name in quotes, with escapes. A number would be read as a `u64`.
    /// let store = SessileStore::in_memory()?.with_user(|state| {
    ///     serde_json::from_str::<String>(state.get("user_id")?).ok().map(Into::into)
    /// });
    /// assert!(store.sessions().sessions_of("ann")?.is_empty());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn with_user(
        mut self,
        user_of: impl Fn(&State) -> Option<UserId> + Send + Sync + 'static,
    ) -> Self {
        self.user_of = Some(Arc::new(user_of));
        self
    }

    /// The store beneath: lists a user's sessions, ends them, closes the file.
    ///
    /// Call its writing methods on a thread that may block, such as one of `actix_web::web::block`.
    #[must_use]
    pub const fn sessions(&self) -> &SessionStore<Json<Content>> {
        &self.sessions
    }

    /// Whether a read must not run on a worker's thread.
    pub(crate) const fn reads_wait(&self) -> bool {
        self.reads_wait
    }

    /// Creates a session. A session with a `ttl` of 0 gets an id and is not stored.
    pub(crate) fn insert(&self, state: State, ttl_ms: u64) -> Result<SessionId> {
        if ttl_ms == 0 {
            return SessionId::generate();
        }
        let (inactivity, absolute) = timeouts(ttl_ms);
        let mut options = SessionOptions::new().inactivity(inactivity).absolute(absolute);
        if let Some(user) = self.user_of(&state) {
            options = options.user(user);
        }
        let session = self.sessions.create_with(Json(Content::new(state, ttl_ms)), &options)?;
        Ok(session.id().clone())
    }

    /// Saves a live session. For a session that has ended, creates an empty session with a new id
    /// and discards the state. Ends a session that cannot be read, and creates one with the state:
    /// the middleware gave its request an empty state.
    pub(crate) fn replace(&self, id: SessionId, state: State, ttl_ms: u64) -> Result<SessionId> {
        if ttl_ms == 0 {
            self.sessions.destroy(&id)?;
            return Ok(id);
        }
        let user = self.user_of(&state);
        let content = Json(Content::new(state, ttl_ms));
        let saved = self.change(&id, ttl_ms, |session| {
            match &user {
                Some(user) => session.set_user(user),
                None => session.clear_user(),
            }
            session.content_mut().clone_from(&content);
        });
        match saved {
            Ok(true) => Ok(id),
            Err(error) if is_unreadable(&error) && self.sessions.destroy(&id)? => {
                self.insert(content.into_inner().into_state(), ttl_ms)
            }
            Err(error) if !is_unreadable(&error) => Err(error),
            // It has ended, perhaps just now.
            Ok(false) | Err(_) => self.insert(State::new(), ttl_ms),
        }
    }

    /// Extends a session's lifetime, without a commit, if the session has this `ttl`. `false` if it
    /// has another `ttl` and is unchanged. A session that cannot be read keeps its lifetime, as long
    /// as a `ttl` is left to it.
    pub(crate) fn has_ttl(&self, id: &SessionId, ttl_ms: u64) -> Result<bool> {
        let ttl = Duration::from_millis(ttl_ms);
        match self.sessions.read(id) {
            Ok(Some(session)) if session.content().ttl() == ttl => {
                self.sessions.extend_lifetime(id).map(|_| true)
            }
            Ok(Some(_)) => Ok(false),
            Ok(None) => Ok(true),
            Err(error) if is_unreadable(&error) => Ok(ttl_ms > 0),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn set_ttl(&self, id: &SessionId, ttl_ms: u64) -> Result<()> {
        if ttl_ms == 0 {
            return self.remove(id);
        }
        match self.change(id, ttl_ms, |session| session.content_mut().set_ttl_ms(ttl_ms)) {
            Err(error) if !is_unreadable(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn find(&self, id: &SessionId) -> Result<Option<State>> {
        let session = self.sessions.read(id)?;
        Ok(session.map(|session| session.into_content().into_inner().into_state()))
    }

    pub(crate) fn remove(&self, id: &SessionId) -> Result<()> {
        self.sessions.destroy(id).map(drop)
    }

    /// Changes a session and its `ttl` in one commit; `false` if there is no such session.
    fn change(
        &self,
        id: &SessionId,
        ttl_ms: u64,
        change: impl Fn(&mut Session<Json<Content>>),
    ) -> Result<bool> {
        let (inactivity, absolute) = timeouts(ttl_ms);
        for _ in 0..MAX_ATTEMPTS {
            let Some(mut session) = self.sessions.read(id)? else { return Ok(false) };
            session.set_timeouts(inactivity, absolute)?;
            change(&mut session);
            match self.sessions.update(&mut session) {
                Ok(()) => return Ok(true),
                Err(Error::Conflict { .. }) => {}
                Err(Error::Gone { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { key: id.key() })
    }

    fn user_of(&self, state: &State) -> Option<UserId> {
        self.user_of.as_ref().and_then(|user_of| user_of(state))
    }
}

impl fmt::Debug for SessileStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessileStore").finish_non_exhaustive()
    }
}

/// Whether an error means that there is a session, and that its content cannot be read. `load` calls
/// this [`Deserialization`](actix_session::storage::LoadError::Deserialization); the middleware goes
/// on with the session's key and an empty state.
pub(crate) const fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::DamagedRecord { .. } | Error::ContentMismatch { .. })
}

/// Whether a URL names a store in a file or in memory, which is read without another process.
fn is_on_this_machine(url: &str) -> bool {
    url.starts_with("file:") || url.starts_with("memory:")
}

/// The two timeouts of a session with this `ttl`, which counts from the last save or touch.
fn timeouts(ttl_ms: u64) -> (Duration, Duration) {
    (Duration::from_millis(ttl_ms), Duration::from_millis(cmp::max(ttl_ms, CENTURY_MS)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

    use super::*;

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
