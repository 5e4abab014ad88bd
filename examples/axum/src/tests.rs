//! The server as a browser sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use super::*;

struct Browser {
    app: Router,
    cookie: String,
}

impl Browser {
    fn new(app: &App) -> Self {
        Self { app: routes(Arc::clone(app)), cookie: String::new() }
    }

    /// Sends a request and keeps the cookie of the response. Returns the status and the page.
    async fn send(&mut self, method: &str, path: &str, form: &str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::USER_AGENT, "<Firefox>")
            .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4_000))))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let headers = response.headers();
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "frame-ancestors 'none'");
        if let Some(set) = response.headers().get(header::SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        let status = response.status();
        let page = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(page.to_vec()).unwrap())
    }

    async fn token(&mut self, path: &str) -> String {
        let (_, page) = self.send("GET", path, "").await;
        let (_, rest) = page.split_once("name=token value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    async fn log_in(app: &App, name: &str) -> Self {
        let mut browser = Self::new(app);
        let token = browser.token("/login").await;
        let (status, _) =
            browser.send("POST", "/login", &format!("token={token}&name={name}")).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        browser
    }

    async fn is_logged_in(&mut self) -> bool {
        self.send("GET", "/", "").await.0 == StatusCode::OK
    }
}

fn app() -> App {
    Site::new(SessionStore::in_memory().unwrap(), SessionCookie::default()).unwrap()
}

#[tokio::test]
async fn a_page_for_users_asks_others_to_log_in() {
    let app = app();
    assert!(!Browser::new(&app).is_logged_in().await);
    assert!(Browser::log_in(&app, "ann").await.is_logged_in().await);
}

#[tokio::test]
async fn the_login_page_stores_nothing_and_its_form_cannot_be_forged() {
    let app = app();
    let token = Browser::new(&app).token("/login").await;
    let mut other = Browser::new(&app);
    other.token("/login").await;
    let (status, _) = other.send("POST", "/login", &format!("token={token}&name=eve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(app.store.is_empty().unwrap());
}

#[tokio::test]
async fn a_login_on_top_of_another_ends_that_one() {
    let app = app();
    let mut browser = Browser::log_in(&app, "ann").await;
    let before = browser.cookie.clone();
    let token = browser.token("/login").await;
    let refused = browser.send("POST", "/login", "token=guess&name=bob").await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    assert!(browser.is_logged_in().await, "a forged form ends no session");

    browser.send("POST", "/login", &format!("token={token}&name=bob")).await;
    assert!(browser.is_logged_in().await);
    assert_ne!(browser.cookie, before);
    browser.cookie = before;
    assert!(!browser.is_logged_in().await);
    assert_eq!(app.store.len().unwrap(), 1);
}

#[tokio::test]
async fn a_session_of_another_programs_content_is_a_login_to_make_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("axum.redb");
    let other = SessionStore::<u32>::open(&path).unwrap();
    let id = other.create(7).unwrap().id().clone();
    other.close().unwrap();

    let app = Site::open(&path).unwrap();
    let mut browser = Browser::new(&app);
    browser.cookie = format!("axum_session={}", id.encode());
    let (status, _) = browser.send("GET", "/", "").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let token = browser.token("/login").await;
    browser.send("POST", "/login", &format!("token={token}&name=ann")).await;
    assert!(browser.is_logged_in().await);
    assert_eq!(app.store.len().unwrap(), 1, "the login has ended the other session");
}

#[tokio::test]
async fn a_note_stays_and_is_escaped() {
    let app = app();
    let mut ann = Browser::log_in(&app, "ann").await;
    let token = ann.token("/").await;
    let (status, _) = ann.send("POST", "/note", &format!("token={token}&note=%3Cb%3Etea")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, page) = ann.send("GET", "/", "").await;
    assert!(page.contains("<li>&lt;b&gt;tea</li>"), "{page}");
    let (status, _) = ann.send("POST", "/note", "token=guess&note=milk").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_change_that_was_overtaken_is_a_409() {
    let app = app();
    let ann = Browser::log_in(&app, "ann").await;
    let id = app.cookie.read([ann.cookie.as_str()]).unwrap();
    let mut first = app.store.read(&id).unwrap().unwrap();
    let mut second = app.store.read(&id).unwrap().unwrap();
    app.store.update(&mut first).unwrap();
    let outcome = on_disk(&app, move |store| store.update(&mut second)).await;
    assert_eq!(outcome.unwrap_err().into_response().status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_device_is_ended_from_another_and_only_by_its_user() {
    let app = app();
    let mut desktop = Browser::log_in(&app, "ann").await;
    let mut phone = Browser::log_in(&app, "ann").await;
    let mut bob = Browser::log_in(&app, "bob").await;
    let key = app.cookie.read([phone.cookie.as_str()]).unwrap().key();

    let token = bob.token("/devices").await;
    bob.send("POST", "/devices/end", &format!("token={token}&key={key}")).await;
    assert!(phone.is_logged_in().await);

    let (_, page) = desktop.send("GET", "/devices", "").await;
    assert_eq!(page.matches("&lt;Firefox&gt; from 192.0.2.7, active").count(), 2, "{page}");
    assert_eq!(page.matches("(this one)").count(), 1, "{page}");
    let token = desktop.token("/devices").await;
    desktop.send("POST", "/devices/end", &format!("token={token}&key={key}")).await;
    assert!(!phone.is_logged_in().await);
    assert!(desktop.is_logged_in().await);
}

#[tokio::test]
async fn devices_are_listed_and_ended_though_the_content_of_one_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("axum.redb");
    let other = SessionStore::<u32>::open(&path).unwrap();
    other.create_for_user("ann", 7).unwrap();
    other.close().unwrap();

    let app = Site::open(&path).unwrap();
    let mut ann = Browser::log_in(&app, "ann").await;
    let (status, page) = ann.send("GET", "/devices", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<p>unknown, active"), "{page}");
    let keys: Vec<_> = page.split("name=key value=").skip(1).collect();
    assert_eq!(keys.len(), 2, "{page}");
    let own = ann.cookie.split_once('=').unwrap().1;
    let own = SessionId::parse(own).unwrap().key().to_string();
    let key = keys.iter().map(|rest| rest.split_once('>').unwrap().0).find(|key| **key != own);
    let token = ann.token("/devices").await;
    ann.send("POST", "/devices/end", &format!("token={token}&key={}", key.unwrap())).await;
    assert_eq!(app.store.sessions_of("ann").unwrap().len(), 1);
    assert!(ann.is_logged_in().await);
}

#[tokio::test]
async fn after_the_logout_the_cookie_is_worth_nothing() {
    let app = app();
    let mut ann = Browser::log_in(&app, "ann").await;
    let before = ann.cookie.clone();
    let token = ann.token("/").await;
    let (status, _) = ann.send("POST", "/logout", &format!("token={token}")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(ann.cookie.ends_with('='), "{}", ann.cookie);
    ann.cookie = before;
    assert!(!ann.is_logged_in().await);
}

#[test]
fn a_line_of_the_log_has_the_causes_of_its_error() {
    let error = SessionStore::<u32>::open("/dev/null/sessions.redb").unwrap_err();
    let line = failure::with_causes(&error);
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    assert!(!causes.is_empty());
    assert_eq!(line, format!("{error}: {}", causes.join(": ")));
}
