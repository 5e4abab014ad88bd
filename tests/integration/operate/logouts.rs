//! Logouts in the target of a copy or an import that is under way.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sessile::admin::{ImportOptions, LeaveOut, Progress, TransferReport, transfer};
use sessile::engine::{Engine, Insert, Limits, Moment, Record, Replace};
use sessile::testing::ManualClock;
use sessile::{Inspector, MemoryEngine, Session, SessionKey, SessionStore};

use super::go_on;

type Memory = Arc<MemoryEngine>;

/// What the target has of the session when the copy begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    TheSame,
    AnEarlierRevision,
    EarlierActivity,
}

const ALL: [Before; 4] =
    [Before::Nothing, Before::TheSame, Before::AnEarlierRevision, Before::EarlierActivity];

struct World {
    clock: ManualClock,
    from: Memory,
    to: Memory,
    session: Session<u32>,
}

impl World {
    fn new(before: Before) -> Self {
        let (clock, from, to) = (ManualClock::new(), Memory::default(), Memory::default());
        let builder = SessionStore::builder().engine(from.clone()).clock(clock.clone());
        let store = builder.manual_maintenance().build().unwrap();
        let mut session = store.create_for_user("ann", 1).unwrap();
        store.create(2).unwrap();
        let world = |session| Self { clock: clock.clone(), from, to, session };
        if before == Before::Nothing {
            return world(session);
        }
        let earlier = world(session.clone());
        earlier.copy(&earlier.to, &mut go_on);
        clock.advance(Duration::from_secs(5));
        match before {
            Before::AnEarlierRevision => {
                *session.content_mut() = 3;
                store.update(&mut session).unwrap();
            }
            Before::EarlierActivity => assert!(store.extend_lifetime(session.id()).unwrap()),
            Before::Nothing | Before::TheSame => {}
        }
        Self { session, ..earlier }
    }

    fn on(&self, engine: impl Engine) -> Inspector {
        Inspector::on(engine).unwrap().with_clock(self.clock.clone())
    }

    fn copy(
        &self,
        to: &Arc<impl Engine>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> TransferReport {
        let to = Arc::clone(to);
        transfer(&self.on(self.from.clone()), &self.on(to), false, &mut |at| progress(at)).unwrap()
    }

    fn archive(&self) -> Cursor<Vec<u8>> {
        let (mut archive, all) = (Vec::new(), LeaveOut::nothing());
        self.on(self.from.clone()).export(&mut archive, true, &all, &mut go_on).unwrap();
        Cursor::new(archive)
    }

    fn log_out_in_the_target(&self) -> bool {
        self.to.remove(&self.session.key(), None, Moment::BEGINNING).unwrap().is_some()
    }

    fn is_in_the_target(&self) -> bool {
        self.to.load(&self.session.key(), Moment::BEGINNING).unwrap().is_some()
    }

    /// The target, in which the session ends right after the call of this number that names it.
    fn ending_after(&self, call: usize) -> Arc<Interrupted> {
        let (inner, key) = (self.to.clone(), self.session.key());
        Arc::new(Interrupted { inner, key, calls_left: AtomicUsize::new(call) })
    }
}

#[derive(Debug)]
struct Interrupted {
    inner: Memory,
    key: SessionKey,
    calls_left: AtomicUsize,
}

impl Interrupted {
    fn then<T>(&self, key: &SessionKey, answer: T) -> T {
        if *key == self.key && self.calls_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.inner.remove(key, None, Moment::BEGINNING).unwrap();
        }
        answer
    }

    fn was_interrupted(&self) -> bool {
        self.calls_left.load(Ordering::Relaxed) as isize <= 0
    }
}

impl Engine for Interrupted {
    fn insert(
        &self,
        key: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> sessile::Result<Insert> {
        self.then(key, self.inner.insert(key, record, moment, limits))
    }

    fn load(&self, key: &SessionKey, moment: Moment) -> sessile::Result<Option<Record>> {
        self.then(key, self.inner.load(key, moment))
    }

    fn extend(
        &self,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> sessile::Result<Option<Record>> {
        self.then(key, self.inner.extend(key, moment, resolution))
    }

    fn replace(
        &self,
        key: &SessionKey,
        revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> sessile::Result<Replace> {
        self.then(key, self.inner.replace(key, revision, record, moment, limits))
    }

    sessile::forward_engine!(inner, but insert, load, extend, replace);
}

#[test]
fn a_logout_in_the_target_between_two_steps_of_a_copy_is_final() {
    for before in ALL {
        for tell in 1.. {
            let world = World::new(before);
            let (mut tells, mut ended) = (0, false);
            let report = world.copy(&world.to, &mut |_| {
                tells += 1;
                if tells == tell {
                    ended = world.log_out_in_the_target();
                }
                ControlFlow::Continue(())
            });
            if tells < tell {
                assert!(tell > 6, "three passes over the source tell of their beginning and end");
                break;
            }
            assert!(ended || before == Before::Nothing && tell == 1, "{before:?} {tell}");
            assert_eq!(world.is_in_the_target(), !ended, "{before:?} {tell}: {report:?}");
        }
    }
}

#[test]
fn a_logout_in_the_target_between_two_calls_of_a_copy_is_final() {
    for before in ALL {
        for call in 1.. {
            let world = World::new(before);
            let target = world.ending_after(call);
            let report = world.copy(&target, &mut go_on);
            if !target.was_interrupted() {
                assert!(call > 3, "each pass names the session, and the comparison");
                assert!(world.is_in_the_target());
                break;
            }
            assert!(!world.is_in_the_target(), "{before:?} {call}: {report:?}");
        }
    }
}

/// Another copy may run at the same time.
#[test]
fn a_logout_of_a_session_that_the_target_got_meanwhile_is_final() {
    for call in 1.. {
        let world = World::new(Before::AnEarlierRevision);
        let earlier = world.to.load(&world.session.key(), Moment::BEGINNING).unwrap().unwrap();
        assert!(world.log_out_in_the_target());
        let target = world.ending_after(call);
        let mut earlier = Some(earlier);
        let report = world.copy(&target, &mut |_| {
            if let Some(record) = earlier.take() {
                let key = world.session.key();
                let stored = world.to.insert(&key, record, Moment::BEGINNING, Limits::NONE);
                assert_eq!(stored.unwrap(), Insert::Done(Vec::new()));
            }
            ControlFlow::Continue(())
        });
        if !target.was_interrupted() {
            assert!(call > 3 && world.is_in_the_target());
            break;
        }
        assert!(!world.is_in_the_target(), "{call}: {report:?}");
    }
}

#[test]
fn a_logout_during_an_import_is_final_and_the_session_is_named() {
    for before in ALL {
        for call in 1.. {
            let world = World::new(before);
            let (mut archive, target) = (world.archive(), world.ending_after(call));
            let options = ImportOptions::default();
            let inspector = world.on(Arc::clone(&target));
            let report = inspector.import(&mut archive, &options, &mut go_on).unwrap();
            if !target.was_interrupted() {
                assert!(call > 1 && world.is_in_the_target());
                break;
            }
            assert!(!world.is_in_the_target(), "{before:?} {call}: {report:?}");
            if before == Before::TheSame && call == 1 {
                assert_eq!(report.differing.first(), [world.session.key()]);
            }
        }
    }
}
