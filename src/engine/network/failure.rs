//! The ways in which a request to a server can fail, by what is known of its effect.
//!
//! Invariant: a request is [`Failure::Lost`] if some bytes were sent and no answer came: they may
//! be a whole command. Every other failure changed nothing, or is an answer.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Source};

/// The failure of a request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server did not carry out the request: it was not reached, or received nothing of the
    /// request. The connection is unusable.
    NotDone(Source),
    /// The server received the request, or a part of it, and did not answer. The connection is
    /// unusable.
    Lost(Source),
    /// The server reports that it did not carry out the request, and that this may change: it is
    /// starting or stopping, lost its role, or has too many connections.
    NotNow(Source),
    /// The server rolled back the transaction because of another one; a retry may succeed at once.
    RolledBack(Source),
    /// The answer is an error. The connection is still usable.
    Answered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answered(error)
    }
}

impl Failure {
    /// A [`NotDone`](Self::NotDone) with a reason in words.
    pub(crate) fn not_done(reason: impl Into<String>) -> Self {
        Self::NotDone(source(reason))
    }

    /// A [`Lost`](Self::Lost) with a reason in words.
    pub(crate) fn lost(reason: impl Into<String>) -> Self {
        Self::Lost(source(reason))
    }

    pub(crate) fn not_now(reason: impl Into<String>) -> Self {
        Self::NotNow(source(reason))
    }

    /// Turns `Lost` into `NotDone`, for a request whose loss changes nothing: a read, or a part of
    /// an uncommitted transaction.
    pub(crate) fn harmless(self) -> Self {
        match self {
            Self::Lost(source) => Self::NotDone(source),
            other => other,
        }
    }
}

/// Replaces the server's message about a missing right, because that message names the user.
pub(crate) const NOT_ALLOWED: &str = "the server does not let this user do what a store needs";

/// A reason in words as the source of an error.
pub(crate) fn source(reason: impl Into<String>) -> Source {
    Arc::new(Reason(reason.into()))
}

/// The message of a server or a socket, without secrets.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}
