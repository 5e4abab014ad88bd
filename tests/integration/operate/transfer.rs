//! From one engine to another, and again after the first has changed.

use std::sync::Arc;
use std::time::Duration;

use sessile::admin::transfer;
use sessile::testing::ManualClock;
use sessile::{Error, Inspector, MemoryEngine, SessionStore};

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

    // One changes, one is touched, one ends, one is new.
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
