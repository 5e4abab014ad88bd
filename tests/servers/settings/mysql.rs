//! MariaDB with other defaults for its connections.

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, mariadb_said};
use crate::settings::{
    emptied_tables_are_filled_when_a_store_is_opened, is_unsupported,
    missing_tables_are_made_when_a_store_is_opened, two_hosts_agree,
};

fn does(server: &Instance, text: &str) {
    mariadb_said(server, text).unwrap();
}

fn url(server: &Instance, login: &str) -> String {
    format!("mysql://{login}@127.0.0.1:{}/shop", server.port)
}

#[test]
fn a_default_of_the_server_for_connections_changes_no_call() {
    let server = instances::mariadb(&[]);
    for (name, value) in [
        // A commit begins the next transaction, or ends the connection.
        ("completion_type", "1"),
        ("completion_type", "2"),
        ("sql_select_limit", "2"),
        ("max_join_size", "1"),
        ("autocommit", "0"),
        ("tx_isolation", "'SERIALIZABLE'"),
        ("sql_mode", "'ANSI,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"),
    ] {
        does(&server, &format!("set global {name} = {value}"));
        two_hosts_agree(&url(&server, "root"), &format!("{name} = {value}"));
        does(&server, &format!("set global {name} = default"));
    }
}

/// Its tables would know no transactions.
#[test]
fn a_server_that_puts_another_engine_in_the_place_of_the_tables_own_makes_none() {
    let server = instances::mariadb(&[]);
    does(&server, "create user shop; grant all on shop.* to shop");
    does(&server, "set global enforce_storage_engine = Aria");
    let refused = SessionStore::<u64>::connect(&url(&server, "shop")).map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert_eq!(mariadb_said(&server, "use shop; show tables").unwrap(), "");
}

/// A crash could leave half a change in them.
#[test]
fn tables_that_were_given_an_engine_without_transactions_are_refused() {
    let server = instances::mariadb(&[]);
    does(&server, "create user shop; grant all on shop.* to shop");
    let url = url(&server, "shop");
    let store = SessionStore::<u64>::connect(&url).unwrap();
    let session = store.create(1).unwrap();
    drop(store);
    // Neither another store's table nor another database's is one of this store.
    does(&server, "create table shop.other_sessions (n int) engine=MyISAM");
    does(&server, "create database other; create table other.sessile_users (n int) engine=MyISAM");
    drop(SessionStore::<u64>::connect(&url).unwrap());
    does(&server, "alter table shop.sessile_counts engine=MyISAM");
    does(&server, "alter table shop.sessile_sessions engine=Aria");
    is_unsupported(&url, "`sessile_counts` in MyISAM, `sessile_sessions` in Aria");
    does(&server, "alter table shop.sessile_counts engine=InnoDB");
    does(&server, "alter table shop.sessile_sessions engine=InnoDB");
    let store = SessionStore::<u64>::connect(&url).unwrap();
    assert!(store.read(session.id()).unwrap().is_some());
}

#[test]
fn a_server_whose_transactions_only_read_is_not_called_a_replica() {
    let server = instances::mariadb(&[]);
    does(&server, "set global tx_read_only = 1");
    let url = format!("{}?timeout_ms=1000", url(&server, "root"));
    let error = SessionStore::<u64>::connect(&url).map(drop).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("`transaction_read_only`"), "{said}");
}

#[test]
fn a_server_that_takes_only_connections_in_tls_says_so() {
    let server = instances::mariadb(&[]);
    does(&server, "set global require_secure_transport = 1");
    let error = SessionStore::<u64>::connect(&url(&server, "root")).map(drop).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("asks for TLS"), "{said}");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[test]
fn tables_that_somebody_emptied_count_right_again_when_a_store_is_opened() {
    let server = instances::mariadb(&[]);
    let url = url(&server, "root");
    emptied_tables_are_filled_when_a_store_is_opened(&url, |table| {
        does(&server, &format!("truncate shop.{table}"));
    });
}

#[test]
fn tables_that_are_missing_are_made_when_a_store_is_opened() {
    let server = instances::mariadb(&[]);
    let url = url(&server, "root");
    missing_tables_are_made_when_a_store_is_opened(&url, |table| {
        does(&server, &format!("drop table shop.{table}"));
    });
}
