//! The locks and atomics of the redb engine, which a test can replace.
//!
//! Ordinary builds get plain re-exports of parking_lot and the standard library. With `--cfg
//! shuttle` the crate's tests get the same names from shuttle, which decides at each operation
//! which thread continues. So they explore interleavings that a real scheduler hardly ever
//! produces.
//!
//! The rules for the engine's code: every lock, atomic and swapped pointer comes from here. Any
//! other is not explored, and hangs a test if it is held where another thread can be chosen. The
//! engine starts no thread, which would have to be shuttle's. All atomics are explored as
//! sequentially consistent; the thread sanitizer covers weaker orderings.

#[cfg(all(test, shuttle))]
mod explored;

#[cfg(all(test, shuttle))]
pub(crate) use crate::sync::explored::{ArcSwapOption, Condvar, Mutex, MutexGuard, RwLock};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::atomic;

#[cfg(not(all(test, shuttle)))]
pub(crate) use arc_swap::ArcSwapOption;
#[cfg(not(all(test, shuttle)))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::atomic;
