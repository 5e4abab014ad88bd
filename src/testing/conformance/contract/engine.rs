//! The contract of [`Engine`](crate::Engine) itself: records in, records out, no store above.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::engine::contract::Engine;
use crate::engine::outcome::{Insert, Rekey, Replace};
use crate::error::Error;
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::contract::records::*;

pub fn insert_needs_a_free_key<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let (first, second) = (record(1), Draft { user: Some("bob".into()), ..Draft::new(2) }.record());
    assert!(!is_there(&engine, 1));
    assert_eq!(insert(&engine, 1, first.clone(), MANY), done());
    assert_eq!(insert(&engine, 1, second, MANY), Insert::Occupied);
    assert_eq!(stored(&engine, 1), first);
    assert!(listed(&engine, "bob").is_empty());
    assert_eq!(engine.stats().unwrap().stored, 1);
}

pub fn insert_counts_every_record_against_the_limit<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    assert_eq!(insert(&engine, 1, record(1), up_to(0)), Insert::Full);
    assert_eq!(insert(&engine, 1, record(1), up_to(2)), done());
    assert_eq!(insert(&engine, 2, record(1), up_to(2)), done());
    assert_eq!(insert(&engine, 3, record(1), up_to(2)), Insert::Full);
    assert_eq!(insert(&engine, 2, record(1), up_to(2)), Insert::Occupied, "before full");
    assert!(!is_there(&engine, 3));
    assert!(engine.remove(&key(1), None, moment(0)).unwrap().is_some());
    assert_eq!(insert(&engine, 3, record(1), up_to(2)), done());
    assert_eq!(engine.stats().unwrap().stored, 2);
}

pub fn replace_goes_by_the_revision<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let (first, second) = (record(1), Draft { revision: 2, ..Draft::new(2) }.record());
    assert_eq!(replace(&engine, 1, 1, second.clone()), Replace::Missing);
    assert!(!is_there(&engine, 1), "replacing does not insert");
    let _ = insert(&engine, 1, first.clone(), MANY);
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(replace(&engine, 1, wrong, second.clone()), Replace::Conflict);
    }
    assert_eq!(stored(&engine, 1), first);
    assert_eq!(replace(&engine, 1, 1, second.clone()), Replace::Done(saved(0)));
    assert_eq!(
        (stored(&engine, 1).revision(), stored(&engine, 1).content()),
        (2, second.content())
    );
    assert_eq!(replace(&engine, 1, 1, second), Replace::Conflict);
}

pub fn replace_keeps_the_later_activity<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let _ = insert(&engine, 1, record(1), MANY);
    assert!(extended(&engine, 1, 4_000));
    engine.flush().unwrap();
    let earlier = Draft { revision: 1, last_active: 2_000, ..Draft::new(1) }.record();
    assert_eq!(replace(&engine, 1, 1, earlier), Replace::Done(saved(4_000)));
    assert_eq!(stored(&engine, 1).last_active(), at(4_000));
    assert!(extended(&engine, 1, 5_000));
    let earlier = Draft { revision: 2, last_active: 3_000, ..Draft::new(1) }.record();
    assert_eq!(replace(&engine, 1, 1, earlier), Replace::Done(saved(5_000)));
    assert_eq!(stored(&engine, 1).last_active(), at(5_000));
    let later = Draft { revision: 3, last_active: 7_000, ..Draft::new(1) }.record();
    assert_eq!(replace(&engine, 1, 2, later), Replace::Done(saved(7_000)));
    assert_eq!(stored(&engine, 1).last_active(), at(7_000));
    engine.flush().unwrap();
    assert_eq!(stored(&engine, 1).last_active(), at(7_000));
}

pub fn replace_by_an_earlier_deadline_is_swept_under_it<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let with = |own_inactivity, revision| {
        Draft { own_inactivity: Some(own_inactivity), revision, ..Draft::new(1) }.record()
    };
    let _ = insert(&engine, 1, with(8_000, 1), MANY);
    assert_eq!(replace(&engine, 1, 1, with(3_000, 2)), Replace::Done(saved(0)));
    assert_eq!(stored(&engine, 1).index_deadline(), at(3_000));
    assert_eq!(engine.count(moment(3_000)).unwrap(), 0);
    for (now, removed) in [(2_999, vec![]), (3_000, vec![expired(1, None)])] {
        let swept = engine.remove_expired(moment(now), 10).unwrap();
        assert_eq!((swept.removed, swept.more), (removed, false));
    }
    assert!(!is_there(&engine, 1));
}

pub fn replace_moves_a_record_to_its_own_user<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: Option<&str>, revision| {
        Draft { user: user.map(UserId::from), revision, ..Draft::new(1) }.record()
    };
    let _ = insert(&engine, 1, of(None, 1), MANY);
    for (revision, user) in [(1, Some("ann")), (2, Some("bob")), (3, None), (4, Some("ann"))] {
        let new = of(user, revision + 1);
        assert_eq!(replace(&engine, 1, revision, new), Replace::Done(saved(0)));
        for name in ["ann", "bob"] {
            assert_eq!(listed(&engine, name).len(), usize::from(user == Some(name)));
        }
    }
}

pub fn rekey_moves_a_record_in_one_step<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let moved = Draft { revision: 2, user: Some("ann".into()), ..Draft::new(1) }.record();
    let rekey = |revision| {
        engine.rekey(&key(1), &key(2), revision, moved.clone(), moment(0), MANY).unwrap()
    };
    assert_eq!(rekey(1), Rekey::Missing);
    assert!(!is_there(&engine, 2));
    let _ = insert(&engine, 1, record(1), MANY);
    let _ = insert(&engine, 2, record(9), MANY);
    assert_eq!(rekey(7), Rekey::Conflict);
    assert_eq!(rekey(1), Rekey::Occupied);
    assert_eq!((stored(&engine, 1), stored(&engine, 2)), (record(1), record(9)));
    assert!(listed(&engine, "ann").is_empty());
    assert_eq!(engine.remove(&key(2), None, moment(0)).unwrap(), Some(ended(2, None)));

    assert!(extended(&engine, 1, 4_000));
    assert_eq!(rekey(1), Rekey::Done(saved(4_000)));
    assert!(!is_there(&engine, 1));
    assert_eq!(stored(&engine, 2).last_active(), at(4_000), "the touch comes along");
    assert_eq!(listed(&engine, "ann"), [key(2)]);
    assert_eq!(engine.stats().unwrap().stored, 1);
    assert_eq!(rekey(1), Rekey::Missing);
    let own = engine.rekey(&key(2), &key(2), 2, moved.clone(), moment(0), MANY).unwrap();
    assert_eq!(own, Rekey::Occupied, "its own key is not free either");
}

pub fn touches_merge_into_whatever_is_handed_out<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let owned = Draft { user: Some("ann".into()), ..Draft::new(1) }.record();
    let _ = insert(&engine, 1, owned, MANY);
    assert!(!extended(&engine, 2, 9_000));
    assert!(!is_there(&engine, 2), "touching does not create");
    let shows = |expected: u64| {
        assert_eq!(stored(&engine, 1).last_active(), at(expected));
        let mut seen = Vec::new();
        let mut see = |key, record: crate::error::Result<crate::record::Record>| {
            seen.push((key, record?.last_active()));
            Ok(ControlFlow::Continue(()))
        };
        engine.scan(None, &mut see).unwrap();
        engine.scan_user(&UserId::from("ann").to_key().unwrap(), &mut see).unwrap();
        assert_eq!(seen, [(key(1), at(expected)), (key(1), at(expected))]);
    };
    for (touch, expected) in [(3_000, 3_000), (2_000, 3_000), (4_000, 4_000), (4_000, 4_000)] {
        let handed_out = engine.extend(&key(1), moment(touch), Duration::ZERO).unwrap().unwrap();
        assert_eq!((handed_out.last_active(), handed_out.revision()), (at(expected), 1));
        shows(expected);
        engine.flush().unwrap();
        assert_eq!(engine.stats().unwrap().pending_touches, 0);
        shows(expected);
    }
    assert_eq!(stored(&engine, 1).revision(), 1, "a touch is no change");
    assert!(extended(&engine, 1, 6_000));
    let removed = engine.remove(&key(1), None, moment(15_999)).unwrap();
    assert_eq!(removed, Some(ended(1, Some("ann"))), "it lives for ten seconds more");
    assert!(!extended(&engine, 1, 7_000));
    assert_eq!(engine.stats().unwrap().pending_touches, 0, "of what is gone none is kept");
}

pub fn an_engine_tells_how_late_a_touch_is_that_only_memory_has<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    assert_eq!(insert(&engine, 1, record(1), MANY), done());
    assert_eq!(engine.late_by(), Duration::ZERO, "nothing waits");
    // It is promised to be written at once.
    assert!(engine.extend(&key(1), moment(2_000), Duration::ZERO).unwrap().is_some());
    std::thread::sleep(Duration::from_millis(50));
    let is_pending = engine.stats().unwrap().pending_touches > 0;
    assert_eq!(engine.late_by() > Duration::ZERO, is_pending);
    engine.flush().unwrap();
    assert_eq!(engine.late_by(), Duration::ZERO, "it was written");
}

pub fn removals_say_what_ended<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: &str| Draft { user: Some(user.into()), ..Draft::new(1) }.record();
    for (number, user) in [(1, "ann"), (2, "bob"), (3, "ann"), (4, "ann"), (5, "bob")] {
        assert_eq!(insert(&engine, number, of(user), MANY), done());
    }
    assert_eq!(insert(&engine, 6, record(1), MANY), done());
    let remove = |number| engine.remove(&key(number), None, moment(0)).unwrap();
    assert_eq!(remove(1), Some(ended(1, Some("ann"))));
    assert_eq!(remove(1), None);

    let others = |keep| engine.remove_others(&key(keep), moment(0)).unwrap();
    assert_eq!(others(4), Some(vec![ended(3, Some("ann"))]));
    assert_eq!(others(4), Some(vec![]));
    assert_eq!(others(6), Some(vec![]), "no user, no others");
    assert_eq!(others(1), None);

    let bob = UserId::from("bob").to_key().unwrap();
    let bobs = engine.remove_user(&bob, moment(0)).unwrap();
    assert_eq!(sorted(bobs), [ended(2, Some("bob")), ended(5, Some("bob"))]);
    assert_eq!(engine.remove_user(&bob, moment(0)).unwrap(), []);
    assert_eq!(engine.stats().unwrap().stored, 2);
    assert_eq!((listed(&engine, "ann"), listed(&engine, "bob")), (vec![key(4)], vec![]));
}

pub fn a_removal_that_names_an_owner_ends_nobody_elses<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: &str| Draft { user: Some(user.into()), ..Draft::new(1) }.record();
    let [ann, bob] = ["ann", "bob"].map(|user| UserId::from(user).to_key().unwrap());
    assert_eq!(insert(&engine, 1, of("ann"), MANY), done());
    assert_eq!(insert(&engine, 2, record(1), MANY), done());
    let remove = |number, owner| engine.remove(&key(number), Some(owner), moment(0)).unwrap();
    assert_eq!((remove(1, &bob), remove(2, &ann), remove(3, &ann)), (None, None, None));
    assert!(is_there(&engine, 1) && is_there(&engine, 2));
    assert_eq!(remove(1, &ann), Some(ended(1, Some("ann"))));
    assert_eq!(engine.stats().unwrap().stored, 1);
}

pub fn metadata_is_kept_through_clear_and_reopening<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let _ = insert(&engine, 1, record(1), MANY);
    assert_eq!(meta_of(&engine, "color"), None);
    assert_eq!(engine.init_meta("color", b"red").unwrap(), b"red");
    assert_eq!(engine.init_meta("color", b"green").unwrap(), b"red", "what is there stays");
    assert_eq!(meta_of(&engine, "color").as_deref(), Some(&b"red"[..]));
    engine.store_meta("empty", b"").unwrap();
    engine.store_meta("color", b"blue\0\xff").unwrap();
    engine.clear().unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = setup.fixture.open();
    assert_eq!(meta_of(&engine, "color").as_deref(), Some(&b"blue\0\xff"[..]));
    assert_eq!(meta_of(&engine, "empty").as_deref(), Some(&b""[..]));
    assert_eq!(engine.stats().unwrap().stored, 0);
    assert!(!is_there(&engine, 1));
}

pub fn a_closed_engine_answers_that_it_is_closed<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let _ = insert(&engine, 1, record(1), MANY);
    assert!(extended(&engine, 1, 5_000));
    engine.close().unwrap();
    fn closed<T>(result: crate::error::Result<T>) -> bool {
        matches!(result, Err(Error::Closed))
    }
    let ann = UserId::from("ann").to_key().unwrap();
    let answers = [
        closed(engine.insert(&key(2), record(1), moment(0), MANY)),
        closed(engine.load(&key(1), moment(0))),
        closed(engine.extend(&key(1), moment(6_000), Duration::ZERO)),
        closed(engine.replace(&key(1), 1, record(1), moment(0), MANY)),
        closed(engine.rekey(&key(1), &key(2), 1, record(1), moment(0), MANY)),
        closed(engine.remove(&key(1), None, moment(0))),
        closed(engine.remove_user(&ann, moment(0))),
        closed(engine.remove_others(&key(1), moment(0))),
        closed(engine.rename_user(&ann, &ann, moment(0))),
        closed(engine.scan_user(&ann, &mut |_, _| Ok(ControlFlow::Continue(())))),
        closed(engine.scan(None, &mut |_, _| Ok(ControlFlow::Continue(())))),
        closed(engine.scan_users(None, moment(0), &mut |_, _| Ok(ControlFlow::Continue(())))),
        closed(engine.remove_expired(moment(99_000), 10)),
        closed(engine.reindex(&defaults(), &|| true)),
        closed(engine.count(moment(0))),
        closed(engine.check(&defaults(), &mut |_| Ok(()))),
        closed(engine.clear()),
        closed(engine.load_meta("color")),
        closed(engine.store_meta("color", b"red")),
        closed(engine.init_meta("color", b"red")),
        closed(engine.flush()),
        closed(engine.stats()),
    ];
    assert_eq!(answers, [true; 22]);
    drop(engine);
    let engine = setup.fixture.open();
    assert_eq!(stored(&engine, 1).last_active(), at(5_000), "closing writes what was pending");
}

pub fn every_part_of_a_record_comes_back<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let drafts = [
        Draft::new(0),
        Draft { content: vec![], ..Draft::new(0) },
        Draft { user: Some("ann".into()), csrf: true, ..Draft::new(1) },
        Draft { user: Some(u64::MAX.into()), content: vec![7; 100_000], ..Draft::new(2) },
        Draft { own_inactivity: Some(1), own_absolute: Some(u64::MAX), ..Draft::new(3) },
        Draft { created_at: u64::MAX, last_active: u64::MAX, revision: u64::MAX, ..Draft::new(4) },
        Draft { own_inactivity: Some(0), created_at: 7, last_active: 7, ..Draft::new(5) },
    ];
    for (number, draft) in (0..).zip(&drafts) {
        let _ = insert(&engine, number, draft.record(), MANY);
        assert_eq!(stored(&engine, number), draft.record());
    }
    engine.close().unwrap();
    drop(engine);
    let engine = setup.fixture.open();
    for (number, draft) in (0..).zip(&drafts) {
        assert_eq!(stored(&engine, number), draft.record());
    }
}
