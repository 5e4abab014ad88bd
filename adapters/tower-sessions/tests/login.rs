//! axum-login over the adapter: a login, a page for users, a list of devices, a logout.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::{Router, body, routing};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, login_required};
use sessile::SessionId;
use sessile_tower_sessions::SessileStore;
use tower::ServiceExt;
use tower_sessions_0_14::{Session, SessionManagerLayer};

#[derive(Clone, Debug)]
struct Ann;

impl AuthUser for Ann {
    type Id = String;

    fn id(&self) -> String {
        "ann".into()
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"of the password"
    }
}

/// One user, with one password.
#[derive(Clone, Debug)]
struct Accounts;

impl AuthnBackend for Accounts {
    type User = Ann;
    type Credentials = &'static str;
    type Error = Infallible;

    async fn authenticate(&self, password: &'static str) -> Result<Option<Ann>, Infallible> {
        Ok((password == "tea").then_some(Ann))
    }

    async fn get_user(&self, id: &String) -> Result<Option<Ann>, Infallible> {
        Ok((id == "ann").then_some(Ann))
    }
}

async fn log_in(mut auth: AuthSession<Accounts>, password: &'static str) -> StatusCode {
    match auth.authenticate(password).await.unwrap() {
        Some(user) => {
            auth.login(&user).await.unwrap();
            StatusCode::OK
        }
        None => StatusCode::UNAUTHORIZED,
    }
}

/// Puts something in the session, as a shop does for a visitor who has not logged in.
async fn add_tea(session: Session) {
    session.insert("cart", "tea").await.unwrap();
}

async fn log_out(mut auth: AuthSession<Accounts>) {
    auth.logout().await.unwrap();
}

fn app(store: &SessileStore) -> Router {
    let auth = AuthManagerLayerBuilder::new(Accounts, SessionManagerLayer::new(store.clone()));
    Router::new()
        .route("/cart", routing::get(async || "the cart"))
        .route_layer(login_required!(Accounts))
        .route(
            "/right",
            routing::post(async |auth: AuthSession<Accounts>| log_in(auth, "tea").await),
        )
        .route("/wrong", routing::post(async |auth: AuthSession<Accounts>| log_in(auth, "x").await))
        .route("/tea", routing::post(add_tea))
        .route("/logout", routing::post(log_out))
        .route("/out_and_in", routing::post(log_out_and_in))
        .layer(auth.build())
}

fn store() -> SessileStore {
    SessileStore::in_memory()
        .unwrap()
        .with_user(|data| Some(data.get("axum-login.data")?.get("user_id")?.as_str()?.into()))
}

async fn send(app: &Router, method: &str, path: &str, cookie: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// Logs in and gives the pair for the `Cookie` header.
async fn cookie_of_a_login(app: &Router, before: Option<&str>) -> String {
    cookie_of(app, "/right", before).await
}

async fn cookie_of(app: &Router, path: &str, before: Option<&str>) -> String {
    let response = send(app, "POST", path, before).await;
    assert_eq!(response.status(), StatusCode::OK);
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_login_lasts_until_the_logout() {
    let store = store();
    let app = app(&store);
    assert_eq!(send(&app, "GET", "/cart", None).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(send(&app, "POST", "/wrong", None).await.status(), StatusCode::UNAUTHORIZED);

    let cookie = cookie_of_a_login(&app, None).await;
    let response = send(&app, "GET", "/cart", Some(&cookie)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body::to_bytes(response.into_body(), 100).await.unwrap(), "the cart");

    send(&app, "POST", "/logout", Some(&cookie)).await;
    let response = send(&app, "GET", "/cart", Some(&cookie)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test]
async fn a_login_gives_a_visitors_session_a_new_id() {
    let store = store();
    let app = app(&store);
    let visitor = cookie_of(&app, "/tea", None).await;
    let key_of = |cookie: &str| {
        let (_, id) = cookie.split_once('=').unwrap();
        SessionId::parse(id).unwrap().key()
    };
    let before = store.sessions().read_key(&key_of(&visitor)).unwrap().unwrap();
    assert_eq!((before.info().user(), &before.content().data()["cart"]), (None, &"tea".into()));

    let user = cookie_of_a_login(&app, Some(&visitor)).await;
    assert_ne!(user, visitor);
    let after = store.sessions().read_key(&key_of(&user)).unwrap().unwrap();
    assert_eq!(
        (after.info().user(), &after.content().data()["cart"]),
        (Some(&"ann".into()), &"tea".into())
    );

    // Who knows the id from before the login has nothing.
    assert!(store.sessions().read_key(&key_of(&visitor)).unwrap().is_none());
    let response = send(&app, "GET", "/cart", Some(&visitor)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(store.sessions().len().unwrap(), 1);
}

#[tokio::test]
async fn a_user_is_logged_out_on_every_device_at_once() {
    let store = store();
    let app = app(&store);
    let desktop = cookie_of_a_login(&app, None).await;
    let phone = cookie_of_a_login(&app, None).await;
    assert_eq!(store.sessions().sessions_of("ann").unwrap().len(), 2);
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 2);
    for cookie in [desktop, phone] {
        let response = send(&app, "GET", "/cart", Some(&cookie)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
}

async fn log_out_and_in(mut auth: AuthSession<Accounts>) -> StatusCode {
    auth.logout().await.unwrap();
    log_in(auth, "tea").await
}

/// axum-login gives a new id to a session that nobody is logged in to, and to no other: who planted
/// the id of a login of his own has the login that replaces it.
#[tokio::test]
async fn a_login_over_a_login_gets_a_new_id_only_after_a_logout() {
    let store = store();
    let app = app(&store);
    let planted = cookie_of_a_login(&app, None).await;
    let kept = send(&app, "POST", "/right", Some(&planted)).await;
    assert_eq!(kept.status(), StatusCode::OK);
    assert!(!kept.headers().contains_key(header::SET_COOKIE), "axum-login keeps the id");
    assert_eq!(send(&app, "GET", "/cart", Some(&planted)).await.status(), StatusCode::OK);

    let after = cookie_of(&app, "/out_and_in", Some(&planted)).await;
    assert_ne!(after, planted);
    let response = send(&app, "GET", "/cart", Some(&planted)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = send(&app, "GET", "/cart", Some(&after)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(store.sessions().sessions_of("ann").unwrap().len(), 1);
}
