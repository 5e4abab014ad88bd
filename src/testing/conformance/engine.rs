//! The contract of [`Engine`](crate::Engine) itself: records in, records out, no store above.

use std::thread;

use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{Insert, Rekey, Removed, Replace};
use crate::error::Error;
use crate::session::user::UserId;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::Setup;
use crate::testing::conformance::records::{
    Draft, at, defaults, key, listed, meta_of, record, stored,
};

fn opened<F: EngineFixture>() -> (Setup<F>, F::Engine) {
    let setup = Setup::<F>::new();
    let engine = setup.fixture.open();
    (setup, engine)
}

const MANY: Limits = Limits::NONE;

fn up_to(max_sessions: u64) -> Limits {
    Limits { max_sessions, ..MANY }
}

pub fn insert_needs_a_free_key<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let (first, second) = (record(1), Draft { user: Some("bob".into()), ..Draft::new(2) }.record());
    assert!(engine.load(&key(1)).unwrap().is_none());
    assert_eq!(engine.insert(&key(1), first.clone(), MANY).unwrap(), Insert::Done);
    assert_eq!(engine.insert(&key(1), second, MANY).unwrap(), Insert::Occupied);
    assert_eq!(stored(&engine, 1), first);
    assert!(listed(&engine, "bob").is_empty());
    assert_eq!(engine.stats().unwrap().stored, 1);
}

pub fn insert_counts_every_record_against_the_limit<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    assert_eq!(engine.insert(&key(1), record(1), up_to(0)).unwrap(), Insert::Full);
    assert_eq!(engine.insert(&key(1), record(1), up_to(2)).unwrap(), Insert::Done);
    assert_eq!(engine.insert(&key(2), record(1), up_to(2)).unwrap(), Insert::Done);
    assert_eq!(engine.insert(&key(3), record(1), up_to(2)).unwrap(), Insert::Full);
    assert_eq!(
        engine.insert(&key(2), record(1), up_to(2)).unwrap(),
        Insert::Occupied,
        "before full"
    );
    assert!(engine.load(&key(3)).unwrap().is_none());
    assert!(engine.remove(&key(1)).unwrap().is_some());
    assert_eq!(engine.insert(&key(3), record(1), up_to(2)).unwrap(), Insert::Done);
    assert_eq!(engine.stats().unwrap().stored, 2);
}

pub fn replace_goes_by_the_revision<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let (first, second) = (record(1), Draft { revision: 2, ..Draft::new(2) }.record());
    assert_eq!(engine.replace(&key(1), 1, second.clone(), MANY).unwrap(), Replace::Missing);
    assert!(engine.load(&key(1)).unwrap().is_none(), "replacing does not insert");
    let _ = engine.insert(&key(1), first.clone(), MANY).unwrap();
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(
            engine.replace(&key(1), wrong, second.clone(), MANY).unwrap(),
            Replace::Conflict
        );
    }
    assert_eq!(stored(&engine, 1), first);
    assert_eq!(engine.replace(&key(1), 1, second.clone(), MANY).unwrap(), Replace::Done);
    assert_eq!(
        (stored(&engine, 1).revision(), stored(&engine, 1).content()),
        (2, second.content())
    );
    assert_eq!(engine.replace(&key(1), 1, second, MANY).unwrap(), Replace::Conflict);
}

pub fn replace_keeps_the_later_activity<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let _ = engine.insert(&key(1), record(1), MANY).unwrap();
    assert!(engine.touch(&key(1), at(4_000)).unwrap());
    engine.flush().unwrap();
    let earlier = Draft { revision: 1, last_active: 2_000, ..Draft::new(1) }.record();
    assert_eq!(engine.replace(&key(1), 1, earlier, MANY).unwrap(), Replace::Done);
    assert_eq!(stored(&engine, 1).last_active(), at(4_000));
    assert!(engine.touch(&key(1), at(5_000)).unwrap());
    let earlier = Draft { revision: 2, last_active: 3_000, ..Draft::new(1) }.record();
    assert_eq!(engine.replace(&key(1), 1, earlier, MANY).unwrap(), Replace::Done);
    assert_eq!(stored(&engine, 1).last_active(), at(5_000));
    let later = Draft { revision: 3, last_active: 7_000, ..Draft::new(1) }.record();
    assert_eq!(engine.replace(&key(1), 2, later, MANY).unwrap(), Replace::Done);
    assert_eq!(stored(&engine, 1).last_active(), at(7_000));
    engine.flush().unwrap();
    assert_eq!(stored(&engine, 1).last_active(), at(7_000));
}

pub fn replace_by_an_earlier_deadline_is_swept_under_it<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let with = |own_inactivity, revision| {
        Draft { own_inactivity: Some(own_inactivity), revision, ..Draft::new(1) }.record()
    };
    let _ = engine.insert(&key(1), with(8_000, 1), MANY).unwrap();
    assert_eq!(engine.replace(&key(1), 1, with(3_000, 2), MANY).unwrap(), Replace::Done);
    assert_eq!(stored(&engine, 1).index_deadline(), at(3_000));
    assert_eq!(engine.count(at(3_000), &defaults()).unwrap(), 0);
    for (now, removed) in [(2_999, 0), (3_000, 1)] {
        let swept = engine.remove_expired(at(now), &defaults(), 10).unwrap();
        assert_eq!((swept.removed, swept.more), (removed, false));
    }
    assert!(engine.load(&key(1)).unwrap().is_none());
}

pub fn replace_moves_a_record_to_its_own_user<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: Option<&str>, revision| {
        Draft { user: user.map(UserId::from), revision, ..Draft::new(1) }.record()
    };
    let _ = engine.insert(&key(1), of(None, 1), MANY).unwrap();
    for (revision, user) in [(1, Some("ann")), (2, Some("bob")), (3, None), (4, Some("ann"))] {
        let new = of(user, revision + 1);
        assert_eq!(engine.replace(&key(1), revision, new, MANY).unwrap(), Replace::Done);
        for name in ["ann", "bob"] {
            assert_eq!(listed(&engine, name).len(), usize::from(user == Some(name)));
        }
    }
}

pub fn rekey_moves_a_record_in_one_step<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let moved = Draft { revision: 2, user: Some("ann".into()), ..Draft::new(1) }.record();
    let rekey = |revision| engine.rekey(&key(1), &key(2), revision, moved.clone(), MANY).unwrap();
    assert_eq!(rekey(1), Rekey::Missing);
    assert!(engine.load(&key(2)).unwrap().is_none());
    let _ = engine.insert(&key(1), record(1), MANY).unwrap();
    let _ = engine.insert(&key(2), record(9), MANY).unwrap();
    assert_eq!(rekey(7), Rekey::Conflict);
    assert_eq!(rekey(1), Rekey::Occupied);
    assert_eq!((stored(&engine, 1), stored(&engine, 2)), (record(1), record(9)));
    assert!(listed(&engine, "ann").is_empty());
    assert!(engine.remove(&key(2)).unwrap().is_some());

    assert!(engine.touch(&key(1), at(4_000)).unwrap());
    assert_eq!(rekey(1), Rekey::Done);
    assert!(engine.load(&key(1)).unwrap().is_none());
    assert_eq!(stored(&engine, 2).last_active(), at(4_000), "the touch comes along");
    assert_eq!(listed(&engine, "ann"), [key(2)]);
    assert_eq!(engine.stats().unwrap().stored, 1);
    assert_eq!(rekey(1), Rekey::Missing);
    let own = engine.rekey(&key(2), &key(2), 2, moved.clone(), MANY).unwrap();
    assert_eq!(own, Rekey::Occupied, "its own key is not free either");
}

pub fn touches_merge_into_whatever_is_handed_out<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let owned = Draft { user: Some("ann".into()), ..Draft::new(1) }.record();
    let _ = engine.insert(&key(1), owned, MANY).unwrap();
    assert!(!engine.touch(&key(2), at(9_000)).unwrap());
    assert!(engine.load(&key(2)).unwrap().is_none(), "touching does not create");
    let shows = |expected: u64| {
        assert_eq!(stored(&engine, 1).last_active(), at(expected));
        let mut seen = Vec::new();
        let mut see = |key, record: crate::error::Result<crate::record::Record>| {
            seen.push((key, record?.last_active()));
            Ok(())
        };
        engine.for_each(&mut see).unwrap();
        engine.scan_user(&UserId::from("ann").to_key().unwrap(), &mut see).unwrap();
        assert_eq!(seen, [(key(1), at(expected)), (key(1), at(expected))]);
    };
    for (touch, expected) in [(3_000, 3_000), (2_000, 3_000), (4_000, 4_000), (4_000, 4_000)] {
        assert!(engine.touch(&key(1), at(touch)).unwrap());
        shows(expected);
        engine.flush().unwrap();
        assert_eq!(engine.stats().unwrap().pending_touches, 0);
        shows(expected);
    }
    assert_eq!(stored(&engine, 1).revision(), 1, "a touch is no change");
    assert!(engine.touch(&key(1), at(6_000)).unwrap());
    match engine.remove(&key(1)).unwrap() {
        Some(Removed::Record(record)) => assert_eq!(record.last_active(), at(6_000)),
        other => panic!("{other:?}"),
    }
    assert!(!engine.touch(&key(1), at(7_000)).unwrap());
    assert_eq!(engine.stats().unwrap().pending_touches, 0, "of what is gone none is kept");
}

pub fn removals_say_what_went<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    let of = |user: &str| Draft { user: Some(user.into()), ..Draft::new(1) }.record();
    for (number, user) in [(1, "ann"), (2, "bob"), (3, "ann"), (4, "ann"), (5, "bob")] {
        let _ = engine.insert(&key(number), of(user), MANY).unwrap();
    }
    let _ = engine.insert(&key(6), record(1), MANY).unwrap();
    assert!(engine.touch(&key(3), at(4_000)).unwrap());
    assert_eq!(engine.remove(&key(1)).unwrap(), Some(Removed::Record(of("ann"))));
    assert_eq!(engine.remove(&key(1)).unwrap(), None);

    let others = engine.remove_others(&key(4)).unwrap().unwrap();
    assert_eq!(others, [Removed::Record(of("ann").touched(at(4_000)))]);
    assert_eq!(engine.remove_others(&key(4)).unwrap(), Some(vec![]));
    assert_eq!(engine.remove_others(&key(6)).unwrap(), Some(vec![]), "no user, no others");
    assert_eq!(engine.remove_others(&key(1)).unwrap(), None);

    let bob = UserId::from("bob").to_key().unwrap();
    assert_eq!(engine.remove_user(&bob).unwrap(), vec![Removed::Record(of("bob")); 2]);
    assert_eq!(engine.remove_user(&bob).unwrap(), []);
    assert_eq!(engine.stats().unwrap().stored, 2);
    assert_eq!((listed(&engine, "ann"), listed(&engine, "bob")), (vec![key(4)], vec![]));
}

pub fn scans_go_in_the_order_of_the_keys_and_stop_at_an_error<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in [5, 1, 4, 2, 3] {
        let owned = Draft { user: Some("ann".into()), ..Draft::new(number) }.record();
        let _ = engine.insert(&key(number), owned, MANY).unwrap();
    }
    let in_order: Vec<_> = (1..=5).map(key).collect();
    assert_eq!(listed(&engine, "ann"), in_order);
    let mut seen = Vec::new();
    engine
        .for_each(&mut |key, record| {
            record.unwrap();
            seen.push(key);
            assert!(engine.load(&key).unwrap().is_some(), "the engine may be used meanwhile");
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, in_order);
    let ann = UserId::from("ann").to_key().unwrap();
    for scan in [true, false] {
        let mut seen = 0;
        let mut stop = |_, _| {
            seen += 1;
            if seen == 2 { Err(Error::engine(std::io::Error::other("enough"))) } else { Ok(()) }
        };
        let result =
            if scan { engine.scan_user(&ann, &mut stop) } else { engine.for_each(&mut stop) };
        assert!(matches!(result, Err(Error::Engine { .. })));
        assert_eq!(seen, 2);
    }
}

pub fn a_sweep_takes_limited_steps_and_moves_early_entries<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    for number in 1..=5 {
        let draft = Draft { created_at: number, last_active: number, ..Draft::new(1) };
        let _ = engine.insert(&key(number), draft.record(), MANY).unwrap();
    }
    assert!(engine.touch(&key(2), at(9_000)).unwrap());
    let sweep = |now| {
        let step = engine.remove_expired(at(now), &defaults(), 2).unwrap();
        (step.removed, step.more)
    };
    assert_eq!(sweep(10_000), (0, false), "none has passed");
    assert_eq!(sweep(10_001), (1, false));
    assert_eq!(engine.count(at(10_004), &defaults()).unwrap(), 2, "the touched, and the last");
    assert_eq!(sweep(10_004), (1, true), "2 was spared, 3 went");
    assert!(stored(&engine, 2).index_deadline() > at(10_004), "its entry has moved");
    assert_eq!(sweep(10_004).0, 1);
    assert_eq!(sweep(10_004), (0, false));
    assert_eq!(engine.stats().unwrap().stored, 2);
    assert_eq!(sweep(18_999).0, 1);
    assert_eq!(engine.count(at(18_999), &defaults()).unwrap(), 1);
    assert_eq!(sweep(19_000).0, 1);
    assert_eq!(engine.stats().unwrap().stored, 0);
}

pub fn reindex_finds_what_shorter_timeouts_have_ended<F: EngineFixture>() {
    let (_setup, engine) = opened::<F>();
    // More than one step's worth, from many threads, which may share their commits.
    thread::scope(|scope| {
        for first in 0..50 {
            let engine = &engine;
            scope.spawn(move || {
                for number in (first..2_200).step_by(50) {
                    let _ = engine.insert(&key(number), record(1), MANY).unwrap();
                }
            });
        }
    });
    let own = Draft { own_inactivity: Some(50_000), ..Draft::new(1) }.record();
    let _ = engine.insert(&key(9_999), own, MANY).unwrap();
    assert!(engine.touch(&key(7), at(4_000)).unwrap());
    let shorter = crate::time::timeouts::Timeouts::from_seconds(2, 60).unwrap();
    engine.reindex(&shorter).unwrap();
    for number in [0, 7, 1_500, 2_199, 9_999] {
        let record = stored(&engine, number);
        assert!(record.index_deadline() <= record.deadline(&shorter), "{number}");
    }
    assert_eq!(stored(&engine, 7).last_active(), at(4_000));
    assert_eq!(engine.count(at(5_000), &shorter).unwrap(), 2);
    let mut swept = 0;
    loop {
        let step = engine.remove_expired(at(5_000), &shorter, 10_000).unwrap();
        swept += step.removed;
        if !step.more {
            break;
        }
    }
    assert_eq!(swept, 2_199);
    engine.reindex(&defaults()).expect("longer ones leave the index early");
    assert_eq!(engine.count(at(5_000), &defaults()).unwrap(), 2);
}

pub fn metadata_is_kept_through_clear_and_reopening<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let _ = engine.insert(&key(1), record(1), MANY).unwrap();
    assert_eq!(meta_of(&engine, "color"), None);
    engine.store_meta("color", b"red").unwrap();
    engine.store_meta("empty", b"").unwrap();
    engine.store_meta("color", b"blue\0\xff").unwrap();
    engine.clear().unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = setup.fixture.open();
    assert_eq!(meta_of(&engine, "color").as_deref(), Some(&b"blue\0\xff"[..]));
    assert_eq!(meta_of(&engine, "empty").as_deref(), Some(&b""[..]));
    assert_eq!(engine.stats().unwrap().stored, 0);
    assert!(engine.load(&key(1)).unwrap().is_none());
}

pub fn a_closed_engine_answers_that_it_is_closed<F: EngineFixture>() {
    let (setup, engine) = opened::<F>();
    let _ = engine.insert(&key(1), record(1), MANY).unwrap();
    assert!(engine.touch(&key(1), at(5_000)).unwrap());
    engine.close().unwrap();
    fn closed<T>(result: crate::error::Result<T>) -> bool {
        matches!(result, Err(Error::Closed))
    }
    let ann = UserId::from("ann").to_key().unwrap();
    let answers = [
        closed(engine.insert(&key(2), record(1), MANY)),
        closed(engine.load(&key(1))),
        closed(engine.replace(&key(1), 1, record(1), MANY)),
        closed(engine.rekey(&key(1), &key(2), 1, record(1), MANY)),
        closed(engine.touch(&key(1), at(6_000))),
        closed(engine.remove(&key(1))),
        closed(engine.remove_user(&ann)),
        closed(engine.remove_others(&key(1))),
        closed(engine.scan_user(&ann, &mut |_, _| Ok(()))),
        closed(engine.for_each(&mut |_, _| Ok(()))),
        closed(engine.remove_expired(at(99_000), &defaults(), 10)),
        closed(engine.reindex(&defaults())),
        closed(engine.count(at(0), &defaults())),
        closed(engine.check(&defaults(), &mut |_| Ok(()))),
        closed(engine.clear()),
        closed(engine.load_meta("color")),
        closed(engine.store_meta("color", b"red")),
        closed(engine.flush()),
        closed(engine.stats()),
    ];
    assert_eq!(answers, [true; 19]);
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
        Draft { own_inactivity: Some(0), own_absolute: Some(u64::MAX), ..Draft::new(3) },
        Draft { created_at: u64::MAX, last_active: u64::MAX, revision: u64::MAX, ..Draft::new(4) },
    ];
    for (number, draft) in (0..).zip(&drafts) {
        let _ = engine.insert(&key(number), draft.record(), MANY).unwrap();
        assert_eq!(stored(&engine, number), draft.record());
    }
    engine.close().unwrap();
    drop(engine);
    let engine = setup.fixture.open();
    for (number, draft) in (0..).zip(&drafts) {
        assert_eq!(stored(&engine, number), draft.record());
    }
}
