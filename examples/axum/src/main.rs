//! An axum server over sessile's own API: an extractor, a login, a list of devices.
//!
//! ```text
//! $ cargo run --manifest-path examples/axum/Cargo.toml
//! http://127.0.0.1:8081
//! $ curl -i http://127.0.0.1:8081/
//! HTTP/1.1 303 See Other
//! location: /login
//! $ curl -i http://127.0.0.1:8081/login
//! HTTP/1.1 200 OK
//! set-cookie: axum_session=…; HttpOnly; SameSite=Lax; Path=/
//! ```
//!
//! The headers and the page are left out that a program does not look at. The sessions are in
//! `axum.redb`, in the current folder. `-- 8181` at the end of the command is another port.
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | the server, its state and its routes |
//! | `signed_in.rs` | the extractor: the session of a request, or the login page |
//! | `failure.rs` | failures and the answers to the client |
//! | `pages.rs` | HTML |
//!
//! The store is a file, so reads run in place: from memory they take about a microsecond. Writes
//! wait for the disk, so each runs on a thread of tokio's blocking pool.

mod failure;
mod pages;
mod signed_in;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::middleware::map_response;
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use serde::{Deserialize, Serialize};
use sessile::web::cookie::SessionCookie;
use sessile::web::csrf::{CsrfKey, StatelessCsrf};
use sessile::{Json, SessionId, SessionOptions, SessionStore};

use crate::failure::Failure;
use crate::signed_in::SignedIn;

/// What a session holds. A later release may add a field with `#[serde(default)]`.
#[derive(Serialize, Deserialize)]
struct Notes {
    browser: String,
    #[serde(default)]
    address: Option<IpAddr>,
    notes: Vec<String>,
}

struct Site {
    store: SessionStore<Json<Notes>>,
    cookie: SessionCookie,
    csrf: StatelessCsrf,
}

type App = Arc<Site>;

impl Site {
    fn new(store: SessionStore<Json<Notes>>, cookie: SessionCookie) -> sessile::Result<App> {
        Ok(Arc::new(Self { store, cookie, csrf: StatelessCsrf::new(CsrfKey::generate()?) }))
    }

    /// The names are this program's alone: a browser sends a host's cookies to every port, and
    /// another program may run in the same folder.
    fn open(path: impl AsRef<Path>) -> sessile::Result<App> {
        let store = SessionStore::builder().content_name("example.axum").open(path)?;
        // The prefix `__Host-` needs TLS. Behind TLS, use `SessionCookie::default()`.
        let cookie = SessionCookie::builder().name("axum_session").secure(false).build()?;
        Self::new(store, cookie)
    }
}

/// Runs a write, which waits for the disk, on a blocking thread.
async fn on_disk<T: Send + 'static>(
    app: &App,
    act: impl FnOnce(&SessionStore<Json<Notes>>) -> sessile::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let app = Arc::clone(app);
    let outcome = tokio::task::spawn_blocking(move || act(&app.store)).await;
    Ok(outcome.map_err(|_| Failure::Panicked)??)
}

async fn login_page(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failure> {
    let (id, set_cookie) = match app.cookie.read(headers.get_all(header::COOKIE)) {
        Some(id) => (id, None),
        None => {
            let id = SessionId::generate()?;
            let set_cookie = app.cookie.set_id(&id);
            (id, Some((header::SET_COOKIE, set_cookie)))
        }
    };
    let page = Html(pages::login(&app.csrf.token(&id)?));
    Ok((AppendHeaders(set_cookie), page).into_response())
}

#[derive(Deserialize)]
struct Login {
    token: String,
    name: String,
}

/// Your own server checks a password here; `examples/login.rs` shows how. The address is the
/// connection's; behind a proxy, take the address from the proxy's header.
async fn log_in(
    State(app): State<App>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Result<Response, Failure> {
    let before = match app.cookie.read(headers.get_all(header::COOKIE)) {
        Some(id) if app.csrf.verify(&id, &form.token) => id,
        _ => return Err(Failure::Forged),
    };
    let browser = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let browser: String = browser.unwrap_or("unknown").chars().take(100).collect();
    let options = SessionOptions::new().user(form.name).csrf_token();
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    let content = Json(Notes { browser, address, notes: Vec::new() });
    let session = on_disk(&app, move |store| {
        // An earlier login of this browser ends first, and so counts for no limit. An id without a
        // session costs no commit.
        store.destroy(&before)?;
        store.create_with(content, &options)
    });
    let session = session.await?;
    let set_cookie = [(header::SET_COOKIE, app.cookie.set(&session))];
    Ok((AppendHeaders(set_cookie), Redirect::to("/")).into_response())
}

async fn home(SignedIn(session): SignedIn) -> Html<String> {
    Html(pages::home(&session))
}

#[derive(Deserialize)]
struct NewNote {
    token: String,
    note: String,
}

/// Of two concurrent notes the second gets a `Conflict`, answered with 409. No note is lost.
async fn add_note(
    State(app): State<App>,
    SignedIn(mut session): SignedIn,
    Form(form): Form<NewNote>,
) -> Result<Redirect, Failure> {
    failure::check_token(&session, &form.token)?;
    session.content_mut().notes.push(form.note);
    on_disk(&app, move |store| store.update(&mut session)).await?;
    Ok(Redirect::to("/"))
}

async fn devices(
    State(app): State<App>,
    SignedIn(session): SignedIn,
) -> Result<Html<String>, Failure> {
    let Some(user) = session.user() else { return Err(Failure::Forged) };
    // A session of the user whose content cannot be read is in the list, too, and can be ended.
    Ok(Html(pages::devices(&session, &app.store.sessions_of_with(user)?)))
}

#[derive(Deserialize)]
struct EndDevice {
    token: String,
    key: String,
}

async fn end_device(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Form(form): Form<EndDevice>,
) -> Result<Redirect, Failure> {
    failure::check_token(&session, &form.token)?;
    let key = form.key.parse()?;
    let Some(user) = session.user().cloned() else { return Err(Failure::Forged) };
    on_disk(&app, move |store| store.destroy_of(user, &key)).await?;
    Ok(Redirect::to("/devices"))
}

#[derive(Deserialize)]
struct Logout {
    token: String,
}

async fn log_out(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Form(form): Form<Logout>,
) -> Result<Response, Failure> {
    failure::check_token(&session, &form.token)?;
    on_disk(&app, move |store| store.destroy(session.id())).await?;
    let clear = [(header::SET_COOKIE, app.cookie.clear())];
    Ok((AppendHeaders(clear), Redirect::to("/login")).into_response())
}

fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(login_page).post(log_in))
        .route("/note", post(add_note))
        .route("/devices", get(devices))
        .route("/devices/end", post(end_device))
        .route("/logout", post(log_out))
        // A page is its user's alone: no proxy or browser may keep it, and no other page frame it.
        .layer(map_response(async |response: Response| {
            let unframed = (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'");
            ([(header::CACHE_CONTROL, "no-store"), unframed], response)
        }))
        .with_state(app)
}

/// `main` would print the error's `Debug`, which does not say what to do.
#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum: {}", failure::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or("8081".into());
    let routes = routes(Site::open("axum.redb")?);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
