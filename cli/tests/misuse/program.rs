//! A program behind an admin socket that answers what a test wants.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Writes the answer to a request; an error ends the connection.
pub(crate) type Answer = fn(call: &str, out: &mut UnixStream) -> std::io::Result<()>;

/// The program, which reports each request that it answers by `answer`.
pub(crate) struct Program {
    calls: Receiver<String>,
}

impl Program {
    /// Serves the socket until the test ends. Small questions get ordinary answers.
    pub(crate) fn at(socket: &Path, answer: Answer) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (told, calls) = channel();
        thread::spawn(move || {
            for client in listener.incoming() {
                let told = told.clone();
                thread::spawn(move || serve(client.unwrap(), &told, answer));
            }
        });
        Self { calls }
    }

    /// Returns once the tool has sent this request.
    pub(crate) fn was_asked(&self, call: &str) {
        while self.calls.recv_timeout(PATIENCE).unwrap() != call {}
    }
}

fn serve(mut client: UnixStream, told: &Sender<String>, answer: Answer) -> Option<()> {
    let requests = BufReader::new(client.try_clone().ok()?).lines();
    client.write_all(b"{\"hello\":{\"sessile_admin\":1,\"pid\":1}}\n").ok()?;
    for request in requests {
        let request: serde_json::Value = serde_json::from_str(&request.ok()?).ok()?;
        let call = request["call"].as_str()?;
        let ordinary = match call {
            "time" => r#"{"done":{"now":1800000000000}}"#,
            "stats" => {
                r#"{"done":{"stats":{"stored":1000,"\u001b[2J":"\u202e","\u009b":["\u009b"]}}}"#
            }
            "meta" | "flush" => r#"{"done":{}}"#,
            _ => "",
        };
        told.send(call.to_owned()).ok()?;
        match ordinary {
            "" => answer(call, &mut client).ok()?,
            line => writeln!(client, "{line}").ok()?,
        }
    }
    Some(())
}

/// One line of the answer to a listing: a damaged record, a user or a problem.
pub(crate) fn line_of(call: &str) -> &'static str {
    match call {
        "scan_users" => r#"{"user":{"user":{"text":"ann"},"sessions":1}}"#,
        "check" => r#"{"problem":{"key":"00000000000000000000000000000001","text":"bad"}}"#,
        _ => r#"{"damaged":{"key":"00000000000000000000000000000001"}}"#,
    }
}

/// Sends a signal, once the tool handles those that its caller does not ignore. If the caller of
/// the tests ignores Ctrl-C, so does the tool, and the request to end stands in for it.
pub(crate) fn signal(child: &Child, name: &str) {
    const INT: u64 = 1 << 1;
    const ALL: u64 = 1 | INT | 1 << 14;
    let mask = |field: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    let handles = || (mask("SigCgt:") | mask("SigIgn:")) & ALL == ALL;
    let name = if name == "-INT" && mask("SigIgn:") & INT != 0 { "-TERM" } else { name };
    for _ in 0..6_000 {
        if handles() {
            let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
            assert!(sent.unwrap().success());
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the tool does not handle Ctrl-C");
}

/// The output of a tool that must end soon.
pub(crate) fn ended(child: Child) -> std::process::Output {
    let id = child.id().to_string();
    let (told, ended) = channel();
    thread::spawn(move || told.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("the tool does not end");
    })
}
