//! A node of a Galera cluster.

use sessile::SessionStore;

use crate::instances::{self, Instance, mariadb_said};
use crate::outages::assert_unavailable;

fn does(server: &Instance, text: &str) -> String {
    mariadb_said(server, text).unwrap()
}

fn url(servers: &[&Instance]) -> String {
    let hosts: Vec<_> = servers.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    format!("mysql://root@{}/shop?timeout_ms=2000", hosts.join(","))
}

#[test]
fn a_node_that_is_no_part_of_its_cluster_is_passed_over() {
    let (node, other) = (instances::galera(), instances::mariadb(&[]));
    let store = SessionStore::<u64>::builder().manual_maintenance();
    let store = store.connect(&url(&[&node, &other])).unwrap();
    store.create(1).unwrap();
    drop(SessionStore::<u64>::connect(&url(&[&other])).unwrap());
    // As of a node that has lost the others. It still says that it is not `read_only`.
    does(&node, "set global wsrep_reject_queries = all");
    assert_eq!(does(&node, "select @@global.read_only").trim(), "0");
    let session = store.create(2).unwrap();
    assert!(store.read(session.id()).unwrap().is_some());
    drop(SessionStore::<u64>::connect(&url(&[&node, &other])).unwrap());
    assert_eq!(does(&other, "select count(*) from shop.sessile_sessions").trim(), "1");
    let refused = SessionStore::<u64>::connect(&url(&[&node])).map(drop);
    assert!(format!("{refused:?}").contains("takes no statements now"), "{refused:?}");
    assert_unavailable(refused, "no other host");
}
