//! Live or missing: each call decides it in the step that makes the change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::outcome::{Rekey, Replace};
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::records::*;

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
    assert_eq!(engine.remove(&key(1), None, end).unwrap(), None);
    assert_eq!(engine.remove(&key(2), Some(&ann), end).unwrap(), None);
    assert_eq!(engine.stats().unwrap().stored, 4, "a removal takes them along all the same");
    assert_eq!(engine.remove_user(&ann, end).unwrap(), []);
    assert_eq!(engine.stats().unwrap().stored, 0);
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
    let others = engine.remove_others(&key(1), later).unwrap().unwrap();
    assert_eq!(others.len(), 2, "{others:?}");
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
