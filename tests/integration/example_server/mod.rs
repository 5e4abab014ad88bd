//! `examples/server` over real HTTP: the sessions as a browser sees them, and their survival of a
//! kill.

mod logins;
mod program;
mod requests;
mod sessions;
mod unreadable;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
