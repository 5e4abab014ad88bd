//! The adapter as a program uses it. All tests are one binary, which links once.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

mod caches;
mod dependency;
mod login;
mod routes;
mod rules;
mod trait_tests;
