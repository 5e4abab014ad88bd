//! The server as a browser sees it.

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
        let app = App::new().wrap(of_a_page()).app_data($site.clone()).configure(routes);
        let app = test::init_service(app).await;
        let response = test::call_service(&app, $request.to_request()).await;
        assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap();
        assert_eq!(policy, "frame-ancestors 'none'");
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

#[actix_web::test]
async fn a_line_of_the_log_has_the_causes_of_its_error() {
    let error = SessionStore::<u32>::open("/dev/null/sessions.redb").unwrap_err();
    let line = with_causes(&error);
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    assert!(!causes.is_empty());
    assert_eq!(line, format!("{error}: {}", causes.join(": ")));
}
