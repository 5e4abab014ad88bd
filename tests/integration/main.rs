//! Everything that is tested from outside the crate, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod conformance;
mod corpus;
mod crash;
mod files;
mod fixture;
mod fixtures;
mod full_disk;
mod history;
mod maintenance;
mod model;
mod operations;
mod property;
mod server;
mod threads;
mod timeouts;
