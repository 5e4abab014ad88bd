//! Hosts of PostgreSQL of which one is the primary no more, and does not know it.

use std::time::Duration;

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, psql, wait_until};
use crate::outages::store;

fn hosts_of(hosts: &[&Instance]) -> String {
    let hosts: Vec<_> = hosts.iter().map(|host| format!("127.0.0.1:{}", host.port)).collect();
    format!("postgres://postgres@{}/postgres?timeout_ms=2000", hosts.join(","))
}

fn sessions_of(server: &Instance) -> String {
    psql(server, "select count(*) from sessile_sessions").unwrap().trim().to_owned()
}

/// A primary, and a standby that has all that the primary has.
fn with_a_standby() -> (Instance, Instance) {
    let former = instances::postgres(&[]);
    drop(store(&hosts_of(&[&former])));
    let standby = instances::standby_of(&former);
    (former, standby)
}

fn promote(standby: &Instance) {
    psql(standby, "select pg_promote()").unwrap();
}

#[test]
fn a_former_primary_that_is_back_is_passed_over() {
    let (mut former, primary) = with_a_standby();
    let url = hosts_of(&[&former, &primary]);
    let before = store(&url);
    let session = before.create(1).unwrap();
    wait_until("the standby", || sessions_of(&primary) == "1");
    former.kill();
    promote(&primary);
    assert!(before.destroy(session.id()).unwrap());
    former.start();
    wait_until("the former primary", || psql(&former, "select 1").is_ok());
    let new = store(&url);
    assert!(new.read(session.id()).unwrap().is_none(), "a logout is not undone");
    new.create(2).unwrap();
    assert_eq!((sessions_of(&former), sessions_of(&primary)), ("1".into(), "1".into()));
    // While the new primary is away, whoever knows it waits for it.
    drop(primary);
    let missed = before.create(3).map(drop);
    assert!(matches!(missed, Err(Error::Unavailable { .. })), "{missed:?}");
    assert_eq!(sessions_of(&former), "1");
}

#[test]
fn a_host_that_is_left_on_a_former_primary_leaves_it() {
    let (former, primary) = with_a_standby();
    let left = SessionStore::<u64>::builder();
    let left = left.sweep_interval(Duration::from_secs(3_600));
    let left = left.connect(&hosts_of(&[&former, &primary])).unwrap();
    let session = left.create(1).unwrap();
    wait_until("the standby", || sessions_of(&primary) == "1");
    promote(&primary);
    let other = store(&hosts_of(&[&primary]));
    assert!(other.destroy(session.id()).unwrap());
    std::thread::sleep(Duration::from_secs(31));
    left.flush().unwrap();
    assert!(left.read(session.id()).unwrap().is_none(), "a logout is not undone");
}
