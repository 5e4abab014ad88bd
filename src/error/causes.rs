//! The causes of an error.

use std::error::Error as StdError;
use std::iter;

use crate::error::{Error, Source};

/// The most causes that are shown. A foreign error may name itself as its cause, without end.
const MOST: usize = 16;

impl Error {
    /// Returns the causes, each the source of the one before, for a log. At most 16: an error of
    /// another crate may name itself as its cause. `downcast_ref` finds the type of each, such as
    /// [`std::io::Error`]; [`Error::source`](StdError::source) gives the first one as the shared
    /// [`Source`].
    ///
    /// A cause may show content, if the content's own `Serialize` or `Deserialize` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// // Why a store was not opened, for a log.
    /// let error = SessionStore::<u32>::open("/dev/null/sessions.redb").err();
    /// let causes = error.iter().flat_map(|error| error.causes()).map(ToString::to_string);
    /// assert_ne!(causes.collect::<Vec<_>>().join(": "), "");
    /// ```
    ///
    /// ```
    /// use std::io;
    ///
    /// use sessile::SessionStore;
    ///
    /// // Whether the operating system found no file.
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let error = SessionStore::<u32>::builder().open_existing(&path).err();
    /// let mut causes = error.iter().flat_map(|error| error.causes());
    /// let kind = causes.find_map(|cause| cause.downcast_ref().map(io::Error::kind));
    /// assert_eq!(kind, Some(io::ErrorKind::NotFound));
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        iter::successors(self.source(), |&cause| cause.source()).take(MOST).map(itself)
    }
}

/// The error behind a shared pointer, which counts as an error of its own.
fn itself<'a>(cause: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    match cause.downcast_ref::<Source>() {
        Some(shared) => &**shared,
        None => cause,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    pub(crate) struct ItsOwnCause;

    impl fmt::Display for ItsOwnCause {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("again")
        }
    }

    impl StdError for ItsOwnCause {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn an_error_that_is_its_own_cause_ends_after_some() {
        assert_eq!(Error::engine(ItsOwnCause).causes().count(), MOST);
        assert_eq!(Error::Closed.causes().count(), 0);
    }

    #[test]
    fn the_type_of_each_cause_is_found() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in [
            Error::io("open", "sessions.redb", refused()),
            Error::engine(Error::io("open", "sessions.redb", refused())),
        ] {
            let kind = error.causes().find_map(|cause| cause.downcast_ref().map(io::Error::kind));
            assert_eq!(kind, Some(io::ErrorKind::PermissionDenied), "{error:?}");
        }
        let found = Error::engine(Error::Closed).causes().any(|cause| cause.is::<Error>());
        assert!(found);
    }
}
