//! Hosts of Redis that let nobody in, hold no store, or are the primary no more.

use std::error::Error as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, redis_cli, wait_until};
use crate::outages::{assert_unavailable, store};

fn hosts_of(hosts: &[&Instance]) -> String {
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
        let url = format!("{}/{database}", hosts_of(&[&server]));
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
    let store = store(&hosts_of(&[&server]));
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
fn a_server_that_became_a_replica_takes_no_writes_and_says_so() {
    let (server, other) = (instances::redis(&[]), instances::redis(&[]));
    let store = store(&format!("{}?timeout_ms=500", hosts_of(&[&server])));
    let session = store.create(1).unwrap();
    redis_cli(&server, &["replicaof", "127.0.0.1", &other.port.to_string()]).unwrap();
    wait_until("the new primary", || store.create(2).is_ok());
    // The engine follows it to its primary, which never had the session.
    assert!(store.read(session.id()).unwrap().is_none());
    assert_eq!(redis_cli(&other, &["zcard", "{sessile}:x"]).unwrap().trim(), "1");
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
    let refused = SessionStore::<u64>::connect(&hosts_of(&[&sentinel])).map(drop);
    let found = SessionStore::<u64>::connect(&hosts_of(&[&sentinel, &server])).map(drop);
    running.kill().unwrap();
    running.wait().unwrap();
    let said = reason(&refused.unwrap_err());
    assert!(said.contains("a Sentinel, which keeps no sessions"), "{said}");
    found.unwrap();
}
/// A primary with two replicas fails over by hand: the first replica becomes a primary, which the
/// other one follows. Then the former primary is back, and knows nothing of that.
struct FailedOver {
    former: Instance,
    primary: Instance,
    replica: Instance,
}

fn following(server: &Instance) -> Instance {
    instances::redis(&["--replicaof", &format!("127.0.0.1 {}", server.port)])
}

/// How many replicas a primary has.
fn replicas_of(primary: &Instance) -> usize {
    redis_cli(primary, &["role"]).unwrap().matches("127.0.0.1").count()
}

/// A replica that has just come acknowledges nothing for a second.
fn opened(url: &str) -> SessionStore<u64> {
    wait_until("a replica's word", || SessionStore::<u64>::connect(url).is_ok());
    store(url)
}

fn is_linked(replica: &Instance) -> bool {
    redis_cli(replica, &["info", "replication"]).unwrap().contains("link_status:up")
}

impl FailedOver {
    fn new(former: Instance) -> Self {
        let (primary, replica) = (following(&former), following(&former));
        wait_until("the replicas", || {
            replicas_of(&former) == 2 && is_linked(&primary) && is_linked(&replica)
        });
        Self { former, primary, replica }
    }

    /// Waits until both replicas have the one session.
    fn have_it(&self) {
        let has_it = |host| redis_cli(host, &["zcard", "{sessile}:x"]).unwrap().trim() == "1";
        wait_until("the session", || has_it(&self.primary) && has_it(&self.replica));
    }

    fn fail_over(&self) {
        redis_cli(&self.primary, &["replicaof", "no", "one"]).unwrap();
        let port = self.primary.port.to_string();
        redis_cli(&self.replica, &["replicaof", "127.0.0.1", &port]).unwrap();
        wait_until("the failover", || {
            let followed = replicas_of(&self.primary) == 1 && is_linked(&self.replica);
            followed && replicas_of(&self.former) == 0
        });
    }
}

#[test]
fn a_former_primary_that_is_back_is_passed_over_for_one_with_replicas() {
    let mut hosts = FailedOver::new(instances::redis(&["--appendonly", "yes"]));
    let url = hosts_of(&[&hosts.former, &hosts.primary, &hosts.replica]);
    let before = opened(&format!("{url}?replicas=1"));
    let session = before.create(1).unwrap();
    hosts.have_it();
    hosts.former.kill();
    hosts.fail_over();
    assert!(before.destroy(session.id()).unwrap());
    hosts.former.start();
    for parameter in ["", "?replicas=1"] {
        let new = opened(&format!("{url}{parameter}"));
        assert!(new.read(session.id()).unwrap().is_none(), "a logout is not undone");
        new.create(2).unwrap();
    }
    let former_and_replica = hosts_of(&[&hosts.former, &hosts.replica]);
    assert!(store(&former_and_replica).read(session.id()).unwrap().is_none());
    assert_eq!(redis_cli(&hosts.former, &["zcard", "{sessile}:x"]).unwrap().trim(), "1");
    // Where nobody has replicas, the first one is as good as another.
    hosts.primary.kill();
    hosts.replica.kill();
    assert!(store(&url).read(session.id()).unwrap().is_some());
}

#[test]
fn whoever_is_left_on_a_former_primary_leaves_it_with_the_first_change() {
    let hosts = FailedOver::new(instances::redis(&[]));
    let url = hosts_of(&[&hosts.former, &hosts.primary, &hosts.replica]);
    let store = opened(&format!("{url}?replicas=1"));
    let session = store.create(1).unwrap();
    hosts.have_it();
    hosts.fail_over();
    let unknown = store.create(2);
    assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })), "{unknown:?}");
    assert!(store.destroy(session.id()).unwrap());
    assert!(store.read(session.id()).unwrap().is_none());
    assert_eq!(redis_cli(&hosts.primary, &["zcard", "{sessile}:x"]).unwrap().trim(), "0");
}

#[test]
fn a_named_primary_that_stands_still_keeps_nobody_from_the_other_hosts() {
    let (gone, primary) = (instances::redis(&[]), instances::redis(&[]));
    let replica = following(&gone);
    wait_until("the replica", || replicas_of(&gone) == 1);
    gone.signal("-STOP");
    store(&hosts_of(&[&replica, &primary])).create(1).unwrap();
}
