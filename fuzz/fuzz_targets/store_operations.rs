//! Sequences of operations on a store against a model, on both engines, and on a disk that fails.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/store_operations.rs"]
mod checks;
#[path = "../../tests/integration/crash/mod.rs"]
#[allow(dead_code, unused_imports)]
mod crash;
#[path = "../../tests/integration/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
#[path = "../../tests/integration/model.rs"]
mod model;
#[path = "../../tests/integration/operations/mod.rs"]
#[allow(dead_code)]
mod operations;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
