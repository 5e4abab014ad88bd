//! Saves a session: a new one, a changed one, and one under a new id.
//!
//! Invariant: a saved record has the next revision and the creation time of the record that it
//! replaces. The engine checks that this record is still the stored one.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::outcome::{Rekey, Replace};
use crate::error::create::CreateError;
use crate::error::timeouts::InvalidTimeouts;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::{Parts, Record};
use crate::session::csrf::CsrfToken;
use crate::session::id::SessionId;
use crate::session::options::SessionOptions;
use crate::session::user::UserId;
use crate::session::{Origin, Session, Times};
use crate::store::SessionStore;
use crate::store::codec::{origin_of, times_of};
use crate::store::core::{MAX_DRAWS, repeated_draws};
use crate::store::events::EndReason;
use crate::time::moment::Moment;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Creates a session and saves it. One durable commit.
    ///
    /// Refused content is dropped; [`create_or_give_back`](Self::create_or_give_back) returns it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] or [`Error::Encode`] for the content, [`Error::Full`] at `max_sessions`,
    /// [`Error::Generator`] if the operating system gives no random bytes,
    /// [`Error::InvalidTimeouts`] if the session would outlive the last moment that can be stored.
    /// Nothing is written then.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<String>::in_memory()?;
    /// let session = store.create("hello".into())?;
    /// assert!(store.read(session.id())?.is_some_and(|read| read.content() == "hello"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "createAndSaveSession")]
    pub fn create(&self, content: C) -> Result<Session<C>> {
        self.create_with(content, &SessionOptions::new())
    }

    /// Creates a session for a user and saves it. One durable commit.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create), [`Error::InvalidUser`] for a user id that is too long, and
    /// [`Error::UserFull`] at `max_sessions_per_user` if its policy is to refuse.
    #[doc(alias = "createAndSaveSessionFromUser")]
    pub fn create_for_user(&self, user: impl Into<UserId>, content: C) -> Result<Session<C>> {
        self.create_with(content, &SessionOptions::new().user(user))
    }

    /// Creates a session with options and saves it. One durable commit.
    ///
    /// # Errors
    ///
    /// As for [`create_for_user`](Self::create_for_user), and [`Error::InvalidTimeouts`] if the
    /// session's inactivity timeout is greater than its absolute timeout, or one of them is shorter
    /// than a millisecond.
    #[doc(alias = "createAndSaveSession")]
    pub fn create_with(&self, content: C, options: &SessionOptions) -> Result<Session<C>> {
        Ok(self.create_or_give_back(content, options)?)
    }

    /// As [`create_with`](Self::create_with), but returns refused content with the error: for a
    /// cart to store elsewhere, to shrink, or to try again once there is room.
    ///
    /// # Errors
    ///
    /// As for [`create_with`](Self::create_with), each with the content. In a function that returns
    /// [`Error`], `?` drops the content.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{SessionOptions, SessionStore};
    ///
    /// let store = SessionStore::<String>::builder().max_content_len(100).in_memory()?;
    /// let (cart, options) = ("tea, ".repeat(50), SessionOptions::new().user("ann"));
    /// let session = match store.create_or_give_back(cart, &options) {
    ///     Ok(session) => session,
    ///     Err(refused) => {
    ///         let cart = refused.into_content();
    ///         store.create_or_give_back(cart[..50].to_owned(), &options)?
    ///     }
    /// };
    /// assert_eq!(session.content().len(), 50);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn create_or_give_back(
        &self,
        content: C,
        options: &SessionOptions,
    ) -> Result<Session<C>, CreateError<C>> {
        match self.create_record(&content, options) {
            Ok(created) => Ok(created.with(content, options)),
            Err(error) => Err(CreateError::new(error, content)),
        }
    }

    fn create_record(&self, content: &C, options: &SessionOptions) -> Result<Created> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let own_timeouts = options.own_timeouts()?;
        let user = options.user_id().map(UserId::to_key).transpose()?;
        let bytes = self.handle.codec.encode(content, core.max_content_len)?;
        let csrf_token = match options.wants_csrf_token() {
            true => Some(CsrfToken::draw_from(&*core.random)?),
            false => None,
        };
        let moment = core.moment()?;
        own_timeouts.check_at_creation(moment.now, &core.timeouts)?;
        let parts = Parts {
            user: user.as_ref(),
            csrf_token: csrf_token.as_ref(),
            own_timeouts,
            revision: 1,
            created_at: moment.now,
            last_active: moment.now,
            content_version: self.handle.codec.version,
            content: &bytes,
        };
        let record = Record::new(&parts, &core.timeouts)?;
        let (id, key) = core.insert(&record, moment)?;
        let (times, origin) = (times_of(&record, &core.timeouts), origin_of(&record));
        Ok(Created { id, key, times, origin, revision: record.revision(), csrf_token })
    }

    /// Saves a session's content, user, timeouts and CSRF token, and extends its life. One durable
    /// commit.
    ///
    /// # Concurrency
    ///
    /// An update that the caller has not read is never overwritten: if another caller updated the
    /// session since it was read, the save is refused. Touches do not count as updates.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the session has ended: a request in flight does not undo a logout.
    /// [`Error::Conflict`] if the session was updated since it was read; see
    /// [`modify`](Self::modify). [`Error::TooLarge`], [`Error::Encode`] or [`Error::InvalidUser`]
    /// for its content or user. [`Error::UserFull`] if its new user may have no more sessions.
    /// [`Error::DamagedRecord`] if the stored record is damaged. [`Error::InvalidTimeouts`] if its
    /// new absolute timeout, counted from its creation, is over already. Nothing is written in any
    /// of these cases.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Error, SessionStore};
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let mut mine = store.create(7)?;
    /// let Some(mut theirs) = store.read(mine.id())? else { return Ok(()) };
    ///
    /// *mine.content_mut() += 1;
    /// store.update(&mut mine)?;
    /// // This copy was read before that update.
    /// assert!(matches!(store.update(&mut theirs), Err(Error::Conflict { .. })));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn update(&self, session: &mut Session<C>) -> Result<()> {
        let (core, key) = (&self.handle.core, session.key);
        let (record, moment) = self.next_record(session, session.csrf_token.as_ref())?;
        let (new, limits) = (record.clone(), core.limits());
        let replaced = core.engine.replace(&key, session.revision, new, moment, limits);
        match core.counting_damage(replaced)? {
            Replace::Done(saved) => {
                session.saved_as(&record.touched(saved.last_active), &core.timeouts);
                core.tell_ended(&saved.ended, EndReason::OverUserLimit);
                Ok(())
            }
            Replace::Conflict => Err(core.conflict(key)),
            Replace::Missing => Err(Error::Gone { key }),
            Replace::UserFull => Err(core.user_full()),
        }
    }

    /// Gives a session a new id, ends the old id and saves the caller's changes, in one
    /// transaction. Call it at every login and change of privilege.
    ///
    /// The session keeps its creation time, and so its absolute deadline. A session with a CSRF
    /// token gets a new one.
    ///
    /// # Security
    ///
    /// This is the defence against session fixation: ASVS 5.0, 7.2.4 asks for a new session token
    /// on authentication and the end of the old one. After a crash exactly one of the two ids is
    /// valid.
    ///
    /// # Errors
    ///
    /// As for [`update`](Self::update), and [`Error::Generator`]. The session then keeps its id,
    /// except after [`Error::OutcomeUnknown`]: it has either that id or a new one, which nobody
    /// has. If a read by its id finds no session, the client must log in again.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store: SessionStore = SessionStore::in_memory()?;
    /// let mut session = store.create(Default::default())?;
    /// let before_login = session.id().clone();
    ///
    /// session.set_user("ann");
    /// store.regenerate_id(&mut session)?;
    ///
    /// assert!(store.read(&before_login)?.is_none());
    /// assert!(store.read(session.id())?.is_some_and(|read| read.user() == session.user()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn regenerate_id(&self, session: &mut Session<C>) -> Result<()> {
        let (core, key) = (&self.handle.core, session.key);
        let csrf_token = match session.csrf_token {
            Some(_) => Some(CsrfToken::draw_from(&*core.random)?),
            None => None,
        };
        let (record, moment) = self.next_record(session, csrf_token.as_ref())?;
        for _ in 0..MAX_DRAWS {
            let id = SessionId::draw_from(&*core.random)?;
            let (new, revision, limits) = (id.key(), session.revision, core.limits());
            let beginning = core.begin(new);
            let moved = core.engine.rekey(&key, &new, revision, record.clone(), moment, limits);
            match core.counting_damage(moved)? {
                Rekey::Done(saved) => {
                    session.key = new;
                    session.id = id;
                    session.csrf_token = csrf_token;
                    session.saved_as(&record.touched(saved.last_active), &core.timeouts);
                    core.tell_regenerated(beginning, key, new, session.user.as_ref());
                    core.tell_ended(&saved.ended, EndReason::OverUserLimit);
                    return Ok(());
                }
                Rekey::Conflict => return Err(core.conflict(key)),
                Rekey::Missing => return Err(Error::Gone { key }),
                Rekey::UserFull => return Err(core.user_full()),
                Rekey::Occupied => {}
            }
        }
        Err(repeated_draws())
    }

    /// Returns the record that saves a session, and the moment of the save. Content, user and own
    /// timeouts are the caller's. The creation time is the one that was read; it is the stored one
    /// as long as the revision is.
    fn next_record(
        &self,
        session: &Session<C>,
        csrf_token: Option<&CsrfToken>,
    ) -> Result<(Record, Moment)> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let user = session.user.as_ref().map(UserId::to_key).transpose()?;
        let content = self.handle.codec.encode(&session.content, core.max_content_len)?;
        let moment = core.moment()?;
        let parts = Parts {
            user: user.as_ref(),
            csrf_token,
            own_timeouts: session.origin.own_timeouts,
            revision: session.revision.saturating_add(1),
            created_at: session.origin.created_at,
            last_active: moment.now,
            content_version: self.handle.codec.version,
            content: &content,
        };
        let record = Record::new(&parts, &core.timeouts)?;
        match record.is_expired(moment) {
            true => Err(self.over_already(session, moment)),
            false => Ok((record, moment)),
        }
    }

    /// The error for a save that would end its session. The session is active now, so its absolute
    /// timeout is over. That is a new one if the stored session is still live.
    #[cold]
    fn over_already(&self, session: &Session<C>, moment: Moment) -> Error {
        let (core, key) = (&self.handle.core, session.key);
        match core.counting_damage(core.engine.load(&key, moment)) {
            Ok(Some(stored)) if stored.revision() == session.revision => {
                let own = session.origin.own_timeouts.absolute_ms.map(Duration::from_millis);
                let timeout = own.unwrap_or(core.timeouts.absolute());
                InvalidTimeouts::AlreadyOver { timeout }.into()
            }
            Ok(Some(_)) => core.conflict(key),
            Ok(None) => Error::Gone { key },
            Err(error) => error,
        }
    }
}

/// A new session without its content.
struct Created {
    id: SessionId,
    key: SessionKey,
    times: Times,
    origin: Origin,
    revision: u64,
    csrf_token: Option<CsrfToken>,
}

impl Created {
    fn with<C>(self, content: C, options: &SessionOptions) -> Session<C> {
        Session {
            key: self.key,
            id: self.id,
            times: self.times,
            origin: self.origin,
            revision: self.revision,
            user: options.user_id().cloned(),
            csrf_token: self.csrf_token,
            content,
            modified: false,
        }
    }
}
