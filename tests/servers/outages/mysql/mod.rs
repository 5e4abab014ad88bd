//! MariaDB that is killed, stalls, takes no writes, or takes no requests of a length.

mod galera;

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_bytes::ByteBuf;
use sessile::engine::{Engine, Moment, MysqlEngine};
use sessile::testing::{NetworkFault, Proxy, Way};
use sessile::{Error, SessionOptions, SessionStore, Timeouts, UserLimit};

use crate::instances::{self, Instance, mariadb_said, wait_until};
use crate::outages::{
    assert_not_allowed, assert_unavailable, is_killed_and_started_again, loses_power_in_a_login,
    stands_still, store, waits_for_others,
};

fn url(server: &Instance) -> String {
    url_at(server.port)
}

fn url_at(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}/shop?")
}

fn does(server: &Instance, text: &str) -> String {
    mariadb_said(server, text).unwrap()
}

#[test]
fn a_server_that_is_killed_is_used_again_once_it_is_started() {
    let mut server = instances::mariadb(&[]);
    let url = url(&server);
    is_killed_and_started_again(&mut server, &url);
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_long() {
    let server = instances::mariadb(&[]);
    stands_still(&server, &url(&server));
}

#[test]
fn a_server_that_takes_no_writes_says_so_and_the_next_host_is_used() {
    let (server, other) = (instances::mariadb(&[]), instances::mariadb(&[]));
    let first = store(&format!("{}timeout_ms=2000", url(&server)));
    let session = first.create_for_user("ann", 1).unwrap();
    // The superuser may still write; the store refuses to.
    does(&server, "set global read_only = 1");
    kill_connections(&server);
    assert_unavailable(first.create(2), "create");
    assert_unavailable(first.destroy(session.id()), "destroy");
    let both = format!("mysql://root@127.0.0.1:{},127.0.0.1:{}/shop", server.port, other.port);
    let second = store(&both);
    second.create(3).unwrap();
    assert!(second.read(session.id()).unwrap().is_none(), "it is another server");
    does(&server, "set global read_only = 0");
    assert_eq!(*first.read(session.id()).unwrap().unwrap().content(), 1);
}

#[test]
fn a_host_that_only_reads_notices_that_its_server_takes_no_writes_any_more() {
    let (server, other) = (instances::mariadb(&[]), instances::mariadb(&[]));
    let both = format!("mysql://root@127.0.0.1:{},127.0.0.1:{}/shop", server.port, other.port);
    // The next primary has the tables, as a replica has.
    drop(store(&url(&other)));
    let store = store(&both);
    let session = store.create_for_user("ann", 1).unwrap();
    does(&server, "set global read_only = 1");
    // Its connections stay. It asks the time of the server at least once a minute.
    let moved = || store.flush().is_ok() && store.read(session.id()).unwrap().is_none();
    for _ in 0..1_000 {
        if moved() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it still reads from the server that is no primary any more");
}

fn kill_connections(server: &Instance) {
    let connections =
        does(server, "select id from information_schema.processlist where db = 'shop'");
    for number in connections.lines() {
        // It may have ended by itself.
        let _ = mariadb_said(server, &format!("kill {number}"));
    }
}

#[test]
fn connections_that_an_administrator_ends_are_made_again() {
    let server = instances::mariadb(&[]);
    let store = store(&url(&server));
    let mut session = store.create(0).unwrap();
    for number in 1..5 {
        kill_connections(&server);
        *session.content_mut() = number;
        store.update(&mut session).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), number);
    }
}

#[test]
fn a_login_that_is_refused_shows_neither_user_nor_password() {
    let server = instances::mariadb(&[]);
    does(&server, "create user shop identified by 'right'; grant all on shop.* to shop");
    let url = |login: &str| format!("mysql://{login}@127.0.0.1:{}/shop", server.port);
    for login in ["shop", "shop:hidden", "nobody:hidden"] {
        let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
        assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
    }
    let nowhere = format!("mysql://shop:right@127.0.0.1:{}/elsewhere", server.port);
    assert_unavailable(SessionStore::<u64>::connect(&nowhere).map(drop), "no such database");
    let store = SessionStore::<u64>::connect(&url("shop:right")).unwrap();
    store.create(1).unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[test]
fn a_user_that_may_not_do_what_a_store_needs_is_not_named() {
    let server = instances::mariadb(&[]);
    store(&url(&server)).create(1).unwrap();
    does(&server, "create user nobody; grant select on shop.* to nobody");
    let url = format!("mysql://nobody@127.0.0.1:{}/shop", server.port);
    let refused = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
    assert_not_allowed(&refused);
}

#[test]
fn content_that_the_server_takes_no_packet_of_is_refused_and_nothing_else_is() {
    let server = instances::mariadb(&["--max-allowed-packet=1M"]);
    let store = SessionStore::<Vec<u8>>::builder().max_content_len(1 << 24);
    let store = store.manual_maintenance().connect(&url(&server)).unwrap();
    let kept = store.create(vec![7; 400_000]).unwrap();
    let refused = store.create(vec![7; 600_000]).map(drop).unwrap_err();
    let Error::TooLarge { len, max } = refused else { panic!("{refused:?}") };
    assert!((600_000..601_000).contains(&len), "{len}");
    assert!((522_000..1 << 19).contains(&max), "{max}");
    assert_eq!(store.read(kept.id()).unwrap().unwrap().content().len(), 400_000);
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn a_save_that_waits_for_others_until_its_time_is_over_changed_nothing() {
    let server = instances::mariadb(&[]);
    waits_for_others(&format!("{}timeout_ms=5000", url(&server)), |until| {
        let text = "begin; select 1 from sessile_sessions for update; select sleep(20)";
        let locks = "select count(*) from information_schema.innodb_trx where trx_rows_locked > 0";
        std::thread::scope(|scope| {
            let holding = scope.spawn(|| does(&server, &format!("use shop; {text}")));
            wait_until("the lock", || {
                // The server answers from a copy of the table if it was read within 100 ms.
                std::thread::sleep(Duration::from_millis(150));
                does(&server, locks).trim() == "1"
            });
            until();
            holding.join().unwrap();
        });
    });
}

/// Runs statements and then keeps their locks, until the work beside them is done.
fn while_others_hold(server: &Instance, text: &str, work: impl FnOnce()) {
    let sleeping = "from information_schema.processlist where state = 'User sleep'";
    std::thread::scope(|scope| {
        scope.spawn(|| mariadb_said(server, &format!("use shop; {text}; select sleep(20)")));
        let number = format!("select max(id) {sleeping}");
        wait_until("the lock", || does(server, &number).trim() != "NULL");
        work();
        let number = does(server, &number);
        assert_ne!(number.trim(), "NULL", "the lock was held until now");
        does(server, &format!("kill {number}"));
        wait_until("the end of the lock", || {
            does(server, &format!("select count(*) {sleeping}")).trim() == "0"
        });
    });
}

#[test]
fn a_save_that_waits_for_a_table_ends_in_time_on_the_server_too() {
    let server = instances::mariadb(&[]);
    for lock in ["flush tables with read lock", "lock tables sessile_sessions write"] {
        waits_for_others(&format!("{}timeout_ms=5000", url(&server)), |until| {
            while_others_hold(&server, lock, || {
                until();
                let waiting = "select count(*) from information_schema.processlist \
                    where db = 'shop' and state like 'Waiting for%'";
                assert_eq!(does(&server, waiting).trim(), "0", "{lock}");
            });
        });
    }
}

#[test]
fn a_host_that_loses_power_in_a_login_keeps_nobody_from_logging_in() {
    let server = instances::mariadb(&[]);
    for (user, rows) in [(Some("ann"), "users"), (None, "counts where shard = -1")] {
        loses_power_in_a_login(server.port, url_at, user, |meanwhile| {
            let text = format!("begin; select * from sessile_{rows} for update");
            while_others_hold(&server, &text, meanwhile);
        });
    }
}

#[test]
fn calls_that_the_server_rolls_back_for_one_another_are_made_again_until_they_succeed() {
    let server = instances::mariadb(&[]);
    let store = store(&url(&server));
    let user = |number: u64| format!("user {}", number % 3);
    std::thread::scope(|scope| {
        for thread in 0..24 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..100 {
                    let number = thread + round;
                    store.create_for_user(user(number), 1).unwrap();
                    let session = store.create_for_user(user(number), 2).unwrap();
                    match number % 4 {
                        0 => drop(store.destroy_all_of(user(number)).unwrap()),
                        1 => drop(store.rename_user(user(number), user(number + 1)).unwrap()),
                        // Another thread may have ended the session.
                        2 => match store.destroy_others(&session) {
                            Ok(_) | Err(Error::Gone { .. }) => {}
                            Err(error) => panic!("{error:?}"),
                        },
                        _ => drop(store.clean_up_expired().unwrap()),
                    }
                }
            });
        }
    });
    assert!(store.check().unwrap().is_sound());
}

/// The slow host waits for the answer about what is due. It must hold no lock meanwhile.
#[test]
fn a_host_that_stands_still_in_a_sweep_keeps_nobody_from_ending_a_session() {
    let server = instances::mariadb(&[]);
    let store = store(&url(&server));
    let short = SessionOptions::new().inactivity(Duration::from_millis(1));
    let over = store.create_with(1, &short).unwrap();
    wait_until("the session's end", || store.is_empty().unwrap());
    let proxy = Proxy::start((Ipv4Addr::LOCALHOST, server.port));
    let slow = MysqlEngine::connect(&url_at(proxy.address().port())).unwrap();
    let now = slow.server_time().unwrap().unwrap();
    proxy.arm(Way::Answer, 1, NetworkFault::Delay(Duration::from_secs(3)));
    let moment = Moment { now, timeouts: Timeouts::default() };
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| slow.remove_expired(moment, 3).unwrap().removed.len());
        wait_until("the answer that is late", || proxy.is_disarmed());
        assert_eq!(store.clean_up_expired().unwrap(), 1, "the other host ends it");
        assert!(store.read(over.id()).unwrap().is_none());
        assert_eq!(sweeping.join().unwrap(), 0);
    });
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_count_that_takes_too_long_is_stopped_on_the_server() {
    let server = instances::mariadb(&[]);
    let store = store(&format!("{}timeout_ms=1000", url(&server)));
    store.create(1).unwrap();
    does(
        &server,
        "use shop; rename table sessile_counts to hidden; create view sessile_counts as \
         select hidden.* from hidden where sleep(600) = 0",
    );
    assert_unavailable(store.len(), "len");
    let active = "select count(*) from information_schema.processlist \
        where db = 'shop' and command <> 'Sleep'";
    wait_until("the server", || does(&server, active).trim() == "0");
}

#[test]
fn what_follows_a_login_that_the_server_takes_no_packet_of_is_committed() {
    let server = instances::mariadb(&["--max-allowed-packet=1M"]);
    let open = || {
        SessionStore::<Vec<u8>>::builder()
            .max_content_len(1 << 24)
            .max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive)
            .manual_maintenance()
            .connect(&url(&server))
            .unwrap()
    };
    let store = open();
    let mut session = store.create(vec![1]).unwrap();
    let refused = store.create_for_user("ann", vec![7; 600_000]).map(drop);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    *session.content_mut() = vec![2];
    store.update(&mut session).unwrap();
    let seen = open().read(session.id()).unwrap().unwrap();
    assert_eq!(*seen.content(), [2], "another host sees what was answered");
    store.create_for_user("ann", vec![3]).unwrap();
}

/// A packet of so many bytes is full, and another packet follows it.
const FULL: usize = 0xff_ffff;

#[test]
fn content_of_more_than_one_packet_is_kept() {
    let server = instances::mariadb(&[]);
    let limit = |bytes: usize| does(&server, &format!("set global max_allowed_packet = {bytes}"));
    let connect = |name: &str| {
        let store = SessionStore::<ByteBuf>::builder().max_content_len(1 << 24);
        let url = format!("{}timeout_ms=900000&name={name}", url(&server));
        store.manual_maintenance().connect(&url).unwrap()
    };
    // One more letter in the name is an odd number of bytes more in the request.
    for name in ["even", "uneven_"] {
        limit(1 << 20);
        let probe = connect(name);
        let refused = probe.create(ByteBuf::from(vec![0; 600_000])).map(drop).unwrap_err();
        let Error::TooLarge { len, max } = refused else { panic!("{refused:?}") };
        // The longest request has `max` bytes of a record, each as two digits.
        let request = (1 << 20) - 1 + 2 * (len - max);
        limit(1 << 26);
        let store = connect(name);
        let full = 600_000 + (FULL - 1 - request) / 2;
        for length in [full - 1, full, full + 1] {
            let content: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            let session = store.create(ByteBuf::from(content.clone())).unwrap();
            let read = store.read(session.id()).unwrap().unwrap();
            assert!(read.into_content() == content, "{length}");
            assert!(store.destroy(session.id()).unwrap());
        }
    }
}
