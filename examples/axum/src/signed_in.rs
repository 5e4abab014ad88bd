//! The extractor: a handler that takes a [`SignedIn`] runs only for requests with a session. Every
//! other request gets the login page.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use sessile::{Json, Session};

use crate::failure::Failure;
use crate::{App, Notes};

/// The session of the request, with its lifetime extended.
pub(crate) struct SignedIn(pub(crate) Session<Json<Notes>>);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let Some(id) = app.cookie.read(parts.headers.get_all(header::COOKIE)) else {
            return Err(Failure::NotSignedIn);
        };
        // A read and a touch in memory need no blocking thread.
        match app.store.read_and_extend(&id)? {
            Some(session) => Ok(Self(session)),
            None => Err(Failure::NotSignedIn),
        }
    }
}
