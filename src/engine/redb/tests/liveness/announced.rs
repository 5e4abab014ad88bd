//! What calls that wait have announced: it decides who is live, and leaves no trace if it is
//! refused. And what waits when the engine closes.

use super::*;
use crate::engine::redb::view::touches::{Announcement, Touched};

fn wait_until_waiting(engine: &RedbEngine, threads: usize) {
    while engine.queue.waiting() < threads {
        thread::yield_now();
    }
}

#[test]
fn what_is_queued_before_a_close_is_answered_and_stored() {
    let disk = SimulatedDisk::new();
    let engine = engine_with_a_session(&disk);
    thread::scope(|scope| {
        let held = disk.hold_syncs();
        scope.spawn(|| insert(&engine, 2));
        disk.wait_for_held_sync();
        for number in 3..6 {
            let engine = &engine;
            scope.spawn(move || insert(engine, number));
        }
        wait_until_waiting(&engine, 3);
        let close = scope.spawn(|| engine.close());
        let is_closing = || {
            let touch = engine.view.touches.touch_if(&key(6), |_| (None, ()));
            matches!(touch, Touched::Condemned)
        };
        while !is_closing() {
            thread::yield_now();
        }
        // The close goes as far as it can.
        thread::sleep(Duration::from_millis(50));
        drop(held);
        close.join().unwrap().unwrap();
    });
    drop(engine);
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    for number in 1..6 {
        assert!(engine.load(&key(number), moment(1)).unwrap().is_some(), "{number}");
    }
}

/// Has an extension wait in the queue, as far as others see.
fn announce(engine: &RedbEngine, number: u64, millis: u64) -> Announcement<'_> {
    let extension = Extension { moment: moment(millis), at: at(millis), save: None };
    announce_call(engine, number, extension)
}

fn announce_call(engine: &RedbEngine, number: u64, extension: Extension) -> Announcement<'_> {
    match engine.view.announce(&key(number), extension, &mut None).unwrap() {
        Extended::Undecided(Some(announced)) => announced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listing_shows_a_touch_that_is_later_than_what_a_waiting_call_has_announced() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    insert(&engine, 2);
    let mut numbers = [1, 2];
    numbers.sort_unstable_by_key(|number| key(*number));
    let announced = announce(&engine, numbers[1], 500);
    let mut seen = Vec::new();
    let visit = &mut |key, record: Result<Record>| {
        if seen.is_empty() {
            let second = self::key(numbers[1]);
            assert!(engine.extend(&second, moment(900), Duration::ZERO).unwrap().is_some());
            engine.flush().unwrap();
        }
        seen.push((key, record?.last_active()));
        Ok(ControlFlow::Continue(()))
    };
    engine.scan(None, visit).unwrap();
    drop(announced);
    assert_eq!(seen, [(key(numbers[0]), at(1)), (key(numbers[1]), at(900))]);
}

/// The record of ann's session 1 in its next revision, without activity since 1.
fn next_record() -> Record {
    let ann = UserId::from("ann").to_key().unwrap();
    let parts = Parts { user: Some(&ann), revision: 2, ..parts_at(1) };
    Record::new(&parts, &moment(0).timeouts).unwrap()
}

#[test]
fn no_record_that_is_written_holds_what_a_waiting_call_has_announced() {
    let [ann, bob] = ["ann", "bob"].map(|user| UserId::from(user).to_key().unwrap());
    let saved = |millis| Saved { last_active: at(millis), ended: vec![] };
    // Each writes session 1, or moves it to 3, and returns its latest activity.
    let calls: [&dyn Fn(&RedbEngine) -> u64; 5] = [
        &|engine| {
            let next = next_record();
            let replaced = engine.replace(&key(1), 1, next, moment(500), Limits::NONE);
            assert_eq!(replaced.unwrap(), Replace::Done(saved(1)));
            1
        },
        &|engine| {
            let (old, new, next) = (key(1), key(3), next_record());
            let moved = engine.rekey(&old, &new, 1, next, moment(500), Limits::NONE);
            assert_eq!(moved.unwrap(), Rekey::Done(saved(1)));
            1
        },
        &|engine| {
            assert_eq!(engine.rename_user(&ann, &bob, moment(500)).unwrap(), 1);
            1
        },
        &|engine| {
            assert!(engine.reindex(&moment(0).timeouts, &|| true).unwrap());
            1
        },
        &|engine| {
            let extended = engine.submit(question::Extend { key: key(1), moment: moment(500) });
            assert_eq!(extended.unwrap().unwrap().last_active(), at(900), "as others see it");
            500
        },
    ];
    for call in calls {
        let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
        let longer = Timeouts::from_seconds(2, 1_000).unwrap();
        let record = Record::new(&Parts { user: Some(&ann), ..parts_at(1) }, &longer).unwrap();
        let inserted = engine.insert(&key(1), record, moment(1), Limits::NONE);
        assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
        let announced = announce(&engine, 1, 900);
        let last_active = call(&engine);
        drop(announced);
        let load = |number| engine.load(&key(number), Moment::BEGINNING).unwrap();
        let left = load(1).or_else(|| load(3)).unwrap();
        assert_eq!(left.last_active(), at(last_active));
    }
}

#[test]
fn a_sweep_that_spares_a_session_for_a_waiting_call_writes_nothing_and_comes_again() {
    for in_tables in [false, true] {
        let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
        for number in 1..61 {
            insert(&engine, number);
        }
        if in_tables {
            drop(engine.snapshot().unwrap());
        }
        let sweep = || {
            let mut removed = 0;
            loop {
                let step = engine.remove_expired(moment(1_500), STEP).unwrap();
                removed += step.removed.len();
                if !step.more {
                    return removed;
                }
            }
        };
        let announced: Vec<_> = (1..4).map(|number| announce(&engine, number, 1_000)).collect();
        assert_eq!(sweep(), 57);
        let before = engine.stats().unwrap().commits;
        assert_eq!(sweep(), 0);
        assert_eq!(engine.stats().unwrap().commits, before);
        drop(announced);
        let left = engine.load(&key(1), Moment::BEGINNING).unwrap().unwrap();
        assert_eq!((left.last_active(), left.index_deadline()), (at(1), at(1_001)));
        assert_eq!(sweep(), 3);
    }
}

#[test]
fn a_sweep_that_only_spares_sessions_ends() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let mut announced = vec![announce(&engine, 1, 1_000)];
    for number in 2..41 {
        insert(&engine, number);
        announced.push(announce(&engine, number, 1_000));
    }
    let step = engine.remove_expired(moment(1_500), STEP).unwrap();
    assert!(step.removed.is_empty() && !step.more);
}

/// Ten seconds instead of one.
fn longer() -> OwnTimeouts {
    OwnTimeouts { inactivity_ms: Some(10_000), absolute_ms: None }
}

/// A save, without activity since 1, that lets the session live longer.
fn lengthening(millis: u64) -> Extension {
    let save = Save { expected_revision: 1, own_timeouts: longer() };
    Extension { moment: moment(millis), at: at(1), save: Some(save) }
}

fn longer_record() -> Record {
    let parts = Parts { own_timeouts: longer(), revision: 2, ..parts_at(1) };
    Record::new(&parts, &moment(0).timeouts).unwrap()
}

fn lives(engine: &RedbEngine, number: u64, millis: u64) -> bool {
    engine.load(&key(number), moment(millis)).unwrap().is_some()
}

#[test]
fn who_reads_while_a_save_with_longer_timeouts_waits_finds_the_session_live() {
    let replace = |engine: &RedbEngine| {
        let saved = engine.replace(&key(1), 1, longer_record(), moment(900), Limits::NONE);
        assert!(matches!(saved.unwrap(), Replace::Done(_)));
        assert!(lives(engine, 1, 10_000) && !lives(engine, 1, 20_000));
    };
    let rekey = |engine: &RedbEngine| {
        let (old, new, next) = (key(1), key(3), longer_record());
        let moved = engine.rekey(&old, &new, 1, next, moment(900), Limits::NONE);
        assert!(matches!(moved.unwrap(), Rekey::Done(_)));
        assert!(lives(engine, 3, 10_000));
    };
    for save in [&replace as &(dyn Fn(&RedbEngine) + Sync), &rekey] {
        let disk = SimulatedDisk::new();
        let engine = engine_with_a_session(&disk);
        let (live, extended) = thread::scope(|scope| {
            let held = disk.hold_syncs();
            scope.spawn(|| insert(&engine, 2));
            disk.wait_for_held_sync();
            scope.spawn(|| save(&engine));
            wait_until_waiting(&engine, 1);
            let live = lives(&engine, 1, 5_000);
            let extended = engine.extend(&key(1), moment(5_000), Duration::ZERO);
            drop(held);
            (live, extended)
        });
        assert!(live, "told that it is gone, and it is there again");
        assert_eq!(extended.unwrap().unwrap().last_active(), at(5_000));
    }
}

#[test]
fn no_call_finds_a_session_gone_that_a_waiting_save_lets_live_longer() {
    let ann = UserId::from("ann").to_key().unwrap();
    let now = moment(5_000);
    let calls: [&dyn Fn(&RedbEngine) -> bool; 9] = [
        &|engine| engine.load(&key(1), now).unwrap().is_some(),
        &|engine| engine.extend(&key(1), now, Duration::ZERO).unwrap().is_some(),
        &|engine| engine.submit(question::Extend { key: key(1), moment: now }).unwrap().is_some(),
        &|engine| {
            let stale = engine.replace(&key(1), 7, next_record(), now, Limits::NONE).unwrap();
            stale == Replace::Conflict
        },
        &|engine| engine.remove_others(&key(1), now).unwrap().is_some(),
        &|engine| engine.rename_user(&ann, &ann, now).unwrap() == 1,
        &|engine| engine.remove_expired(now, STEP).unwrap().removed.is_empty(),
        &|engine| engine.count(now).unwrap() == 1,
        &|engine| {
            let mut live = false;
            let visit = &mut |_, record: Result<Record>| {
                live |= !record?.is_expired(now);
                Ok(ControlFlow::Continue(()))
            };
            engine.scan(None, visit).unwrap();
            live
        },
    ];
    for is_live in calls {
        for is_presumed in [false, true] {
            let engine = RedbEngine::open_on(&SimulatedDisk::new(), &RedbOptions::new()).unwrap();
            let _attached = engine.attach(now.timeouts).unwrap();
            let parts = Parts { user: Some(&ann), ..parts_at(1) };
            let record = Record::new(&parts, &now.timeouts).unwrap();
            let inserted = engine.insert(&key(1), record, moment(1), Limits::NONE);
            assert_eq!(inserted.unwrap(), Insert::Done(vec![]));
            let announced = match is_presumed {
                true => engine.view.touches.presume(&key(1), lengthening(900)),
                false => announce_call(&engine, 1, lengthening(900)),
            };
            assert!(is_live(&engine));
            drop(announced);
            let left = engine.view.get(&key(1)).unwrap().unwrap().unwrap();
            assert_eq!(left.own_timeouts(), OwnTimeouts::default());
        }
    }
}

#[test]
fn a_save_with_longer_timeouts_revives_no_session_that_had_expired_before() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let late = engine.view.touches.presume(&key(1), lengthening(1_001));
    assert!(!lives(&engine, 1, 1_001));
    // With this one before it, the session lives for the other, too.
    let early = engine.view.touches.presume(&key(1), lengthening(1_000));
    assert!(lives(&engine, 1, 10_000) && !lives(&engine, 1, 10_001));
    drop((late, early));
    assert!(!lives(&engine, 1, 1_001));
}

#[test]
fn a_listing_shows_the_longer_timeouts_of_a_save_that_came_meanwhile() {
    let engine = engine_with_a_session(&SimulatedDisk::new());
    let _attached = engine.attach(moment(0).timeouts).unwrap();
    insert(&engine, 2);
    let mut numbers = [1, 2];
    numbers.sort_unstable_by_key(|number| key(*number));
    let mut live = Vec::new();
    let visit = &mut |_, record: Result<Record>| {
        if live.is_empty() {
            let (second, next) = (key(numbers[1]), longer_record());
            let saved = engine.replace(&second, 1, next, moment(900), Limits::NONE).unwrap();
            assert!(matches!(saved, Replace::Done(_)));
        }
        live.push(!record?.is_expired(moment(5_000)));
        Ok(ControlFlow::Continue(()))
    };
    engine.scan(None, visit).unwrap();
    assert_eq!(live, [false, true]);
}
