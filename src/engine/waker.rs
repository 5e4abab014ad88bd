//! How an engine asks for its background work.

use std::fmt;
use std::sync::Arc;

/// Wakes the thread that runs an engine's background work; see
/// [`Engine::set_waker`](crate::Engine::set_waker). A call is allowed at any time, and does nothing
/// once that thread has ended.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use sessile::engine::Waker;
///
/// let woken = Arc::new(AtomicBool::new(false));
/// let flag = woken.clone();
/// let wake = Waker::new(move || flag.store(true, Ordering::Release));
/// wake.wake();
/// assert!(woken.load(Ordering::Acquire));
/// ```
#[doc(alias = "Wake")]
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`, which must not block.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Makes the thread call [`Engine::run_background_work`](crate::Engine::run_background_work)
    /// soon.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Waker")
    }
}
