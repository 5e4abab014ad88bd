//! From one engine to another, and again after the first has changed.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use sessile::admin::{Progress, transfer};
use sessile::engine::{Engine, Moment, Record, Visit};
use sessile::testing::ManualClock;
use sessile::{Error, Inspector, MemoryEngine, SessionKey, SessionStore, Timeouts};

use super::{go_on, keys};

type Memory = Arc<MemoryEngine>;

struct World {
    clock: ManualClock,
    from: Memory,
    to: Memory,
}

impl World {
    fn new() -> Self {
        Self { clock: ManualClock::new(), from: Memory::default(), to: Memory::default() }
    }

    fn store(&self, engine: &Memory) -> SessionStore<u32> {
        let builder = SessionStore::builder().engine(engine.clone()).clock(self.clock.clone());
        builder.content_name("test").manual_maintenance().build().unwrap()
    }

    fn inspector(&self, engine: &Memory) -> Inspector {
        Inspector::on(engine.clone()).unwrap().with_clock(self.clock.clone())
    }

    fn transfer(&self, exact: bool) -> sessile::Result<sessile::admin::TransferReport> {
        transfer(&self.inspector(&self.from), &self.inspector(&self.to), exact, &mut go_on)
    }
}

#[test]
fn a_transfer_brings_everything_over_and_is_brought_up_to_date_by_repeating_it() {
    let world = World::new();
    let store = world.store(&world.from);
    let mut sessions: Vec<_> =
        (0..10).map(|number| store.create_for_user(number % 3, number).unwrap()).collect();
    let report = world.transfer(false).unwrap();
    assert_eq!((report.copied, report.equal, report.differing.count()), (10, 10, 0));

    // One session changes, one is touched, one ends, one is new.
    *sessions[0].content_mut() = 99;
    store.update(&mut sessions[0]).unwrap();
    world.clock.advance(Duration::from_secs(5));
    assert!(store.extend_lifetime(sessions[1].id()).unwrap());
    assert!(store.destroy(sessions[2].id()).unwrap());
    store.create(11).unwrap();
    let report = world.transfer(false).unwrap();
    assert_eq!((report.copied, report.updated, report.ended, report.equal), (1, 2, 0, 10));
    assert_eq!(report.differing.first(), [sessions[2].key()], "only in the target");
    let report = world.transfer(true).unwrap();
    assert_eq!((report.ended, report.equal, report.differing.count()), (1, 10, 0));
    assert_eq!(keys(&world.inspector(&world.to)), keys(&world.inspector(&world.from)));

    let copy = world.store(&world.to);
    assert_eq!(copy.read(sessions[0].id()).unwrap().map(|it| *it.content()), Some(99));
    let touched = copy.read(sessions[1].id()).unwrap().unwrap();
    assert_eq!(touched.last_active(), store.read(sessions[1].id()).unwrap().unwrap().last_active());
}

/// Whether the progress tells of the middle of the first of the three passes.
fn is_in_the_first_pass(progress: Progress) -> bool {
    progress.done > 0 && progress.total.is_some_and(|total| progress.done < total / 3)
}

#[test]
fn what_changes_ends_and_begins_during_the_first_pass_is_brought_over_by_the_second() {
    const SESSIONS: u32 = 600;
    let world = World::new();
    let store = world.store(&world.from);
    let mut sessions: Vec<_> =
        (0..SESSIONS).map(|number| store.create_for_user(number % 3, number).unwrap()).collect();
    sessions.sort_by_key(|session| session.key());
    let mut changed = 0;
    let mut progress = |progress| {
        if is_in_the_first_pass(progress) && changed == 0 {
            // The kinds of change lie side by side, so each is before and behind the place reached.
            for (place, session) in sessions.iter_mut().enumerate() {
                match place % 10 {
                    0 => {
                        *session.content_mut() += 10_000;
                        store.update(session).unwrap();
                    }
                    1 => assert!(store.destroy(session.id()).unwrap()),
                    2 => store.regenerate_id(session).unwrap(),
                    3 => drop(store.create(20_000).unwrap()),
                    _ => continue,
                }
                changed += 1;
            }
        }
        ControlFlow::Continue(())
    };
    let (from, to) = (world.inspector(&world.from), world.inspector(&world.to));
    let report = transfer(&from, &to, false, &mut progress).unwrap();
    assert!(changed > 200, "{changed}: it was never in the first pass");
    assert_eq!((report.equal, report.differing.count()), (SESSIONS.into(), 0));
    assert!(report.updated > 0 && report.ended > 0, "{report:?}");
    assert_eq!(keys(&to), keys(&from));
    let copy = world.store(&world.to);
    for session in &sessions {
        let read = |store: &SessionStore<u32>| store.read(session.id()).unwrap();
        let [here, there] = [&store, &copy].map(|store| read(store).map(|it| *it.content()));
        assert_eq!(here, there);
    }
}

#[test]
fn activity_is_brought_to_a_session_that_has_expired_in_the_target_alone() {
    let world = World::new();
    let store = world.store(&world.from);
    let mut session = store.create(1).unwrap();
    let (inactivity, absolute) = (Duration::from_secs(600), Duration::from_secs(86_400));
    session.set_timeouts(inactivity, absolute).unwrap();
    store.update(&mut session).unwrap();
    let lapsed = store.create(2).unwrap();
    world.transfer(false).unwrap();
    for _ in 0..6 {
        world.clock.advance(Duration::from_secs(300));
        assert!(store.extend_lifetime(session.id()).unwrap());
    }
    assert_eq!(world.transfer(false).unwrap().updated, 1);
    let copy = world.store(&world.to);
    assert!(copy.read(session.id()).unwrap().is_some());
    // What has expired in the source is not ended: the target's timeouts decide.
    let report = world.transfer(true).unwrap();
    assert_eq!(report.ended, 0, "{report:?}");
    assert!(copy.read(lapsed.id()).unwrap().is_none());
}

#[test]
fn a_transfer_can_be_called_off_in_each_of_its_passes() {
    const SESSIONS: u32 = 600;
    let world = World::new();
    let store = world.store(&world.from);
    (0..SESSIONS).for_each(|number| drop(store.create(number).unwrap()));
    let tells_until = |last: usize| {
        let (from, to) = (world.inspector(&world.from), world.inspector(&world.to));
        let mut tells = 0;
        let mut progress = |_: Progress| {
            tells += 1;
            if tells < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let transferred = transfer(&from, &to, true, &mut progress);
        (tells, transferred)
    };
    let (all, transferred) = tells_until(usize::MAX);
    transferred.unwrap();
    // Three passes over the source and two over the target, each at every 256th session.
    assert!(all >= 5 * 2 + 3 * 2, "{all}");
    for last in 1..=all {
        let (tells, transferred) = tells_until(last);
        assert_eq!(tells, last, "nothing goes on after that");
        assert!(matches!(transferred, Err(Error::CalledOff { .. })), "{last}: {transferred:?}");
    }
    assert_eq!(world.transfer(false).unwrap().equal, u64::from(SESSIONS));
}

#[test]
fn a_later_revision_in_the_target_stays_and_is_named() {
    let world = World::new();
    let session = world.store(&world.from).create(1).unwrap();
    world.transfer(false).unwrap();
    let store = world.store(&world.to);
    let mut newer = store.read(session.id()).unwrap().unwrap();
    *newer.content_mut() = 2;
    store.update(&mut newer).unwrap();
    let report = world.transfer(true).unwrap();
    assert_eq!((report.updated, report.differing.first()), (0, &[session.key()][..]));
    assert_eq!(store.read(session.id()).unwrap().map(|it| *it.content()), Some(2));
}

#[test]
fn content_of_another_name_is_not_mixed_in() {
    let world = World::new();
    world.store(&world.from).create(1).unwrap();
    let builder = SessionStore::<u32>::builder().engine(world.to.clone()).manual_maintenance();
    builder.content_name("another").build().unwrap();
    let refused = world.transfer(false).unwrap_err();
    assert!(matches!(refused, Error::ContentMismatch { .. }), "{refused:?}");
    assert_eq!(keys(&world.inspector(&world.to)), []);
}

#[test]
fn the_index_of_a_target_with_shorter_timeouts_is_not_late() {
    let world = World::new();
    let seconds = |inactivity, absolute| Timeouts::from_seconds(inactivity, absolute).unwrap();
    let open = |engine: &Memory, timeouts: Timeouts| {
        let builder = SessionStore::<u32>::builder().engine(engine.clone());
        let builder = builder.clock(world.clock.clone()).manual_maintenance();
        builder.timeouts(timeouts).build().unwrap()
    };
    let short = open(&world.to, seconds(10, 60));
    let store = open(&world.from, seconds(1_000, 2_000));
    let mut sessions: Vec<_> = (0..3).map(|number| store.create(number).unwrap()).collect();
    assert_eq!(world.transfer(false).unwrap().copied, 3);
    let is_sound = || world.inspector(&world.to).check().unwrap().is_sound();
    assert!(is_sound());
    // One session is replaced, and one is touched.
    *sessions[0].content_mut() = 9;
    store.update(&mut sessions[0]).unwrap();
    world.clock.advance(Duration::from_secs(5));
    store.extend_lifetime(sessions[1].id()).unwrap();
    assert_eq!(world.transfer(false).unwrap().updated, 2);
    assert!(is_sound());
    world.clock.advance(Duration::from_secs(7));
    assert_eq!(short.clean_up_expired().unwrap(), 2, "they are swept when they have expired");
}

/// An engine in which one record is damaged.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) inner: Memory,
    pub(super) key: SessionKey,
}

impl Damaged {
    fn seen(&self, key: &SessionKey, record: Record) -> sessile::Result<Record> {
        match *key == self.key {
            true => Err(Error::DamagedRecord { key: *key, reason: "its checksum is wrong" }),
            false => Ok(record),
        }
    }
}

impl Engine for Damaged {
    fn load(&self, key: &SessionKey, moment: Moment) -> sessile::Result<Option<Record>> {
        self.inner.load(key, moment)?.map(|record| self.seen(key, record)).transpose()
    }

    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> sessile::Result<()> {
        self.inner.scan(after, &mut |key, record| {
            visit(key, record.and_then(|record| self.seen(&key, record)))
        })
    }

    sessile::forward_engine!(inner, but load, scan);
}

#[test]
fn a_damaged_record_on_either_side_ends_nothing_and_is_named() {
    let world = World::new();
    let store = world.store(&world.from);
    let sessions: Vec<_> = (0..5).map(|number| store.create(number).unwrap()).collect();
    world.transfer(false).unwrap();
    let key = sessions[2].key();
    let damaged = |engine: &Memory| {
        let engine = Damaged { inner: engine.clone(), key };
        Inspector::on(engine).unwrap().with_clock(world.clock.clone())
    };
    let (from, to) = (world.inspector(&world.from), world.inspector(&world.to));

    let report = transfer(&damaged(&world.from), &to, true, &mut go_on).unwrap();
    assert_eq!((report.ended, report.equal, report.damaged.first()), (0, 4, &[key][..]));
    assert_eq!(keys(&to).len(), 5, "the target keeps what the source cannot show");

    let report = transfer(&from, &damaged(&world.to), true, &mut go_on).unwrap();
    assert_eq!((report.ended, report.equal, report.differing.first()), (0, 4, &[key][..]));
    assert_eq!(keys(&to).len(), 5);

    // An archive finds it as well.
    let mut archive = Vec::new();
    let all = sessile::admin::LeaveOut::nothing();
    from.export(&mut archive, true, &all, &mut go_on).unwrap();
    let (mut archive, options) = (std::io::Cursor::new(archive), Default::default());
    let report = damaged(&world.to).import(&mut archive, &options, &mut go_on).unwrap();
    assert_eq!((report.already_there, report.differing.first()), (4, &[key][..]));
}
