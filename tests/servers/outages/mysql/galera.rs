//! A node of a Galera cluster. The nodes know nothing of each other's locks: of two transactions
//! that change one row, the slower one is undone when it commits, or before.

use sessile::{SessionStore, UserLimit};

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

/// The node makes the rest of a text, each statement by itself, if it undoes the transaction in the
/// middle of the text.
#[test]
fn a_node_of_a_cluster_gets_one_statement_at_a_time() {
    let node = instances::galera();
    let store = SessionStore::<u64>::builder().manual_maintenance();
    let store = store.max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive);
    let store = store.connect(&url(&[&node])).unwrap();
    does(&node, "set global log_output = 'TABLE'; set global general_log = 1");
    let mut session = store.create(1).unwrap();
    for number in 0..3 {
        store.create_for_user("ann", number).unwrap();
    }
    session.set_user("ann");
    store.update(&mut session).unwrap();
    assert_eq!(store.destroy_others(&session).unwrap(), 1);
    store.regenerate_id(&mut session).unwrap();
    assert!(store.destroy(session.id()).unwrap());
    assert_eq!((store.len().unwrap(), store.clean_up_expired().unwrap()), (0, 0));
    let logged = "from mysql.general_log where command_type = 'Query' and argument like";
    assert_ne!(does(&node, &format!("select count(*) {logged} 'commit'")).trim(), "0");
    let several = does(&node, &format!("select argument {logged} concat('%sess', 'ile%;%')"));
    assert_eq!(several, "");
    assert_eq!(does(&node, "select sum(n) from shop.sessile_counts").trim(), "0");
}

/// A row that both change: of two inserts on two nodes, the slower one is undone, and looks again.
#[test]
fn inserts_near_the_limit_of_the_store_change_one_row() {
    let server = instances::mariadb(&[]);
    let limited = |most| SessionStore::<u64>::builder().manual_maintenance().max_sessions(most);
    let store = limited(3).connect(&url(&[&server])).unwrap();
    let sessions: Vec<_> = (0..3).map(|number| store.create(number).unwrap()).collect();
    store.create(4).unwrap_err();
    let counted = "select n from shop.sessile_counts where shard = -1";
    assert_eq!(does(&server, counted).trim(), "3");
    let far = limited(10_000).connect(&url(&[&server])).unwrap();
    far.create(5).unwrap();
    assert_eq!(does(&server, counted).trim(), "3", "far from a limit, nobody waits for that row");
    assert!(store.destroy(sessions[0].id()).unwrap());
    assert_eq!(store.len().unwrap(), 3);
}
