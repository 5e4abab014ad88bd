//! All combinations of settings, against a browser: a cookie is built exactly if the browser stores
//! it as set and sends it back.
//!
//! The browser is the model `user_agent`, which is fast and follows the RFC. `tests/browser/run`
//! checks the same with Chromium: `SESSILE_COOKIES` names the file to which the combinations are
//! written for it.

use std::fmt::Write as _;

use sessile::web::cookie::{SameSite, SessionCookie};

use super::store;
use crate::user_agent::{Kept, Request, keep, requested};

/// Under `localhost`, where browsers treat plain HTTP like TLS.
const HOST: &str = "www.example.localhost";

#[derive(Clone, Debug)]
struct Settings {
    name: &'static str,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    path: &'static str,
    domain: Option<&'static str>,
    partitioned: bool,
}

/// Names in the grammar of 4.1.1, which browsers do not enforce.
const NAMES: [&str; 6] = [
    "session",
    "__Host-session",
    "__Secure-session",
    "__Http-session",
    "__Host-Http-session",
    "__Hosted",
];
const PATHS: [&str; 12] = [
    "/", "/app", "/app/", "", "app", "/a;b", "/a b", "/a?b", "/a/../b", "/%2e%2e", "/\u{e4}",
    "/a\nb",
];
const DOMAINS: [Option<&str>; 9] = [
    None,
    Some("example.localhost"),
    Some(".Example.LOCALHOST"),
    Some(HOST),
    Some("localhost"),
    Some(""),
    Some("ex\u{e4}mple.localhost"),
    Some("example.localhost."),
    Some("example.localhost; Path=/"),
];

fn all() -> impl Iterator<Item = Settings> {
    let same_sites = [SameSite::Strict, SameSite::Lax, SameSite::None];
    (0..NAMES.len() * PATHS.len() * DOMAINS.len() * 24).map(move |number| {
        let mut rest = number;
        let mut choose = |of: usize| {
            let chosen = rest % of;
            rest /= of;
            chosen
        };
        Settings {
            name: NAMES[choose(NAMES.len())],
            path: PATHS[choose(PATHS.len())],
            domain: DOMAINS[choose(DOMAINS.len())],
            same_site: same_sites[choose(3)],
            secure: choose(2) == 1,
            http_only: choose(2) == 1,
            partitioned: choose(2) == 1,
        }
    })
}

impl Settings {
    fn build(&self) -> sessile::Result<SessionCookie> {
        let builder = SessionCookie::builder()
            .name(self.name)
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(self.same_site)
            .path(self.path)
            .partitioned(self.partitioned);
        match self.domain {
            Some(domain) => builder.domain(domain).build(),
            None => builder.build(),
        }
    }

    /// The header without any check.
    fn unchecked(&self, value: &str) -> String {
        let mut header =
            format!("{}={value}; SameSite={:?}; Path={}", self.name, self.same_site, self.path);
        for (flag, text) in [
            (self.secure, "; Secure"),
            (self.http_only, "; HttpOnly"),
            (self.partitioned, "; Partitioned"),
        ] {
            header.push_str(if flag { text } else { "" });
        }
        if let Some(domain) = self.domain {
            header.push_str(&format!("; Domain={domain}"));
        }
        header
    }

    fn request<'a>(&self, host: &'a str, path: &'a str) -> Request<'a> {
        Request { host, path, is_tls: self.secure }
    }

    /// Whether it is stored with every setting unchanged, and sent to the right hosts.
    fn is_kept(&self, kept: &Kept) -> bool {
        let domain = self.domain.map(|d| d.to_ascii_lowercase().trim_start_matches('.').to_owned());
        let is_as_set = kept.name == self.name
            && kept.path == self.path
            && kept.domain == domain
            && kept.secure == self.secure
            && kept.http_only == self.http_only
            && kept.partitioned == self.partitioned
            && kept.same_site == Some(format!("{:?}", self.same_site).to_ascii_lowercase());
        let path = requested(self.path);
        let below = format!("sub.{HOST}");
        is_as_set
            && kept.goes_to(self.request(HOST, &path), HOST)
            && kept.goes_to(self.request(&below, &path), HOST) == domain.is_some()
    }
}

#[test]
fn what_a_browser_keeps_and_sends_back_is_built_and_nothing_else() {
    let (mut built, mut refused, mut listed) = (0, 0, String::new());
    for (number, settings) in all().enumerate() {
        let request = settings.request(HOST, "/somewhere/else");
        let is_kept =
            keep(&settings.unchecked("value"), request).is_some_and(|kept| settings.is_kept(&kept));
        let result = settings.build();
        assert_eq!(result.is_ok(), is_kept, "{settings:?}: {result:?}");
        *(if is_kept { &mut built } else { &mut refused }) += 1;
        // A line feed cannot be sent in a header at all.
        if !settings.path.contains('\n') {
            let header = settings.unchecked("value").replacen('=', &format!("-{number}="), 1);
            let (path, requested) = (settings.path, requested(settings.path));
            // An empty domain differs from none.
            let domain = settings.domain.map(|domain| format!("={domain}")).unwrap_or_default();
            let is_built = result.is_ok();
            writeln!(listed, "{header}\t{path}\t{domain}\t{requested}\t{is_built}").unwrap();
        }
    }
    if let Some(file) = std::env::var_os("SESSILE_COOKIES") {
        std::fs::write(file, listed).unwrap();
    }
    assert_eq!(built + refused, 15_552);
    assert!(built > 500, "{built}");
}

#[test]
fn what_is_built_goes_through_a_browser_and_back_and_can_be_taken_away() {
    let store = store();
    let session = store.create(1).unwrap();
    for settings in all() {
        let Ok(cookie) = settings.build() else { continue };
        let request = settings.request(HOST, "/somewhere/else");
        for set in [cookie.set(&session), cookie.set_id(session.id())] {
            let kept = keep(&set, request).unwrap_or_else(|| panic!("{settings:?}: {set}"));
            assert!(settings.is_kept(&kept), "{settings:?}: {kept:?}");
            assert_eq!(cookie.read([kept.sent()]).as_ref(), Some(session.id()), "{settings:?}");
            // The removal differs only in value and age; otherwise both cookies would stay.
            let gone = keep(&cookie.clear(), request).unwrap();
            assert_eq!(gone.max_age, Some(0));
            let (value, max_age) = (kept.value.clone(), kept.max_age);
            assert_eq!(Kept { value, max_age, ..gone }, kept);
        }
    }
}

#[test]
fn the_browser_of_these_tests_keeps_to_the_standard() {
    let tls = Request { host: HOST, path: "/app/page", is_tls: true };
    let plain = Request { is_tls: false, ..tls };
    let kept = |header: &str| keep(header, tls);
    // The examples of 4.1.3.
    for refused in [
        "__Secure-SID=12345; Domain=example.localhost",
        "__Host-SID=12345",
        "__Host-SID=12345; Secure",
        "__Host-SID=12345; Domain=example.localhost",
        "__Host-SID=12345; Domain=example.localhost; Path=/",
        "__Host-SID=12345; Secure; Domain=example.localhost; Path=/",
        "__host-SID=12345; Path=/",
        "=__Host-SID=12345; Path=/",
        "a=b; SameSite=None",
        "a=b; Partitioned",
        "a=b; Domain=localhost",
        "a=b; Domain=other.org",
        "a=\u{1}",
        "",
        "=",
    ] {
        assert_eq!(kept(refused), None, "{refused}");
    }
    assert!(kept("__Secure-SID=12345; Domain=example.localhost; Secure").is_some());
    assert!(kept("__Host-SID=12345; Secure; Path=/").is_some());
    assert_eq!(keep("__Host-SID=12345; Secure; Path=/", plain), None);
    // Without a valid path, the path is the folder of the request.
    assert_eq!(kept("a=b").unwrap().path, "/app");
    assert_eq!(kept("a=b; Path=x").unwrap().path, "/app");
    let of_app = kept("a=b; Path=/app").unwrap();
    assert!(of_app.goes_to(tls, HOST));
    assert!(!of_app.goes_to(Request { path: "/apple", ..tls }, HOST));
    assert!(!of_app.goes_to(Request { host: "example.localhost", ..tls }, HOST));
    // A path as it stands in the address of a request.
    for (path, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/%2e%2e", "/"),
        ("/a b?c", "/a%20b"),
        ("/\u{e4}", "/%C3%A4"),
    ] {
        assert_eq!(requested(path), expected);
    }
}
