//! All tests from outside the crate, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adoption;
mod app_dir;
mod bad_files;
mod bad_records;
mod child;
mod conformance;
// The processors for which seccompiler has filters.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"),
    not(portable)
))]
mod containers;
mod content;
mod cookies;
mod corpus;
mod crash;
mod creating;
mod damaged_log;
mod deferred;
mod documents;
mod example_server;
mod files;
mod fixture;
mod fixtures;
#[cfg(unix)]
mod forked;
mod full_disk;
mod guide;
mod history;
mod kill;
mod listings_go_on;
mod liveness;
mod maintenance;
mod model;
mod no_room;
mod observer;
mod opening;
mod operate;
mod operations;
mod operators;
mod other_processes;
mod overwritten;
mod own_code;
mod panics;
mod property;
mod randomness;
mod reports;
mod resources;
mod salvage;
mod settings;
mod shared_engine;
mod threads;
mod timeouts;
mod torn_copies;
mod unknown_ids;
mod unwinding;
mod user_agent;
