//! `examples/server` over real HTTP: the sessions as a browser sees them, and their survival of a
//! kill.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sessile::{SessionKey, SessionStore};
use tempfile::TempDir;

/// The example. `cargo test` and `cargo nextest run` build it with the tests, but not with
/// `--test integration`, and an earlier build must not be used instead.
fn example() -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let example = profile.join("examples/server").with_extension(std::env::consts::EXE_EXTENSION);
    let built = std::fs::metadata(&example).and_then(|example| example.modified()).ok();
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/server"));
    let mut changes = sources.unwrap().map(|file| file.unwrap().metadata().unwrap().modified());
    assert!(
        changes.all(|change| Some(change.unwrap()) <= built),
        "the example is missing or out of date: run `cargo build --example server` first, with \
         the profile and the features of this test"
    );
    let mut command = Command::new(example);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the example where it should exit at once; a serving one is killed.
fn run(arguments: &[&str]) -> Output {
    let mut child = example().args(arguments).spawn().unwrap();
    for _ in 0..400 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("the server started with {arguments:?}: {:?}", child.wait_with_output().unwrap());
}

/// A running server. Dropping it sends SIGKILL.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(file: &Path) -> Self {
        Self::spawn(example().arg("0").arg(file))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("http://").expect("the address comes first");
        Self { child, address: address.into() }
    }

    fn client(&self) -> Client {
        Client { address: self.address.clone(), cookie: None }
    }

    fn logged_in(&self, name: &str) -> Client {
        let mut client = self.client();
        client.log_in(name);
        client
    }

    /// Kills the server and returns its standard error.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    fn goes_to(&self, path: &str) -> bool {
        self.status == 303 && self.header("Location") == Some(path)
    }

    /// The values of the page's hidden fields with a name.
    fn hidden(&self, name: &str) -> Vec<String> {
        let start = format!(r#"name="{name}" value=""#);
        let values = self.body.split(&start).skip(1);
        values.map(|rest| rest.split('"').next().unwrap().into()).collect()
    }

    fn token(&self) -> String {
        self.hidden("csrf").into_iter().next().expect("a page with a form")
    }

    fn keys(&self) -> Vec<String> {
        self.hidden("key")
    }

    fn clicks(&self) -> u64 {
        let (_, rest) = self.body.split_once(r#"<output id="clicks">"#).expect("the counter");
        rest.split('<').next().unwrap().parse().unwrap()
    }
}

fn exchange(address: &str, request: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a response");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.into(), body: body.into() }
}

/// A browser: it stores one cookie, as `name=value`, and follows no redirects.
#[derive(Clone)]
struct Client {
    address: String,
    cookie: Option<String>,
}

impl Client {
    fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let cookie = self.cookie.as_ref().map(|c| format!("Cookie: {c}\r\n")).unwrap_or_default();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{cookie}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n{body}",
            self.address
        );
        let reply = exchange(&self.address, &request);
        if let Some(set) = reply.header("Set-Cookie") {
            let pair = set.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.into());
        }
        reply
    }

    fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, &body)
    }

    /// Posts a form of the account page, with its token.
    fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.account().token();
        self.post(path, &[fields, &[("csrf", &token)]].concat())
    }

    fn log_in(&mut self, name: &str) {
        let token = self.get("/login").token();
        let reply = self.post("/login", &[("name", name), ("csrf", &token)]);
        assert!(reply.goes_to("/"), "{}", reply.status);
    }

    fn account(&mut self) -> Reply {
        let reply = self.get("/");
        assert_eq!(reply.status, 200, "logged in");
        reply
    }

    fn is_logged_in(&mut self) -> bool {
        let reply = self.get("/");
        assert!(reply.status == 200 || reply.goes_to("/login"));
        reply.status == 200
    }

    /// The first key on the account page, which is the key of the page's own session.
    fn own_key(&mut self) -> String {
        self.account().keys().swap_remove(0)
    }
}

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.redb");
    (folder, file)
}

/// The number of sessions in the server's file, which the test opens once the server has ended.
fn sessions_in(file: &Path) -> u64 {
    let store = SessionStore::<u64>::builder().content_name("sessile's example server");
    store.open(file).unwrap().len().unwrap()
}

#[test]
fn login_shows_the_name() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let page = server.logged_in("Ann Ång").account();
    assert!(page.body.contains(r#"<span id="user">Ann Ång</span>"#));
    assert!(page.body.contains(" UTC</time>"));
    assert_eq!(page.keys().len(), 1);
}

#[test]
fn login_changes_the_cookie_and_the_old_one_is_dead() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut victim = server.client();
    let form = victim.get("/login");
    let mut attacker = victim.clone();

    assert!(victim.post("/login", &[("name", "ann"), ("csrf", &form.token())]).goes_to("/"));

    assert_ne!(victim.cookie, attacker.cookie);
    assert!(!attacker.is_logged_in());
    assert!(victim.is_logged_in());
    // The token from before the login is also invalid.
    assert_eq!(victim.post("/click", &[("csrf", &form.token())]).status, 403);
}

#[test]
fn a_form_without_its_sessions_token_is_refused_and_changes_nothing() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut other = server.logged_in("ann");
    let before = ann.account();
    let foreign = other.account().token();
    let key = other.own_key();
    let garbled = before.token().to_lowercase();

    for path in ["/click", "/end", "/end-others", "/logout", "/login"] {
        let name_and_key = [("name", "eve"), ("key", key.as_str())];
        assert_eq!(ann.post(path, &name_and_key).status, 403, "{path} without a token");
        for wrong in ["", "AAAAAAAAAAAAAAAAAAAAAA", &foreign, &garbled] {
            let fields = [&name_and_key[..], &[("csrf", wrong)]].concat();
            assert_eq!(ann.post(path, &fields).status, 403, "{path} with {wrong:?}");
            let without_session = server.client().post(path, &fields);
            assert_eq!(without_session.status, 403, "{path} with {wrong:?} and no cookie");
        }
    }

    let mut anonymous = server.client();
    anonymous.get("/login");
    assert_eq!(anonymous.post("/login", &[("name", "eve"), ("csrf", &foreign)]).status, 403);
    assert!(!anonymous.is_logged_in());

    let after = ann.account();
    assert!(after.body.contains(r#"<span id="user">ann</span>"#));
    assert_eq!((after.clicks(), after.token()), (0, before.token()));
    assert!(other.is_logged_in());
}

#[test]
fn the_login_and_the_counter_survive_sigkill() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    for _ in 0..3 {
        assert!(ann.submit("/click", &[]).goes_to("/"));
    }
    assert_eq!(server.kill(), "");

    let server = Server::start(&file);
    ann.address.clone_from(&server.address);
    assert_eq!(ann.account().clicks(), 3);
    assert!(ann.submit("/click", &[]).goes_to("/"));
    assert_eq!(ann.account().clicks(), 4);
}

#[test]
fn concurrent_clicks_lose_none() {
    const THREADS: u64 = 8;
    const CLICKS: u64 = 10;
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let token = ann.account().token();

    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (mut ann, token) = (ann.clone(), token.as_str());
            scope.spawn(move || {
                for _ in 0..CLICKS {
                    assert!(ann.post("/click", &[("csrf", token)]).goes_to("/"));
                }
            });
        }
    });

    assert_eq!(ann.account().clicks(), THREADS * CLICKS);
}

#[test]
fn one_session_ends_another_of_the_same_user() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut desktop = server.logged_in("ann");
    let mut phone = server.logged_in("ann");
    let key = phone.own_key();
    assert!(desktop.account().keys().contains(&key));

    assert!(desktop.submit("/end", &[("key", &key)]).goes_to("/"));

    assert!(!phone.is_logged_in());
    assert_eq!(desktop.account().keys().len(), 1);
    assert_eq!(desktop.submit("/end", &[("key", &key)]).status, 404);
}

#[test]
fn a_session_can_end_itself_from_the_list() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut copy = ann.clone();
    let key = ann.own_key();
    assert!(ann.submit("/end", &[("key", &key)]).goes_to("/login"));
    assert_eq!(ann.cookie, None);
    assert!(!copy.is_logged_in());
}

#[test]
fn somebody_elses_session_cannot_be_ended() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut eve = server.logged_in("eve");
    let key = ann.own_key();
    assert!(key.parse::<SessionKey>().is_ok());

    assert_eq!(eve.submit("/end", &[("key", &key)]).status, 404);
    assert_eq!(eve.submit("/end", &[("key", "nonsense")]).status, 404);
    assert_eq!(eve.submit("/end", &[]).status, 404);

    assert!(ann.is_logged_in());
    assert!(!eve.account().keys().contains(&key));
}

#[test]
fn logging_out_everywhere_else_spares_this_session_and_other_users() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut here = server.logged_in("ann");
    let mut elsewhere = [server.logged_in("ann"), server.logged_in("ann")];
    let mut bob = server.logged_in("bob");

    assert!(here.submit("/end-others", &[]).goes_to("/"));

    assert!(elsewhere.iter_mut().all(|client| !client.is_logged_in()));
    assert_eq!(here.account().keys().len(), 1);
    assert!(bob.is_logged_in());
}

#[test]
fn a_logout_is_final() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let mut copy = ann.clone();
    let token = ann.account().token();

    let reply = ann.submit("/logout", &[]);

    assert!(reply.goes_to("/login"));
    assert!(reply.header("Set-Cookie").unwrap().ends_with("; Max-Age=0"));
    assert!(!copy.is_logged_in());
    assert_eq!(copy.post("/click", &[("csrf", &token)]).status, 403);
    drop(server);
    let server = Server::start(&file);
    copy.address.clone_from(&server.address);
    assert!(!copy.is_logged_in());
}

#[test]
fn a_second_login_does_not_take_over_a_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    assert!(ann.get("/login").goes_to("/"));
    assert!(ann.submit("/login", &[("name", "eve")]).goes_to("/"));
    assert!(ann.account().body.contains(r#"<span id="user">ann</span>"#));
}

#[test]
fn a_form_of_a_session_without_a_user_does_nothing_but_log_in() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut anonymous = server.client();
    let token = anonymous.get("/login").token();
    for path in ["/click", "/end", "/end-others", "/logout"] {
        assert!(anonymous.post(path, &[("csrf", &token)]).goes_to("/login"), "{path}");
    }
    for name in ["", "  ", &"x".repeat(256)] {
        let reply = anonymous.post("/login", &[("name", name), ("csrf", &token)]);
        assert_eq!(reply.status, 400, "{name:?}");
    }
    assert!(anonymous.post("/login", &[("name", "ann"), ("csrf", &token)]).goes_to("/"));
}

#[test]
fn an_idle_session_is_shown_the_login_form() {
    let (_folder, file) = scratch();
    let mut command = example();
    command.arg("0").arg(&file).env("SESSILE_INACTIVITY_SECONDS", "2");
    let server = Server::spawn(&mut command);
    let mut ann = server.logged_in("ann");
    assert!(ann.is_logged_in());
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(!ann.is_logged_in());
}

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
fn only_a_login_creates_a_session() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    for (method, path) in
        [("GET", "/"), ("GET", "/style.css"), ("GET", "/nowhere"), ("POST", "/login")]
    {
        assert_eq!(server.client().send(method, path, "").header("Set-Cookie"), None);
    }
    let mut client = server.client();
    assert!(client.get("/login").header("Set-Cookie").is_some());
    let again = client.get("/login");
    assert_eq!(again.header("Set-Cookie"), None, "it is kept");
    for wrong in [&[("name", "ann")][..], &[("name", ""), ("csrf", &again.token())]] {
        assert!(matches!(client.post("/login", wrong).status, 400 | 403));
    }
    server.kill();
    assert_eq!(sessions_in(&file), 0, "the form is shown for nothing");

    let server = Server::start(&file);
    server.logged_in("ann");
    server.kill();
    assert_eq!(sessions_in(&file), 1);
}

#[test]
fn login_forms_in_two_tabs_both_work_and_are_nobody_elses() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.client();
    let (first, second) = (ann.get("/login").token(), ann.get("/login").token());
    // A token that another site obtained fits only its own cookie.
    let eves = server.client().get("/login").token();
    assert_eq!(ann.post("/login", &[("name", "eve"), ("csrf", &eves)]).status, 403);
    for token in [&first, &second] {
        assert!(ann.clone().post("/login", &[("name", "ann"), ("csrf", token)]).goes_to("/"));
    }
    // The token of the login form is not valid in the new session.
    assert!(ann.post("/login", &[("name", "ann"), ("csrf", &first)]).goes_to("/"));
    assert_eq!(ann.post("/click", &[("csrf", &second)]).status, 403);
}

#[test]
fn a_login_form_from_before_a_restart_is_loaded_again_and_works() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.client();
    let stale = ann.get("/login").token();
    assert_eq!(server.kill(), "");

    let server = Server::start(&file);
    ann.address.clone_from(&server.address);
    assert_eq!(ann.post("/login", &[("name", "ann"), ("csrf", &stale)]).status, 403);
    ann.log_in("ann");
    assert!(ann.is_logged_in());
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

#[test]
fn a_store_that_fails_is_one_line_for_the_operator_and_no_details_for_the_visitor() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let token = ann.account().token();
    let cookie = ann.cookie.clone().unwrap();
    std::fs::remove_file(&file).unwrap();

    let reply = ann.post("/click", &[("csrf", &token)]);

    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("redb"), "{}", reply.body);
    let log = server.kill();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("was deleted, replaced or written over"), "{log}");
    let (_, id) = cookie.split_once('=').unwrap();
    assert!(!log.contains(id));
}

#[test]
fn arguments_that_make_no_sense_exit_2_and_say_why() {
    for (arguments, reason) in [
        (&["nonsense"][..], "`nonsense` is not a port"),
        (&["65536"], "`65536` is not a port"),
        (&["--nonsense"], "no option `--nonsense`"),
        (&["0", "a.redb", "b.redb"], "one argument too many: `b.redb`"),
    ] {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr.contains(reason) && stderr.contains("usage:"), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    let output = run(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--behind-tls"));
}

#[test]
fn a_store_that_cannot_be_opened_exits_1_and_says_why() {
    let (folder, file) = scratch();
    let refused = |file: &Path, reason: &str| {
        let output = run(&["0", file.to_str().unwrap()]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr.contains(reason), "{stderr}");
        assert!(output.stdout.is_empty(), "no address");
    };
    std::fs::write(&file, "dear diary").unwrap();
    refused(&file, "is not a session store");
    assert_eq!(std::fs::read(&file).unwrap(), b"dear diary");
    // The second part is the source of the error.
    refused(&folder.path().join("nowhere/sessions.redb"), "sessions.redb: ");

    let taken = folder.path().join("taken.redb");
    let _server = Server::start(&taken);
    refused(&taken, "is open already");
}
