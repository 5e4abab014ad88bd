//! Hosts of Redis that let nobody in, or hold no store.

use std::error::Error as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, redis_cli, wait_until};
use crate::outages::{assert_unavailable, store};

fn url(hosts: &[&Instance]) -> String {
    let hosts: Vec<_> = hosts.iter().map(|host| format!("127.0.0.1:{}", host.port)).collect();
    format!("redis://{}", hosts.join(","))
}

fn reason(error: &Error) -> String {
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    error.source().unwrap().to_string()
}

#[test]
fn a_server_that_is_busy_with_a_script_refuses_no_login() {
    let server = instances::redis(&["--busy-reply-threshold", "50"]);
    for database in [0, 1] {
        let url = format!("{}/{database}", url(&[&server]));
        let store = store(&url);
        let session = store.create(1).unwrap();
        let mut busy = Command::new("redis-cli")
            .args(["-p", &server.port.to_string(), "eval", "while true do end", "0"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the script", || redis_cli(&server, &["get", "a"]).unwrap().contains("BUSY"));
        let soon = format!("{url}?timeout_ms=500");
        let refused = SessionStore::<u64>::connect(&soon).map(drop).unwrap_err();
        assert_eq!(reason(&refused), "the server is busy with a script");
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| store.read(session.id()).unwrap().is_some());
            std::thread::sleep(Duration::from_millis(300));
            redis_cli(&server, &["script", "kill"]).unwrap();
            assert!(reading.join().unwrap());
        });
        busy.wait().unwrap();
    }
}

/// A server cuts off whoever has not logged in and sends a long command.
#[test]
fn a_change_that_the_server_wants_a_password_for_is_not_in_doubt() {
    let server = instances::redis(&[]);
    let store = store(&url(&[&server]));
    let mut session = store.create(1).unwrap();
    redis_cli(&server, &["config", "set", "requirepass", "right"]).unwrap();
    for _ in 0..20 {
        redis_cli(&server, &["-a", "right", "client", "kill", "type", "normal"]).unwrap();
        let failed = store.update(&mut session).unwrap_err();
        assert_eq!(reason(&failed), "the server refuses the user or the password");
        assert_unavailable(store.destroy(session.id()), "destroy");
    }
}

#[test]
fn a_sentinel_is_no_primary() {
    let (server, mut sentinel) = (instances::redis(&[]), instances::redis(&[]));
    sentinel.kill();
    let configuration = sentinel.folder.path().join("sentinel.conf");
    let watched = format!("bind 127.0.0.1\nsentinel monitor one 127.0.0.1 {} 1\n", server.port);
    std::fs::write(&configuration, watched).unwrap();
    let mut running = Command::new("redis-server")
        .arg(&configuration)
        .args(["--sentinel", "--port", &sentinel.port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("Sentinel", || redis_cli(&sentinel, &["role"]).unwrap().contains("sentinel"));
    let refused = SessionStore::<u64>::connect(&url(&[&sentinel])).map(drop);
    let found = SessionStore::<u64>::connect(&url(&[&sentinel, &server])).map(drop);
    running.kill().unwrap();
    running.wait().unwrap();
    let said = reason(&refused.unwrap_err());
    assert!(said.contains("a Sentinel, which keeps no sessions"), "{said}");
    found.unwrap();
}
