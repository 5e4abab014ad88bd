//! Any bytes through the door of a running store.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/admin_request.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
