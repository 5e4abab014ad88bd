//! The number of sessions on PostgreSQL, whatever happens at one moment.

use std::thread;
use std::time::Duration;

use sessile::SessionStore;

use crate::instances::{self, Instance, psql};
use crate::outages::store;

fn url(server: &Instance) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", server.port)
}

fn counts_of(server: &Instance) -> usize {
    psql(server, "select count(*) from sessile_counts").unwrap().trim().parse().unwrap()
}

#[test]
fn a_store_that_is_cleared_says_so_whatever_fails_behind_its_commit() {
    let server = instances::postgres(&[]);
    let store = store(&url(&server));
    store.create(1).unwrap();
    // Their sum is no number of the server's.
    psql(&server, &format!("update sessile_counts set n = {} where shard < 3", i64::MAX)).unwrap();
    let mut cleared = None;
    // The listing keeps the table from being truncated.
    let listed = store.for_each(|_, _| cleared = Some(store.clear()));
    assert!(matches!(cleared, Some(Ok(()))), "{cleared:?} {listed:?}");
    let rows = psql(&server, "select count(*) from sessile_sessions").unwrap();
    assert_eq!(rows.trim(), "0");
}

#[test]
fn the_changes_of_the_number_of_sessions_are_added_up() {
    const MANY: usize = 1_024;
    let server = instances::postgres(&[]);
    let store = store(&url(&server));
    for _ in 0..MANY {
        let session = store.create(1).unwrap();
        assert!(store.destroy(session.id()).unwrap());
    }
    assert!(counts_of(&server) <= MANY + 1);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn the_changes_of_programs_that_end_soon_are_added_up() {
    let server = instances::postgres(&[]);
    for number in 0..5 {
        let store = store(&url(&server));
        assert_eq!(store.len().unwrap(), 100 * number);
        (0..100).for_each(|_| drop(store.create(1).unwrap()));
    }
    assert!(counts_of(&server) <= 102, "{}", counts_of(&server));
}

#[test]
fn a_store_that_is_cleared_while_a_host_adds_up_the_changes_has_no_sessions() {
    let server = instances::postgres(&[]);
    let store: SessionStore<u64> = store(&url(&server));
    // What a host does after many changes, on a server that takes a moment.
    let adding_up = "begin isolation level repeatable read; \
        insert into sessile_counts (shard, n) select max(shard) + 1, sum(n)::bigint \
        from sessile_counts where shard >= 0 having count(*) > 1; \
        delete from sessile_counts where shard >= 0 \
        and shard < (select max(shard) from sessile_counts); \
        select pg_sleep(0.05); commit";
    for _ in 0..5 {
        (0..10).for_each(|_| drop(store.create(1).unwrap()));
        thread::scope(|scope| {
            let adding_up = scope.spawn(|| psql(&server, adding_up));
            let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
            for _ in 0..400 {
                if adding_up.is_finished() || psql(&server, asleep).unwrap().trim() == "1" {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            store.clear().unwrap();
        });
        assert_eq!(store.len().unwrap(), 0);
    }
}

#[test]
fn a_dump_that_was_restored_over_the_tables_counts_no_session_twice() {
    let server = instances::postgres(&[]);
    let before = store(&url(&server));
    (0..10).for_each(|_| drop(before.create(1).unwrap()));
    // The other tables refuse what they have already.
    psql(&server, "insert into sessile_counts select * from sessile_counts").unwrap();
    assert_eq!(before.len().unwrap(), 20);
    assert_eq!(store(&url(&server)).len().unwrap(), 10);
    let locks = psql(&server, "select count(*) from sessile_counts where shard = -1").unwrap();
    assert_eq!(locks.trim(), "1", "or each opening counts all sessions");
}
