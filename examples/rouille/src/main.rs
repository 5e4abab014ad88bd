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

use std::error::Error;
use std::path::Path;

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
                eprintln!("the store: {error}");
                Response::text("try again later").with_status_code(503)
            }
        });
        // A page is its user's alone: no proxy or browser may keep it.
        answer.with_unique_header("cache-control", "no-store")
    }

    /// The session of a request, with its lifetime extended.
    fn session(&self, request: &Request) -> sessile::Result<Option<Session<Json<Visits>>>> {
        let Some(id) = self.cookie.read(request.header("cookie")) else { return Ok(None) };
        match self.store.read_and_extend(&id) {
            // A login gives the client a new session, and ends this one.
            Err(
                error @ (StoreError::ContentMismatch { .. } | StoreError::DamagedRecord { .. }),
            ) => {
                eprintln!("the store: {error}");
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
        let (id, set_cookie) = match self.cookie.read(request.header("cookie")) {
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
        let before = match self.cookie.read(request.header("cookie")) {
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

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or("8083".into());
    let site = Site::open("rouille.redb")?;
    let address = format!("127.0.0.1:{port}");
    let server = Server::new(address, move |request| site.handle(request));
    let server = server.map_err(|error| error.to_string())?;
    println!("http://{}", server.server_addr());
    server.run();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

    use std::fmt;
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use sessile::Clock;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn send(
        site: &Site,
        method: &str,
        path: &str,
        cookie: &str,
        form: &str,
    ) -> (u16, String, String) {
        let length = form.len().to_string();
        let headers =
            [("Cookie", cookie), ("Content-Type", FORM), ("Content-Length", length.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let request = Request::fake_http(method, path, headers, form.as_bytes().to_vec());
        let response = site.handle(&request);
        assert!(response.headers.contains(&("cache-control".into(), "no-store".into())));
        let set = response.headers.iter().find(|(name, _)| name == "set-cookie");
        let set = set.map(|(_, value)| value.split(';').next().unwrap().to_owned());
        let (mut reader, _) = response.data.into_reader_and_size();
        let mut page = String::new();
        std::io::Read::read_to_string(&mut reader, &mut page).unwrap();
        (response.status_code, set.unwrap_or_else(|| cookie.to_owned()), page)
    }

    fn token_in(page: &str) -> &str {
        page.split_once("name=token value=\"").unwrap().1.split_once('"').unwrap().0
    }

    type Act = Box<dyn FnOnce() + Send>;

    /// A clock that acts once, as another request would, at its second reading. The store reads the
    /// clock once in every call: first to find the request's session, then to change it.
    #[derive(Clone, Default)]
    struct Meanwhile(Arc<Mutex<Option<(u32, Act)>>>);

    impl Meanwhile {
        fn at_the_second_reading(&self, act: impl FnOnce() + Send + 'static) {
            *self.0.lock().unwrap() = Some((2, Box::new(act)));
        }
    }

    impl fmt::Debug for Meanwhile {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("Meanwhile")
        }
    }

    impl Clock for Meanwhile {
        fn now(&self) -> SystemTime {
            let due = self.0.lock().unwrap().take_if(|(readings, _)| {
                *readings -= 1;
                *readings == 0
            });
            if let Some((_, act)) = due {
                act();
            }
            SystemTime::now()
        }
    }

    /// A site, its clock, and the cookie of a login with its id.
    fn logged_in() -> (Site, Meanwhile, String, SessionId) {
        let clock = Meanwhile::default();
        let store = SessionStore::builder().clock(clock.clone()).manual_maintenance();
        let site = Site::new(store.in_memory().unwrap(), SessionCookie::default()).unwrap();
        let (_, visitor, page) = send(&site, "GET", "/login", "", "");
        let form = format!("token={}&name=ann", token_in(&page));
        let (_, cookie, _) = send(&site, "POST", "/login", &visitor, &form);
        let id = SessionId::parse(cookie.split_once('=').unwrap().1).unwrap();
        (site, clock, cookie, id)
    }

    #[test]
    fn a_visit_of_another_tab_is_in_the_count() {
        let (site, clock, cookie, id) = logged_in();
        let store = site.store.clone();
        clock.at_the_second_reading(move || {
            store.modify(&id, |session| session.content_mut().count += 1).unwrap().unwrap();
        });
        let (_, _, page) = send(&site, "GET", "/", &cookie, "");
        assert!(page.contains("Visit 2."), "{page}");
    }

    #[test]
    fn a_session_that_ends_within_a_visit_is_shown_the_login() {
        let (site, clock, cookie, id) = logged_in();
        let store = site.store.clone();
        clock.at_the_second_reading(move || assert!(store.destroy(&id).unwrap()));
        assert_eq!(send(&site, "GET", "/", &cookie, "").0, 303);
    }

    #[test]
    fn a_head_is_answered_as_a_get_is() {
        let (site, _, cookie, _) = logged_in();
        assert_eq!(send(&site, "HEAD", "/", &cookie, "").0, 200);
        assert_eq!(send(&site, "HEAD", "/", "", "").0, 303);
        assert_eq!(send(&site, "HEAD", "/login", "", "").0, 200);
        assert_eq!(send(&site, "HEAD", "/logout", "", "").0, 404);
    }

    #[test]
    fn a_name_that_is_too_long_is_the_clients_mistake() {
        let site = Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap();
        let (_, visitor, page) = send(&site, "GET", "/login", "", "");
        let form = format!("token={}&name={}", token_in(&page), "x".repeat(256));
        assert_eq!(send(&site, "POST", "/login", &visitor, &form).0, 400);
    }

    #[test]
    fn a_form_that_is_long_or_hides_its_length_is_not_read() {
        let site = Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap();
        for path in ["/login", "/logout"] {
            assert_eq!(send(&site, "POST", path, "", &"x".repeat(16 * 1024)).0, 400);
            assert_eq!(send(&site, "POST", path, "", &"x".repeat(16 * 1024 + 1)).0, 413);
            let chunked = [("Transfer-Encoding", "chunked"), ("Content-Length", "1")];
            for headers in [&chunked[..1], &chunked[..]] {
                let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
                let request = Request::fake_http("POST", path, headers.collect(), vec![b'x']);
                assert_eq!(site.handle(&request).status_code, 413);
            }
        }
    }

    #[test]
    fn visits_are_counted_from_the_login_to_the_logout() {
        let site = Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap();
        assert_eq!(send(&site, "GET", "/", "", "").0, 303);
        let (status, cookie, page) = send(&site, "GET", "/login", "", "");
        assert_eq!(status, 200);
        assert!(site.store.is_empty().unwrap(), "the page stores nothing");
        assert_eq!(send(&site, "POST", "/login", &cookie, "token=x&name=ann").0, 403);

        let form = format!("token={}&name=ann", token_in(&page));
        let (status, cookie, _) = send(&site, "POST", "/login", &cookie, &form);
        assert_eq!(status, 303);
        assert!(send(&site, "GET", "/", &cookie, "").2.contains("Visit 1."));
        let (_, _, page) = send(&site, "GET", "/", &cookie, "");
        assert!(page.contains("Visit 2."), "{page}");

        assert_eq!(send(&site, "POST", "/logout", &cookie, "token=x").0, 403);
        let form = format!("token={}", token_in(&page));
        assert_eq!(send(&site, "POST", "/logout", &cookie, &form).0, 303);
        assert_eq!(send(&site, "GET", "/", &cookie, "").0, 303);
    }

    #[test]
    fn a_session_of_another_programs_content_is_a_login_to_make_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rouille.redb");
        let other = SessionStore::<u32>::open(&path).unwrap();
        let id = other.create(7).unwrap().id().clone();
        other.close().unwrap();

        let site = Site::open(&path).unwrap();
        let cookie = format!("rouille_session={}", id.encode());
        assert_eq!(send(&site, "GET", "/", &cookie, "").0, 303);
        assert_eq!(send(&site, "POST", "/logout", &cookie, "token=x").0, 303);
        let (_, _, page) = send(&site, "GET", "/login", &cookie, "");
        let form = format!("token={}&name=ann", token_in(&page));
        let (_, ann, _) = send(&site, "POST", "/login", &cookie, &form);
        assert_eq!(send(&site, "GET", "/", &ann, "").0, 200);
        assert_eq!(site.store.len().unwrap(), 1, "the login has ended the other session");
    }

    #[test]
    fn a_login_on_top_of_another_ends_that_one() {
        let site = Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap();
        let (_, visitor, page) = send(&site, "GET", "/login", "", "");
        let form = format!("token={}&name=ann", token_in(&page));
        let (_, ann, _) = send(&site, "POST", "/login", &visitor, &form);
        let (_, _, page) = send(&site, "GET", "/login", &ann, "");
        assert_eq!(send(&site, "POST", "/login", &ann, "token=x&name=bob").0, 403);
        assert_eq!(send(&site, "GET", "/", &ann, "").0, 200, "a forged form ends no session");

        let form = format!("token={}&name=bob", token_in(&page));
        let (_, bob, _) = send(&site, "POST", "/login", &ann, &form);
        assert_eq!(send(&site, "GET", "/", &bob, "").0, 200);
        assert_eq!(send(&site, "GET", "/", &ann, "").0, 303);
        assert_eq!(site.store.len().unwrap(), 1);
    }
}
