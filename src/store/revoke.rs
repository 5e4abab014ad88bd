//! Ends sessions other than the caller's own, by user and by key.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::session::Session;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::store::events::EndReason;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Ends every session of a user and returns how many: for a changed password, or a closed
    /// account (ASVS 5.0, 7.4.2 and 7.4.3). One durable commit, all or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`] for a user id that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store: SessionStore = SessionStore::in_memory()?;
    /// store.create_for_user(7, Default::default())?;
    /// store.create_for_user(7, Default::default())?;
    /// store.create_for_user("7", Default::default())?; // somebody else
    ///
    /// assert_eq!(store.destroy_all_of(7)?, 2);
    /// assert_eq!(store.len()?, 1);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn destroy_all_of(&self, user: impl Into<UserId>) -> Result<u64> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let user = user.into().to_key()?;
        let ended = core.engine.remove_user(&user, core.moment()?)?;
        Ok(core.tell_ended(&ended, EndReason::AllOfUser))
    }

    /// Ends every other session of this session's user and returns how many: "log out everywhere
    /// else" (ASVS 5.0, 7.4.3). One durable commit, all or nothing.
    ///
    /// The user is the stored one, not an unsaved [`set_user`](Session::set_user). A session
    /// without a user has no others.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the session itself has ended, [`Error::DamagedRecord`] if its record is
    /// damaged; nothing is ended then.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let here = store.create_for_user("ann", 1)?;
    /// let there = store.create_for_user("ann", 2)?;
    /// assert_eq!(store.destroy_others(&here)?, 1);
    /// assert!(store.read(there.id())?.is_none());
    /// assert!(store.read(here.id())?.is_some());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn destroy_others(&self, session: &Session<C>) -> Result<u64> {
        let core = &self.handle.core;
        let (key, moment) = (session.key(), core.moment()?);
        let ended = core.counting_damage(core.engine.remove_others(&key, moment))?;
        let ended = ended.ok_or(Error::Gone { key })?;
        Ok(core.tell_ended(&ended, EndReason::Others))
    }

    /// Ends the session with this key from a listing; `false` if there was none. One durable
    /// commit.
    ///
    /// # Security
    ///
    /// A caller of this method can end any session, so it is for administrators. For users who end
    /// one of their own sessions there is [`destroy_of`](Self::destroy_of), which checks the
    /// session's user.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors). A damaged record is removed as well, and
    /// counts as a session.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let key = store.create_for_user("ann", 1)?.key();
    /// assert!(store.destroy_key(&key)?);
    /// assert!(!store.destroy_key(&key)?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn destroy_key(&self, key: &SessionKey) -> Result<bool> {
        let core = &self.handle.core;
        let ended = core.engine.remove(key, None, core.moment()?)?;
        Ok(core.tell_ended(ended.as_slice(), EndReason::Destroyed) > 0)
    }
}
