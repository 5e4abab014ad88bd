//! Any text as JSON content: what JSON gives a type, a store takes and gives back.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/content_json.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| checks::check(bytes));
