//! What the server does with sessions: login, CSRF check, counter, list, logout.

use serde::{Deserialize, Serialize};
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::StatelessCsrf;
use sessile::{Error, Session, SessionId, SessionKey, SessionOptions, SessionStore, UserId};

use crate::http::{Request, Response};
use crate::{log, page};

/// What each session holds besides its user and its times.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) clicks: u64,
}

pub(crate) struct Site {
    pub(crate) store: SessionStore<Visit>,
    pub(crate) cookie: SessionCookie,
    pub(crate) csrf: StatelessCsrf,
}

/// Why a request gets something else than it asked for.
enum Refusal {
    /// The form belongs to no session, or to one that has ended or changed. Nothing was done.
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
            // Another tab was faster: an answer, not a failure.
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

    /// The id that the client claims to have. A malformed one is no session, as is none at all.
    fn id(&self, request: &Request) -> Option<SessionId> {
        self.cookie.read(request.headers("cookie"))
    }

    /// The session of a page view, with its life extended. An expired session, one that was ended
    /// and one that never was are all the same here: `None`.
    fn visit(&self, request: &Request) -> Result<Option<Session<Visit>>, Error> {
        match self.id(request) {
            Some(id) => self.store.read_and_extend(&id),
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

    /// Stores nothing, so that crawlers and port scanners leave nothing in the file. The form needs
    /// a CSRF token all the same, or another site could log a visitor in under a name of its own
    /// choice. So the token is bound to an id in the visitor's cookie that no session has.
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

    /// Every form arrives here, so that none escapes the check of its token.
    fn submit(&self, request: &Request) -> Answer {
        let id = self.id(request).ok_or(Refusal::StaleForm)?;
        let submitted = request.field("csrf");
        // Not `read_and_extend`: what another site submits must change nothing, not even a time.
        let Some(session) = self.store.read(&id)? else {
            return match request.path() {
                _ if !self.csrf.verify(&id, &submitted) => Err(Refusal::StaleForm),
                "/login" => self.log_in(request),
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
            // A login form from another tab: whoever is logged in already stays who they are, and
            // nobody inherits their session.
            _ => Ok(Response::redirect("/")),
        }
    }

    fn log_in(&self, request: &Request) -> Answer {
        let name = request.field("name");
        let name = name.trim();
        if name.is_empty() {
            return Err(Refusal::UnusableName);
        }
        // Here your program checks the password.
        //
        // The session is a new one, with an id and a CSRF token of its own: whoever knew or planted
        // the id from before the login holds nothing now.
        let options = SessionOptions::new().user(name).csrf_token();
        let session = self.store.create_with(Visit::default(), &options)?;
        Ok(Response::redirect("/").with_header("Set-Cookie", self.cookie.set(&session)))
    }

    fn click(&self, session: &Session<Visit>) -> Answer {
        // Not `update` with the session read above: of two clicks at once it would refuse one,
        // which read the counter before the other had saved it. `modify` reads again instead.
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
        // Ending the session is what logs out; that the browser forgets the cookie is a courtesy.
        self.store.destroy(session.id())?;
        Ok(Response::redirect("/login").with_header("Set-Cookie", self.cookie.clear()))
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
            // The details are for the operator; the visitor could do nothing with them.
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
