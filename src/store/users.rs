//! Users: lists and counts them, renames one, and ends one of a user's sessions.

use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::store::events::EndReason;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Ends one session of a user by its key from a listing. `false` if there is no such session,
    /// or it is another user's. One durable commit, which also checks the session's user.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`](crate::Error::InvalidUser) for a user id that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create_for_user("ann", 1)?;
    /// assert!(!store.destroy_of("bob", &session.key())?);
    /// assert!(store.destroy_of("ann", &session.key())?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn destroy_of(&self, user: impl Into<UserId>, key: &SessionKey) -> Result<bool> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let user = user.into().to_key()?;
        let ended = core.engine.remove(key, Some(&user), core.moment()?)?;
        Ok(core.tell_ended(ended.as_slice(), EndReason::Destroyed) > 0)
    }

    /// Moves every session of one user to another user name, all at once, and returns how many: for
    /// a user who is renamed. The new user's session limit is not applied. One durable commit.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`](crate::Error::InvalidUser) for a user id that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create_for_user("ann", 1)?;
    /// assert_eq!(store.rename_user("ann", "anna")?, 1);
    /// let read = store.read(session.id())?;
    /// assert!(read.is_some_and(|session| session.user() == Some(&"anna".into())));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn rename_user(&self, old: impl Into<UserId>, new: impl Into<UserId>) -> Result<u64> {
        let core = &self.handle.core;
        core.ensure_open()?;
        let (old, new) = (old.into().to_key()?, new.into().to_key()?);
        core.engine.rename_user(&old, &new, core.moment()?)
    }

    /// Lists users with live sessions and the number of these: at most `limit` users after the user
    /// `after`, in a fixed order. For the next page, pass the last user of this one. Costs a read
    /// of the sessions of these users.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUser`](crate::Error::InvalidUser) for a user id that is too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// for user in ["ann", "bob", "ann"] {
    ///     store.create_for_user(user, 1)?;
    /// }
    /// let first = store.users(None, 1)?;
    /// assert_eq!(first, [("ann".into(), 2)]);
    /// assert_eq!(store.users(Some(&first[0].0), 10)?, [("bob".into(), 1)]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<(UserId, u64)>> {
        let core = &self.handle.core;
        let (after, moment) = (after.map(UserId::to_key).transpose()?, core.moment()?);
        let mut users = Vec::new();
        if limit == 0 {
            return Ok(users);
        }
        core.engine.scan_users(after.as_ref(), moment, &mut |user, sessions| {
            users.extend(user.to_id().map(|user| (user, sessions)));
            Ok(if users.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(users)
    }
}
