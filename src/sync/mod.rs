//! The locks and atomics of the redb engine, which a test can replace.
//!
//! Ordinary builds get plain re-exports of parking_lot and the standard library. With `--cfg
//! shuttle` the crate's tests get the same names from shuttle, which decides at each operation
//! which thread continues. So they explore interleavings that a real scheduler hardly ever
//! produces. Synchronisation that does not use this module is not explored.

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
