//! Servers with other settings than their authors chose, and users with fewer rights.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::time::Duration;

use sessile::{SessionOptions, SessionStore, UserLimit};

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
