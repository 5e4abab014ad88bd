//! A refused creation, with the content that it should have stored.
//!
//! Invariant: the content shows in no message and no `Debug` output.

use std::fmt;

use crate::error::Error;

/// The reason why a session was not created, and the content that the session should have held;
/// from [`SessionStore::create_or_give_back`](crate::SessionStore::create_or_give_back).
///
/// It displays as its [`error`](Self::error) and has the same source. `?` converts it into an
/// [`Error`] in a function that returns one.
///
/// # Security
///
/// Neither its text nor its `Debug` output shows the content.
///
/// # Examples
///
/// See [`SessionStore::create_or_give_back`](crate::SessionStore::create_or_give_back).
pub struct CreateError<C> {
    error: Error,
    content: C,
}

impl<C> CreateError<C> {
    pub(crate) const fn new(error: Error, content: C) -> Self {
        Self { error, content }
    }

    /// The error that refused the creation.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// The content, unchanged.
    #[must_use]
    pub fn into_content(self) -> C {
        self.content
    }

    /// The error and the content.
    #[must_use]
    pub fn into_parts(self) -> (Error, C) {
        (self.error, self.content)
    }
}

impl<C> From<CreateError<C>> for Error {
    fn from(refused: CreateError<C>) -> Self {
        refused.error
    }
}

impl<C> fmt::Display for CreateError<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, formatter)
    }
}

impl<C> fmt::Debug for CreateError<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CreateError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<C> std::error::Error for CreateError<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
