//! What a client is answered when something fails. Details go to the log, and no text here or there
//! has an id.

use std::error::Error as _;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use sessile::{Error, Json, Session};

use crate::Notes;

#[derive(Debug)]
pub(crate) enum Failure {
    NotSignedIn,
    /// The form is another site's, or too old.
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
            // A request from before the logout, too.
            Self::NotSignedIn | Self::Store(Error::Gone { .. }) => {
                Redirect::to("/login").into_response()
            }
            Self::Forged => (StatusCode::FORBIDDEN, "load the form again").into_response(),
            Self::Store(Error::Conflict { .. }) => {
                (StatusCode::CONFLICT, "something else was saved meanwhile: try again")
                    .into_response()
            }
            Self::Store(
                Error::InvalidKey { .. } | Error::TooLarge { .. } | Error::InvalidUser { .. },
            ) => StatusCode::BAD_REQUEST.into_response(),
            Self::Store(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                eprintln!("the store: {error}{cause}");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Refuses a form that does not have the session's own token.
pub(crate) fn check_token(session: &Session<Json<Notes>>, field: &str) -> Result<(), Failure> {
    let is_right = session.csrf_token().is_some_and(|token| token.verify(field));
    is_right.then_some(()).ok_or(Failure::Forged)
}
