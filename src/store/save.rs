//! Saving a session that the caller holds: under its id, or under a new one.
//!
//! Invariant: what is saved in place of a record has the next revision, and the creation time of the
//! record that it was made from. Whether that is still the one that is stored, the engine tells.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::outcome::{Rekey, Replace};
use crate::error::{Error, Result};
use crate::record::{Parts, Record};
use crate::session::Session;
use crate::session::csrf::CsrfToken;
use crate::session::id::SessionId;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::store::core::{MAX_DRAWS, repeated_draws};
use crate::time::moment::Moment;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Saves a session's content and user, and extends its life. One durable commit.
    ///
    /// # Concurrency
    ///
    /// Nothing is ever overwritten unseen: a session that somebody else updated since it was read
    /// is refused. Touches do not count as updates.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the session is not there any more: a request in flight does not undo a
    /// logout. [`Error::Conflict`] if it was updated since; see [`modify`](Self::modify). Then, and
    /// with [`Error::TooLarge`], [`Error::Encode`] or [`Error::InvalidUser`], or
    /// [`Error::UserFull`] if the session comes to a user who may have no more, nothing is written.
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
    /// // The other one was read before that.
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
                Ok(())
            }
            Replace::Conflict => Err(Error::Conflict { key }),
            Replace::Missing => Err(Error::Gone { key }),
            Replace::UserFull => Err(core.user_full()),
        }
    }

    /// Gives a session a new id and ends the old one, in one transaction, and saves the session
    /// with whatever was changed in it. Call it at every login and change of privilege.
    ///
    /// The session keeps its creation time and so its absolute deadline. A CSRF token is drawn
    /// anew as well.
    ///
    /// # Security
    ///
    /// The defence against session fixation: ASVS 5.0, 7.2.4 asks for a new session token on
    /// authentication and the end of the old one. After a crash exactly one of the two ids is valid.
    ///
    /// # Errors
    ///
    /// As for [`update`](Self::update), and [`Error::Generator`]; the session keeps its id then.
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
    /// assert_eq!(store.read(session.id())?.expect("under its new id").user(), session.user());
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
            let moved = core.engine.rekey(&key, &new, revision, record.clone(), moment, limits);
            match core.counting_damage(moved)? {
                Rekey::Done(saved) => {
                    session.key = new;
                    session.id = id;
                    session.csrf_token = csrf_token;
                    session.saved_as(&record.touched(saved.last_active), &core.timeouts);
                    return Ok(());
                }
                Rekey::Conflict => return Err(Error::Conflict { key }),
                Rekey::Missing => return Err(Error::Gone { key }),
                Rekey::UserFull => return Err(core.user_full()),
                Rekey::Occupied => {}
            }
        }
        Err(repeated_draws())
    }

    /// The record that saves a session, and the moment at which it does. The content and the user are
    /// as the caller left them; creation and own timeouts are what the session was read with, which
    /// is what is stored, if its revision is.
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
        Ok((Record::new(&parts, &core.timeouts)?, moment))
    }
}
