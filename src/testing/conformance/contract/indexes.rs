//! Calls that use an index or visit all records: scans, pages, users, sweeps.

use std::ops::ControlFlow;
use std::thread;

use crate::engine::contract::Engine;
use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::{UserId, UserKey};
use crate::testing::EngineFixture;
use crate::testing::conformance::contract::records::*;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

fn user_key(user: impl Into<UserId>) -> UserKey {
    user.into().to_key().unwrap()
}

pub fn scans_go_in_the_order_of_the_keys_and_stop_at_an_error<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in [5, 1, 4, 2, 3] {
        let owned = Draft { user: Some("ann".into()), ..Draft::new(number) }.record();
        let _ = insert(&engine, number, owned, MANY);
    }
    let in_order: Vec<_> = (1..=5).map(key).collect();
    assert_eq!(listed(&engine, "ann"), in_order);
    let mut seen = Vec::new();
    engine
        .scan(None, &mut |key, record| {
            record.unwrap();
            seen.push(key);
            let found = engine.load(&key, moment(0)).unwrap();
            assert!(found.is_some(), "the engine may be used meanwhile");
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(seen, in_order);
    let ann = UserId::from("ann").to_key().unwrap();
    for scan in [true, false] {
        let mut seen = 0;
        let mut stop = |_, _| {
            seen += 1;
            match seen {
                2 => Err(Error::engine(std::io::Error::other("enough"))),
                _ => Ok(ControlFlow::Continue(())),
            }
        };
        let result =
            if scan { engine.scan_user(&ann, &mut stop) } else { engine.scan(None, &mut stop) };
        assert!(matches!(result, Err(Error::Engine { .. })));
        assert_eq!(seen, 2);
    }
}

pub fn a_sweep_takes_limited_steps_and_moves_early_entries<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in 1..=5 {
        let draft = Draft { created_at: number, last_active: number, ..Draft::new(1) };
        let _ = insert(&engine, number, draft.record(), MANY);
    }
    assert!(extended(&engine, 2, 9_000));
    let sweep = |now| {
        let step = engine.remove_expired(moment(now), 2).unwrap();
        (step.removed.len(), step.more)
    };
    assert_eq!(sweep(10_000), (0, false), "none has passed");
    assert_eq!(sweep(10_001), (1, false));
    assert_eq!(engine.count(moment(10_004)).unwrap(), 2, "the touched, and the last");
    assert_eq!(sweep(10_004), (1, true), "2 was spared, 3 went");
    assert!(stored(&engine, 2).index_deadline() > at(10_004), "its entry has moved");
    assert_eq!(sweep(10_004).0, 1);
    assert_eq!(sweep(10_004), (0, false));
    assert_eq!(engine.stats().unwrap().stored, 2);
    assert_eq!(sweep(18_999).0, 1);
    assert_eq!(engine.count(moment(18_999)).unwrap(), 1);
    assert_eq!(sweep(19_000).0, 1);
    assert_eq!(engine.stats().unwrap().stored, 0);
}

pub fn reindex_finds_what_shorter_timeouts_have_ended<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    // More sessions than one step takes, from many threads, which may share their commits.
    thread::scope(|scope| {
        for first in 0..50 {
            let engine = &engine;
            scope.spawn(move || {
                for number in (first..2_200).step_by(50) {
                    let _ = insert(engine, number, record(1), MANY);
                }
            });
        }
    });
    let own = Draft { own_inactivity: Some(50_000), ..Draft::new(1) }.record();
    let _ = insert(&engine, 9_999, own, MANY);
    assert!(extended(&engine, 7, 4_000));
    let shorter = Timeouts::from_seconds(2, 60).unwrap();
    let later = Moment { now: at(5_000), timeouts: shorter };
    // Told to stop, it has done at least one step.
    engine.reindex(&shorter, &|| false).unwrap();
    assert!(engine.reindex(&shorter, &|| true).unwrap());
    for number in [0, 7, 1_500, 2_199, 9_999] {
        let record = stored(&engine, number);
        assert!(record.index_deadline() <= record.deadline(&shorter), "{number}");
    }
    assert_eq!(stored(&engine, 7).last_active(), at(4_000));
    assert_eq!(engine.count(later).unwrap(), 2);
    let mut swept = 0;
    loop {
        let step = engine.remove_expired(later, 10_000).unwrap();
        swept += step.removed.len();
        if !step.more {
            break;
        }
    }
    assert_eq!(swept, 2_199);
    let longer = engine.reindex(&defaults(), &|| true);
    assert!(longer.expect("longer ones leave the index early"));
    assert_eq!(engine.count(moment(5_000)).unwrap(), 2);
}

pub fn a_scan_begins_after_a_key_and_ends_where_it_is_told_to<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in 1..=9 {
        assert_eq!(insert(&engine, number, record(number), MANY), done());
        if number == 5 {
            engine.flush().unwrap();
        }
    }
    let page = |after: Option<SessionKey>, limit: usize| {
        let mut shown = Vec::new();
        engine
            .scan(after.as_ref(), &mut |key, record| {
                record.unwrap();
                shown.push(key);
                Ok(match shown.len() < limit {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                })
            })
            .unwrap();
        shown
    };
    let keys = |numbers: std::ops::RangeInclusive<u64>| numbers.map(key).collect::<Vec<_>>();
    assert_eq!(page(None, 4), keys(1..=4));
    assert_eq!(page(Some(key(4)), 4), keys(5..=8));
    assert_eq!(page(Some(key(8)), 4), keys(9..=9));
    assert_eq!(page(Some(key(9)), 4), []);
    assert!(engine.remove(&key(4), None, moment(0)).unwrap().is_some());
    assert_eq!(page(Some(key(4)), 2), keys(5..=6), "after a key that is gone");
    assert_eq!(page(Some(key(u64::MAX)), 2), []);
}

pub fn users_are_shown_once_with_their_live_records<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let users: [(u64, Option<UserId>); 8] = [
        (1, Some("bob".into())),
        (2, Some("ann".into())),
        (3, None),
        (4, Some(7.into())),
        (5, Some("ann".into())),
        (6, Some("expired".into())),
        (7, Some("bob".into())),
        (8, Some("bob".into())),
    ];
    for (number, user) in users {
        let own_inactivity = matches!(number, 6 | 7).then_some(10);
        let draft = Draft { user, own_inactivity, ..Draft::new(number) };
        assert_eq!(insert(&engine, number, draft.record(), MANY), done());
        if number == 3 {
            engine.flush().unwrap();
        }
    }
    let shown = |after: Option<UserKey>, most: usize| {
        let mut shown = Vec::new();
        engine
            .scan_users(after.as_ref(), moment(10), &mut |user, sessions| {
                shown.push((user, sessions));
                Ok(match shown.len() < most {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                })
            })
            .unwrap();
        shown
    };
    let mut expected = vec![(user_key("ann"), 2), (user_key("bob"), 2), (user_key(7), 1)];
    expected.sort();
    assert_eq!(shown(None, 9), expected);
    assert_eq!(shown(None, 2), expected[..2], "it ends where it is told to");
    assert_eq!(shown(Some(expected[0].0.clone()), 9), expected[1..], "and begins after a user");
    assert_eq!(shown(Some(expected[2].0.clone()), 9), []);
    assert!(engine.remove(&key(4), None, moment(10)).unwrap().is_some());
    expected.retain(|(user, _)| *user != user_key(7));
    assert_eq!(shown(None, 9), expected, "who has no session is no user");
}

pub fn a_user_is_renamed_with_all_their_sessions_in_one_step<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let of = |user: &str| Draft { user: Some(user.into()), csrf: true, ..Draft::new(1) };
    let short = Draft { own_inactivity: Some(10), ..of("ann") };
    for (number, draft) in [(1, of("ann")), (2, of("bob")), (3, of("ann")), (4, short)] {
        assert_eq!(insert(&engine, number, draft.record(), MANY), done());
    }
    assert!(extended(&engine, 3, 5));
    let rename = |old: &str, new: &str| {
        engine.rename_user(&user_key(old), &user_key(new), moment(10)).unwrap()
    };
    assert_eq!(rename("ann", "anna of the longer name"), 2, "the third had expired");
    assert_eq!(listed(&engine, "ann"), []);
    assert_eq!(listed(&engine, "anna of the longer name"), [1, 3, 4].map(key));
    let renamed = stored(&engine, 3);
    assert_eq!((renamed.revision(), renamed.last_active()), (2, at(5)), "and no activity");
    assert_eq!(renamed.content(), of("ann").record().content());
    assert_eq!(renamed.user(), Some(user_key("anna of the longer name")));
    let stale = Draft { revision: 2, ..of("ann") }.record();
    let conflict = engine.replace(&key(1), 1, stale, moment(10), MANY).unwrap();
    assert_eq!(conflict, crate::engine::outcome::Replace::Conflict, "it must not undo the rename");
    assert_eq!(rename("ann", "carl"), 0);
    assert_eq!(rename("anna of the longer name", "bob"), 2);
    assert_eq!(listed(&engine, "bob"), [1, 2, 3, 4].map(key));
    engine.close().unwrap();
    drop(engine);
    let engine = setup.fixture.open();
    assert_eq!(listed(&engine, "bob"), [1, 2, 3, 4].map(key));
    assert_eq!(stored(&engine, 3).last_active(), at(5));
}

pub fn a_rename_moves_every_revision_on_and_keeps_the_greatest<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let half = u64::MAX / 2;
    let revisions = [1, half - 1, half, half + 1, u64::MAX - 1, u64::MAX];
    for (number, revision) in (1..).zip(revisions) {
        let draft = Draft { user: Some("ann".into()), revision, ..Draft::new(1) };
        assert_eq!(insert(&engine, number, draft.record(), MANY), done());
    }
    let (ann, bob) = (user_key("ann"), user_key("bob"));
    assert_eq!(engine.rename_user(&ann, &bob, moment(10)).unwrap(), revisions.len() as u64);
    for (number, revision) in (1..).zip(revisions) {
        assert_eq!(stored(&engine, number).revision(), revision.saturating_add(1));
    }
}
