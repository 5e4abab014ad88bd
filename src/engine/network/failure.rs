//! What can become of a request to a server, by what is known of its effect.
//!
//! Invariant: a request of which some bytes left, and which was not answered, is [`Failure::Lost`]:
//! they may hold a whole command. Everything else is known to have changed nothing, or is an
//! answer.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Source};

/// What a request came to, where that is not its wished result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server did not carry the request out: it was not reached, or given nothing of it. The
    /// connection is of no more use.
    NotDone(Source),
    /// The server was given the request, or a part of it, and did not answer it. The connection is
    /// of no more use.
    Lost(Source),
    /// The server says that it did not carry the request out, and that this may change: it starts,
    /// stops, lost its role, or others have its connections.
    NotNow(Source),
    /// The server undid the transaction for another's sake; another try may do at once.
    RolledBack(Source),
    /// The answer is an error. The connection is as good as before.
    Answered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answered(error)
    }
}

impl Failure {
    /// The request was not carried out, for a reason in words.
    pub(crate) fn not_done(reason: impl Into<String>) -> Self {
        Self::NotDone(source(reason))
    }

    /// The request got no answer, for a reason in words.
    pub(crate) fn lost(reason: impl Into<String>) -> Self {
        Self::Lost(source(reason))
    }

    pub(crate) fn not_now(reason: impl Into<String>) -> Self {
        Self::NotNow(source(reason))
    }

    /// What a lost request is where losing it changes nothing: a read, or a part of a transaction
    /// that was not committed.
    pub(crate) fn harmless(self) -> Self {
        match self {
            Self::Lost(source) => Self::NotDone(source),
            other => other,
        }
    }
}

/// What is said in place of a server's words about a right that a user lacks: those name the user.
pub(crate) const NOT_ALLOWED: &str = "the server does not let this user do what a store needs";

/// A reason in words as the source of an error.
pub(crate) fn source(reason: impl Into<String>) -> Source {
    Arc::new(Reason(reason.into()))
}

/// What a server or a socket said, without anything secret.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}
