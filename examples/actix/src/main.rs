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

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::path::Path;
use std::process::ExitCode;
use std::{fmt, iter};

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
            eprintln!("the store: {}", with_causes(error));
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

/// An error and its causes, in one line. No message repeats its cause.
fn with_causes(error: &dyn StdError) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    // A foreign error may name itself as its cause, without end.
    causes.take(16).fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
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

/// A page is its user's alone: no proxy or browser may keep it, and no other page may frame it.
fn of_a_page() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"))
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

/// `main` would print the error's `Debug`, which does not say what to do.
#[actix_web::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actix: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn StdError>> {
    let port = std::env::args().nth(1).unwrap_or("8082".into());
    let site = Site::open("actix.redb")?;
    let server = HttpServer::new(move || {
        App::new().wrap(of_a_page()).app_data(site.clone()).configure(routes)
    })
    .bind(format!("127.0.0.1:{port}"))?;
    for address in server.addrs() {
        println!("http://{address}");
    }
    Ok(server.run().await?)
}
