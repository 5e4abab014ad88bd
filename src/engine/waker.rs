//! How an engine asks for its background work.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

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
pub struct Waker {
    wake: Arc<dyn Fn() + Send + Sync>,
    /// Lives as long as the thread that is woken; `None` if only the maker knows that thread.
    thread: Option<Weak<dyn Any + Send + Sync>>,
}

impl Waker {
    /// A waker that calls `wake`, which must not block.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { wake: Arc::new(wake), thread: None }
    }

    /// A waker that calls `wake` as long as `thread` lives.
    pub(crate) fn of<T: Send + Sync + 'static>(
        thread: &Arc<T>,
        wake: impl Fn(&T) + Send + Sync + 'static,
    ) -> Self {
        let weak = Arc::downgrade(thread);
        let thread: Weak<T> = weak.clone();
        let wake = move || {
            if let Some(thread) = weak.upgrade() {
                wake(&thread);
            }
        };
        Self { wake: Arc::new(wake), thread: Some(thread) }
    }

    /// Makes the thread call [`Engine::run_background_work`](crate::Engine::run_background_work)
    /// soon.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Whether the thread is known to run.
    fn is_surely_heard(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.strong_count() > 0)
    }

    fn is_heard(&self) -> bool {
        self.thread.is_none() || self.is_surely_heard()
    }
}

/// The wakers of the stores on one engine.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Adds a waker, and returns those that it replaces: all whose thread is not known to run. They
    /// are the caller's code, so the caller drops them with no lock held.
    #[must_use]
    pub(crate) fn add(&mut self, waker: Waker) -> Vec<Waker> {
        let wakers = std::mem::take(&mut self.0).into_iter();
        let (kept, replaced) = wakers.partition(Waker::is_surely_heard);
        self.0 = kept;
        self.0.push(waker);
        replaced
    }

    /// The last waker, unless its thread has ended: then the one before it.
    pub(crate) fn heard(&self) -> Option<Waker> {
        self.0.iter().rev().find(|waker| waker.is_heard()).cloned()
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Waker")
    }
}
