//! Servers that are killed, stall, take no writes, are full, or are replaced by another; and
//! refused logins.

#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::net::Ipv4Addr;
use std::time::Duration;

use sessile::testing::{NetworkFault, Proxy, Way};
use sessile::{Error, SessionStore, UserLimit};

use crate::instances::{Instance, ends, wait_until};

fn store(url: &str) -> SessionStore<u64> {
    SessionStore::builder().manual_maintenance().connect(url).unwrap()
}

fn assert_unavailable<T: std::fmt::Debug>(result: sessile::Result<T>, what: &str) {
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{what}: {result:?}");
}

/// Checks for the error that names a missing permission in this crate's own words.
pub(crate) fn assert_not_allowed(error: &Error) {
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let words = std::error::Error::source(error).unwrap().to_string();
    assert_eq!(words, "the server does not let this user do what a store needs");
    assert!(!format!("{error} {error:?}").contains("nobody"), "{error:?}");
}

/// While another transaction locks every row, longer than a call may take, a save fails, and does
/// not take effect later either.
fn waits_for_others(url: &str, while_locked: impl FnOnce(&mut dyn FnMut())) {
    let store = store(url);
    let mut session = store.create(1).unwrap();
    while_locked(&mut || {
        *session.content_mut() = 2;
        assert_unavailable(store.update(&mut session), "a save that waits");
    });
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    store.update(&mut session).unwrap();
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 2);
}

/// A host loses power while its login waits for a lock: it never sends the rest of the transaction,
/// and the server does not see it go. Logins by another host go on soon.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn loses_power_in_a_login(
    port: u16,
    url: impl Fn(u16) -> String,
    user: Option<&'static str>,
    while_locked: impl FnOnce(&mut dyn FnMut()),
) {
    let open = |port| -> SessionStore<u64> {
        SessionStore::builder()
            .max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive)
            .max_sessions(500)
            .manual_maintenance()
            .connect(&format!("{}timeout_ms=2500", url(port)))
            .unwrap()
    };
    let log_in = move |store: &SessionStore<u64>| match user {
        Some(user) => store.create_for_user(user, 1).map(drop),
        None => store.create(1).map(drop),
    };
    let proxy = Proxy::start((Ipv4Addr::LOCALHOST, port));
    let (gone, other) = (open(proxy.address().port()), open(port));
    log_in(&gone).unwrap();
    // A login without a user takes its lock after a first look.
    let before = if user.is_some() { 0 } else { 1 };
    while_locked(&mut || {
        proxy.reset();
        let gone = gone.clone();
        std::thread::spawn(move || log_in(&gone));
        wait_until("the login", || proxy.round_trips() > before);
        proxy.arm(Way::Request, 0, NetworkFault::Delay(Duration::from_secs(60)));
    });
    wait_until("the loss", || proxy.is_disarmed());
    // Each try takes as long as its call may.
    let is_logged_in = (0..15).any(|_| log_in(&other).is_ok());
    assert!(is_logged_in, "the lock of {user:?} is held");
    assert!(other.check().unwrap().is_sound());
}

/// A server that is killed and started again: until then every call fails with that error, and
/// afterwards calls succeed.
fn is_killed_and_started_again(server: &mut Instance, url: &str) {
    let store = store(url);
    let session = store.create_for_user("ann", 1).unwrap();
    let ended = store.create_for_user("ann", 2).unwrap();
    assert!(store.destroy(ended.id()).unwrap());
    server.kill();
    let (there, id) = (store.clone(), session.id().clone());
    ends("a call to a killed server", move || {
        assert_unavailable(there.read(&id), "read");
        assert_unavailable(there.create(3), "create");
        assert_unavailable(there.extend_lifetime(&id), "extend_lifetime");
        assert_unavailable(there.destroy(&id), "destroy");
    });
    server.start();
    wait_until("the store", || store.read(session.id()).is_ok());
    assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), 1);
    assert!(store.read(ended.id()).unwrap().is_none(), "a logout is not undone");
    let report = store.check().unwrap();
    assert!(report.is_sound() && report.sessions == 1, "{report:?}");
    store.create(4).unwrap();
}

/// A server that stalls: every call ends in time, and none reports success.
fn stands_still(server: &Instance, url: &str) {
    let store = store(&format!("{url}timeout_ms=400"));
    let mut session = store.create_for_user("ann", 1).unwrap();
    server.signal("-STOP");
    let there = store.clone();
    let session = ends("a call to a server that stands still", move || {
        assert_unavailable(there.read(session.id()), "read");
        let updated = there.update(&mut session);
        let unknown =
            matches!(updated, Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. }));
        assert!(unknown, "{updated:?}");
        let created = there.create(2);
        assert!(created.is_err(), "{created:?}");
        session
    });
    server.signal("-CONT");
    wait_until("the store", || store.read(session.id()).is_ok());
    let found = store.read(session.id()).unwrap().unwrap();
    assert_eq!(*found.content(), 1);
    assert!(store.len().unwrap() <= 3, "each was created once at the most");
    assert!(store.check().unwrap().is_sound());
}
