//! The server as a browser sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use sessile::Clock;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn send(site: &Site, method: &str, path: &str, cookie: &str, form: &str) -> (u16, String, String) {
    let length = form.len().to_string();
    let headers = [("Cookie", cookie), ("Content-Type", FORM), ("Content-Length", length.as_str())];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = Request::fake_http(method, path, headers, form.as_bytes().to_vec());
    let response = site.handle(&request);
    assert!(response.headers.contains(&("cache-control".into(), "no-store".into())));
    let unframed = ("content-security-policy".into(), "frame-ancestors 'none'".into());
    assert!(response.headers.contains(&unframed));
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

#[test]
fn a_line_of_the_log_has_the_causes_of_its_error() {
    let error = SessionStore::<u32>::open("/dev/null/sessions.redb").unwrap_err();
    let line = with_causes(&error);
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    assert!(!causes.is_empty());
    assert_eq!(line, format!("{error}: {}", causes.join(": ")));
}

#[test]
fn the_cookie_is_read_from_all_headers() {
    let (site, _, cookie, _) = logged_in();
    let status = |cookies: [&str; 2]| {
        let headers = cookies.map(|value| ("Cookie".to_owned(), value.to_owned())).to_vec();
        site.handle(&Request::fake_http("GET", "/", headers, Vec::new())).status_code
    };
    assert_eq!(status(["theme=dark", &cookie]), 200);
    let other = format!("__Host-session={}", SessionId::generate().unwrap().encode());
    assert_eq!(status([&cookie, &other]), 303, "two ids are no id");
    assert_eq!(status([&other, &cookie]), 303);
}

/// tiny_http, under rouille, closes the connection; `sessile::web` says so.
#[test]
fn a_cookie_beyond_ascii_gets_no_answer() {
    let server = Server::new("127.0.0.1:0", |_| Response::text("an answer")).unwrap();
    let address = server.server_addr();
    let (thread, stop) = server.stoppable();
    let answer_to = |cookie: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer
    };
    assert!(answer_to("theme=gray").ends_with("an answer"));
    assert_eq!(answer_to("theme=größe"), "");
    stop.send(()).unwrap();
    thread.join().unwrap();
}
