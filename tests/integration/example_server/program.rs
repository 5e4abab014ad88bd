//! The program as its operator sees it: a kill, its arguments, its exit codes, and its log.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use super::{Server, example, scratch};

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
fn a_store_that_fails_is_one_line_for_the_operator_and_no_details_for_the_visitor() {
    let (_folder, file) = scratch();
    let server = Server::start(&file);
    let mut ann = server.logged_in("ann");
    let token = ann.account().token();
    let cookie = ann.cookie.clone().unwrap();
    crate::child::remove_open(&file);

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
