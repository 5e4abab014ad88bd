//! PostgreSQL roles with other defaults for their connections.

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, psql};
use crate::settings::{
    emptied_tables_are_filled_when_a_store_is_opened, is_unsupported,
    missing_tables_are_made_when_a_store_is_opened, two_hosts_agree,
};

fn does(server: &Instance, text: &str) {
    psql(server, text).unwrap();
}

/// A server with the role `shop`, and its URL.
fn with_a_role() -> (Instance, String) {
    let server = instances::postgres(&[]);
    does(&server, "create role shop login; create schema shop authorization shop");
    let url = format!("postgres://shop@127.0.0.1:{}/postgres", server.port);
    (server, url)
}

#[test]
fn a_default_of_the_server_for_connections_changes_no_call() {
    let (server, url) = with_a_role();
    drop(SessionStore::<u64>::connect(&url).unwrap());
    // Higher levels refuse what a lock would only hold up.
    does(
        &server,
        "create function shop.is_committed() returns trigger language plpgsql as $$ begin \
         if current_setting('transaction_isolation') <> 'read committed' then \
         raise exception 'another level'; end if; return null; end $$; \
         create trigger level after insert or update or delete on shop.sessile_sessions \
         for each statement execute function shop.is_committed()",
    );
    for setting in [
        "default_transaction_isolation = serializable",
        "default_transaction_isolation = 'repeatable read'",
        "standard_conforming_strings = off",
        "bytea_output = escape",
        "client_min_messages = debug5",
        "statement_timeout = 1000",
        "lock_timeout = 1",
    ] {
        does(&server, &format!("alter role shop set {setting}"));
        two_hosts_agree(&url, setting);
        does(&server, "alter role shop reset all");
    }
}

#[test]
fn a_server_whose_transactions_only_read_is_not_called_a_standby() {
    let (server, url) = with_a_role();
    does(&server, "alter role shop set default_transaction_read_only = on");
    let error = SessionStore::<u64>::connect(&format!("{url}?timeout_ms=1000")).map(drop);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("`default_transaction_read_only`"), "{said}");
}

#[test]
fn a_server_that_takes_only_connections_in_tls_says_so() {
    let (server, url) = with_a_role();
    let rules = psql(&server, "show hba_file").unwrap();
    std::fs::write(rules.trim(), "hostssl all shop all trust\nhost all postgres all trust\n")
        .unwrap();
    does(&server, "select pg_reload_conf()");
    crate::instances::wait_until("the rule", || {
        let error = SessionStore::<u64>::connect(&url).map(drop);
        error.is_err_and(|error| {
            let said = std::error::Error::source(&error).unwrap().to_string();
            said.contains("asks for TLS") && matches!(error, Error::Unavailable { .. })
        })
    });
}

/// As for logical replication, for a copy by change data capture, for an upgrade by a second server.
#[test]
fn the_number_of_sessions_stays_small_and_is_cleared_while_all_tables_are_published() {
    let (server, url) = with_a_role();
    does(&server, "create publication everything for all tables");
    let open = || -> SessionStore<u64> {
        SessionStore::builder().manual_maintenance().connect(&url).unwrap()
    };
    let rows = || -> u64 {
        let counted = psql(&server, "select count(*) from shop.sessile_counts").unwrap();
        counted.trim().parse().unwrap()
    };
    let work = |store: &SessionStore<u64>| {
        for number in 0..600 {
            let session = store.create(number).unwrap();
            store.destroy(session.id()).unwrap();
        }
        store.create(1).unwrap();
    };
    let store = open();
    work(&store);
    assert!(rows() < 400, "{}", rows());
    store.clear().unwrap();
    // Tables of an earlier version lack the setting.
    let forget = "alter table shop.sessile_counts replica identity default";
    does(&server, forget);
    work(&store);
    work(&store);
    assert!(rows() < 1_500, "{}", rows());
    assert_eq!(store.len().unwrap(), 2);
    does(&server, forget);
    store.clear().unwrap();
    assert_eq!((store.len().unwrap(), rows()), (0, 1));
    // Whoever does not own the table is told.
    does(&server, forget);
    does(&server, "alter table shop.sessile_counts owner to postgres");
    does(&server, "grant all on shop.sessile_counts to shop");
    store.create(1).unwrap();
    let error = store.clear().unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("replica identity"), "{said}");
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn tables_that_a_crash_would_empty_are_refused() {
    let (server, url) = with_a_role();
    drop(SessionStore::<u64>::connect(&url).unwrap());
    // Another schema's table is not one of this store.
    does(&server, "create unlogged table public.sessile_users (n int)");
    drop(SessionStore::<u64>::connect(&url).unwrap());
    does(&server, "alter table shop.sessile_sessions set unlogged");
    does(&server, "alter table shop.sessile_counts set unlogged");
    is_unsupported(&url, "`sessile_counts`, `sessile_sessions`; needed");
    does(&server, "alter table shop.sessile_sessions set logged");
    does(&server, "alter table shop.sessile_counts set logged");
    SessionStore::<u64>::connect(&url).unwrap().create(1).unwrap();
}

#[test]
fn tables_that_somebody_emptied_count_right_again_when_a_store_is_opened() {
    let (server, url) = with_a_role();
    emptied_tables_are_filled_when_a_store_is_opened(&url, |table| {
        does(&server, &format!("truncate shop.{table}"));
    });
}

#[test]
fn tables_that_are_missing_are_made_when_a_store_is_opened() {
    let (server, url) = with_a_role();
    missing_tables_are_made_when_a_store_is_opened(&url, |table| {
        does(&server, &format!("drop table shop.{table}"));
    });
}
