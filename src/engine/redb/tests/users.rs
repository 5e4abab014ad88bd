//! How many sessions the calls for one user examine.

use std::ops::ControlFlow;

use super::*;
use crate::engine::durability::Durability;
use crate::engine::limits::{PerUser, UserLimit};
use crate::session::user::{UserId, UserKey};

const ANNS: u64 = 3;

fn user(name: &str) -> UserKey {
    UserId::from(name).to_key().unwrap()
}

fn record_of(user: &UserKey) -> Record {
    Record::new(&Parts { user: Some(user), ..parts_at(1) }, &Timeouts::default()).unwrap()
}

/// An engine whose overlay holds three sessions of Ann's and this many of others.
fn beside(others: u64) -> RedbEngine {
    let deferred = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let options = RedbOptions::new().durability(deferred);
    let engine = RedbEngine::open_on(&SimulatedDisk::new(), &options).unwrap();
    for number in 0..others + ANNS {
        let user = if number < ANNS { user("ann") } else { user(&format!("user {}", number % 9)) };
        let inserted =
            engine.insert(&key(number), record_of(&user), Moment::BEGINNING, Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
    }
    assert_eq!(engine.view.overlay.all().len() as u64, others + ANNS);
    engine
}

/// How many changes of the overlay each call examines.
fn looks(engine: &RedbEngine) -> Vec<u64> {
    let ann = user("ann");
    let limits = Limits {
        per_user: Some(PerUser { max: ANNS, policy: UserLimit::EndLeastRecentlyActive }),
        ..Limits::NONE
    };
    let log_in = || {
        let record = record_of(&ann);
        let inserted = engine.insert(&key(100_000), record, Moment::BEGINNING, limits).unwrap();
        assert!(matches!(inserted, Insert::Done(ended) if ended.len() == 1));
    };
    let list = || {
        let mut listed = 0;
        engine
            .scan_user(&ann, &mut |_, _| {
                listed += 1;
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(listed, ANNS);
    };
    let rename = || {
        assert_eq!(engine.rename_user(&ann, &user("bea"), Moment::BEGINNING).unwrap(), ANNS);
    };
    let log_out = || {
        let kept = engine.remove_others(&key(100_000), Moment::BEGINNING).unwrap().unwrap();
        assert_eq!(kept.len() as u64, ANNS - 1);
        assert_eq!(engine.remove_user(&user("bea"), Moment::BEGINNING).unwrap().len(), 1);
    };
    let calls: [&dyn Fn(); 4] = [&log_in, &list, &rename, &log_out];
    let count = |call: &&dyn Fn()| {
        let before = engine.view.overlay.looks.load(Ordering::Relaxed);
        call();
        engine.view.overlay.looks.load(Ordering::Relaxed) - before
    };
    calls.iter().map(count).collect()
}

#[test]
fn what_a_user_does_looks_at_that_users_sessions_however_many_others_there_are() {
    let (few, many) = (looks(&beside(10)), looks(&beside(1_000)));
    assert_eq!(few, many);
    assert!(few.iter().all(|looks| (1..40).contains(looks)), "{few:?}");
}
