//! PostgreSQL that is killed, stalls, takes no writes, is replaced by a standby, loses its standby,
//! or has locks that others hold.

mod counts;
mod hosts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile::testing::Proxy;
use sessile::{Error, SessionStore, UserLimit};

use crate::instances::{self, Instance, ends, psql, wait_until};
use crate::outages::{
    assert_not_allowed, assert_unavailable, is_killed_and_started_again, loses_power_in_a_login,
    stands_still, store, waits_for_others,
};
use crate::places::{behind, patient};

fn url(server: &Instance) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres?", server.port)
}

#[test]
fn a_server_that_is_killed_is_used_again_once_it_is_started() {
    let mut server = instances::postgres(&[]);
    let url = url(&server);
    is_killed_and_started_again(&mut server, &url);
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_long() {
    let server = instances::postgres(&[]);
    stands_still(&server, &url(&server));
}

/// A server whose commits wait for its standby, and the standby.
fn with_a_standby() -> (Instance, Instance) {
    let primary = instances::postgres(&["synchronous_standby_names=*"]);
    // No commit waits for a standby that is not there yet.
    psql(&primary, "alter system set synchronous_commit = local").unwrap();
    psql(&primary, "select pg_reload_conf()").unwrap();
    let standby = instances::standby_of(&primary);
    psql(&primary, "alter system set synchronous_commit = remote_apply").unwrap();
    psql(&primary, "select pg_reload_conf()").unwrap();
    (primary, standby)
}

/// Makes changes while no standby acknowledges them, which is while `is_still` is true: a failover
/// could undo each.
fn changes_without_a_standby(primary: &Instance, standby: &Instance, is_still: &AtomicBool) {
    let store = store(&format!("{}timeout_ms=2000", url(primary)));
    let mut saved = store.create_for_user("ann", 1).unwrap();
    let mut moved = store.create_for_user("ann", 2).unwrap();
    let ended = store.create_for_user("ann", 3).unwrap();
    standby.signal("-STOP");
    is_still.store(true, Ordering::Relaxed);
    let there = store.clone();
    let saved = ends("changes without a standby", move || {
        *saved.content_mut() = 11;
        let changed = [
            there.update(&mut saved),
            there.regenerate_id(&mut moved),
            there.destroy(ended.id()).map(drop),
            there.create(4).map(drop),
        ];
        for (number, changed) in changed.into_iter().enumerate() {
            // The last change may wait for the count that the removal has changed.
            let is_told = match changed {
                Err(Error::OutcomeUnknown { .. }) => true,
                Err(Error::Unavailable { .. }) => number == 3,
                _ => false,
            };
            assert!(is_told, "{number}: {changed:?}");
        }
        saved
    });
    is_still.store(false, Ordering::Relaxed);
    standby.signal("-CONT");
    wait_until("the standby", || store.create(5).is_ok());
    let found = store.read(saved.id()).unwrap().unwrap();
    assert!([1, 11].contains(found.content()), "{found:?}");
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn what_no_standby_has_is_not_taken_for_done() {
    let (primary, standby) = with_a_standby();
    changes_without_a_standby(&primary, &standby, &AtomicBool::new(false));
}

#[test]
fn a_server_that_gives_up_its_standbys_is_not_believed() {
    let (primary, standby) = with_a_standby();
    // A server whose wait is cancelled commits by itself, and says so by a warning alone.
    psql(&primary, "alter role postgres set client_min_messages = error").unwrap();
    let cancel = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'";
    let (is_still, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                match is_still.load(Ordering::Relaxed) {
                    true => drop(psql(&primary, cancel).unwrap()),
                    false => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let changes = AssertUnwindSafe(|| changes_without_a_standby(&primary, &standby, &is_still));
        let done = catch_unwind(changes);
        is_over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
}

#[test]
fn a_standby_takes_over_and_whoever_was_logged_in_still_is() {
    let (mut primary, standby) = with_a_standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port, primary.port);
    let store = store(&format!("postgres://postgres@{hosts}/postgres"));
    let session = store.create_for_user("ann", 1).unwrap();
    let ended = store.create_for_user("ann", 2).unwrap();
    assert!(store.destroy(ended.id()).unwrap());
    primary.kill();
    let promoting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        psql(&standby, "select pg_promote()").unwrap();
        standby
    });
    // The call waits for the promotion of the standby, or fails because no server takes writes.
    let there = store.clone();
    ends("a standby that is promoted", move || {
        loop {
            match there.create_for_user("ann", 3) {
                Ok(_) => break,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    assert!(store.read(ended.id()).unwrap().is_none(), "a logout is not undone");
    assert_eq!(store.len().unwrap(), 2);
    drop(promoting.join().unwrap());
}

#[test]
fn a_server_that_takes_no_writes_says_so_and_nothing_changes() {
    let server = instances::postgres(&[]);
    let store = store(&format!("{}timeout_ms=500", url(&server)));
    let mut session = store.create_for_user("ann", 1).unwrap();
    let seldom = SessionStore::<u64>::builder().touch_interval(Duration::from_secs(60));
    let seldom = seldom.manual_maintenance().connect(&url(&server)).unwrap();
    assert!(seldom.extend_lifetime(session.id()).unwrap());
    psql(&server, "alter system set default_transaction_read_only = on").unwrap();
    psql(&server, "select pg_reload_conf()").unwrap();
    wait_until("the setting", || store.create(2).is_err());
    assert_unavailable(store.create(2), "create");
    assert_unavailable(store.update(&mut session), "update");
    assert_unavailable(store.destroy(session.id()), "destroy");
    assert!(
        seldom.extend_lifetime(session.id()).unwrap(),
        "a touch that is not due writes nothing"
    );
    // A server that takes no writes refuses `alter system`, so its file is removed.
    std::fs::remove_file(server.folder.path().join("data/postgresql.auto.conf")).unwrap();
    psql(&server, "select pg_reload_conf()").unwrap();
    wait_until("the setting", || store.create(2).is_ok());
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
}

#[test]
fn a_listing_waits_for_a_server_that_will_take_writes() {
    let server = instances::postgres(&[]);
    let proxy = Proxy::start(format!("127.0.0.1:{}", server.port));
    let store = store(&patient(&behind(&url(&server), proxy.address())));
    store.create(1).unwrap();
    psql(&server, "alter system set default_transaction_read_only = on").unwrap();
    psql(&server, "select pg_reload_conf()").unwrap();
    wait_until("the setting", || {
        psql(&server, "show transaction_read_only").unwrap().trim() == "on"
    });
    proxy.cut_all();
    proxy.reset();
    let there = store.clone();
    let listing = std::thread::spawn(move || there.check().unwrap().sessions);
    wait_until("a login", || proxy.round_trips() > 1);
    // A server that takes no writes refuses `alter system`, so its file is removed.
    std::fs::remove_file(server.folder.path().join("data/postgresql.auto.conf")).unwrap();
    psql(&server, "select pg_reload_conf()").unwrap();
    assert_eq!(listing.join().unwrap(), 1);
}

#[test]
fn connections_that_an_administrator_ends_are_made_again() {
    let server = instances::postgres(&[]);
    let store = store(&url(&server));
    let mut session = store.create(0).unwrap();
    for number in 1..5 {
        psql(
            &server,
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name = 'sessile'",
        )
        .unwrap();
        *session.content_mut() = number;
        store.update(&mut session).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), number);
    }
}

#[test]
fn a_login_that_is_refused_shows_neither_user_nor_password() {
    let server = instances::postgres(&[]);
    psql(&server, "create user shop password 'right'").unwrap();
    psql(&server, "create database shop owner shop").unwrap();
    let rules = server.folder.path().join("data/pg_hba.conf");
    for (method, encryption) in [("scram-sha-256", "scram-sha-256"), ("md5", "md5")] {
        let alter =
            format!("set password_encryption = '{encryption}'; alter user shop password 'right'");
        psql(&server, &alter).unwrap();
        let text =
            format!("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 {method}\n");
        std::fs::write(&rules, text).unwrap();
        psql(&server, "select pg_reload_conf()").unwrap();
        let url = |login: &str| format!("postgres://{login}@127.0.0.1:{}/shop", server.port);
        wait_until("the rules", || SessionStore::<u64>::connect(&url("shop")).is_err());
        for login in ["shop", "shop:hidden", "nobody:hidden"] {
            let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
            let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
            assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
        }
        let store = SessionStore::<u64>::connect(&url("shop:right")).unwrap();
        store.create(1).unwrap();
        assert!(!format!("{store:?}").contains("right"));
    }
}

#[test]
fn a_user_that_may_not_do_what_a_store_needs_is_not_named() {
    let server = instances::postgres(&[]);
    store(&url(&server)).create(1).unwrap();
    psql(&server, "create user nobody; grant select on all tables in schema public to nobody")
        .unwrap();
    let url = format!("postgres://nobody@127.0.0.1:{}/postgres", server.port);
    let refused = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
    assert_not_allowed(&refused);
}

#[test]
fn a_save_that_waits_for_others_until_its_time_is_over_changed_nothing() {
    let server = instances::postgres(&[]);
    waits_for_others(&format!("{}timeout_ms=2000", url(&server)), |until| {
        let text = "begin; select 1 from sessile_sessions for update; select pg_sleep(15)";
        let locks = "select count(*) from pg_locks where mode = 'RowShareLock' \
            and relation = 'sessile_sessions'::regclass";
        std::thread::scope(|scope| {
            let holding = scope.spawn(|| psql(&server, text).unwrap());
            wait_until("the lock", || psql(&server, locks).unwrap().trim() == "1");
            until();
            holding.join().unwrap();
        });
    });
}

#[test]
fn a_host_that_loses_power_in_a_login_keeps_nobody_from_logging_in() {
    let server = instances::postgres(&[]);
    for (user, rows) in [(Some("ann"), "users"), (None, "counts where shard = -1")] {
        let url = |port| format!("postgres://postgres@127.0.0.1:{port}/postgres?");
        loses_power_in_a_login(server.port, url, user, |meanwhile| {
            let text =
                format!("begin; select * from sessile_{rows} for update; select pg_sleep(20)");
            let sleeping = "from pg_stat_activity where wait_event = 'PgSleep'";
            std::thread::scope(|scope| {
                scope.spawn(|| psql(&server, &text));
                let count = format!("select count(*) {sleeping}");
                wait_until("the lock", || psql(&server, &count).unwrap().trim() == "1");
                meanwhile();
                psql(&server, &format!("select pg_terminate_backend(pid) {sleeping}")).unwrap();
            });
        });
    }
}

#[test]
fn a_check_asks_for_pages_alone() {
    let server = instances::postgres(&[]);
    let proxy = Proxy::start(format!("127.0.0.1:{}", server.port));
    let store = store(&patient(&behind(&url(&server), proxy.address())));
    store.create_for_user("ann", 1).unwrap();
    store.create(2).unwrap();
    proxy.reset();
    let report = store.check().unwrap();
    // A statement that counts all of many sessions would run into the server's time limit.
    assert_eq!(proxy.round_trips(), 4, "the timeouts, and a transaction begins, shows, and ends");
    assert_eq!((report.expiry_entries, report.user_entries), (2, 1));
}

#[test]
fn a_visitor_may_use_the_store_though_the_listing_has_the_only_connection() {
    let server = instances::postgres(&[]);
    let store = store(&format!("{}connections=1", url(&server)));
    for number in 0..3 {
        store.create(number).unwrap();
    }
    let mut ended = 0;
    let visited =
        store.for_each(|info, _| ended += u64::from(store.destroy_key(&info.key()).unwrap()));
    assert_eq!((visited.unwrap(), ended), (3, 3));
    assert!(store.is_empty().unwrap());
    let open = "select count(*) from pg_stat_activity where application_name = 'sessile'";
    assert_eq!(psql(&server, open).unwrap().trim(), "1");
}

#[test]
fn a_read_that_takes_too_long_is_stopped_on_the_server() {
    let server = instances::postgres(&[]);
    let store = store(&format!("{}timeout_ms=5000", url(&server)));
    let session = store.create(1).unwrap();
    psql(
        &server,
        "alter table sessile_sessions rename to hidden; \
         create function is_slow() returns bool language plpgsql as \
         'begin perform pg_sleep(600); return true; end'; \
         create view sessile_sessions as select hidden.* from hidden where is_slow()",
    )
    .unwrap();
    assert_unavailable(store.read(session.id()), "read");
    let active = "select count(*) from pg_stat_activity \
        where application_name = 'sessile' and state = 'active'";
    wait_until("the server", || psql(&server, active).unwrap().trim() == "0");
}

#[test]
fn the_servers_clock_decides_where_it_shows_another_time() {
    let server = instances::postgres(&[]);
    // An hour ahead of this machine's clock.
    psql(
        &server,
        "create schema ahead; create function ahead.clock_timestamp() returns timestamptz \
         language sql volatile as \
         'select pg_catalog.clock_timestamp() + interval ''1 hour'''; \
         alter role postgres set search_path = public, ahead, pg_catalog",
    )
    .unwrap();
    let here = std::time::SystemTime::now();
    let session = store(&url(&server)).create(1).unwrap();
    let ahead = session.created_at().duration_since(here).unwrap();
    assert!(ahead > Duration::from_secs(3_000), "{ahead:?}");
}

#[test]
fn statements_without_names_do_as_well() {
    let server = instances::postgres(&[]);
    let url = format!("{}statements=unnamed", url(&server));
    let store = SessionStore::<u64>::builder()
        .max_sessions_per_user(1, UserLimit::EndLeastRecentlyActive)
        .manual_maintenance()
        .connect(&url)
        .unwrap();
    let first = store.create_for_user("ann", 1).unwrap();
    store.create_for_user("ann", 2).unwrap();
    assert!(store.read(first.id()).unwrap().is_none());
    assert_eq!((store.len().unwrap(), store.clean_up_expired().unwrap()), (1, 0));
}
