//! The workflows of actix-session's acceptance suite, rewritten: a browser's requests through the
//! middleware, with each way to protect the cookie.
//!
//! They are the module `acceptance_tests` of `src/lib.rs` in the crate `actix-session` 0.11.0.

use std::path::Path;

use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::{Session, SessionExt, SessionMiddleware};
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, CookieJar, Key};
use actix_web::dev::ServiceResponse;
use actix_web::test::{self, TestRequest};
use actix_web::{App, HttpResponse, guard, web};
use sessile::SessionStore as Sessile;
use sessile_actix_session::SessileStore;

const POLICIES: [CookieContentSecurity; 2] =
    [CookieContentSecurity::Signed, CookieContentSecurity::Private];
const WEEK: Duration = Duration::days(7);

fn middleware(
    store: &SessileStore,
    policy: CookieContentSecurity,
    extension: TtlExtensionPolicy,
) -> SessionMiddleware<SessileStore> {
    let lifecycle = PersistentSession::default().session_ttl(WEEK);
    SessionMiddleware::builder(store.clone(), Key::generate())
        .cookie_content_security(policy)
        .session_lifecycle(lifecycle.session_ttl_extension_policy(extension))
        .build()
}

async fn show(session: Session) -> String {
    let user = session.get::<String>("user_id").unwrap();
    let count = session.get::<u32>("count").unwrap().unwrap_or_default();
    format!("{user:?} {count}")
}

async fn count(session: Session) -> String {
    let count = session.get::<u32>("count").unwrap().unwrap_or_default();
    session.insert("count", count + 1).unwrap();
    show(session).await
}

async fn log_in(session: Session) -> String {
    session.insert("user_id", "ferris").unwrap();
    session.renew();
    show(session).await
}

/// Ends the session, as another request might, after this request has loaded it.
async fn renew_what_ended(session: Session, store: web::Data<SessileStore>) -> String {
    store.sessions().clear().unwrap();
    session.renew();
    show(session).await
}

async fn log_out(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

fn routes(config: &mut web::ServiceConfig) {
    let has_user = guard::fn_guard(|context| {
        context.get_session().get::<String>("user_id").unwrap().is_some()
    });
    config
        .route("/show", web::get().to(show))
        .route("/count", web::post().to(count))
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .service(web::scope("/protected").guard(has_user).route("/show", web::get().to(show)));
}

fn cookie_of(response: &ServiceResponse) -> Option<Cookie<'static>> {
    response.response().cookies().find(|cookie| cookie.name() == "id").map(Cookie::into_owned)
}

fn request(method: &str, path: &str, cookie: Option<&Cookie<'static>>) -> TestRequest {
    let request = TestRequest::with_uri(path).method(method.parse().unwrap());
    match cookie {
        Some(cookie) => request.cookie(cookie.clone()),
        None => request,
    }
}

/// The status, the cookie that was set, and the page.
macro_rules! send {
    ($app:expr, $method:literal, $path:literal, $cookie:expr) => {{
        let request = request($method, $path, $cookie).to_request();
        let response = test::call_service(&$app, request).await;
        let (status, cookie) = (response.status().as_u16(), cookie_of(&response));
        let page = test::read_body(response).await;
        (status, cookie, String::from_utf8(page.to_vec()).unwrap())
    }};
}

#[actix_web::test]
async fn a_session_goes_from_nobody_through_a_login_to_a_logout() {
    for policy in POLICIES {
        let store = SessileStore::in_memory().unwrap();
        let sessions = middleware(&store, policy, TtlExtensionPolicy::OnStateChanges);
        let app = test::init_service(App::new().wrap(sessions).configure(routes)).await;

        let (_, cookie, page) = send!(app, "GET", "/show", None);
        assert_eq!((cookie, page.as_str()), (None, "None 0"));
        assert!(store.sessions().is_empty().unwrap(), "a session without state is not stored");

        let (_, first, page) = send!(app, "POST", "/count", None);
        let first = first.unwrap();
        assert_eq!((first.max_age(), page.as_str()), (Some(WEEK), "None 1"));
        let (_, cookie, page) = send!(app, "GET", "/show", Some(&first));
        assert_eq!((cookie, page.as_str()), (None, "None 1"));
        let (_, second, page) = send!(app, "POST", "/count", Some(&first));
        let second = second.unwrap();
        assert_eq!((second.max_age(), page.as_str()), (Some(WEEK), "None 2"));

        let (_, third, page) = send!(app, "POST", "/login", Some(&second));
        let third = third.unwrap();
        assert_ne!(second.value(), third.value());
        assert_eq!(page, "Some(\"ferris\") 2");
        let (_, _, page) = send!(app, "POST", "/count", Some(&third));
        assert_eq!(page, "Some(\"ferris\") 3");

        // The key from before the login is worth nothing.
        let (_, cookie, page) = send!(app, "GET", "/show", Some(&second));
        assert_eq!((cookie, page.as_str()), (None, "None 0"));

        let (_, removal, _) = send!(app, "POST", "/logout", Some(&third));
        let removal = removal.unwrap();
        assert_eq!((removal.max_age(), removal.path()), (Some(Duration::ZERO), Some("/")));
        let (_, cookie, page) = send!(app, "GET", "/show", Some(&third));
        assert_eq!((cookie, page.as_str()), (None, "None 0"));
        assert!(store.sessions().is_empty().unwrap());
    }
}

#[actix_web::test]
async fn the_cookie_has_the_name_the_path_and_the_domain_of_the_middleware() {
    for policy in POLICIES {
        let store = SessileStore::in_memory().unwrap();
        let sessions = SessionMiddleware::builder(store.clone(), Key::generate())
            .cookie_name("actix-test".into())
            .cookie_path("/test/".into())
            .cookie_domain(Some("localhost".into()))
            .cookie_content_security(policy)
            .session_lifecycle(PersistentSession::default().session_ttl(WEEK))
            .build();
        let routes = |config: &mut web::ServiceConfig| {
            config.route("/", web::post().to(count)).route("/test/", web::get().to(show));
        };
        let app = test::init_service(App::new().wrap(sessions).configure(routes)).await;
        let response = test::call_service(&app, request("POST", "/", None).to_request()).await;
        let set: Vec<_> = response.response().cookies().map(Cookie::into_owned).collect();
        let [cookie] = &set[..] else { panic!("{set:?}") };
        assert_eq!((cookie.name(), cookie.path()), ("actix-test", Some("/test/")));
        assert_eq!((cookie.domain(), cookie.max_age()), (Some("localhost"), Some(WEEK)));
        assert_eq!(send!(app, "GET", "/test/", Some(cookie)).2, "None 1");

        // Under another name it is no session.
        let renamed = Cookie::new("id", cookie.value().to_owned());
        assert_eq!(send!(app, "GET", "/test/", Some(&renamed)).2, "None 0");
    }
}

#[actix_web::test]
async fn a_renewed_key_of_a_session_that_was_ended_meanwhile_is_a_new_session() {
    let store = SessileStore::in_memory().unwrap();
    let sessions =
        middleware(&store, CookieContentSecurity::Private, TtlExtensionPolicy::OnStateChanges);
    let app = App::new()
        .app_data(web::Data::new(store.clone()))
        .wrap(sessions)
        .configure(routes)
        .route("/renew", web::post().to(renew_what_ended));
    let app = test::init_service(app).await;
    let (_, first, _) = send!(app, "POST", "/login", None);
    // As the README says: a handler must not call `renew` unless the user has just logged in.
    let (_, second, _) = send!(app, "POST", "/renew", first.as_ref());
    assert_eq!(send!(app, "GET", "/show", first.as_ref()).2, "None 0");
    assert_eq!(send!(app, "GET", "/show", second.as_ref()).2, "Some(\"ferris\") 0");
}

/// A session of another program in a file, and the cookie of its key.
fn unreadable(path: &Path, key: &Key) -> Cookie<'static> {
    let other = Sessile::<u32>::open(path).unwrap();
    let id = other.create(7).unwrap().id().encode();
    other.close().unwrap();
    let mut jar = CookieJar::new();
    jar.signed_mut(key).add(Cookie::new("id", id));
    jar.get("id").unwrap().clone()
}

#[actix_web::test]
async fn a_session_that_cannot_be_read_is_an_empty_one_and_ends_with_the_first_change() {
    for extension in [TtlExtensionPolicy::OnStateChanges, TtlExtensionPolicy::OnEveryRequest] {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("sessions.redb"), Key::generate());
        let old = unreadable(&path, &key);
        let store = SessileStore::new(Sessile::builder().open(&path).unwrap());
        let lifecycle = PersistentSession::default().session_ttl_extension_policy(extension);
        let sessions = SessionMiddleware::builder(store.clone(), key)
            .cookie_content_security(CookieContentSecurity::Signed)
            .session_lifecycle(lifecycle)
            .build();
        let app = test::init_service(App::new().wrap(sessions).configure(routes)).await;

        let (status, _, page) = send!(app, "GET", "/show", Some(&old));
        assert_eq!((status, page.as_str()), (200, "None 0"));
        assert_eq!(store.sessions().len().unwrap(), 1, "a page that changes nothing ends nothing");

        let (status, new, page) = send!(app, "POST", "/count", Some(&old));
        assert_eq!((status, page.as_str()), (200, "None 1"));
        let new = new.unwrap();
        assert_ne!(new.value(), old.value());
        assert_eq!(send!(app, "GET", "/show", Some(&new)).2, "None 1");
        assert_eq!(store.sessions().len().unwrap(), 1, "the change has ended the old session");

        // A request of another tab still has the old cookie.
        let (status, _, page) = send!(app, "POST", "/count", Some(&old));
        assert_eq!((status, page.as_str()), (200, "None 1"));
    }
}

#[actix_web::test]
async fn a_guard_sees_the_session() {
    for policy in POLICIES {
        let store = SessileStore::in_memory().unwrap();
        let sessions = middleware(&store, policy, TtlExtensionPolicy::OnStateChanges);
        let app = test::init_service(App::new().wrap(sessions).configure(routes)).await;
        assert_eq!(send!(app, "GET", "/protected/show", None).0, 404);
        let (_, cookie, _) = send!(app, "POST", "/login", None);
        let (status, _, page) = send!(app, "GET", "/protected/show", cookie.as_ref());
        assert_eq!((status, page.as_str()), (200, "Some(\"ferris\") 0"));
    }
}

#[actix_web::test]
async fn a_life_is_refreshed_on_changes_or_on_every_request() {
    for policy in POLICIES {
        for (extension, refreshed) in [
            (TtlExtensionPolicy::OnStateChanges, None),
            (TtlExtensionPolicy::OnEveryRequest, Some(Some(WEEK))),
        ] {
            let store = SessileStore::in_memory().unwrap();
            let sessions = middleware(&store, policy, extension);
            let app = test::init_service(App::new().wrap(sessions).configure(routes)).await;
            let (_, cookie, _) = send!(app, "POST", "/count", None);
            let (_, again, _) = send!(app, "GET", "/show", cookie.as_ref());
            assert_eq!(again.map(|cookie| cookie.max_age()), refreshed);
            let (_, changed, _) = send!(app, "POST", "/count", cookie.as_ref());
            assert_eq!(changed.unwrap().max_age(), Some(WEEK));
        }
    }
}
