//! Requests of all kinds and their responses: cookies, headers, lengths, and script in a name.

use super::{Client, Server, example, exchange, scratch};

#[test]
fn script_in_a_name_is_escaped() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let page = server.logged_in(r#"</title><script>alert("1&2')</script>"#).account();
    assert!(!page.body.contains("<script"));
    let escaped = "&lt;/title&gt;&lt;script&gt;alert(&quot;1&amp;2&#39;)&lt;/script&gt;";
    assert_eq!(page.body.matches(escaped).count(), 2, "in the title and in the heading");
}

#[test]
fn the_cookie_is_a_host_cookie_behind_tls_and_never_open_to_scripts() {
    let (_folder, file) = scratch();
    let check = |server: &Server, name: &str, attributes: &str| {
        let mut client = server.client();
        let form = client.get("/login");
        let login = client.post("/login", &[("name", "ann"), ("csrf", &form.token())]);
        for reply in [form, login] {
            let cookie = reply.header("Set-Cookie").unwrap();
            let (pair, found) = cookie.split_once("; ").unwrap();
            let (found_name, id) = pair.split_once('=').unwrap();
            assert_eq!((found_name, id.len(), found), (name, 22, attributes));
        }
        assert!(client.is_logged_in());
    };
    check(&Server::start(&file), "sessile", "HttpOnly; SameSite=Lax; Path=/");
    let server = Server::spawn(example().args(["--behind-tls", "0"]).arg(&file));
    check(&server, "__Host-sessile", "HttpOnly; SameSite=Lax; Secure; Path=/");
}

#[test]
fn a_malformed_cookie_is_no_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let longest = format!("sessile={}", "A".repeat(10_000));
    for cookie in [
        "sessile=",
        "sessile",
        "=",
        ";;;",
        "sessile=../../etc/passwd",
        "sessile=AAAAAAAAAAAAAAAAAAAAAB",
        "sessile=AAAAAAAAAAAAAAAAAAAAAA",
        "sessile=\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        &longest,
    ] {
        let mut client = Client { cookie: Some(cookie.into()), ..server.client() };
        assert!(!client.is_logged_in(), "{cookie}");
        client.log_in("ann");
        assert!(client.is_logged_in(), "{cookie}");
    }
    // Other cookies of the host do not interfere.
    let mut ann = server.logged_in("ann");
    ann.cookie = ann.cookie.map(|cookie| format!("theme=dark; {cookie}; sessile2=x"));
    assert!(ann.is_logged_in());
    assert_eq!(server.kill(), "");
}

#[test]
fn an_oversized_request_is_refused_and_the_server_lives() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let token = ann.account().token();
    // So long that the server answers before all of it is sent.
    let filler = "x".repeat(512 * 1024);
    assert_eq!(ann.post("/click", &[("csrf", &token), ("filler", &filler)]).status, 413);
    assert_eq!(ann.account().clicks(), 0);
    let fits = "x".repeat(16_000);
    assert!(ann.post("/click", &[("csrf", &token), ("filler", &fits)]).goes_to("/"));

    let head = |headers: &str| {
        let request = format!("POST /click HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
        exchange(&server.address, &request).status
    };
    // Whatever length is declared, nothing is allocated for it.
    assert_eq!(head("Content-Length: 99999999999999\r\n"), 413);
    assert_eq!(head("Content-Length: 99999999999999999999999999\r\n"), 413);
    assert_eq!(head("Content-Length: -1\r\n"), 400);
    assert_eq!(head("Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
    assert_eq!(head("Transfer-Encoding: chunked\r\n"), 411);
    assert_eq!(head(&format!("X: {}\r\n", "x".repeat(40_000))), 431);
    assert_eq!(head(&"X: x\r\n".repeat(65)), 431);
    assert_eq!(exchange(&server.address, "\0\r\n\r\n").status, 400);
    assert_eq!(ann.account().clicks(), 1);
}

#[test]
fn every_response_forbids_caching_framing_and_foreign_content() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/?query", 200),
        ("HEAD", "/", 200),
        ("GET", "/style.css", 200),
        ("GET", "/login", 303),
        ("GET", "/favicon.ico", 404),
        ("POST", "/nowhere", 404),
        ("POST", "/", 405),
        ("DELETE", "/login", 405),
        ("GET", "/logout", 405),
        ("GET", "/click", 405),
        ("POST", "/click", 403),
    ] {
        let reply = ann.send(method, path, "");
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("Allow").is_some(), status == 405);
        assert_eq!(reply.body.is_empty(), method == "HEAD" || status == 303);
        assert_eq!(reply.header("Cache-Control"), Some("no-store"));
        assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(reply.header("Referrer-Policy"), Some("no-referrer"));
        let policy = "default-src 'none'; style-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
        assert_eq!(reply.header("Content-Security-Policy"), Some(policy));
        let kind = if path == "/style.css" { "text/css" } else { "text/html" };
        let found = reply.header("Content-Type").unwrap();
        assert_eq!(found, format!("{kind}; charset=utf-8"));
    }
}

#[test]
fn two_ids_in_the_cookies_are_nobodys_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let (ann, eve) = (server.logged_in("ann"), server.logged_in("eve"));
    let both = [&ann, &eve].map(|client| client.cookie.clone().unwrap());
    for cookie in [both.join("; "), format!("{}; {}", both[1], both[0])] {
        let mut tossed = Client { cookie: Some(cookie), ..server.client() };
        assert!(!tossed.is_logged_in());
    }
    let twice = format!("{}; {}", both[0], both[0]);
    assert!(Client { cookie: Some(twice), ..server.client() }.is_logged_in());
}
