//! The overlay: which changes it holds, and for how long.

use super::*;
use crate::record::Parts;
use crate::session::user::UserId;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

fn key(number: u8) -> SessionKey {
    SessionKey::from_bytes([number; 16])
}

fn record(revision: u64) -> Option<Record> {
    record_with(revision, None)
}

fn user(name: &str) -> UserKey {
    UserId::from(name).to_key().unwrap()
}

fn record_of(user: &UserKey) -> Option<Record> {
    record_with(1, Some(user))
}

fn record_with(revision: u64, user: Option<&UserKey>) -> Option<Record> {
    let parts = Parts {
        user,
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision,
        created_at: Timestamp::from_millis(0),
        last_active: Timestamp::from_millis(0),
        content_version: 0,
        content: &[0; 100],
    };
    Record::new(&parts, &Timeouts::default()).ok()
}

fn changes(of: impl IntoIterator<Item = (u8, Option<Record>)>) -> Changes {
    of.into_iter().map(|(number, record)| (key(number), record)).collect()
}

#[test]
fn what_is_in_memory_alone_stays_until_it_is_on_the_disk() {
    let overlay = Overlay::new();
    overlay.add(&changes([(1, record(1)), (2, None)]), false, true);
    overlay.add(&changes([(3, record(1))]), false, false);
    assert_eq!(overlay.volatile(), changes([(1, record(1)), (2, None)]));
    overlay.drop_published(&changes([(1, record(1)), (3, record(1))]));
    overlay.clear_durable_but(&Changes::default());
    assert_eq!(overlay.all(), changes([(1, record(1)), (2, None)]));
    overlay.harden();
    assert!(!overlay.is_volatile() && overlay.volatile().is_empty());
    overlay.drop_published(&changes([(1, record(1))]));
    assert_eq!(overlay.all(), changes([(2, None)]));
    overlay.clear();
    assert!(overlay.is_empty());
}

#[test]
fn what_a_log_says_does_not_hide_what_is_in_memory_alone() {
    let overlay = Overlay::new();
    overlay.add(&changes([(1, None), (3, record(1))]), false, true);
    let logged = changes([(1, record(1)), (2, record(1))]);
    overlay.add_logged(&logged);
    overlay.clear_durable_but(&logged);
    assert_eq!(overlay.all(), changes([(1, None), (2, record(1)), (3, record(1))]));
    assert_eq!(overlay.volatile(), changes([(1, None), (3, record(1))]));
}

#[test]
fn what_comes_again_is_counted_once_whichever_way() {
    let overlay = Overlay::new();
    for (number, volatile) in [true, false, true, true].into_iter().enumerate() {
        overlay.add(&changes([(1, record(number as u64))]), false, volatile);
        assert_eq!(overlay.is_volatile(), volatile);
    }
    overlay.add(&Changes::default(), true, false);
    assert_eq!(overlay.all(), changes([(1, None)]));
    assert!(!overlay.is_volatile() && !overlay.is_empty());
    overlay.clear();
    assert!(overlay.is_empty());
}

#[test]
fn the_index_by_user_follows_whatever_comes_changes_and_goes() {
    let (ann, bob) = (user("ann"), user("bob"));
    let overlay = Overlay::new();
    let keys_of = |user| {
        let mut keys = overlay.keys_of(user);
        keys.sort_unstable();
        keys
    };
    overlay.add(
        &changes([(1, record_of(&ann)), (2, record_of(&ann)), (3, record(1))]),
        false,
        true,
    );
    overlay.add(&changes([(1, record_of(&ann)), (2, record_of(&bob))]), false, false);
    assert_eq!((keys_of(&ann), keys_of(&bob)), (vec![key(1)], vec![key(2)]));
    overlay.add(&changes([(1, None), (3, record_of(&bob))]), false, false);
    assert_eq!((keys_of(&ann), keys_of(&bob)), (vec![], vec![key(2), key(3)]));
    overlay.drop_published(&changes([(2, record_of(&bob)), (3, record(1))]));
    assert_eq!(keys_of(&bob), [key(3)]);
    overlay.add(&changes([(4, record_of(&ann))]), true, false);
    assert_eq!((keys_of(&ann), keys_of(&bob)), (vec![key(4)], vec![]));
    overlay.clear();
    assert_eq!(keys_of(&ann), []);
    assert!(overlay.by_user.read().is_empty(), "it keeps nothing of users who are gone");
}
