//! Reads, changes and ends other people's sessions by the key in a listing, without their ids.
//!
//! Invariant: nothing here extends a session's life, and nothing takes or returns an id.

use std::collections::HashSet;
use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::outcome::Replace;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::Session;
use crate::session::info::SessionInfo;
use crate::session::user::{UserId, UserKey};
use crate::store::SessionStore;
use crate::store::codec::info_of;
use crate::store::events::EndReason;
use crate::store::modify::{MAX_ATTEMPTS, ModifyOutcome};

/// A session without its id: its line in a listing, and its content.
///
/// # Examples
///
/// See [`SessionStore::read_key`] and [`SessionStore::modify_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionByKey<C> {
    info: SessionInfo,
    content: C,
}

impl<C> SessionByKey<C> {
    /// The session's line in a listing: key, user and times.
    #[must_use]
    pub const fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// The content.
    #[must_use]
    pub const fn content(&self) -> &C {
        &self.content
    }

    /// The content, to change it. [`SessionStore::modify_key`] saves it.
    pub const fn content_mut(&mut self) -> &mut C {
        &mut self.content
    }

    /// Returns the content alone.
    #[must_use]
    pub fn into_content(self) -> C {
        self.content
    }
}

impl<C> SessionByKey<Result<C>> {
    /// The session with its content, or the reason why the content cannot be read.
    fn readable(self) -> Result<SessionByKey<C>> {
        Ok(SessionByKey { info: self.info, content: self.content? })
    }
}

/// The closure's value, and the session as it was saved.
type Changed<R, C> = Option<(<R as ModifyOutcome<SessionByKey<C>>>::Value, SessionByKey<C>)>;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Reads a session by its key from a listing, for a page of a user's devices or for an
    /// administrator. `None` if there is no such session. Does not extend its life.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<String>::in_memory()?;
    /// let key = store.create_for_user("ann", "Firefox on Linux".into())?.key();
    /// let session = store.read_key(&key)?;
    /// assert!(session.is_some_and(|session| session.content() == "Firefox on Linux"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "read_by_key")]
    pub fn read_key(&self, key: &SessionKey) -> Result<Option<SessionByKey<C>>> {
        let core = &self.handle.core;
        let record = core.counting_damage(core.engine.load(key, core.moment()?))?;
        record.map(|record| self.by_key(*key, &record).readable()).transpose()
    }

    /// Changes a session's content by its key, and tries again if another caller saved it in
    /// between: for a role or a plan that changes while its user is logged in. The call returns the
    /// closure's value, as [`modify`](Self::modify) does; after `()` it returns the saved session.
    /// `None` if there is no such session. Does not extend its life. One durable commit a try.
    ///
    /// # Errors
    ///
    /// As for [`modify`](Self::modify).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create_for_user("ann", 1)?;
    /// let before = store.modify_key(&session.key(), |session| {
    ///     let before = *session.content();
    ///     *session.content_mut() += 1;
    ///     before
    /// })?;
    /// assert_eq!(before, Some(1));
    /// assert_eq!(store.read(session.id())?.map(|session| *session.content()), Some(2));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "modify_by_key")]
    pub fn modify_key<R: ModifyOutcome<SessionByKey<C>>>(
        &self,
        key: &SessionKey,
        mut change: impl FnMut(&mut SessionByKey<C>) -> R,
    ) -> Result<R::Output, R::Error> {
        let changed = self.change_key(key, None, &mut change)??;
        Ok(changed.map_or_else(R::gone, |(value, session)| R::saved(value, session)))
    }

    /// The same method as [`modify_key`](Self::modify_key).
    ///
    /// # Errors
    ///
    /// As for [`modify_key`](Self::modify_key).
    pub fn modify_by_key<R: ModifyOutcome<SessionByKey<C>>>(
        &self,
        key: &SessionKey,
        change: impl FnMut(&mut SessionByKey<C>) -> R,
    ) -> Result<R::Output, R::Error> {
        self.modify_key(key, change)
    }

    /// Changes the content of every other session of this session's user, and returns how many
    /// changed: for a role or a plan that this session has just changed. Each change is a commit of
    /// its own. An error of the closure ends the call.
    ///
    /// The user is the stored one, as for [`destroy_others`](Self::destroy_others), not an unsaved
    /// [`set_user`](Session::set_user). Each commit compares the session's user: a session that
    /// another user has taken over is not changed. A session that has got a new id is changed under
    /// that id. The closure may see a session twice, so it should set values, not add to them.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the session itself has ended; nothing is changed then. A session whose
    /// content cannot be read does not keep the others from their change: the first such error is
    /// returned at the end. A damaged record is left out, as in [`sessions_of`](Self::sessions_of).
    /// Otherwise as for [`modify_key`](Self::modify_key); earlier changes stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<String>::in_memory()?;
    /// let here = store.create_for_user("ann", "free".into())?;
    /// let there = store.create_for_user("ann", "free".into())?;
    /// let others = store.update_others(&here, |session| *session.content_mut() = "paid".into())?;
    /// assert_eq!(others, 1);
    /// assert!(store.read(there.id())?.is_some_and(|session| session.content() == "paid"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn update_others<R: ModifyOutcome<SessionByKey<C>>>(
        &self,
        session: &Session<C>,
        mut change: impl FnMut(&mut SessionByKey<C>) -> R,
    ) -> Result<u64, R::Error> {
        let (core, key) = (&self.handle.core, session.key());
        let stored = core.counting_damage(core.engine.load(&key, core.moment()?))?;
        let Some(owner) = stored.ok_or(Error::Gone { key })?.user() else { return Ok(0) };
        let Some(user) = owner.to_id() else { return Ok(0) };
        let (mut changed, mut first_error) = (0, None);
        let mut seen = HashSet::from([key]);
        let mut others = self.sessions_of(user.clone())?;
        others.retain(|other| other.key() != key);
        for _ in 0..MAX_ATTEMPTS {
            let mut missing = HashSet::new();
            for other in others {
                seen.insert(other.key());
                match self.change_key(&other.key(), Some(&owner), &mut change)? {
                    Ok(Some(_)) => changed += 1,
                    Ok(None) => drop(missing.insert(other.created_at())),
                    Err(unreadable) => drop(first_error.get_or_insert(unreadable)),
                }
            }
            if missing.is_empty() {
                return first_error.map_or(Ok(changed), |error| Err(error.into()));
            }
            // A missing session has ended, or has a new key and was created at the same time.
            others = self.sessions_of(user.clone())?;
            let is_new = |other: &SessionInfo| !seen.contains(&other.key());
            others.retain(|other| is_new(other) && missing.contains(&other.created_at()));
        }
        Err(Error::Conflict { key }.into())
    }

    /// Reads, changes and saves, until no other caller saves in between. Another user's session
    /// counts as missing. The inner error means that the session cannot be read.
    fn change_key<R: ModifyOutcome<SessionByKey<C>>>(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        change: &mut impl FnMut(&mut SessionByKey<C>) -> R,
    ) -> Result<Result<Changed<R, C>>, R::Error> {
        let core = &self.handle.core;
        for _ in 0..MAX_ATTEMPTS {
            let stored = match core.counting_damage(core.engine.load(key, core.moment()?)) {
                Err(error @ Error::DamagedRecord { .. }) => return Ok(Err(error)),
                stored => stored?,
            };
            // Only this revision is replaced below, so the owner is still the same then.
            let stored = stored.filter(|stored| owner.is_none_or(|owner| stored.is_of(owner)));
            let Some(stored) = stored else { return Ok(Ok(None)) };
            let mut session = match self.by_key(*key, &stored).readable() {
                Ok(session) => session,
                Err(unreadable) => return Ok(Err(unreadable)),
            };
            let value = change(&mut session).into_value()?;
            let record = self.changed(&stored, &session.content)?;
            let (moment, limits) = (core.moment()?, core.limits());
            let revision = stored.revision();
            let replaced = core.engine.replace(key, revision, record.clone(), moment, limits);
            match core.counting_damage(replaced)? {
                Replace::Done(saved) => {
                    session.info =
                        info_of(*key, &record.touched(saved.last_active), &core.timeouts);
                    core.tell_ended(&saved.ended, EndReason::OverUserLimit);
                    return Ok(Ok(Some((value, session))));
                }
                Replace::Missing => return Ok(Ok(None)),
                Replace::UserFull => return Err(core.user_full().into()),
                Replace::Conflict => drop(core.conflict(*key)),
            }
        }
        Err(Error::Conflict { key: *key }.into())
    }

    /// Lists a user's sessions with their content, the most recently active first: for a page of
    /// devices. Costs a read of this user's sessions only.
    ///
    /// Each session has a `Result`: its content, or the reason why the content cannot be read, such
    /// as [`Error::ContentMismatch`]. So one such session does not keep its user from seeing and
    /// ending the others, or itself.
    ///
    /// # Errors
    ///
    /// As for [`sessions_of`](Self::sessions_of): a damaged record, which has no times to show, is
    /// left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<String>::in_memory()?;
    /// store.create_for_user("ann", "Firefox on Linux".into())?;
    /// for session in store.sessions_of_with("ann")? {
    ///     let browser = session.content().as_ref().map_or("unknown", String::as_str);
    ///     println!("{}: {browser}", session.info().key());
    /// }
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn sessions_of_with(
        &self,
        user: impl Into<UserId>,
    ) -> Result<Vec<SessionByKey<Result<C>>>> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let (user, moment) = (user.into().to_key()?, core.moment()?);
        let mut sessions = Vec::new();
        core.engine.scan_user(&user, &mut |key, record| {
            match core.counting_damage(record) {
                Ok(record) if record.is_expired(moment) => {}
                Ok(record) => sessions.push(self.by_key(key, &record)),
                Err(Error::DamagedRecord { .. }) => {}
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        sessions.sort_by_key(|session| std::cmp::Reverse(session.info.times.last_active));
        Ok(sessions)
    }

    fn by_key(&self, key: SessionKey, record: &Record) -> SessionByKey<Result<C>> {
        let core = &self.handle.core;
        let content = core.counting_damage(self.handle.codec.decode(&key, record));
        SessionByKey { info: info_of(key, record, &core.timeouts), content }
    }

    /// The stored record with new content; nothing else changes.
    fn changed(&self, stored: &Record, content: &C) -> Result<Record> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let content = self.handle.codec.encode(content, core.max_content_len)?;
        let user = stored.user();
        let token = stored.csrf_token();
        let parts = Parts {
            user: user.as_ref(),
            csrf_token: token.as_ref(),
            own_timeouts: stored.own_timeouts(),
            revision: stored.revision().saturating_add(1),
            created_at: stored.created_at(),
            last_active: stored.last_active(),
            content_version: self.handle.codec.version,
            content: &content,
        };
        Record::new(&parts, &core.timeouts)
    }
}
