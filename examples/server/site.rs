//! The server's use of sessions: login, CSRF check, counter, list, logout.

use serde::{Deserialize, Serialize};
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::StatelessCsrf;
use sessile::{Error, Session, SessionId, SessionKey, SessionOptions, SessionStore, UserId};

use crate::http::{Request, Response};
use crate::{log, page};

/// The content of a session, besides its user and its times.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) clicks: u64,
}

pub(crate) struct Site {
    pub(crate) store: SessionStore<Visit>,
    pub(crate) cookie: SessionCookie,
    pub(crate) csrf: StatelessCsrf,
}

/// Why a request is refused.
enum Refusal {
    /// The form belongs to no session, or its session has ended or changed. Nothing was done.
    StaleForm,
    LoggedOut,
    UnusableName,
    NoSuchPage,
    NoSuchSession,
    WrongMethod {
        allowed: &'static str,
    },
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            // Another tab changed the session first. This is no failure of the server.
            Error::Gone { .. } | Error::Conflict { .. } => Self::StaleForm,
            Error::InvalidUser { .. } => Self::UnusableName,
            error => Self::Failed(error),
        }
    }
}

type Answer = Result<Response, Refusal>;

impl Site {
    pub(crate) fn answer(&self, request: &Request) -> Response {
        self.route(request).unwrap_or_else(refuse)
    }

    fn route(&self, request: &Request) -> Answer {
        let wrong_method = |allowed| Err(Refusal::WrongMethod { allowed });
        match (request.path(), request.method()) {
            ("/", "GET") => self.account(request),
            ("/login", "GET") => self.login_form(request),
            ("/style.css", "GET") => Ok(Response::css(include_str!("style.css"))),
            ("/login" | "/click" | "/end" | "/end-others" | "/logout", "POST") => {
                self.submit(request)
            }
            ("/" | "/style.css", _) => wrong_method("GET, HEAD"),
            ("/login", _) => wrong_method("GET, HEAD, POST"),
            ("/click" | "/end" | "/end-others" | "/logout", _) => wrong_method("POST"),
            _ => Err(Refusal::NoSuchPage),
        }
    }

    /// The id in the request's cookie. A malformed id counts as no id.
    fn id(&self, request: &Request) -> Option<SessionId> {
        self.cookie.read(request.headers("cookie"))
    }

    /// The session of a page view, with its lifetime extended. `None` if the session has expired,
    /// was ended or never existed.
    fn visit(&self, request: &Request) -> Result<Option<Session<Visit>>, Error> {
        match self.id(request) {
            Some(id) => readable(self.store.read_and_extend(&id)),
            None => Ok(None),
        }
    }

    fn account(&self, request: &Request) -> Answer {
        let session = self.visit(request)?.ok_or(Refusal::LoggedOut)?;
        let user = session.user().ok_or(Refusal::LoggedOut)?;
        let mut sessions = self.store.sessions_of(user)?;
        sessions.sort_by_key(|info| (info.key() != session.key(), info.created_at()));
        Ok(Response::html("200 OK", page::account(user, &session, &sessions)))
    }

    /// Shows the login form and stores nothing, so that crawlers leave nothing in the file. Without
    /// a CSRF token, another site could log a visitor in under a name of the site's choice. So the
    /// form has a token that is bound to an id in the visitor's cookie; no session has this id.
    fn login_form(&self, request: &Request) -> Answer {
        if self.visit(request)?.is_some() {
            return Ok(Response::redirect("/"));
        }
        let page = |id| {
            let token = self.csrf.token(id)?;
            Ok::<_, Error>(Response::html("200 OK", page::login(&token)))
        };
        match self.id(request) {
            // Kept, so that a form in another tab stays valid.
            Some(id) => Ok(page(&id)?),
            None => {
                let id = SessionId::generate()?;
                Ok(page(&id)?.with_header("Set-Cookie", self.cookie.set_id(&id)))
            }
        }
    }

    /// Handles every form, so that every token is checked.
    fn submit(&self, request: &Request) -> Answer {
        let id = self.id(request).ok_or(Refusal::StaleForm)?;
        let submitted = request.field("csrf");
        // Not `read_and_extend`: a form from another site must not even extend the session.
        let Some(session) = readable(self.store.read(&id))? else {
            return match request.path() {
                _ if !self.csrf.verify(&id, &submitted) => Err(Refusal::StaleForm),
                "/login" => self.log_in(&id, request),
                _ => Err(Refusal::LoggedOut),
            };
        };
        let token = session.csrf_token().ok_or(Refusal::StaleForm)?;
        if !token.verify(&submitted) {
            return Err(Refusal::StaleForm);
        }
        let user = session.user().ok_or(Refusal::StaleForm)?;
        match request.path() {
            "/click" => self.click(&session),
            "/end" => self.end(user, &session, request),
            "/end-others" => self.end_others(&session),
            "/logout" => self.log_out(&session),
            // A login form from another tab. The user who is logged in stays logged in, and nobody
            // inherits the session.
            _ => Ok(Response::redirect("/")),
        }
    }

    /// `before` is the id in the cookie, under which no session can be read.
    fn log_in(&self, before: &SessionId, request: &Request) -> Answer {
        let name = request.field("name");
        let name = name.trim();
        if name.is_empty() {
            return Err(Refusal::UnusableName);
        }
        // Here your program checks the password.
        //
        // The session is new, with its own id and CSRF token. An attacker who knew or planted the
        // id from before the login gains nothing.
        let options = SessionOptions::new().user(name).csrf_token();
        // A session that cannot be read ends first, and so counts for no limit. An id without a
        // session costs no commit.
        self.store.destroy(before)?;
        let session = self.store.create_with(Visit::default(), &options)?;
        Ok(Response::redirect("/").with_header("Set-Cookie", self.cookie.set(&session)))
    }

    fn click(&self, session: &Session<Visit>) -> Answer {
        // Of two concurrent clicks `update` would refuse one, because it read the counter before
        // the other click was saved. `modify` reads the session again and counts both.
        self.store
            .modify(session.id(), |session| session.content_mut().clicks += 1)?
            .ok_or(Refusal::StaleForm)?;
        Ok(Response::redirect("/"))
    }

    fn end(&self, user: &UserId, session: &Session<Visit>, request: &Request) -> Answer {
        let key: SessionKey = request.field("key").parse().map_err(|_| Refusal::NoSuchSession)?;
        if key == session.key() {
            return self.log_out(session);
        }
        // The key comes from the client: `destroy_key` would end anybody's session.
        match self.store.destroy_of(user, &key)? {
            true => Ok(Response::redirect("/")),
            false => Err(Refusal::NoSuchSession),
        }
    }

    fn end_others(&self, session: &Session<Visit>) -> Answer {
        self.store.destroy_others(session)?;
        Ok(Response::redirect("/"))
    }

    fn log_out(&self, session: &Session<Visit>) -> Answer {
        // Ending the session is the logout. Clearing the cookie only tidies the browser.
        self.store.destroy(session.id())?;
        Ok(Response::redirect("/login").with_header("Set-Cookie", self.cookie.clear()))
    }
}

/// Counts a session that cannot be read as no session: one of another program, or a damaged one. An
/// error would be the answer to every request of its browser, a login included.
fn readable(found: Result<Option<Session<Visit>>, Error>) -> Result<Option<Session<Visit>>, Error> {
    match found {
        Err(error @ (Error::ContentMismatch { .. } | Error::DamagedRecord { .. })) => {
            log(&error);
            Ok(None)
        }
        found => found,
    }
}

fn refuse(refusal: Refusal) -> Response {
    let (status, title, text) = match refusal {
        Refusal::LoggedOut => return Response::redirect("/login"),
        Refusal::StaleForm => (
            "403 Forbidden",
            "This form is out of date",
            "Nothing was changed. Your session has ended, or you have logged in again since the \
             form was shown.",
        ),
        Refusal::UnusableName => (
            "400 Bad Request",
            "Please choose another name",
            "A name has at least one letter and at most 255 bytes.",
        ),
        Refusal::NoSuchSession => (
            "404 Not Found",
            "You have no such session",
            "Nothing was changed. Perhaps the session has ended already.",
        ),
        Refusal::NoSuchPage => {
            ("404 Not Found", "There is nothing here", "The address may be mistyped.")
        }
        Refusal::WrongMethod { allowed } => {
            let text = "This address is used in another way.";
            let page = page::message("Not like this", text);
            return Response::html("405 Method Not Allowed", page)
                .with_header("Allow", allowed.into());
        }
        Refusal::Failed(error) => {
            // The details help the operator, not the visitor.
            log(&error);
            (
                "500 Internal Server Error",
                "Something went wrong on our side",
                "Please try again in a moment.",
            )
        }
    };
    Response::html(status, page::message(title, text))
}
