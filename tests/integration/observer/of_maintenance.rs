//! What is told of maintenance: the causes of its failures, and the engine's work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::engine::{Engine, EngineStats, MemoryEngine};
use sessile::{Error, Event, Result, SessionStore};

use super::{Failing, taken, telling, wait_for};

#[test]
fn a_failure_in_the_background_is_told_with_its_cause_on_one_line() {
    #[derive(Debug)]
    struct Refused(MemoryEngine);
    impl Engine for Refused {
        fn flush(&self) -> Result<()> {
            let source = Arc::new(std::io::Error::other("the password\nis refused"));
            Err(Error::Unavailable { server: "postgres://db".into(), source })
        }
        sessile::forward_engine!(0, but flush);
    }
    let (told, observer) = telling();
    let builder = SessionStore::<u32>::builder().touch_interval(Duration::from_millis(4));
    let store = builder.observer(observer).engine(Refused(MemoryEngine::new())).build().unwrap();
    wait_for(&told, |event| matches!(event, Event::MaintenanceFailed { .. }));
    let expected = "postgres://db cannot be used; nothing was changed: the password\\nis refused";
    wait_for(&told, |event| event.to_string().ends_with(expected));
    let stats = serde_json::to_value(store.stats().unwrap()).unwrap();
    assert_eq!(stats["last_maintenance_failure"], expected);
}

#[test]
fn whoever_is_told_of_a_failure_in_the_background_finds_it_in_the_statistics() {
    let handle: Arc<Mutex<Option<SessionStore<u32>>>> = Arc::default();
    let found = Arc::<Mutex<Vec<bool>>>::default();
    let (own, finds) = (Arc::clone(&handle), Arc::clone(&found));
    let looking = move |event: &Event| {
        if matches!(event, Event::MaintenanceFailed { .. }) {
            let Some(store) = own.lock().unwrap().clone() else { return };
            let stats = store.stats().unwrap();
            let is_there = stats.last_maintenance_failure.is_some();
            finds.lock().unwrap().push(is_there && stats.maintenance_failures > 0);
        }
    };
    let (told, observer) = telling();
    let engine = Arc::new(Failing(MemoryEngine::new(), false.into()));
    let builder = SessionStore::builder().touch_interval(Duration::from_millis(4));
    let builder = builder.observer(looking).observer(observer).engine(Arc::clone(&engine));
    *handle.lock().unwrap() = Some(builder.build().unwrap());
    engine.1.store(true, Ordering::SeqCst);
    // The observer that looks is told first.
    wait_for(&told, |event| matches!(event, Event::MaintenanceFailed { .. }));
    assert_eq!(found.lock().unwrap().first(), Some(&true));
    engine.1.store(false, Ordering::SeqCst);
    // The drop waits for the thread that tells, which may wait for this lock.
    let store = handle.lock().unwrap().take();
    drop(store);
}

#[test]
fn without_threads_a_flush_and_a_sweep_tell_what_the_engine_has_done() {
    #[derive(Debug)]
    struct Busy(MemoryEngine, AtomicU64);
    impl Engine for Busy {
        fn stats(&self) -> Result<EngineStats> {
            let mut stats = self.0.stats()?;
            stats.checkpoints = self.1.load(Ordering::SeqCst);
            stats.reopenings = stats.checkpoints;
            Ok(stats)
        }
        sessile::forward_engine!(0, but stats);
    }
    let (told, observer) = telling();
    let engine = Arc::new(Busy(MemoryEngine::new(), AtomicU64::new(0)));
    let builder = SessionStore::<u32>::builder().manual_maintenance().observer(observer);
    let store = builder.engine(Arc::clone(&engine)).build().unwrap();
    for (done, sweeps) in [(1, false), (2, true)] {
        engine.1.store(done, Ordering::SeqCst);
        match sweeps {
            true => assert_eq!(store.clean_up_expired().unwrap(), 0),
            false => store.flush().unwrap(),
        }
        assert!(matches!(&taken(&told)[..], [Event::Reopened, Event::Checkpoint]));
    }
}
