//! The events that observers get: every beginning and every end, after the commit, in order, and
//! without secrets.

mod of_expired;
mod of_maintenance;
mod of_sessions;
mod of_stores;
mod using;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::engine::{Engine, MemoryEngine};
use sessile::{Error, Event, Result};

type Told = Arc<Mutex<Vec<Event>>>;

fn telling() -> (Told, impl Fn(&Event) + Send + Sync + 'static) {
    let told = Told::default();
    let to = Arc::clone(&told);
    (told, move |event: &Event| to.lock().unwrap().push(event.clone()))
}

fn taken(told: &Told) -> Vec<Event> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// Long enough for a loaded machine. If the event never comes, the test fails instead of hanging.
fn wait_for(told: &Told, wanted: impl Fn(&Event) -> bool) {
    for _ in 0..30_000 {
        if told.lock().unwrap().iter().any(&wanted) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it was never told; but {:?}", told.lock().unwrap());
}

/// An engine whose flushes fail on demand.
#[derive(Debug)]
struct Failing(MemoryEngine, AtomicBool);

impl Engine for Failing {
    fn flush(&self) -> Result<()> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(Error::engine(std::io::Error::other("on purpose"))),
            false => self.0.flush(),
        }
    }
    sessile::forward_engine!(0, but flush);
}
