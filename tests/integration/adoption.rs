//! Sweep steps that run while another thread adopts shorter timeouts: the index stays right.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine, Moment, Sweep};
use sessile::testing::ManualClock;
use sessile::{Error, Result, SessionStore, Timeouts};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// An engine that runs another thread once: before a sweep step, or before the timeouts are stored.
#[derive(Default)]
struct Interrupted {
    inner: Arc<MemoryEngine>,
    before_step: Mutex<Option<Meanwhile>>,
    before_record: Mutex<Option<Meanwhile>>,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interrupted").finish_non_exhaustive()
    }
}

fn let_by(meanwhile: &Mutex<Option<Meanwhile>>) {
    let meanwhile = meanwhile.lock().unwrap().take();
    if let Some(meanwhile) = meanwhile {
        meanwhile();
    }
}

impl Engine for Interrupted {
    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        let_by(&self.before_step);
        self.inner.remove_expired(moment, limit)
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        let_by(&self.before_record);
        self.inner.store_meta(name, value)
    }

    sessile::forward_engine!(inner, but remove_expired, store_meta);
}

/// A full store of three sessions. They have expired under its own timeouts, and not under the
/// longer stored ones.
fn opened() -> (Arc<Interrupted>, SessionStore<u32>) {
    let (engine, clock) = (Arc::new(Interrupted::default()), ManualClock::new());
    let on_record = [100_000_u64, 1_000_000].map(u64::to_le_bytes).concat();
    engine.store_meta("timeouts", &on_record).unwrap();
    let timeouts = Timeouts::from_seconds(10, 1_000).unwrap();
    let builder = SessionStore::builder().engine(Arc::clone(&engine)).clock(clock.clone());
    let store = builder.timeouts(timeouts).max_sessions(3).manual_maintenance().build().unwrap();
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_some());
    (0..3).for_each(|number| drop(store.create(number).unwrap()));
    clock.advance(Duration::from_secs(20));
    (engine, store)
}

fn is_full(store: &SessionStore<u32>) {
    assert!(matches!(store.create(9), Err(Error::Full { .. })));
}

fn sweeps_by_its_own(store: &SessionStore<u32>) {
    assert!(store.stats().unwrap().longer_timeouts_on_record.is_none());
    assert!(store.check().unwrap().is_sound());
    store.create(9).unwrap();
    assert_eq!(store.stats().unwrap().swept, 3);
}

#[test]
fn a_step_that_makes_room_while_shorter_timeouts_are_adopted_leaves_no_entry_late() {
    let (engine, store) = opened();
    let adopting = store.clone();
    let adopt = move || adopting.adopt_shorter_timeouts().unwrap();
    *engine.before_step.lock().unwrap() = Some(Box::new(adopt));
    is_full(&store);
    sweeps_by_its_own(&store);

    // The step runs once the index is right, and before the timeouts are stored.
    let (engine, store) = opened();
    let creating = store.clone();
    *engine.before_record.lock().unwrap() = Some(Box::new(move || is_full(&creating)));
    store.adopt_shorter_timeouts().unwrap();
    sweeps_by_its_own(&store);
}

#[cfg(unix)]
#[test]
fn a_sweep_through_the_door_before_an_adoption_leaves_no_entry_late() {
    use std::ops::ControlFlow::Continue;

    use sessile::Inspector;
    use sessile::admin::{AdminSocket, RunningStore};

    let (_engine, store) = opened();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("door");
    store.serve_admin(AdminSocket::at(&at)).unwrap();
    let inspector = Inspector::on(RunningStore::at(&at).unwrap()).unwrap();
    assert_eq!(inspector.sweep(&mut |_| Continue(())).unwrap(), 0, "they are not adopted");
    assert!(store.check().unwrap().is_sound());
}
