//! Servers with other settings than their authors chose, and users with fewer rights.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::time::Duration;

use sessile::{Error, SessionOptions, SessionStore, UserLimit};

use crate::instances::wait_until;

/// What one host does under a limit, another one sees, whole.
fn two_hosts_agree(url: &str, setting: &str) {
    let open = || -> SessionStore<u64> {
        SessionStore::builder()
            .max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive)
            .manual_maintenance()
            .connect(url)
            .unwrap_or_else(|error| panic!("{setting}: {error:?}"))
    };
    let (one, other) = (open(), open());
    let mut session = one.create(1).unwrap();
    for number in 0..10 {
        one.create_for_user("ann", number).unwrap();
    }
    *session.content_mut() = 2;
    one.update(&mut session).unwrap();
    let seen = other.read(session.id()).unwrap().unwrap();
    assert_eq!(*seen.content(), 2, "{setting}");
    assert_eq!(other.sessions_of("ann").unwrap().len(), 3, "{setting}");
    let short = SessionOptions::new().inactivity(Duration::from_millis(1));
    for number in 0..5 {
        one.create_with(number, &short).unwrap();
    }
    wait_until("the sessions' end", || other.len().unwrap() == 4);
    assert_eq!(other.clean_up_expired().unwrap(), 5, "{setting}");
    let report = one.check().unwrap();
    assert!(report.is_sound() && report.sessions == 4, "{setting}: {report:?}");
    assert_eq!(one.destroy_all_of("ann").unwrap(), 3, "{setting}");
    assert!(other.destroy(session.id()).unwrap(), "{setting}");
    assert_eq!(one.for_each(|_, _| {}).unwrap(), 0, "{setting}");
    one.clear().unwrap();
}

/// Neither a new store nor one that must be there opens on these tables, and the error says so.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn is_unsupported(url: &str, expected: &str) {
    let existing = SessionStore::<u64>::builder().connect_existing(url).map(drop);
    for refused in [SessionStore::<u64>::connect(url).map(drop), existing] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::UnsupportedServer { .. }), "{refused:?}");
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

/// After somebody emptied tables by hand, new sessions fail by an error that says what to do.
/// Whoever opens the store after that has the right number of sessions, whatever a host that still
/// had it open did meanwhile, and though several hosts open it at once.
fn emptied_tables_are_filled_when_a_store_is_opened(url: &str, empty: impl Fn(&str)) {
    let open = || -> SessionStore<u64> {
        SessionStore::builder().max_sessions(5).manual_maintenance().connect(url).unwrap()
    };
    let all = ["sessile_sessions", "sessile_users", "sessile_counts", "sessile_meta"];
    for (tables, kept) in [(&all[2..3], 1), (&all[..], 0)] {
        let store = open();
        store.clear().unwrap();
        let existing = SessionStore::<u64>::builder().manual_maintenance().connect_existing(url);
        let before = [store.create(1).unwrap(), store.create_for_user("ann", 2).unwrap()];
        tables.iter().copied().for_each(&empty);
        for error in [
            existing.as_ref().unwrap().create(3).map(drop).unwrap_err(),
            store.len().map(drop).unwrap_err(),
            store.create_for_user("ann", 3).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(said.contains("open the store again"), "{said}");
        }
        let [ended, stays] = &before;
        assert_eq!(store.destroy(ended.id()).unwrap(), kept > 0);
        std::thread::scope(|scope| {
            (0..6).for_each(|_| drop(scope.spawn(|| assert_eq!(open().len().unwrap(), kept))));
        });
        let again = open();
        assert_eq!(again.len().unwrap(), kept);
        assert_eq!(store.read(stays.id()).unwrap().is_some(), kept > 0);
        for number in kept..5 {
            again.create(number).unwrap();
        }
        assert!(matches!(again.create(6), Err(Error::Full { .. })));
        assert_eq!(store.len().unwrap(), 5);
        assert!(again.check().unwrap().is_sound());
    }
}

/// After a dump was restored in part, whoever opens the store makes the missing tables and has the
/// right number of sessions.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn missing_tables_are_made_when_a_store_is_opened(url: &str, remove: impl Fn(&str)) {
    for table in ["sessile_users", "sessile_counts", "sessile_meta", "sessile_sessions"] {
        let open = || -> SessionStore<u64> {
            let limit = UserLimit::EndLeastRecentlyActive;
            let store = SessionStore::builder().max_sessions_per_user(3, limit);
            store.manual_maintenance().connect(url).unwrap()
        };
        let store = open();
        store.clear().unwrap();
        store.create_for_user("ann", 1).unwrap();
        remove(table);
        let kept = if table == "sessile_sessions" { 0 } else { 1 };
        let again = open();
        assert_eq!(again.len().unwrap(), kept, "{table}");
        again.create_for_user("ann", 2).unwrap();
        assert_eq!(again.sessions_of("ann").unwrap().len() as u64, kept + 1, "{table}");
        assert!(again.check().unwrap().is_sound(), "{table}");
    }
}
