//! The locks and atomics of the redb engine, so that a test can put others in their place.
//!
//! Ordinary builds get parking_lot and the standard library, re-exported and nothing more. With
//! `--cfg shuttle` the crate's tests get the same names on top of shuttle, which decides at each of
//! them which thread goes on. So they try interleavings that a real scheduler hardly ever shows.
//! What goes around this module is not explored.

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
