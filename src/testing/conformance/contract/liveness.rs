//! Live or missing: each call decides it in the step that makes the change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::limits::{Limits, PerUser, UserLimit};
use crate::engine::outcome::{Ended, Insert, Rekey, Replace, Saved};
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::contract::records::*;

/// A record that expires after ten seconds.
fn of_ann(revision: u64) -> Draft {
    Draft { user: Some("ann".into()), revision, ..Draft::new(1) }
}

pub fn an_expired_record_is_missing_to_every_call<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in 1..=6 {
        assert_eq!(insert(&engine, number, of_ann(1).record(), MANY), done());
    }
    let ann = UserId::from("ann").to_key().unwrap();
    let next = || of_ann(2).record();
    for end in [moment(10_000), moment(u64::MAX)] {
        assert_eq!(engine.load(&key(1), end).unwrap(), None);
        assert_eq!(engine.extend(&key(1), end, Duration::ZERO).unwrap(), None);
        assert_eq!(engine.replace(&key(1), 1, next(), end, MANY).unwrap(), Replace::Missing);
        assert_eq!(engine.replace(&key(1), 9, next(), end, MANY).unwrap(), Replace::Missing);
        let rekeyed = engine.rekey(&key(1), &key(9), 1, next(), end, MANY).unwrap();
        assert_eq!(rekeyed, Rekey::Missing);
        assert_eq!(engine.remove_others(&key(1), end).unwrap(), None);
        assert_eq!(engine.count(end).unwrap(), 0);
    }
    assert_eq!(stored(&engine, 1), of_ann(1).record(), "none of these changed it");
    assert!(!is_there(&engine, 9));
    assert_eq!(engine.stats().unwrap().stored, 6);
    let end = moment(10_000);
    assert_eq!(engine.remove(&key(1), None, end).unwrap(), Some(expired(1, Some("ann"))));
    assert_eq!(engine.remove(&key(2), Some(&ann), end).unwrap(), Some(expired(2, Some("ann"))));
    assert_eq!(engine.stats().unwrap().stored, 4, "a removal takes them along");
    let rest = [3, 4, 5, 6].map(|number| expired(number, Some("ann")));
    assert_eq!(sorted(engine.remove_user(&ann, end).unwrap()), rest);
    assert_eq!(engine.stats().unwrap().stored, 0);
}

pub fn a_removal_says_what_had_expired_before_it<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: &str| Draft { user: Some(user.into()), ..Draft::new(1) }.record();
    let users = [(1, "ann"), (2, "ann"), (3, "ann"), (4, "bob"), (5, "bob"), (6, "bob")];
    for (number, user) in users {
        assert_eq!(insert(&engine, number, of(user), MANY), done());
    }
    assert_eq!(insert(&engine, 7, record(1), MANY), done());
    for live in [1, 2, 5] {
        assert!(extended(&engine, live, 4_000));
    }
    let [ann, bob] = ["ann", "bob"].map(|user| UserId::from(user).to_key().unwrap());
    let end = moment(10_000);
    let remove = |number, owner| engine.remove(&key(number), owner, end).unwrap();
    assert_eq!(remove(7, Some(&ann)), None, "it has no user");
    assert_eq!(remove(7, None), Some(expired(7, None)));
    assert_eq!(remove(7, None), None);
    assert_eq!(remove(4, Some(&ann)), None, "it is another user's");
    assert_eq!(remove(4, Some(&bob)), Some(expired(4, Some("bob"))));
    assert_eq!(remove(4, Some(&bob)), None);

    let others = || engine.remove_others(&key(1), end).unwrap().map(sorted);
    assert_eq!(others(), Some(vec![ended(2, Some("ann")), expired(3, Some("ann"))]));
    assert_eq!(others(), Some(vec![]));
    let bobs = || sorted(engine.remove_user(&bob, end).unwrap());
    assert_eq!(bobs(), [ended(5, Some("bob")), expired(6, Some("bob"))]);
    assert_eq!(bobs(), []);
    assert_eq!(engine.stats().unwrap().stored, 1);
    assert_eq!(engine.remove_expired(moment(14_000), 10).unwrap().removed.len(), 1);
}

pub fn what_has_expired_stays_when_a_limit_ends_other_sessions<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: Option<&str>, revision, last_active| {
        let user = user.map(UserId::from);
        Draft { user, revision, last_active, ..Draft::new(1) }.record()
    };
    for (number, last_active) in [(1, 0), (2, 3_000), (3, 4_000), (4, 5_000)] {
        assert_eq!(insert(&engine, number, of(Some("ann"), 1, last_active), MANY), done());
    }
    for number in [5, 6] {
        assert_eq!(insert(&engine, number, of(None, 1, 6_000), MANY), done());
    }
    let policy = UserLimit::EndLeastRecentlyActive;
    let limits = Limits { per_user: Some(PerUser { max: 3, policy }), ..MANY };
    let (end, next) = (moment(10_000), |revision| of(Some("ann"), revision, 10_000));
    let over_the_limit = |number| vec![ended(number, Some("ann"))];
    let inserted = engine.insert(&key(7), next(1), end, limits).unwrap();
    assert_eq!(inserted, Insert::Done(over_the_limit(2)));
    let last_active = at(10_000);
    let replaced = engine.replace(&key(5), 1, next(2), end, limits).unwrap();
    assert_eq!(replaced, Replace::Done(Saved { last_active, ended: over_the_limit(3) }));
    let rekeyed = engine.rekey(&key(6), &key(8), 1, next(2), end, limits).unwrap();
    assert_eq!(rekeyed, Rekey::Done(Saved { last_active, ended: over_the_limit(4) }));
    assert_eq!(listed(&engine, "ann"), [1, 5, 7, 8].map(key), "the first had expired");
    assert_eq!(engine.remove(&key(1), None, end).unwrap(), Some(expired(1, Some("ann"))));
}

pub fn every_call_finds_a_record_in_its_last_millisecond<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let last = moment(9_999);
    for number in 1..=6 {
        assert_eq!(insert(&engine, number, of_ann(1).record(), MANY), done());
    }
    assert!(engine.load(&key(1), last).unwrap().is_some());
    assert_eq!(engine.count(last).unwrap(), 6);
    let extended = engine.extend(&key(1), last, Duration::ZERO).unwrap().unwrap();
    assert_eq!(extended.last_active(), at(9_999));
    let next = || Draft { last_active: 9_999, ..of_ann(2) }.record();
    assert_eq!(
        engine.replace(&key(2), 1, next(), last, MANY).unwrap(),
        Replace::Done(saved(9_999))
    );
    let rekeyed = engine.rekey(&key(3), &key(9), 1, next(), last, MANY).unwrap();
    assert_eq!(rekeyed, Rekey::Done(saved(9_999)));
    assert_eq!(engine.remove(&key(4), None, last).unwrap(), Some(ended(4, Some("ann"))));
    // By then the touched and saved sessions are live, and the others are expired.
    let later = moment(19_998);
    assert_eq!(engine.count(later).unwrap(), 3);
    let others = engine.remove_others(&key(1), later).unwrap().map(sorted);
    let of_ann = |answer: fn(u64, Option<&str>) -> Ended, number| answer(number, Some("ann"));
    let gone = [of_ann(ended, 2), of_ann(expired, 5), of_ann(expired, 6), of_ann(ended, 9)];
    assert_eq!(others, Some(gone.into()));
    assert_eq!((listed(&engine, "ann"), engine.stats().unwrap().stored), (vec![key(1)], 1));
}

pub fn a_save_that_is_no_activity_moves_no_deadline<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    assert_eq!(insert(&engine, 1, of_ann(1).record(), MANY), done());
    assert!(extended(&engine, 1, 4_000));
    let next = of_ann(2).record();
    let replaced = engine.replace(&key(1), 1, next, moment(13_999), MANY).unwrap();
    assert_eq!(replaced, Replace::Done(saved(4_000)));
    assert_eq!(engine.load(&key(1), moment(13_999)).unwrap().unwrap().revision(), 2);
    assert_eq!(engine.load(&key(1), moment(14_000)).unwrap(), None);
}

/// An extension that succeeded came before the sweep or removal that ended the session.
pub fn of_a_sweep_and_an_extension_one_comes_first<F: EngineFixture>() {
    const ROUNDS: u64 = 200;
    let (_setup, engine) = opened::<F>();
    let swept = AtomicU64::new(0);
    for round in 0..ROUNDS {
        assert_eq!(insert(&engine, round, record(1), MANY), done());
        let extended_it = thread::scope(|scope| {
            let extending = scope.spawn(|| extended(&engine, round, 9_999));
            scope.spawn(|| {
                let removed = engine.remove_expired(moment(10_000), 10).unwrap().removed;
                swept.fetch_add(removed.len() as u64, Ordering::SeqCst);
            });
            extending.join().unwrap()
        });
        assert_eq!(is_there(&engine, round), extended_it, "{round}");
        assert_eq!(swept.swap(0, Ordering::SeqCst), u64::from(!extended_it));
        let _ = engine.remove(&key(round), None, moment(0)).unwrap();
    }
}
