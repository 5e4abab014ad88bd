//! Everything that is tested from outside the crate, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod conformance;
mod fixtures;
mod history;
mod model;
mod property;
mod threads;
mod timeouts;
