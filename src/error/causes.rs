//! The causes of an error.

use std::error::Error as StdError;
use std::iter;

use crate::error::Error;

/// The most causes that are shown. A foreign error may name itself as its cause, without end.
const MOST: usize = 16;

impl Error {
    /// Returns the causes, each the source of the one before, for a log. At most 16: an error of
    /// another crate may name itself as its cause.
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
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        iter::successors(self.source(), |&cause| cause.source()).take(MOST)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt;

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
}
