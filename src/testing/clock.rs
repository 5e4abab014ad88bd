//! A clock that moves only when a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::clock::Clock;

/// A clock for tests: it shows the time that was set. Clones share the time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sessile::SessionStore;
/// use sessile::testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let store: SessionStore = SessionStore::builder().clock(clock.clone()).in_memory()?;
/// let session = store.create(Default::default())?;
///
/// clock.advance(store.timeouts().inactivity() - Duration::from_millis(1));
/// assert!(store.read(session.id())?.is_some());
/// clock.advance(Duration::from_millis(1));
/// assert!(store.read(session.id())?.is_none());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    /// Milliseconds since 1970.
    now: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows 2026-01-01 00:00:00 UTC.
    #[must_use]
    pub fn new() -> Self {
        Self { now: Arc::new(AtomicU64::new(1_767_225_600_000)) }
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Moves the time backwards, as a corrected system clock does.
    pub fn go_back(&self, by: Duration) {
        self.now.fetch_sub(millis(by), Ordering::SeqCst);
    }

    /// Sets the time, in milliseconds since 1970.
    pub fn set_millis(&self, millis: u64) {
        self.now.store(millis, Ordering::SeqCst);
    }

    /// The time, in milliseconds since 1970.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
