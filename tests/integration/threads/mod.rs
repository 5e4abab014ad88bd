//! Concurrent threads. Each case runs on the memory engine and on redb.

mod one_session;
mod one_store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{SessionStore, Timeouts};

const INACTIVITY: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

fn opened<F: EngineFixture>(fixture: &F, clock: &ManualClock) -> SessionStore<u64> {
    SessionStore::builder()
        .engine(fixture.open())
        .clock(clock.clone())
        .timeouts(Timeouts::new(INACTIVITY, 1_000 * INACTIVITY).unwrap())
        .manual_maintenance()
        .build()
        .unwrap()
}

/// Sets a flag when dropped, so that a panicking thread stops the others too.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
