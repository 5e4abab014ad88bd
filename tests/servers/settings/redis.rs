//! Redis users whose access list lacks commands.

use sessile::{Error, SessionStore};

use crate::instances::{self, Instance, redis_cli};
use crate::outages::assert_not_allowed;

/// Gives the user these rights, and no others; returns the URL.
fn granted(server: &Instance, rights: &[&str]) -> String {
    let rules = ["acl", "setuser", "nobody", "reset", "on", ">hidden", "~{sessile}:*"];
    assert_eq!(redis_cli(server, &[&rules[..], rights].concat()).unwrap().trim(), "OK");
    format!("redis://nobody:hidden@127.0.0.1:{}", server.port)
}

fn open(server: &Instance) -> SessionStore<u64> {
    let url = format!("redis://127.0.0.1:{}", server.port);
    SessionStore::builder().manual_maintenance().connect(&url).unwrap()
}

#[test]
fn a_user_without_one_of_the_commands_that_change_sessions_changes_none() {
    let server = instances::redis(&[]);
    let store = open(&server);
    let mut session = store.create_for_user("ann", 1).unwrap();
    for denied in ["-evalsha", "-hset", "-hdel", "-zadd", "-zrem"] {
        let url = granted(&server, &["+@all", denied]);
        assert_not_allowed(&SessionStore::<u64>::connect(&url).map(drop).unwrap_err());
        // Who makes no store may read, if it may do that.
        let reading = SessionStore::<u64>::builder().manual_maintenance().connect_existing(&url);
        let reading = reading.unwrap();
        assert_eq!(*reading.read(session.id()).unwrap().unwrap().content(), 1, "{denied}");
        assert_not_allowed(&reading.create(2).map(drop).unwrap_err());
        assert_not_allowed(&reading.regenerate_id(&mut session).unwrap_err());
        assert_not_allowed(&reading.destroy(session.id()).unwrap_err());
        assert_not_allowed(&reading.destroy_all_of("ann").unwrap_err());
        assert_not_allowed(&reading.clear().unwrap_err());
        let report = store.check().unwrap();
        assert!(report.is_sound() && report.sessions == 1, "{denied}: {report:?}");
    }
    store.update(&mut session).unwrap();
}

#[test]
fn a_command_that_was_taken_away_or_a_key_of_somebody_else_lets_no_change_begin() {
    let server = instances::redis(&["--rename-command", "zrem", "taken"]);
    let url = format!("redis://127.0.0.1:{}", server.port);
    let refused = SessionStore::<u64>::connect(&url).map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    let server = instances::redis(&[]);
    let store = open(&server);
    store.create(1).unwrap();
    redis_cli(&server, &["set", "{sessile}:u", "of somebody else"]).unwrap();
    let unknown = store.create_for_user("ann", 2);
    assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })), "{unknown:?}");
    assert_eq!(store.len().unwrap(), 2, "half of it was done");
    let url = format!("redis://127.0.0.1:{}", server.port);
    let refused = SessionStore::<u64>::connect(&url).map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

/// Scripts are not undone.
#[test]
fn a_user_who_loses_a_right_is_not_told_that_nothing_was_changed() {
    let server = instances::redis(&[]);
    let store = open(&server);
    let url = granted(&server, &["+@all"]);
    let limited = SessionStore::<u64>::builder().manual_maintenance().connect(&url).unwrap();
    let mut session = limited.create(1).unwrap();
    granted(&server, &["+@all", "-zrem"]);
    let old = session.id().clone();
    let error = limited.regenerate_id(&mut session).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("nobody"), "{error:?}");
    assert!(store.read(&old).unwrap().is_none(), "half of it was done");
}

#[test]
fn the_rights_that_the_guide_names_are_enough() {
    let server = instances::redis(&[]);
    let url = granted(
        &server,
        &["-@all", "+@read", "+@write", "+@scripting", "+@connection", "+info", "+time", "+role"],
    );
    let store = SessionStore::<u64>::builder().manual_maintenance().connect(&url).unwrap();
    let mut session = store.create_for_user("ann", 1).unwrap();
    store.regenerate_id(&mut session).unwrap();
    assert!(store.extend_lifetime(session.id()).unwrap());
    assert_eq!(store.rename_user("ann", "bob").unwrap(), 1);
    assert_eq!(store.len().unwrap(), 1);
    let report = store.check().unwrap();
    assert!(report.is_sound() && report.sessions == 1, "{report:?}");
    store.flush().unwrap();
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_eq!(store.destroy_all_of("bob").unwrap(), 1);
    store.clear().unwrap();
}
