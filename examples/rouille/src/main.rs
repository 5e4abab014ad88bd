//! A rouille server. Its handlers may block, so they call the store directly.
//!
//! ```text
//! $ cargo run --manifest-path examples/rouille/Cargo.toml
//! http://127.0.0.1:8083
//! $ curl -i http://127.0.0.1:8083/
//! HTTP/1.1 303 See Other
//! location: /login
//! $ curl -i http://127.0.0.1:8083/login
//! HTTP/1.1 200 OK
//! set-cookie: rouille_session=…; HttpOnly; SameSite=Lax; Path=/
//! ```
//!
//! The headers and the page are left out that a program does not look at. The sessions are in
//! `rouille.redb`, in the current folder. `-- 8181` at the end of the command is another port.
//!
//! Log in with any name, count visits, kill the server, start it again: the count goes on.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::iter;
use std::path::Path;
use std::process::ExitCode;

use rouille::{Request, Response, Server, post_input};
use serde::{Deserialize, Serialize};
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{Error as StoreError, Json, Session, SessionId, SessionOptions, SessionStore};

#[derive(Serialize, Deserialize)]
struct Visits {
    count: u64,
}

struct Site {
    store: SessionStore<Json<Visits>>,
    cookie: SessionCookie,
    csrf: StatelessCsrf,
}

impl Site {
    fn new(store: SessionStore<Json<Visits>>, cookie: SessionCookie) -> sessile::Result<Self> {
        Ok(Self { store, cookie, csrf: StatelessCsrf::new(CsrfKey::generate()?) })
    }

    /// The names are this program's alone: a browser sends a host's cookies to every port, and
    /// another program may run in the same folder.
    fn open(path: impl AsRef<Path>) -> sessile::Result<Self> {
        let store = SessionStore::builder().content_name("example.rouille").open(path)?;
        // The prefix `__Host-` needs TLS. Behind TLS, use `SessionCookie::default()`.
        let cookie = SessionCookie::builder().name("rouille_session").secure(false).build()?;
        Self::new(store, cookie)
    }

    fn handle(&self, request: &Request) -> Response {
        // The server sends no page in an answer to HEAD.
        let method = if request.method() == "HEAD" { "GET" } else { request.method() };
        let answer = match (method, request.url().as_str()) {
            ("GET", "/") => self.home(request),
            ("GET", "/login") => self.login_page(request),
            ("POST", _) if !is_short(request) => {
                Ok(Response::text("the form is too long").with_status_code(413))
            }
            ("POST", "/login") => self.log_in(request),
            ("POST", "/logout") => self.log_out(request),
            _ => Ok(Response::empty_404()),
        };
        let answer = answer.unwrap_or_else(|error| match error {
            StoreError::InvalidUser { .. } => {
                Response::text("choose another name").with_status_code(400)
            }
            error => {
                // No error text contains a session id.
                eprintln!("the store: {}", with_causes(&error));
                Response::text("try again later").with_status_code(503)
            }
        });
        // A page is its user's alone: no proxy or browser may keep it, and no other page frame it.
        answer
            .with_unique_header("cache-control", "no-store")
            .with_unique_header("content-security-policy", "frame-ancestors 'none'")
    }

    /// The id in the cookies of a request. `request.header` would return the first header alone.
    fn id(&self, request: &Request) -> Option<SessionId> {
        let cookies = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        self.cookie.read(cookies.map(|(_, value)| value))
    }

    /// The session of a request, with its lifetime extended.
    fn session(&self, request: &Request) -> sessile::Result<Option<Session<Json<Visits>>>> {
        let Some(id) = self.id(request) else { return Ok(None) };
        match self.store.read_and_extend(&id) {
            // A login gives the client a new session, and ends this one.
            Err(
                error @ (StoreError::ContentMismatch { .. } | StoreError::DamagedRecord { .. }),
            ) => {
                eprintln!("the store: {}", with_causes(&error));
                Ok(None)
            }
            outcome => outcome,
        }
    }

    fn home(&self, request: &Request) -> sessile::Result<Response> {
        let Some(session) = self.session(request)? else {
            return Ok(Response::redirect_303("/login"));
        };
        // Two tabs may load concurrently: `modify` counts both, and returns the session as it saved
        // it. `None`: the session has ended since it was read.
        let counted =
            self.store.modify(session.id(), |session| session.content_mut().count += 1)?;
        let Some(session) = counted else { return Ok(Response::redirect_303("/login")) };
        let count = session.content().count;
        let token = session.csrf_token().map(|token| token.encode()).unwrap_or_default();
        Ok(Response::html(format!(
            "<p>Visit {count}.</p><form method=post action=/logout>\
             <input type=hidden name=token value=\"{token}\"><button>Log out</button></form>"
        )))
    }

    fn login_page(&self, request: &Request) -> sessile::Result<Response> {
        let (id, set_cookie) = match self.id(request) {
            Some(id) => (id, None),
            None => {
                let id = SessionId::generate()?;
                let set_cookie = self.cookie.set_id(&id);
                (id, Some(set_cookie))
            }
        };
        let token = self.csrf.token(&id)?;
        let page = Response::html(format!(
            "<form method=post action=/login><input type=hidden name=token value=\"{token}\">\
             <input name=name required autofocus><button>Log in</button></form>"
        ));
        Ok(match set_cookie {
            Some(set_cookie) => page.with_additional_header("set-cookie", set_cookie),
            None => page,
        })
    }

    /// Your own server checks a password here; `examples/login.rs` shows how.
    fn log_in(&self, request: &Request) -> sessile::Result<Response> {
        let Ok(form) = post_input!(request, { token: String, name: String }) else {
            return Ok(Response::empty_400());
        };
        let before = match self.id(request) {
            Some(id) if self.csrf.verify(&id, &form.token) => id,
            _ => return Ok(Response::text("load the form again").with_status_code(403)),
        };
        let options = SessionOptions::new().user(form.name).csrf_token();
        // An earlier login of this browser ends first, and so counts for no limit. An id without a
        // session costs no commit.
        self.store.destroy(&before)?;
        let session = self.store.create_with(Json(Visits { count: 0 }), &options)?;
        let set_cookie = self.cookie.set(&session);
        Ok(Response::redirect_303("/").with_additional_header("set-cookie", set_cookie))
    }

    fn log_out(&self, request: &Request) -> sessile::Result<Response> {
        let Ok(form) = post_input!(request, { token: String }) else {
            return Ok(Response::empty_400());
        };
        let Some(session) = self.session(request)? else {
            return Ok(Response::redirect_303("/login"));
        };
        if !session.csrf_token().is_some_and(|token| token.verify(&form.token)) {
            return Ok(Response::text("load the form again").with_status_code(403));
        }
        self.store.destroy(session.id())?;
        let clear = self.cookie.clear();
        Ok(Response::redirect_303("/login").with_additional_header("set-cookie", clear))
    }
}

/// Whether a form says that it is short. Otherwise it is not read: rouille itself has no limit.
fn is_short(request: &Request) -> bool {
    const LONGEST: u64 = 16 * 1024;
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    length.is_some_and(|length: u64| length <= LONGEST)
        && request.header("transfer-encoding").is_none()
}

/// An error and its causes, in one line. No message repeats its cause.
fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    // A foreign error may name itself as its cause, without end.
    causes.take(16).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// `main` would print the error's `Debug`, which does not say what to do.
fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rouille: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or("8083".into());
    let site = Site::open("rouille.redb")?;
    let address = format!("127.0.0.1:{port}");
    let server = Server::new(address, move |request| site.handle(request));
    let server = server.map_err(|error| error.to_string())?;
    println!("http://{}", server.server_addr());
    server.run();
    Ok(())
}
