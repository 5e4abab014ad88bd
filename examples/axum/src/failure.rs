//! Failures and the answers to the client. Details go to the log. No answer and no log line
//! contains a session id.

use std::error::Error as StdError;
use std::iter;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use sessile::{Error, Json, Session};

use crate::Notes;

#[derive(Debug)]
pub(crate) enum Failure {
    NotSignedIn,
    /// The form is from another site, or too old.
    Forged,
    Panicked,
    Store(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            // `Gone`: the session ended while the request was in flight.
            Self::NotSignedIn | Self::Store(Error::Gone { .. }) => {
                Redirect::to("/login").into_response()
            }
            // Of the client's own session, since no route reads the content of another. A login
            // gives the client a new session, and ends this one.
            Self::Store(error @ (Error::ContentMismatch { .. } | Error::DamagedRecord { .. })) => {
                log(&error);
                Redirect::to("/login").into_response()
            }
            Self::Forged => (StatusCode::FORBIDDEN, "load the form again").into_response(),
            Self::Store(Error::Conflict { .. }) => {
                (StatusCode::CONFLICT, "another request changed the session: try again")
                    .into_response()
            }
            Self::Store(
                Error::InvalidKey { .. } | Error::TooLarge { .. } | Error::InvalidUser { .. },
            ) => StatusCode::BAD_REQUEST.into_response(),
            Self::Store(error) => {
                log(&error);
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

fn log(error: &Error) {
    eprintln!("the store: {}", with_causes(error));
}

/// An error and its causes, in one line. No message repeats its cause.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    // A foreign error may name itself as its cause, without end.
    causes.take(16).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// Refuses a form that does not have the session's own token.
pub(crate) fn check_token(session: &Session<Json<Notes>>, field: &str) -> Result<(), Failure> {
    let is_right = session.csrf_token().is_some_and(|token| token.verify(field));
    is_right.then_some(()).ok_or(Failure::Forged)
}
