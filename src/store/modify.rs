//! Read, change, update, and again if somebody else was faster.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::session::id::SessionId;
use crate::store::SessionStore;

/// How often a change is tried. Each failed try means that another thread's update succeeded, so
/// this is reached only where thousands of updates of one session overtake a single caller.
const MAX_ATTEMPTS: u32 = 10_000;

/// What the closure of [`SessionStore::modify`] may return: nothing, or a `Result` whose error
/// keeps the session as it was.
///
/// Implemented for `()` and for `Result<(), E>` where [`Error`] can be made from `E`; sealed.
pub trait ModifyOutcome: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<()>;
}

impl ModifyOutcome for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> ModifyOutcome for Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Reads a session, lets the closure change it, and saves it; again from the start if somebody
    /// else saved it meanwhile. `None` if there is no such session, or none any more.
    ///
    /// This is the way to change a session that several requests may change at once: no change is
    /// lost. A returned session has been saved and its life extended. One durable commit a try.
    ///
    /// # Concurrency
    ///
    /// The closure runs in the calling thread with no lock held, once for every try; it should do
    /// nothing but change the session. If it panics, nothing is written.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`update`](Self::update), but for `Gone` and `Conflict`:
    /// [`Error::Conflict`] only after 10,000 tries. An error that the closure returns is returned,
    /// and nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u64>::in_memory()?;
    /// let id = store.create(0)?.id().clone();
    ///
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| store.modify(&id, |session| *session.content_mut() += 1));
    ///     }
    /// });
    /// assert_eq!(*store.read(&id)?.expect("not destroyed").content(), 4);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn modify<R: ModifyOutcome>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut Session<C>) -> R,
    ) -> Result<Option<Session<C>>> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(mut session) = self.read(id)? else { return Ok(None) };
            change(&mut session).into_result()?;
            match self.update(&mut session) {
                Ok(()) => return Ok(Some(session)),
                Err(Error::Conflict { .. }) => {}
                Err(Error::Gone { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { key: id.key() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_never_fits_ends_as_a_conflict_after_so_many_attempts() {
        let store = SessionStore::<u32>::builder().manual_maintenance().in_memory().unwrap();
        let id = store.create(0).unwrap().id().clone();
        let mut attempts = 0;
        let refused = store.modify(&id, |session| {
            attempts += 1;
            // Somebody else is faster, every time.
            let mut other = store.read(&id).unwrap().unwrap();
            *other.content_mut() += 1;
            store.update(&mut other).unwrap();
            *session.content_mut() = 0;
        });
        assert!(matches!(refused, Err(Error::Conflict { key }) if key == id.key()));
        assert_eq!(attempts, MAX_ATTEMPTS);
        assert_eq!(store.read(&id).unwrap().unwrap().into_content(), MAX_ATTEMPTS);
    }
}
