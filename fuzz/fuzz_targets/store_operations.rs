//! Sequences of operations on a store against the model, on both engines.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/store_operations.rs"]
mod checks;
#[path = "../../tests/integration/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
#[path = "../../tests/integration/model.rs"]
mod model;
#[path = "../../tests/integration/operations.rs"]
mod operations;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
