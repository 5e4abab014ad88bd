//! A stand-in for MongoDB that stalls, is no longer primary, refuses a login, or fails on demand.

use sessile::{Error, SessionStore, UserLimit};

use crate::instances::{self, Instance, mongodb_tell, wait_until};
use crate::outages::{assert_unavailable, stands_still, store};

fn url(server: &Instance) -> String {
    format!("mongodb://127.0.0.1:{}/shop?", server.port)
}

/// Gives a member another role; it names `primary` as the primary.
fn becomes(server: &Instance, role: &str, primary: &Instance) {
    let data = format!(r#"{{"role": "{role}", "primary": "127.0.0.1:{}"}}"#, primary.port);
    let command =
        format!(r#"{{"configureFailPoint": "role", "mode": "alwaysOn", "data": {data}}}"#);
    mongodb_tell(server, &command);
}

/// Makes the next `times` commands of a name fail.
fn fail(server: &Instance, times: u32, command: &str, how: &str) {
    mongodb_tell(
        server,
        &format!(
            r#"{{"configureFailPoint": "failCommand", "mode": {{"times": {times}}},
            "data": {{"failCommands": ["{command}"], {how}}}}}"#
        ),
    );
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_long() {
    let server = instances::mongodb(&[]);
    stands_still(&server, &url(&server));
}

#[test]
fn a_primary_that_steps_down_is_followed_by_the_one_it_names() {
    let (old, new) = (instances::mongodb(&[]), instances::mongodb(&[]));
    let store = store(&format!("{}timeout_ms=4000", url(&old)));
    let session = store.create(1).unwrap();
    becomes(&old, "secondary", &old);
    assert_unavailable(store.create(2), "create");
    assert_unavailable(store.read(session.id()), "read");
    assert_unavailable(store.destroy(session.id()), "destroy");
    becomes(&old, "secondary", &new);
    // The stand-ins share no data, so that the test sees which one answers.
    crate::outages::store(&url(&new)).create(2).unwrap();
    wait_until("the new primary", || store.create(3).is_ok());
    assert!(store.read(session.id()).unwrap().is_none(), "it is another server");
    becomes(&new, "secondary", &old);
    becomes(&old, "primary", &old);
    wait_until("the old primary", || store.read(session.id()).is_ok_and(|it| it.is_some()));
}

#[test]
fn errors_of_the_moment_are_made_good_and_nothing_is_done_twice() {
    const TRANSIENT: &str = r#""errorLabels": ["TransientTransactionError"]"#;
    const UNKNOWN: &str = r#""errorLabels": ["UnknownTransactionCommitResult"]"#;
    const CONCERN: &str = r#""writeConcernError": {"code": 64, "errmsg": "timed out"}"#;
    let server = instances::mongodb(&[]);
    let store = SessionStore::<u64>::builder()
        .max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive)
        .manual_maintenance()
        .connect(&format!("{}timeout_ms=20000", url(&server)))
        .unwrap();
    // It is not the primary, is shutting down, and had a write conflict.
    let codes = [10_107, 91, 112].map(|code| format!(r#""errorCode": {code}"#));
    let undone = [10_107, 112].map(|code| format!(r#""errorCode": {code}, {TRANSIENT}"#));
    let unknown = [format!(r#""errorCode": 91, {UNKNOWN}"#), format!("{CONCERN}, {UNKNOWN}")];
    for how in codes.iter().chain([&CONCERN.to_owned()]) {
        let mut session = store.create(1).unwrap();
        fail(&server, 1, "findAndModify", how);
        *session.content_mut() = 2;
        store.update(&mut session).unwrap();
        fail(&server, 1, "findAndModify", how);
        store.regenerate_id(&mut session).unwrap();
        fail(&server, 1, "findAndModify", how);
        let read = store.read_and_extend(session.id()).unwrap().unwrap();
        assert_eq!(*read.content(), 2, "{how}");
        fail(&server, 1, "find", how);
        assert!(store.read(session.id()).unwrap().is_some(), "{how}");
        store.destroy(session.id()).unwrap();
        fail(&server, 1, "insert", how);
        let created = store.create(3).unwrap();
        assert!(store.read(created.id()).unwrap().is_some(), "{how}");
        store.clear().unwrap();
    }
    for how in undone.iter().chain(&unknown) {
        for number in 0..5 {
            fail(&server, 1, "commitTransaction", how);
            store.create_for_user("ann", number).unwrap();
        }
        fail(&server, 1, "commitTransaction", how);
        store.rename_user("ann", "bob").unwrap();
        fail(&server, 1, "commitTransaction", how);
        assert_eq!(store.destroy_all_of("bob").unwrap(), 3, "{how}");
    }
    for how in &undone {
        for command in ["update", "find", "delete"] {
            store.create_for_user("ann", 1).unwrap();
            fail(&server, 2, command, how);
            store.create_for_user("ann", 2).unwrap();
            fail(&server, 2, command, how);
            assert_eq!(store.destroy_all_of("ann").unwrap(), 2, "{command}: {how}");
        }
    }
    assert_eq!(store.len().unwrap(), 0);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_commit_whose_outcome_stays_unknown_is_told_as_that() {
    let server = instances::mongodb(&[]);
    let store = store(&format!("{}timeout_ms=4000", url(&server)));
    store.create_for_user("ann", 1).unwrap();
    let how = r#""errorCode": 91, "errorLabels": ["UnknownTransactionCommitResult"]"#;
    fail(&server, 1_000, "commitTransaction", how);
    let ended = store.destroy_all_of("ann");
    assert!(matches!(ended, Err(Error::OutcomeUnknown { .. })), "{ended:?}");
    fail(&server, 1, "ping", how);
    wait_until("the end of what was left behind", || store.destroy_all_of("ann").is_ok());
    assert_eq!(store.len().unwrap(), 0);
}

/// Commits that a majority has, and whose repetition meets a primary that has stepped down.
#[test]
fn a_commit_that_may_be_done_is_not_told_as_undone_when_the_primary_steps_down() {
    let server = instances::mongodb(&[]);
    let store = store(&format!("{}timeout_ms=4000", url(&server)));
    let commits = |change: &dyn Fn() -> sessile::Result<()>| {
        for code in [189, 11_602] {
            store.create_for_user("ann", 1).unwrap();
            let concern = format!(r#""writeConcernError": {{"code": {code}, "errmsg": "no"}}"#);
            fail(&server, 1, "commitTransaction", &format!(r#"{concern}, "role": "secondary""#));
            let changed = change();
            assert!(matches!(changed, Err(Error::OutcomeUnknown { .. })), "{code}: {changed:?}");
            becomes(&server, "primary", &server);
            wait_until("the primary", || store.sessions_of("ann").is_ok());
            assert!(store.sessions_of("ann").unwrap().is_empty(), "it was committed");
        }
    };
    commits(&|| store.destroy_all_of("ann").map(drop));
    commits(&|| store.rename_user("ann", "bob").map(drop));
}

/// A server lets two transactions commit that end each other's session, unless both write to one.
#[test]
fn who_ends_a_users_other_sessions_writes_to_the_one_that_stays() {
    let server = instances::mongodb(&[]);
    let url = url(&server);
    let store = store(&url);
    let kept = store.create_for_user("ann", 1).unwrap();
    store.create_for_user("ann", 2).unwrap();
    let conflict = r#""errorCode": 112, "errorLabels": ["TransientTransactionError"]"#;
    fail(&server, 1, "update", conflict);
    assert_eq!(store.destroy_others(&kept).unwrap(), 1);
    let dump = instances::mongodb_command().args(["dump", &url]).output().unwrap().stdout;
    assert_eq!(dump.windows(6).filter(|one| one == b"\"n\": 1").count(), 1, "of the retry alone");
    assert_eq!(*store.read(kept.id()).unwrap().unwrap().content(), 1);
}

/// The other host belongs to a set that had its election later, as after an address was given away.
#[test]
fn a_primary_that_refuses_the_login_hides_no_other() {
    let good = instances::mongodb(&["--user", "shop:right"]);
    let foreign = instances::mongodb(&["--user", "shop:other"]);
    let url = format!(
        "mongodb://shop:right@127.0.0.1:{},127.0.0.1:{}/shop?authSource=admin&timeout_ms=4000",
        foreign.port, good.port
    );
    let store = store(&url);
    let session = store.create(1).unwrap();
    assert!(store.read(session.id()).unwrap().is_some());
}

#[test]
fn a_server_alone_is_refused_in_words() {
    let server = instances::mongodb(&[]);
    becomes(&server, "alone", &server);
    let refused = SessionStore::<u64>::connect(&url(&server)).map(drop).unwrap_err();
    assert!(matches!(refused, Error::UnsupportedServer { .. }), "{refused:?}");
    assert!(refused.to_string().contains("--replSet"), "{refused}");
}

#[test]
fn a_login_that_is_refused_shows_neither_user_nor_password() {
    let server = instances::mongodb(&["--user", "shop:right"]);
    let url =
        |login: &str| format!("mongodb://{login}@127.0.0.1:{}/shop?authSource=admin", server.port);
    for login in ["shop:hidden", "nobody:hidden"] {
        let error = SessionStore::<u64>::connect(&url(login)).map(drop).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(matches!(error, Error::Unavailable { .. }), "{shown}");
        assert!(!shown.contains("hidden") && !shown.contains("nobody"), "{shown}");
    }
    let open = format!("mongodb://127.0.0.1:{}/shop", server.port);
    assert_unavailable(SessionStore::<u64>::connect(&open).map(drop), "nobody");
    let store = SessionStore::<u64>::connect(&url("shop:right")).unwrap();
    store.create(1).unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[test]
fn content_that_no_document_holds_is_refused_and_nothing_else_is() {
    let server = instances::mongodb(&[]);
    let store = SessionStore::<serde_bytes::ByteBuf>::builder().max_content_len(1 << 24);
    let store = store.manual_maintenance();
    let store = store.connect(&format!("{}timeout_ms=60000", url(&server))).unwrap();
    let content = |length| serde_bytes::ByteBuf::from(vec![7; length]);
    let kept = store.create(content(1 << 20)).unwrap();
    let refused = store.create(content((1 << 24) - 64)).map(drop).unwrap_err();
    let Error::TooLarge { len, max } = refused else { panic!("{refused:?}") };
    assert!(len > max && max > (1 << 24) - 4_096, "{len} {max}");
    assert_eq!(store.read(kept.id()).unwrap().unwrap().content().len(), 1 << 20);
    assert_eq!(store.len().unwrap(), 1);
}
