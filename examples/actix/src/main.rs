//! An actix-web server over sessile's own API: an extractor, a login, an exact counter.
//!
//! ```text
//! $ cargo run --manifest-path examples/actix/Cargo.toml
//! http://127.0.0.1:8082
//! $ curl -i http://127.0.0.1:8082/
//! HTTP/1.1 303 See Other
//! location: /login
//! $ curl -i http://127.0.0.1:8082/login
//! HTTP/1.1 200 OK
//! set-cookie: actix_session=…; HttpOnly; SameSite=Lax; Path=/
//! ```
//!
//! The headers and the page are left out that a program does not look at. The sessions are in
//! `actix.redb`, in the current folder. `-- 8181` at the end of the command is another port.
//!
//! The store is a file, so reads run in place: from memory they take about a microsecond. Writes
//! wait for the disk, so each goes through `web::block`.

use std::future::{Ready, ready};
use std::path::Path;
use std::{fmt, io};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{Data, Form, ServiceConfig, get, head, post};
use actix_web::{App, FromRequest, HttpRequest, HttpResponse, HttpServer, ResponseError, web};
use serde::{Deserialize, Serialize};
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{Error, Json, Session, SessionId, SessionOptions, SessionStore};

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
    fn new(
        store: SessionStore<Json<Visits>>,
        cookie: SessionCookie,
    ) -> sessile::Result<Data<Self>> {
        Ok(Data::new(Self { store, cookie, csrf: StatelessCsrf::new(CsrfKey::generate()?) }))
    }

    /// The names are this program's alone: a browser sends a host's cookies to every port, and
    /// another program may run in the same folder.
    fn open(path: impl AsRef<Path>) -> sessile::Result<Data<Self>> {
        let store = SessionStore::builder().content_name("example.actix").open(path)?;
        // The prefix `__Host-` needs TLS. Behind TLS, use `SessionCookie::default()`.
        let cookie = SessionCookie::builder().name("actix_session").secure(false).build()?;
        Self::new(store, cookie)
    }
}

/// A failure and the answer to the client. Details go to the log.
#[derive(Debug)]
enum Failure {
    NotSignedIn,
    Forged,
    Blocking,
    Store(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSignedIn => formatter.write_str("log in first"),
            Self::Forged => formatter.write_str("load the form again"),
            Self::Store(Error::InvalidUser { .. }) => formatter.write_str("choose another name"),
            Self::Blocking | Self::Store(_) => formatter.write_str("try again later"),
        }
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotSignedIn | Self::Store(Error::Gone { .. }) => StatusCode::SEE_OTHER,
            // A login gives the client a new session, and ends this one.
            Self::Store(Error::ContentMismatch { .. } | Error::DamagedRecord { .. }) => {
                StatusCode::SEE_OTHER
            }
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Store(Error::InvalidUser { .. }) => StatusCode::BAD_REQUEST,
            Self::Store(Error::Conflict { .. }) => StatusCode::CONFLICT,
            Self::Blocking | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Store(error) = self {
            // No error text contains a session id.
            eprintln!("the store: {error}");
        }
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SEE_OTHER {
            response.insert_header((header::LOCATION, "/login"));
        }
        response.body(self.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Runs a write, which waits for the disk, on a blocking thread.
async fn on_disk<T: Send + 'static>(
    site: &Data<Site>,
    act: impl FnOnce(&SessionStore<Json<Visits>>) -> sessile::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let site = site.clone();
    let outcome = web::block(move || act(&site.store)).await;
    Ok(outcome.map_err(|_| Failure::Blocking)??)
}

/// The session of the request, with its lifetime extended. Without a session, the client gets the
/// login page.
struct SignedIn(Session<Json<Visits>>);

impl FromRequest for SignedIn {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let find = || {
            let site = request.app_data::<Data<Site>>().ok_or(Failure::NotSignedIn)?;
            let id = site.cookie.read(request.headers().get_all(header::COOKIE));
            let session = id.map(|id| site.store.read_and_extend(&id)).transpose()?.flatten();
            session.map(Self).ok_or(Failure::NotSignedIn)
        };
        ready(find())
    }
}

async fn login_page(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let mut response = HttpResponse::Ok();
    let id = match site.cookie.read(request.headers().get_all(header::COOKIE)) {
        Some(id) => id,
        None => {
            let id = SessionId::generate()?;
            response.append_header((header::SET_COOKIE, site.cookie.set_id(&id)));
            id
        }
    };
    let token = site.csrf.token(&id)?;
    Ok(response.content_type("text/html").body(format!(
        "<form method=post action=/login><input type=hidden name=token value=\"{token}\">\
         <input name=name required autofocus><button>Log in</button></form>"
    )))
}

#[derive(Deserialize)]
struct Login {
    token: String,
    name: String,
}

/// Your own server checks a password here; `examples/login.rs` shows how.
async fn log_in(
    site: Data<Site>,
    request: HttpRequest,
    form: Form<Login>,
) -> Result<HttpResponse, Failure> {
    let before = match site.cookie.read(request.headers().get_all(header::COOKIE)) {
        Some(id) if site.csrf.verify(&id, &form.token) => id,
        _ => return Err(Failure::Forged),
    };
    let options = SessionOptions::new().user(form.into_inner().name).csrf_token();
    let content = Json(Visits { count: 0 });
    let session = on_disk(&site, move |store| {
        // An earlier login of this browser ends first, and so counts for no limit. An id without a
        // session costs no commit.
        store.destroy(&before)?;
        store.create_with(content, &options)
    });
    let session = session.await?;
    let set_cookie = (header::SET_COOKIE, site.cookie.set(&session));
    Ok(HttpResponse::SeeOther()
        .append_header(set_cookie)
        .insert_header((header::LOCATION, "/"))
        .finish())
}

async fn home(site: Data<Site>, SignedIn(session): SignedIn) -> Result<HttpResponse, Failure> {
    // Two tabs may load concurrently: `modify` counts both, and returns the session as it saved it.
    let counted = on_disk(&site, move |store| {
        store.modify(session.id(), |session| session.content_mut().count += 1)
    });
    // `None`: the session has ended since the extractor read it.
    let session = counted.await?.ok_or(Failure::NotSignedIn)?;
    let count = session.content().count;
    let token = session.csrf_token().map(|token| token.encode()).unwrap_or_default();
    Ok(HttpResponse::Ok().content_type("text/html").body(format!(
        "<p>Visit {count}.</p><form method=post action=/logout>\
         <input type=hidden name=token value=\"{token}\"><button>Log out</button></form>"
    )))
}

#[derive(Deserialize)]
struct Logout {
    token: String,
}

async fn log_out(
    site: Data<Site>,
    SignedIn(session): SignedIn,
    form: Form<Logout>,
) -> Result<HttpResponse, Failure> {
    if !session.csrf_token().is_some_and(|token| token.verify(&form.token)) {
        return Err(Failure::Forged);
    }
    on_disk(&site, move |store| store.destroy(session.id())).await?;
    Ok(HttpResponse::SeeOther()
        .append_header((header::SET_COOKIE, site.cookie.clear()))
        .insert_header((header::LOCATION, "/login"))
        .finish())
}

/// A page is its user's alone: no proxy or browser may keep it.
fn no_store() -> DefaultHeaders {
    DefaultHeaders::new().add((header::CACHE_CONTROL, "no-store"))
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/", get().to(home))
        .route("/", head().to(home))
        .route("/login", get().to(login_page))
        .route("/login", head().to(login_page))
        .route("/login", post().to(log_in))
        .route("/logout", post().to(log_out));
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or("8082".into());
    let site = Site::open("actix.redb").map_err(io::Error::other)?;
    let server = HttpServer::new(move || {
        App::new().wrap(no_store()).app_data(site.clone()).configure(routes)
    })
    .bind(format!("127.0.0.1:{port}"))?;
    for address in server.addrs() {
        println!("http://{address}");
    }
    server.run().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use actix_web::http::Method;
    use actix_web::test::{self, TestRequest};

    use sessile::Clock;

    use super::*;

    fn site() -> Data<Site> {
        Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap()
    }

    macro_rules! send {
        ($site:expr, $request:expr) => {{
            let app = App::new().wrap(no_store()).app_data($site.clone()).configure(routes);
            let app = test::init_service(app).await;
            let response = test::call_service(&app, $request.to_request()).await;
            assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
            let set = response.headers().get(header::SET_COOKIE);
            let set = set.map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned());
            let status = response.status().as_u16();
            let page = test::read_body(response).await;
            (status, set, String::from_utf8(page.to_vec()).unwrap())
        }};
    }

    fn token_in(page: &str) -> &str {
        page.split_once("name=token value=\"").unwrap().1.split_once('"').unwrap().0
    }

    fn form(path: &str, cookie: &str, fields: String) -> TestRequest {
        TestRequest::post()
            .uri(path)
            .insert_header((header::COOKIE, cookie))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
            .set_payload(fields)
    }

    fn page(path: &str, cookie: &str) -> TestRequest {
        TestRequest::get().uri(path).insert_header((header::COOKIE, cookie))
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

    /// A site, its clock, and the cookie of a login.
    macro_rules! logged_in {
        () => {{
            let clock = Meanwhile::default();
            let store = SessionStore::builder().clock(clock.clone()).manual_maintenance();
            let site = Site::new(store.in_memory().unwrap(), SessionCookie::default()).unwrap();
            let (_, visitor, login) = send!(site, page("/login", "a=b"));
            let fields = format!("token={}&name=ann", token_in(&login));
            let (_, cookie, _) = send!(site, form("/login", &visitor.unwrap(), fields));
            let cookie = cookie.unwrap();
            let id = SessionId::parse(cookie.split_once('=').unwrap().1).unwrap();
            (site, clock, cookie, id)
        }};
    }

    #[actix_web::test]
    async fn a_head_is_answered_as_a_get_is() {
        let (site, _, cookie, _) = logged_in!();
        let head = |path: &str, cookie: &str| page(path, cookie).method(Method::HEAD);
        assert_eq!(send!(site, head("/", &cookie)).0, 200);
        assert_eq!(send!(site, head("/", "a=b")).0, 303);
        assert_eq!(send!(site, head("/login", "a=b")).0, 200);
    }

    #[actix_web::test]
    async fn a_visit_of_another_tab_is_in_the_count() {
        let (site, clock, cookie, id) = logged_in!();
        let store = site.store.clone();
        clock.at_the_second_reading(move || {
            store.modify(&id, |session| session.content_mut().count += 1).unwrap().unwrap();
        });
        let (_, _, home) = send!(site, page("/", &cookie));
        assert!(home.contains("Visit 2."), "{home}");
    }

    #[actix_web::test]
    async fn a_session_that_ends_within_a_visit_is_shown_the_login() {
        let (site, clock, cookie, id) = logged_in!();
        let store = site.store.clone();
        clock.at_the_second_reading(move || assert!(store.destroy(&id).unwrap()));
        assert_eq!(send!(site, page("/", &cookie)).0, 303);
    }

    #[actix_web::test]
    async fn a_name_that_is_too_long_is_the_clients_mistake() {
        let site = site();
        let (_, visitor, login) = send!(site, page("/login", "a=b"));
        let fields = format!("token={}&name={}", token_in(&login), "x".repeat(256));
        assert_eq!(send!(site, form("/login", &visitor.unwrap(), fields)).0, 400);
    }

    #[actix_web::test]
    async fn visits_are_counted_from_the_login_to_the_logout() {
        let site = site();
        assert_eq!(send!(site, page("/", "a=b")).0, 303);
        let (_, visitor, login) = send!(site, page("/login", "a=b"));
        let visitor = visitor.unwrap();
        assert!(site.store.is_empty().unwrap(), "the page stores nothing");
        let forged = form("/login", &visitor, "token=x&name=ann".into());
        assert_eq!(send!(site, forged).0, 403);

        let fields = format!("token={}&name=ann", token_in(&login));
        let (status, cookie, _) = send!(site, form("/login", &visitor, fields));
        assert_eq!(status, 303);
        let cookie = cookie.unwrap();
        send!(site, page("/", &cookie));
        let (_, _, home) = send!(site, page("/", &cookie));
        assert!(home.contains("Visit 2."), "{home}");

        assert_eq!(send!(site, form("/logout", &cookie, "token=x".into())).0, 403);
        let fields = format!("token={}", token_in(&home));
        assert_eq!(send!(site, form("/logout", &cookie, fields)).0, 303);
        assert_eq!(send!(site, page("/", &cookie)).0, 303);
    }

    #[actix_web::test]
    async fn a_session_of_another_programs_content_is_a_login_to_make_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actix.redb");
        let other = SessionStore::<u32>::open(&path).unwrap();
        let id = other.create(7).unwrap().id().clone();
        other.close().unwrap();

        let site = Site::open(&path).unwrap();
        let cookie = format!("actix_session={}", id.encode());
        assert_eq!(send!(site, page("/", &cookie)).0, 303);
        let (_, _, login) = send!(site, page("/login", &cookie));
        let fields = format!("token={}&name=ann", token_in(&login));
        let (_, ann, _) = send!(site, form("/login", &cookie, fields));
        assert_eq!(send!(site, page("/", &ann.unwrap())).0, 200);
        assert_eq!(site.store.len().unwrap(), 1, "the login has ended the other session");
    }

    #[actix_web::test]
    async fn a_login_on_top_of_another_ends_that_one() {
        let site = site();
        let (_, visitor, login) = send!(site, page("/login", "a=b"));
        let fields = format!("token={}&name=ann", token_in(&login));
        let (_, ann, _) = send!(site, form("/login", &visitor.unwrap(), fields));
        let ann = ann.unwrap();
        let (_, _, login) = send!(site, page("/login", &ann));
        assert_eq!(send!(site, form("/login", &ann, "token=x&name=bob".into())).0, 403);
        assert_eq!(send!(site, page("/", &ann)).0, 200, "a forged form ends no session");

        let fields = format!("token={}&name=bob", token_in(&login));
        let (_, bob, _) = send!(site, form("/login", &ann, fields));
        assert_eq!(send!(site, page("/", &bob.unwrap())).0, 200);
        assert_eq!(send!(site, page("/", &ann)).0, 303);
        assert_eq!(site.store.len().unwrap(), 1);
    }
}
